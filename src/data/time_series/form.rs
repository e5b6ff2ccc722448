//! Forms of timestamps.
//!
//! A timestamp is an integer, or a date in one of the forms of [`FORMS`]; then it is held as milliseconds since 1970. A
//! date with an offset is converted to UTC; one without is taken as it stands.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime};
use serde::{Deserialize, Serialize};

/// The forms of dates in the notation of `strftime`, in the order in which they are tried. A column has the first that
/// fits all its rows; see [`TimeFormat::find`].
const FORMS: [&str; 26] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.fZ",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y%m%d",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y",
    "%d %b %Y",
    "%Y-%m",
    "%Y/%m",
    "%b %Y",
    "%Y-Q%q",
];

/// The form of timestamps that are integers.
const INTEGER: &str = "integer";

/// The form of a column of timestamps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimeFormat(String);

impl TimeFormat {
    /// Whether timestamps are integers, not dates.
    pub fn is_integer(&self) -> bool {
        self.0 == INTEGER
    }

    /// Find the form of a column. `Err` has the first text that no form fits where the others do.
    ///
    /// If several forms fit, as `%m/%d/%Y` and `%d/%m/%Y` may, the column has the one with the fewest different steps
    /// between successive rows, counted in months if all rows are of one day of the month; of equal ones the first.
    pub(super) fn find(texts: &[&str]) -> Result<Self, usize> {
        let fits = |form: &str| texts.iter().all(|text| parse(form, text).is_some());
        let dates = FORMS.iter().filter(|form| fits(form));
        let steps = |form: &str| {
            let times: Vec<i64> = texts.iter().filter_map(|text| parse(form, text)).collect();
            different_steps(&times)
        };
        if let Some(form) = dates.min_by_key(|form| steps(form)) {
            return Ok(Self((*form).into()));
        }
        if fits(INTEGER) {
            return Ok(Self(INTEGER.into()));
        }
        // The form of the first row, and the first row that has another.
        let forms = FORMS.iter().copied().chain([INTEGER]);
        let reach = |form: &str| texts.iter().position(|text| parse(form, text).is_none()).unwrap_or(0);
        Err(forms.map(reach).max().unwrap_or(0))
    }

    /// The form with day and month exchanged, if it fits a column as well: nothing in its rows tells the two apart.
    pub(super) fn exchanged(&self, texts: &[&str]) -> Option<&'static str> {
        let [theirs, ours] = ["%d/%m", "%m/%d"];
        let other = *FORMS
            .iter()
            .find(|form| form.starts_with(theirs) && form.replacen(theirs, ours, 1) == self.0)?;
        let times: Option<Vec<i64>> = texts.iter().map(|text| parse(other, text)).collect();
        let own: Vec<i64> = texts.iter().filter_map(|text| parse(&self.0, text)).collect();
        (different_steps(&times?).0 == different_steps(&own).0).then_some(other)
    }

    /// The timestamp in a text; `None` if it has another form.
    pub fn parse(&self, text: &str) -> Option<i64> {
        parse(&self.0, text)
    }

    /// The text of a timestamp.
    pub fn text(&self, time: i64) -> String {
        match DateTime::from_timestamp_millis(time) {
            Some(date) if !self.is_integer() => {
                let form = if self.0.contains("%#z") { "%Y-%m-%dT%H:%M:%S%.fZ" } else { &self.0 };
                date.naive_utc().format(form).to_string()
            }
            _ => time.to_string(),
        }
    }
}

impl fmt::Display for TimeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The number of different steps between successive timestamps: in months if all are of one day of the month, and in
/// milliseconds.
fn different_steps(times: &[i64]) -> (usize, usize) {
    let dates = times.iter().filter_map(|&time| Some(DateTime::from_timestamp_millis(time)?.naive_utc()));
    let (days, months): (BTreeSet<u32>, Vec<i64>) =
        dates.map(|date| (date.day(), 12 * i64::from(date.year()) + i64::from(date.month()))).unzip();
    let count = |places: &[i64]| {
        let steps: BTreeSet<i64> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.len()
    };
    let exact = count(times);
    (if days.len() == 1 { count(&months) } else { exact }, exact)
}

/// The timestamp of a text in a form.
fn parse(form: &str, text: &str) -> Option<i64> {
    let text = text.trim();
    match form {
        INTEGER => text.parse().ok(),
        "%Y%m%d" if text.len() != 8 => None,
        "%Y-Q%q" => {
            let (year, quarter) = text.split_once(['Q', 'q'])?;
            let year: i32 = year.trim_end_matches(['-', ' ']).parse().ok()?;
            let quarter: u32 = quarter.parse().ok().filter(|quarter| (1..=4).contains(quarter))?;
            midnight(NaiveDate::from_ymd_opt(year, 3 * quarter - 2, 1)?)
        }
        _ if form.contains("%#z") => Some(DateTime::parse_from_str(text, form).ok()?.timestamp_millis()),
        _ if form.contains("%H") => {
            Some(NaiveDateTime::parse_from_str(text, form).ok()?.and_utc().timestamp_millis())
        }
        _ if form.contains("%d") => midnight(NaiveDate::parse_from_str(text, form).ok()?),
        _ => midnight(NaiveDate::parse_from_str(&format!("1 {text}"), &format!("%d {form}")).ok()?),
    }
}

fn midnight(date: NaiveDate) -> Option<i64> {
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(texts: &[&str]) -> (String, Vec<String>) {
        let form = TimeFormat::find(texts).unwrap();
        let shown = texts.iter().map(|text| form.text(form.parse(text).unwrap())).collect();
        (form.to_string(), shown)
    }

    #[test]
    fn usual_forms_are_found_and_written_again() {
        for texts in [
            ["2016-07-01 00:00:00", "2016-07-01 01:00:00"],
            ["2016-07-01T23:30", "2016-07-02T00:00"],
            ["2020/02/28", "2020/02/29"],
            ["20200131", "20200201"],
            ["31.12.2019", "01.01.2020"],
            ["12/31/2019", "01/01/2020"],
            ["31/12/2019", "01/01/2020"],
            ["2019-12", "2020-01"],
            ["Dec 2019", "Jan 2020"],
            ["2019-Q4", "2020-Q1"],
            ["1999", "2000"],
            ["-3", "7"],
        ] {
            assert_eq!(found(&texts).1, texts, "{texts:?}");
        }
        assert_eq!(found(&["2020-01-01T01:00:00+02:00"]).1, ["2019-12-31T23:00:00Z"]);
        assert_eq!(found(&["2020Q3"]).1, ["2020-Q3"]);
    }

    #[test]
    fn of_two_forms_that_fit_the_more_regular_one_is_chosen() {
        assert_eq!(found(&["01/02/2020", "02/02/2020", "03/02/2020"]).0, "%d/%m/%Y");
        assert_eq!(found(&["02/01/2020", "02/02/2020", "02/03/2020"]).0, "%m/%d/%Y");
        let months: Vec<String> =
            (0..24).map(|n| format!("01/{:02}/{}", n % 12 + 1, 2010 + n / 12)).collect();
        let months: Vec<&str> = months.iter().map(String::as_str).collect();
        assert_eq!(found(&months).0, "%d/%m/%Y", "months of two years have other lengths");
        // Days of January, or the first days of months.
        let doubtful = &months[..12];
        let other = |texts: &[&str]| TimeFormat::find(texts).unwrap().exchanged(texts);
        assert_eq!((found(doubtful).0.as_str(), other(doubtful)), ("%m/%d/%Y", Some("%d/%m/%Y")));
        assert_eq!(other(&["03/01/2020", "03/02/2020", "03/03/2020", "04/01/2020"]), None, "other steps");
        assert_eq!(other(&["12/31/2019", "01/01/2020"]), None);
        assert_eq!(other(&["2019-01-02", "2019-01-03"]), None);
    }

    #[test]
    fn the_first_row_of_another_form_is_named() {
        let texts = ["2020-01-01", "2020-01-02", "tomorrow", "2020-01-04"];
        assert_eq!(TimeFormat::find(&texts), Err(2));
        assert_eq!(TimeFormat::find(&["", "x"]), Err(0));
    }
}
