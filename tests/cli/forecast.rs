//! Forecasting: tables of time series in, the next steps out.

use serde_json::{Value, json};

use super::{Folder, TINY_SEQUENCES, assert_one_line, written};

/// Sizes of a forecaster of milliseconds.
pub(super) const TINY: &str = "--horizon 4 --window 8";

/// A long table of `count` days of two shops, with a holiday that is known in advance.
pub(super) fn shops(count: usize) -> String {
    let row = |at: usize| {
        let (day, shop) = (at / 2, ["north", "south"][at % 2]);
        let sales = 10 + 5 * (at % 2) + [0, 1, 3, 2, 1, 6, 7][day % 7] + day / 28;
        format!("{},{shop},{sales},{}\n", date(day), u8::from(day % 7 > 4))
    };
    format!("date,shop,sales,weekend\n{}", (0..2 * count).map(row).collect::<String>())
}

/// Day `number` of 2023.
pub(super) fn date(number: usize) -> String {
    let (mut day, mut month) = (number, 0);
    let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    format!("2023-{:02}-{:02}", month + 1, day + 1)
}

/// A table of one value a day, of the rows that `row` makes of a date and a number.
pub(super) fn daily(count: usize, row: impl Fn(&str, usize) -> String) -> String {
    format!("date,y\n{}", (0..count).map(|day| row(&date(day), day)).collect::<String>())
}

fn plain(date: &str, day: usize) -> String {
    format!("{date},{}\n", 10 + day % 7)
}

pub(super) fn answers(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(super) fn scores(folder: &Folder, line: &str) -> Value {
    serde_json::from_str(&folder.done(line)).unwrap()
}

#[test]
fn long_table_trains_a_forecaster_of_each_series() {
    let folder = Folder::new();
    folder.write("shops.csv", shops(120));
    let flags = format!("--task forecast --series-column shop --target sales {TINY} {TINY_SEQUENCES}");
    folder.done(&format!("train gru --data shops.csv --out m {flags}"));
    let config = folder.json("m/config.json");
    assert_eq!((&config["task"], &config["network"]["network"]), (&json!("forecast"), &json!("forecaster")));
    assert_eq!(config["schema"]["time"], "date");
    assert_eq!(config["schema"]["clock"]["step"], json!({ "fixed": 86_400_000 }));

    let found = answers(&folder.done("predict m --data shops.csv --json"));
    assert_eq!(found.len(), 2);
    assert_eq!((&found[0]["series"], &found[0]["start"]), (&json!("north"), &json!("2023-05-01")));
    assert_eq!(found[1]["mean"].as_array().unwrap().len(), 4);

    let scores = scores(&folder, "eval m --data shops.csv --json");
    assert_eq!((&scores["task"], &scores["split"]), (&json!("forecast"), &json!("test")));
    for name in ["mae", "rmse", "mse", "smape", "mase"] {
        for figures in [&scores, &scores["naive"], &scores["seasonal_naive"]] {
            assert!(figures[name].as_f64().is_some_and(f64::is_finite), "{name}: {scores}");
        }
    }
    let mae = |figures: &Value| figures["mae"].as_f64().unwrap();
    assert!(mae(&scores["seasonal_naive"]) < mae(&scores["naive"]), "{scores}");
    // A season of the user is that of naive forecasts: the scales of the model's windows keep their own.
    let other = self::scores(&folder, "eval m --data shops.csv --json --season 5");
    assert_eq!((mae(&other), &other["loss"]), (mae(&scores), &scores["loss"]));
    assert!(mae(&other["seasonal_naive"]) > mae(&scores["seasonal_naive"]), "{other}");
    let walked = |stride| scores_count(&folder, stride);
    assert_eq!((walked(1), walked(3)), (6, 2), "6 of the 120 days are the test of each of two series");
}

#[test]
fn a_single_row_has_the_step_of_the_training_data() {
    let folder = Folder::new();
    folder.write("shops.csv", shops(120));
    folder.write("one.csv", "date,shop,sales,weekend\n2024-02-28,north,3,0\n2024-12-31,south,4,0\n");
    let flags = format!("--task forecast --series-column shop --target sales {TINY} {TINY_SEQUENCES}");
    folder.done(&format!("train gru --data shops.csv --out m {flags}"));
    let found = answers(&folder.done("predict m --data one.csv --json"));
    assert_eq!(found[0]["times"], json!(["2024-02-29", "2024-03-01", "2024-03-02", "2024-03-03"]));
    assert_eq!(found[1]["times"][0], "2025-01-01");
    // A column that the model reads is not one to choose.
    folder.write("less.csv", "date,shop\n2024-02-28,north\n");
    for command in ["predict", "eval"] {
        let line = format!("{command} m --data less.csv");
        folder.refused(&line, 1, &["has no `sales`", "the model reads this column: add it"]);
    }
}

/// The number of forecasts of an evaluation with a stride.
fn scores_count(folder: &Folder, stride: usize) -> u64 {
    let found = scores(folder, &format!("eval m --data shops.csv --json --stride {stride}"));
    found["tokens"].as_u64().unwrap()
}

#[test]
fn training_learns_a_week_that_repeats() {
    let folder = Folder::new();
    folder.write("days.csv", daily(200, plain));
    let flags = "--horizon 7 --window 14 --hidden 16 --batch-size 16 --max-steps 300 --lr 0.01";
    folder.done(&format!("train gru --task forecast --data days.csv --out m {flags}"));
    let scores = scores(&folder, "eval m --data days.csv --json");
    let [model, naive] = [&scores["mae"], &scores["naive"]["mae"]].map(|mae| mae.as_f64().unwrap());
    assert!(model < 0.1 * naive, "{scores}");
}

#[test]
fn wide_table_is_evaluated_beyond_the_end_of_its_training_file() {
    let folder = Folder::new();
    let table = |steps: std::ops::Range<usize>| {
        let row = |name: usize| {
            let values: Vec<String> =
                steps.clone().map(|step| (10 * name + step % 6 + 1).to_string()).collect();
            // The second series is shorter.
            let cells = values.len() - usize::from(name == 1 && values.len() > 9) * 5;
            format!("\"S{name}\",{}{}\n", values[..cells].join(","), ",".repeat(values.len() - cells))
        };
        let header: Vec<String> = (0..=steps.len()).map(|at| format!("V{at}")).collect();
        format!("{}\n{}", header.join(","), (0..3).map(row).collect::<String>())
    };
    folder.write("x-train.csv", table(0..40));
    folder.write("x-test.csv", table(40..44));
    let flags = format!("--task forecast --wide --season 6 {TINY} {TINY_SEQUENCES}");
    folder.done(&format!("train gru --data x-train.csv --out m {flags}"));
    for data in ["x-train.csv", "x-test.csv"] {
        let scores = scores(&folder, &format!("eval m --data {data} --json"));
        assert_eq!((&scores["split"], &scores["tokens"]), (&json!("test"), &json!(3)), "{data}");
    }
    let found = answers(&folder.done("predict m --data x-train.csv --json"));
    let starts: Vec<_> =
        found.iter().map(|answer| (answer["series"].clone(), answer["start"].clone())).collect();
    assert_eq!(starts, [(json!("S0"), json!(40)), (json!("S1"), json!(35)), (json!("S2"), json!(40))]);
    // The forecast of a series is the same in a table without the others, and in other units.
    let alone = format!(
        "V0,V1,V2,V3,V4,V5,V6,V7,V8\nS0{}\n",
        (32..40).map(|s| format!(",{}", 1000 * (s % 6 + 1))).collect::<String>()
    );
    folder.write("alone.csv", alone);
    let scaled = answers(&folder.done("predict m --data alone.csv --json"));
    for (found, other) in
        found[0]["mean"].as_array().unwrap().iter().zip(scaled[0]["mean"].as_array().unwrap())
    {
        let (found, other) = (found.as_f64().unwrap(), other.as_f64().unwrap() / 1000.);
        assert!((found - other).abs() < 1e-3 * found.abs(), "{found} is not {other}");
    }
}

#[test]
fn gaps_of_a_test_file_are_no_targets_and_short_series_are_counted() {
    let folder = Folder::new();
    let row = |name: usize| {
        let values: Vec<String> = (0..72).map(|month| (100 * (name + 1) + month % 12).to_string()).collect();
        format!("M{name},{}\n", values.join(","))
    };
    let header = |steps: usize| {
        format!("name,{}\n", (1..=steps).map(|at| at.to_string()).collect::<Vec<_>>().join(","))
    };
    folder.write("monthly-train.csv", header(72) + &(0..3).map(row).collect::<String>());
    let flags = format!("--task forecast --wide --season 12 --horizon 6 --window 24 {TINY_SEQUENCES}");
    folder.done(&format!("train gru --data monthly-train.csv --out m {flags}"));
    let tested = |rows: &str| {
        folder.write("monthly-test.csv", header(6) + rows);
        folder.rnn("eval m --data monthly-train.csv --split test --json").output().unwrap()
    };
    // A gap within, a series that ends early, and a gap at the start.
    let output = tested("M0,100,,102,103,104,105\nM1,200,201,202,203,,\nM2,,301,302,303,304,305\n");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let scores: Value = serde_json::from_str(&written(&output, "eval")).unwrap();
    assert_eq!(scores["tokens"], 2, "{scores}");
    for figures in [&scores, &scores["naive"], &scores["seasonal_naive"]] {
        assert!(figures["smape"].is_f64(), "{scores}");
    }
    assert_eq!(scores["seasonal_naive"]["mae"], 0., "the months repeat, and gaps do not count");
    assert!(said.contains("1 of 3 series left out: fewer than 6 steps"), "{said}");
    let output = tested("M0,100,101,,,,\nM1,200,,,,,\n");
    assert_one_line(&output, 1, &["has no test split", "no series has 6 steps in it"], "short");
}

#[test]
fn quantiles_and_distributions_are_answered_and_drawn() {
    let folder = Folder::new();
    folder.write("days.csv", daily(100, plain));
    for (loss, levels) in [("pinball", "0.1,0.9"), ("gaussian", "0.25,0.75"), ("student-t", "0.05,0.95")] {
        let flags = format!("--loss {loss} --quantiles {levels} {TINY} {TINY_SEQUENCES}");
        folder.done(&format!("train lstm --task forecast --data days.csv --out {loss} {flags}"));
        let found = answers(&folder.done(&format!("predict {loss} --data days.csv --json")));
        let number = |level: &str, step: usize| found[0]["quantiles"][level][step].as_f64().unwrap();
        let (low, high) = levels.split_once(',').unwrap();
        for step in 0..4 {
            let mean = found[0]["mean"][step].as_f64().unwrap();
            assert!(number(low, step) <= mean && mean <= number(high, step), "{loss}: {found:?}");
        }
    }
    let table = folder.done("predict gaussian --data days.csv --csv");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((lines[0], lines.len()), ("series,time,mean,0.25,0.75", 5));
    assert!(lines[1].starts_with("y,2023-04-11,"), "{table}");
    folder.done("plot gaussian --forecast --data days.csv --out days.svg");
    let picture = String::from_utf8(folder.bytes("days.svg")).unwrap();
    assert!(picture.contains("steps from 2023-04-07") && picture.contains("<polygon"), "{picture}");
}

#[test]
fn loss_of_large_numbers_is_no_divergence() {
    let folder = Folder::new();
    // The squared errors of the second series are some thousand million times those of the first, which has the first
    // batch with this seed.
    let row = |at: usize| match at < 60 {
        true => format!("{},small,0.0{}\n", date(at), 1 + at % 3),
        false => format!("{},large,{}\n", date(at - 60), 500 * (1 + at % 3)),
    };
    folder.write("t.csv", format!("date,name,y\n{}", (0..120).map(row).collect::<String>()));
    folder.done(&format!(
        "train gru --task forecast --data t.csv --series-column name --target y --scaling none \
         --log-values=false --loss mse --lr 1e-4 --batch-size 1 {TINY} --hidden 8 --epochs 1 --seed 1 --out m"
    ));
}

#[test]
fn step_of_a_schema_goes_forward() {
    let folder = Folder::new();
    folder.write("t.csv", daily(60, plain));
    folder
        .done(&format!("train gru --task forecast --data t.csv --target y {TINY} {TINY_SEQUENCES} --out m"));
    let config = folder.json("m/config.json");
    for step in
        [json!({ "fixed": 0 }), json!({ "fixed": -1 }), json!({ "months": { "count": 0, "ends": false } })]
    {
        let mut damaged = config.clone();
        damaged["schema"]["clock"]["step"] = step.clone();
        folder.write("m/config.json", damaged.to_string());
        folder.refused("predict m --data t.csv", 1, &["a step out of range"]);
    }
}

#[test]
fn forecasts_begin_at_a_time_and_use_features_that_are_known() {
    let folder = Folder::new();
    folder.write("shops.csv", shops(100));
    let flags =
        format!("--series-column shop --target sales --known-features weekend {TINY} {TINY_SEQUENCES}");
    folder.done(&format!("train gru --data shops.csv --out m {flags}"));
    let at = answers(&folder.done("predict m --data shops.csv --at 2023-03-01 --json"));
    assert_eq!(at[1]["times"], json!(["2023-03-01", "2023-03-02", "2023-03-03", "2023-03-04"]));
    folder.refused("predict m --data shops.csv", 1, &["has features for 0 of the 4 steps to forecast"]);
    folder.refused("predict m --data shops.csv --at soon", 2, &["--at", "another form", "2023-01-01"]);
    folder.refused("predict m --data shops.csv --at 2024-01-01", 2, &["--at", "2023-01-02 to 2023-04-11"]);
    let future = |day: usize| format!("{},north,,1\n{},south,,0\n", date(day), date(day));
    folder.write("more.csv", shops(100) + &(100..104).map(future).collect::<String>());
    let found = answers(&folder.done("predict m --data more.csv --json"));
    assert_eq!(found[0]["start"], json!("2023-04-11"));
}

#[test]
fn all_columns_of_a_table_are_forecast_in_segments() {
    let folder = Folder::new();
    let row = |at: usize| format!("{} {:02}:00,{},{}\n", date(at / 24), at % 24, at % 24, 1000 * (at % 12));
    folder.write("hours.csv", format!("time,a,b\n{}", (0..400).map(row).collect::<String>()));
    let flags = format!("--target all --horizon 6 --window 20 --segment 4 --rows 300 {TINY_SEQUENCES}");
    folder.done(&format!(
        "train gru --data hours.csv --out m {flags} --valid-fraction 0.2 --test-fraction 0.2"
    ));
    let config = folder.json("m/config.json");
    assert_eq!((&config["network"]["segment"], &config["network"]["series"]), (&json!(4), &json!(2)));
    let found = scores(&folder, "eval m --data hours.csv --json");
    assert_eq!(
        found["tokens"],
        json!(2 * (60 - 6 + 1)),
        "60 of the first 300 rows are the test of each column"
    );
    // Errors are those of standardised values: b is a thousand times larger.
    assert!(found["naive"]["mae"].as_f64().unwrap() < 3., "{found}");
    let names: Vec<Value> = answers(&folder.done("predict m --data hours.csv --json"))
        .iter()
        .map(|answer| answer["series"].clone())
        .collect();
    assert_eq!(names, ["a", "b"]);
    folder.done("train --from m --data hours.csv --target all --max-steps 1 --out tuned");
    let targets = |bundle: &str| folder.json(&format!("{bundle}/config.json"))["schema"]["targets"].clone();
    assert_eq!((targets("tuned"), targets("m")), (json!(["a", "b"]), json!(["a", "b"])));
}

#[test]
fn columns_of_named_series_are_told_apart() {
    let folder = Folder::new();
    folder.write("shops.csv", shops(60));
    let flags = format!("--series-column shop --target sales,weekend {TINY} {TINY_SEQUENCES}");
    folder.done(&format!("train gru --data shops.csv --out m {flags}"));
    let table = folder.done("predict m --data shops.csv --csv");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((lines[0], lines.len()), ("series,target,time,mean", 1 + 4 * 4));
    assert!(lines[1].starts_with("north,sales,2023-03-02,"), "{table}");
    assert!(lines[5].starts_with("north,weekend,2023-03-02,"), "{table}");
    folder.done("train --from m --data shops.csv --max-steps 1 --out tuned");
    assert_eq!(folder.json("tuned/config.json")["data"]["series_column"], "shop");
    let found = answers(&folder.done("predict m --data shops.csv --json"));
    let names = |answer: &Value| (answer["series"].clone(), answer["target"].clone());
    assert_eq!(names(&found[3]), (json!("south"), json!("weekend")));
    let said = folder.done("predict m --data shops.csv");
    assert!(
        said.lines().nth(1).is_some_and(|line| line.starts_with("north  weekend  2023-03-02  ")),
        "{said}"
    );
}

#[test]
fn a_resumed_forecaster_has_the_bytes_of_one_left_alone() {
    let folder = Folder::new();
    folder.write("days.csv", daily(80, plain));
    let run =
        format!("train gru --task forecast --data days.csv {TINY} --hidden 8 --dropout 0.2 --batch-size 8");
    folder.done(&format!("{run} --epochs 4 --schedule constant --out whole"));
    folder.done(&format!("{run} --epochs 2 --schedule constant --out halves"));
    folder.done("train --resume halves --epochs 4");
    assert!(
        folder.bytes("halves/training/last.safetensors") == folder.bytes("whole/training/last.safetensors")
    );
    folder.done("train --recipe whole/recipe.toml --out again");
    assert!(folder.bytes("again/model.safetensors") == folder.bytes("whole/model.safetensors"));
    folder.write("other.csv", daily(90, |date, day| format!("{date},{}\n", 3 * (day % 7))));
    folder.done("train --from whole --data other.csv --max-steps 2 --out tuned");
    assert_eq!(folder.json("tuned/config.json")["schema"], folder.json("whole/config.json")["schema"]);
    folder.refused(
        "train --from whole --data other.csv --horizon 9",
        2,
        &["--horizon", "is 4 in the model, not 9"],
    );
    let columns = daily(90, |date, day| format!("{date},{},{day}\n", 3 * (day % 7)));
    folder.write("columns.csv", columns.replace("date,y", "date,y,z"));
    for (flags, mentions) in [
        ("--target z", ["--target", "the model reads y here, not z"]),
        ("--target all", ["--target", "forecasts y, but all columns of numbers of columns.csv are y, z"]),
        ("--features z", ["--features", "the model reads none here, not z"]),
        ("--known-features z", ["--known-features", "the model reads none here, not z"]),
        ("--calendar", ["--calendar", "differs from that of the model"]),
    ] {
        folder.refused(&format!("train --from whole --data columns.csv {flags}"), 2, &mentions);
    }
    folder.done("train --from whole --data other.csv --target y --max-steps 1 --out same");
    folder.done("export whole --out small --dtype f16");
    folder.done("predict small --data days.csv");
}

#[test]
fn rows_that_are_repaired_are_counted() {
    let folder = Folder::new();
    let rows = daily(60, |date, day| match day {
        10 => format!("{date},\n"),
        20 => String::new(),
        _ => plain(date, day),
    });
    let (first, second) = ("2023-01-05,14\n", "2023-01-06,15\n");
    folder.write("days.csv", rows.replace(&format!("{first}{second}"), &format!("{second}{first}")));
    let line = format!("train gru --task forecast --data days.csv {TINY} {TINY_SEQUENCES} --out m");
    let output = folder.rnn(&line).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    for mention in
        ["1 row out of order", "1 step without a row", "2 values missing", "a step of 1 day in `date`"]
    {
        assert!(stderr.contains(mention), "no `{mention}` in\n{stderr}");
    }
    folder.write("flat.csv", daily(60, |date, _| format!("{date},5\n")));
    folder.done(&format!("train gru --task forecast --data flat.csv {TINY} {TINY_SEQUENCES} --out flat"));
    let found = answers(&folder.done("predict flat --data flat.csv --json"));
    assert!(found[0]["mean"][0].as_f64().unwrap().is_finite());
}

#[test]
fn a_test_file_with_other_steps_is_refused() {
    let folder = Folder::new();
    folder.write("x-train.csv", daily(60, plain));
    let weekly = (9..13).map(|week| plain(&date(7 * week), week)).collect::<String>();
    folder.write("x-test.csv", format!("date,y\n{weekly}"));
    let train = format!("train gru --task forecast --data x-train.csv --out m {TINY} {TINY_SEQUENCES}");
    let mentions = ["x-test.csv", "its steps are 1 week, but those of the training file are 1 day"];
    folder.refused(&train, 1, &mentions);
    // One row alone tells no step.
    folder.write("x-test.csv", format!("date,y\n{}", plain(&date(60), 4)));
    folder.done(&train);
}

#[test]
fn bad_tables_are_errors_with_their_row() {
    let folder = Folder::new();
    let train = format!("train gru --task forecast --data bad.csv {TINY} {TINY_SEQUENCES} --out m");
    let bad = |day: usize, text: &'static str| {
        daily(40, move |date, at| if at == day { format!("{text}\n") } else { plain(date, at) })
    };
    for (text, mentions) in [
        (bad(9, "2023-01-10,many"), &["bad.csv", "line 11", "`y`", "\"many\" is not a number"][..]),
        (bad(9, "2023-01-10,inf"), &["line 11", "infinite"]),
        (bad(9, "2023-01-10,1,2"), &["line 11", "3 fields where the header has 2"]),
        (bad(9, "10.1.2023,1"), &["line 11", "`date`", "is not a time of the form of the rows before"]),
        (bad(9, "2023-01-09,1"), &["line 11", "2023-01-09 has a row already (line 10)"]),
        (daily(4, plain), &["--horizon", "too few for a forecast of 4"]),
        (daily(12, plain), &["--window", "more than the"]),
        ("date,y\n".to_string(), &["bad.csv: has no rows"]),
        ("date,y\n2023-01-01,\n2023-01-02,\n".to_string(), &["no column of numbers to forecast"]),
        ("date,y\n2023-01-01,?\n".to_string(), &["no column of numbers to forecast"]),
    ] {
        folder.write("bad.csv", text);
        let code = if mentions[0].starts_with("--") { 2 } else { 1 };
        folder.refused(&train, code, mentions);
    }
    folder.write("bad.csv", daily(40, plain).replace("2023-01-10", "2023-01-10 12:00"));
    folder.refused(&train, 1, &["line 11", "is not a time of the form"]);
    folder.write("bad.csv", daily(40, plain));
    for (flags, code, mentions) in [
        ("--target z", 1, &["has no `z` (columns: date, y)", "--target"][..]),
        ("--time-column z", 1, &["has no `z`", "--time-column"]),
        ("--target date", 2, &["--target", "holds the time"]),
        ("--quantiles 0.1 --loss mae", 2, &["--quantiles", "--loss pinball"]),
        ("--segment 2 --bidirectional", 2, &["--bidirectional", "--segment 1"]),
    ] {
        folder.refused(&format!("{train} {flags}"), code, mentions);
    }
    folder.refused(
        "train lstm --task lm --data text.txt --horizon 3",
        2,
        &["--horizon", "only a forecaster"],
    );
    folder.refused("train lstm --horizon 3", 2, &["--horizon", "only a forecaster"]);
    folder.refused("train lstm --task forecast --horizon 3", 2, &["--data", "builtin:story"]);
}
