//! Columns of times, and columns that are not forecast.

use super::forecast::{TINY, answers, daily};
use super::{Folder, TINY_SEQUENCES};

/// Train a forecaster on a table of the given times, newest last. Return the first time that it forecasts, and what
/// training says.
fn forecast(times: &[String]) -> (String, String) {
    let folder = Folder::new();
    let rows: String =
        times.iter().enumerate().map(|(at, time)| format!("\"{time}\",{}\n", at % 5)).collect();
    folder.write("t.csv", format!("date,v\n{rows}"));
    let said = said(&folder, "t.csv", "");
    let answer = &answers(&folder.done("predict m --data t.csv --json"))[0];
    (answer["start"].as_str().unwrap().to_string(), said)
}

/// What training on a file says.
fn said(folder: &Folder, file: &str, flags: &str) -> String {
    let line =
        format!("train gru --task forecast --data {file} --out m --force {flags} {TINY} {TINY_SEQUENCES}");
    let output = folder.rnn(&line).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

/// A line that trains on `t.csv`.
fn train(flags: &str) -> String {
    format!("train gru --task forecast --data t.csv --out m {flags} {TINY} {TINY_SEQUENCES}")
}

#[test]
fn forecasts_have_times_in_the_form_of_the_table() {
    const NAMES: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let months = |form: &dyn Fn(usize, usize) -> String| -> Vec<String> {
        (0..60).map(|at| form(2000 + at / 12, at % 12)).collect()
    };
    let days = |form: &dyn Fn(usize) -> String| -> Vec<String> { (1..=31).map(form).collect() };
    for (times, expected, step) in [
        (months(&|year, month| format!("{}-{year}", NAMES[month])), "Jan-2005", "1 month"),
        (months(&|year, month| format!("{}-{:02}", NAMES[month], year % 100)), "Jan-05", "1 month"),
        (months(&|year, month| format!("{year}{:02}", month + 1)), "200501", "1 month"),
        (months(&|year, month| format!("{year}.{:02}", month + 1)), "2005.01", "1 month"),
        (days(&|day| format!("01/{day:02}/23")), "02/01/23", "1 day"),
        (days(&|day| format!("{day:02}.12.99")), "01.01.00", "1 day"),
        (days(&|day| format!("2023. 1. {day}.")), "2023. 2. 1.", "1 day"),
        (days(&|day| format!("Jan {day:02}, 2023")), "Feb 01, 2023", "1 day"),
        (days(&|day| format!("2023-01-{day:02}T00:00:00+09:00")), "2023-02-01T00:00:00+09:00", "1 day"),
    ] {
        let (start, said) = forecast(&times);
        assert_eq!(start, expected, "{said}");
        assert!(said.contains(&format!("a step of {step} in `date`")), "{said}");
    }
    // Newest first.
    let (start, said) = forecast(&(1..=31).rev().map(|day| format!("{day:02}-01-2023")).collect::<Vec<_>>());
    assert!(start == "01-02-2023" && said.contains("30 rows out of order"), "{said}");
}

#[test]
fn times_of_an_unknown_form_are_never_passed_over() {
    let folder = Folder::new();
    for text in ["Tue 28/02/2023", "01-00", "2023.5"] {
        folder.write("t.csv", format!("date,v\n{}", format!("{text},7\n").repeat(40)));
        folder.refused(&train(""), 1, &["line 2: `date`", text, "has no form of a time", "--time-column"]);
    }
    folder.write("u.csv", format!("when,v\n{}", "Tue 28/02/2023,7\n".repeat(40)));
    let said = said(&folder, "u.csv", "");
    assert!(said.contains("`when` (\"Tue 28/02/2023\") holds neither numbers nor times"), "{said}");
}

#[test]
fn numbers_of_rows_and_twice_a_name_are_no_targets() {
    let folder = Folder::new();
    let table = daily(60, |date, day| format!("{date},{}\n", day % 7));
    let numbered =
        table.lines().skip(1).enumerate().map(|(at, row)| format!("{at},{row}\n")).collect::<String>();
    for header in [",date,y", "id,date,y"] {
        folder.write("t.csv", format!("{header}\n{numbered}"));
        let said = said(&folder, "t.csv", "");
        assert!(said.contains("left out; --target forecasts it") && said.contains("1 series of y"), "{said}");
    }
    folder.write("t.csv", daily(60, |date, day| format!("{date},{day},2\n")).replace("date,y", "date,y,y"));
    folder.refused(&train("--force"), 1, &["t.csv: columns 2 and 3 are both called `y`"]);
    folder.refused(&train("--force --target y"), 1, &["t.csv: columns 2 and 3 are both called `y`"]);
}

#[test]
fn tables_without_header_and_short_tables_are_refused() {
    let folder = Folder::new();
    let row = |name: &str| format!("{name}{}\n", [",5.5", ",3", ",4.25"].concat().repeat(10));
    folder.write("t.csv", ["a", "b", "c"].map(row).concat());
    folder.refused(&train("--wide"), 1, &["t.csv: has no header", "name,1,2,3"]);
    let names: String = (0..30).map(|at| format!(",V{at}")).collect();
    folder.write("w.csv", format!("id{names}\n{}", ["a", "b", "c"].map(row).concat()));
    let line = format!("train gru --task forecast --data w.csv --out w {TINY_SEQUENCES}");
    let said = String::from_utf8(folder.rnn(&line).output().unwrap().stderr).unwrap();
    assert!(said.contains("w.csv") && said.contains("too few to train on; expected at least"), "{said}");
    for rows in [1, 3] {
        folder.write("t.csv", daily(rows, |date, day| format!("{date},{day}\n")));
        let line = format!("train gru --task forecast --data t.csv --out m {TINY_SEQUENCES}");
        let found = format!("{rows} step");
        folder.refused(&line, 1, &["t.csv", &found, "too few to train on; expected at least"]);
    }
}

#[test]
fn decimal_commas_are_refused_and_other_words_for_missing_read() {
    let folder = Folder::new();
    folder.write("t.csv", "date;y\n".to_string() + &"2023-01-01;54,78\n".repeat(9));
    folder.refused(&train(""), 1, &["`y`: \"54,78\" is not a number; expected one, such as 54.78"]);
    let row = |date: &str, day: usize| format!("{date},{}\n", ["1", "2", "NA", "null", "3"][day % 5]);
    folder.write("t.csv", daily(60, row));
    assert!(said(&folder, "t.csv", "").contains("24 values missing"));
    let row = |date: &str, day: usize| format!("{date};{};{}\n", day % 5, ["True", "False"][day % 2]);
    folder.write("t.csv", format!("sep=;\r\n{}", daily(60, row).replace("date,y", "date;y;holiday")));
    let said = said(&folder, "t.csv", "--features holiday");
    assert!(said.contains("1 series of y, a step of 1 day in `date`"), "{said}");
}

#[test]
fn composed_and_decomposed_names_are_the_same() {
    let folder = Folder::new();
    let [composed, decomposed] = ["매출", "\u{1106}\u{1162}\u{110e}\u{116e}\u{11af}"];
    folder.write(
        "t.csv",
        daily(60, |date, day| format!("{date},{}\n", day % 5)).replace(",y", &format!(",{composed}")),
    );
    said(&folder, "t.csv", &format!("--target {decomposed}"));
    let shops: String = (1..=31)
        .flat_map(|day| ["서울", "\u{1109}\u{1165}\u{110b}\u{116e}\u{11af}"].map(|shop| (day, shop)))
        .enumerate()
        .map(|(at, (_, shop))| format!("{at},{shop},{}\n", at % 5))
        .collect();
    folder.write("s.csv", format!("time,shop,y\n{shops}"));
    let said = said(&folder, "s.csv", "--series-column shop");
    assert!(said.contains("s.csv: 1 series of y"), "{said}");
}

#[test]
fn quantile_level_zero_is_refused_in_one_line() {
    let folder = Folder::new();
    folder.write("t.csv", daily(60, |date, day| format!("{date},{day}\n")));
    folder.refused(&train("--quantiles 0"), 2, &["--quantiles: `0` cannot be used", "above 0 and below 1"]);
}
