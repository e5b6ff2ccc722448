//! Forecasting of counts: negative binomial distributions.

use serde_json::{Value, json};

use super::forecast::{TINY, answers, daily, date, scores};
use super::{Folder, TINY_SEQUENCES};

/// A long table of the sales of two shops, whole numbers, many of which are 0 in the second.
fn sales(days: usize) -> String {
    let row = |at: usize| {
        let (day, shop) = (at / 2, ["large", "small"][at % 2]);
        let sold = [[40, 35, 30, 32, 50, 90, 0], [0, 1, 0, 0, 2, 1, 0]][at % 2][day % 7];
        format!("{},{shop},{sold}\n", date(day))
    };
    format!("date,shop,sold\n{}", (0..2 * days).map(row).collect::<String>())
}

const FLAGS: &str = "--task forecast --loss negative-binomial";

#[test]
fn counts_have_quantiles_that_are_whole_numbers() {
    let folder = Folder::new();
    folder.write("sales.csv", sales(120));
    let flags = format!("{FLAGS} --series-column shop --quantiles 0.05,0.5,0.95 --horizon 7 --window 14");
    let sizes = "--hidden 16 --batch-size 16 --max-steps 200 --lr 0.01";
    folder.done(&format!("train gru --data sales.csv --out m {flags} {sizes}"));
    let schema = &folder.json("m/config.json")["schema"];
    assert_eq!(schema["head"], json!({ "kind": "negative-binomial", "levels": [0.05, 0.5, 0.95] }));
    let scales = ["scaling", "centre", "log"].map(|name| schema[name].clone());
    assert_eq!(scales, [json!("level"), json!("zero"), json!(false)]);

    let found = answers(&folder.done("predict m --data sales.csv --json"));
    assert_eq!(found.iter().map(|answer| answer["series"].clone()).collect::<Vec<_>>(), ["large", "small"]);
    for answer in &found {
        for step in 0..7 {
            let quantile = |level: &str| answer["quantiles"][level][step].as_f64().unwrap();
            let steps = ["0.05", "0.5", "0.95"].map(quantile);
            assert!(steps.iter().all(|number| number.fract() == 0. && *number >= 0.), "{answer}");
            assert!(steps.is_sorted(), "{answer}");
            assert!(answer["mean"][step].as_f64().unwrap() > 0., "{answer}");
        }
    }
    let large = |name: &str| found[0]["quantiles"][name].as_array().unwrap().iter();
    let highest = large("0.95").filter_map(Value::as_f64).fold(0., f64::max);
    assert!((60. ..200.).contains(&highest), "at most 90 are sold a day: {}", found[0]);

    let scores = scores(&folder, "eval m --data sales.csv --json");
    let mae = |figures: &Value| figures["mae"].as_f64().unwrap();
    assert!(mae(&scores) < 0.5 * mae(&scores["naive"]), "{scores}");
    let table = folder.done("predict m --data sales.csv --csv");
    assert_eq!(table.lines().next(), Some("series,time,mean,0.05,0.5,0.95"));
    folder.done("plot m --forecast --data sales.csv --out sales.svg");
    assert!(String::from_utf8(folder.bytes("sales.svg")).unwrap().contains("<polygon"));
}

#[test]
fn counts_resume_and_repeat_to_the_byte() {
    let folder = Folder::new();
    folder.write("sales.csv", sales(60));
    let run =
        format!("train gru {FLAGS} --series-column shop --data sales.csv {TINY} --hidden 8 --batch-size 8");
    folder.done(&format!("{run} --epochs 2 --schedule constant --out whole"));
    folder.done(&format!("{run} --epochs 1 --schedule constant --out halves"));
    folder.done("train --resume halves --epochs 2");
    let last = "training/last.safetensors";
    assert!(folder.bytes(&format!("halves/{last}")) == folder.bytes(&format!("whole/{last}")));
    folder.done("train --recipe whole/recipe.toml --out again");
    assert!(folder.bytes("again/model.safetensors") == folder.bytes("whole/model.safetensors"));
}

#[test]
fn numbers_that_are_no_counts_are_refused_with_their_step() {
    let folder = Folder::new();
    let with = |number: &'static str| {
        daily(40, move |date, day| format!("{date},{}\n", if day == 9 { number } else { "3" }))
    };
    let train = format!("train gru {FLAGS} {TINY} {TINY_SEQUENCES} --data");
    folder.write("good.csv", with("0"));
    folder.done(&format!("{train} good.csv --out m"));
    for number in ["2.5", "-1", "10000000000"] {
        folder.write("bad.csv", with(number));
        let problem = format!("bad.csv: series `y`: {number} at 2023-01-10 is not a count");
        for line in [
            format!("{train} bad.csv --out n"),
            "eval m --data bad.csv".into(),
            "predict m --data bad.csv".into(),
        ] {
            folder.refused(&line, 1, &[&problem, "--loss negative-binomial needs whole numbers from 0"]);
        }
    }
    folder.write("steps.csv", format!("y\n{}", "3\n4\n".repeat(20) + "1.5\n"));
    folder.refused(&format!("{train} steps.csv --out n"), 1, &["1.5 at step 40 is not a count"]);
}

#[test]
fn scales_that_counts_do_not_have_are_refused() {
    let folder = Folder::new();
    folder.write("days.csv", daily(60, |date, day| format!("{date},{}\n", day % 5)));
    let train = format!("train gru {FLAGS} --data days.csv {TINY} {TINY_SEQUENCES} --out m");
    for (flags, flag) in
        [("--scaling season", "--scaling"), ("--centre last", "--centre"), ("--log-values", "--log-values")]
    {
        let problem = format!("{flag}: the counts of --loss negative-binomial are ");
        folder.refused(&format!("{train} {flags}"), 2, &[&problem, "leave it out"]);
    }
    folder.done(&format!("{train} --scaling level --centre zero --log-values=false"));
}
