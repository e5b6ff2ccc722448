//! Forms of timestamps.
//!
//! A timestamp is an integer, or a date in one of the forms of [`FORMS`]; then it is held as milliseconds since 1970. A
//! date is taken as its clock stands. If all dates of a column have one offset, it is part of the column's form; if
//! offsets differ, the dates are converted to UTC.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Datelike};
use serde::{Deserialize, Serialize};

use super::date_text::{FORMS, OFFSET, offset_at, parse, written};

/// The form of timestamps that are integers.
const INTEGER: &str = "integer";

/// The form in which dates with different offsets are written.
const UTC: &str = "%Y-%m-%dT%H:%M:%S%.fZ";

/// The form of a column of timestamps: integers, or that of a date in the notation of `strftime`.
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
        let dates = FORMS.iter().filter_map(|form| Some((form, times(form, texts)?)));
        if let Some((form, _)) = dates.min_by_key(|(_, times)| different_steps(times)) {
            return Ok(Self(in_detail(form, texts)));
        }
        let integer = Self(INTEGER.into());
        if texts.iter().all(|text| integer.parse(text).is_some()) {
            return Ok(integer);
        }
        // The form of the first row, and the first row that has another.
        let forms = FORMS.iter().copied().chain([INTEGER]).map(|form| Self(form.into()));
        let reach = |form: Self| texts.iter().position(|text| form.parse(text).is_none()).unwrap_or(0);
        Err(forms.map(reach).max().unwrap_or(0))
    }

    /// Another form that fits a column as well, with other dates: nothing in its rows tells the two apart.
    pub(super) fn exchanged(&self, texts: &[&str]) -> Option<Self> {
        let own: Vec<i64> = texts.iter().filter_map(|text| self.parse(text)).collect();
        let fits = |form: &&&str| {
            times(form, texts)
                .is_some_and(|times| times != own && different_steps(&times).0 == different_steps(&own).0)
        };
        let has_offset = self.offset().is_some();
        FORMS.iter().filter(|_| !self.is_integer() && !has_offset).find(fits).map(|form| Self((*form).into()))
    }

    /// The timestamp in a text; `None` if it has another form.
    pub fn parse(&self, text: &str) -> Option<i64> {
        if self.is_integer() { text.trim().parse().ok() } else { parse(&self.0, text) }
    }

    /// The text of a timestamp.
    pub fn text(&self, time: i64) -> String {
        let form = if self.0.ends_with(OFFSET) { UTC } else { &self.0 };
        let date = if self.is_integer() { None } else { written(form, time) };
        date.unwrap_or_else(|| time.to_string())
    }

    /// Milliseconds that the clock of the timestamps is ahead of UTC; `None` if they name no offset.
    pub(super) fn offset(&self) -> Option<i64> {
        if self.0.ends_with(OFFSET) {
            return Some(0);
        }
        let offset = &self.0[offset_at(&self.0)?..];
        let digits: String = offset.chars().filter(char::is_ascii_digit).collect();
        let number = |digits: Option<&str>| digits.and_then(|digits| digits.parse::<i64>().ok()).unwrap_or(0);
        let minutes = 60 * number(digits.get(..2)) + number(digits.get(2..4));
        Some(if offset.starts_with('-') { -60_000 } else { 60_000 } * minutes)
    }

    /// The form in words, such as `month/day/year`.
    pub(super) fn words(&self) -> String {
        let names = [
            ("%Y", "year"),
            ("%y", "year"),
            ("%m", "month"),
            ("%b", "month"),
            ("%B", "month"),
            ("%d", "day"),
            ("%H", "hour"),
            ("%I", "hour"),
            ("%M", "minute"),
            ("%S", "second"),
            ("%p", "AM or PM"),
            ("%.f", ""),
        ];
        names.iter().fold(self.0.replace("%-", "%"), |words, (field, name)| words.replace(field, name))
    }
}

impl fmt::Display for TimeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The timestamps of texts that all have a form; `None` if one has not, or the numbers of the form are those of days.
fn times(form: &str, texts: &[&str]) -> Option<Vec<i64>> {
    let times: Vec<i64> = texts.iter().map(|text| parse(form, text)).collect::<Option<_>>()?;
    (form.contains("%d") || !form.contains("%y") || !are_days(&times)).then_some(times)
}

/// Whether months with years of two digits are days of a month: `Jan-01`, `Jan-02` follow each other by a day, not by a
/// year.
fn are_days(times: &[i64]) -> bool {
    let months: Vec<i64> = dates(times).map(|date| month_number(&date)).collect();
    let steps = || months.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step != 0);
    2 * steps().filter(|step| step.abs() == 12).count() > steps().count()
}

/// The form with the offset that all texts share, and without zeros before days, months and hours or with the zeros of
/// fractions if the texts have them so.
fn in_detail(form: &str, texts: &[&str]) -> String {
    let offset = |text: &str| offset_at(text.trim()).map(|at| text.trim()[at..].to_string());
    let mut form = form.to_string();
    if let (Some(local), Some(shared)) =
        (form.strip_suffix(OFFSET), texts.first().and_then(|text| offset(text)))
        && texts.iter().all(|text| offset(text).as_ref() == Some(&shared))
    {
        let with_blank = texts[0].contains(&format!(" {shared}"));
        form = format!("{local}{}{shared}", if with_blank { " " } else { "" });
    }
    let days = form.replace("%m", "%-m").replace("%d", "%-d");
    let hours = |form: &str| form.replace("%H", "%-H").replace("%I", "%-I");
    let fraction = |digits: &str| form.replace("%.f", digits);
    let others = [hours(&form), hours(&days), days, fraction("%.3f"), fraction("%.6f")];
    let fits = |form: &&String| {
        let is_same = |text: &&str| {
            let again = parse(form, text).and_then(|time| written(form, time));
            again.is_some_and(|again| again.to_lowercase() == text.trim().to_lowercase())
        };
        !form.ends_with(OFFSET) && texts.iter().all(is_same)
    };
    [&form].into_iter().chain(&others).find(fits).unwrap_or(&form).clone()
}

/// The number of different steps between successive timestamps: in months if all are of one day of the month, and in
/// milliseconds.
fn different_steps(times: &[i64]) -> (usize, usize) {
    let (days, months): (BTreeSet<u32>, Vec<i64>) =
        dates(times).map(|date| (date.day(), month_number(&date))).unzip();
    let count = |places: &[i64]| {
        let steps: BTreeSet<i64> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.len()
    };
    let exact = count(times);
    (if days.len() == 1 { count(&months) } else { exact }, exact)
}

fn dates(times: &[i64]) -> impl Iterator<Item = chrono::NaiveDateTime> {
    times.iter().filter_map(|&time| Some(DateTime::from_timestamp_millis(time)?.naive_utc()))
}

fn month_number(date: &impl Datelike) -> i64 {
    12 * i64::from(date.year()) + i64::from(date.month())
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
            ["2016-07-01 00:00:00.000", "2016-07-01 00:00:00.250"],
            ["2016-07-01T00:00:00Z", "2016-07-01T01:00:00Z"],
            ["2016-07-01T00:00:00+09:00", "2016-07-02T00:00:00+09:00"],
            ["2016-07-01 00:00:00 -0530", "2016-07-02 00:00:00 -0530"],
            ["2020/02/28", "2020/02/29"],
            ["1/31/2020 9:05", "2/1/2020 10:05"],
            ["1/9/2020 09:05", "1/10/2020 10:05"],
            ["01/31/2023 12:00 AM", "01/31/2023 01:00 PM"],
            ["2023년 9월 30일", "2023년 10월 1일"],
            ["2023. 9. 30.", "2023. 10. 1."],
            ["31-12-2022", "01-01-2023"],
            ["12-31-2022", "01-01-2023"],
            ["31-Dec-2022", "01-Jan-2023"],
            ["31-Dec-99", "01-Jan-00"],
            ["31.12.99", "01.01.00"],
            ["12/31/22", "01/01/23"],
            ["22-12-31", "23-01-01"],
            ["221231", "230101"],
            ["202212", "202301"],
            ["2022.12", "2023.01"],
            ["12/2022", "1/2023"],
            ["Dec-2022", "Jan-2023"],
            ["Nov-99", "Dec-99"],
            ["99-Dec", "00-Jan"],
            ["December 2022", "January 2023"],
            ["Dec 31, 2022", "Jan 01, 2023"],
            ["31 December 2022", "1 January 2023"],
            ["2022-W52", "2023-W01"],
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
        let offsets = ["2020-03-01T01:00:00+02:00", "2020-04-01T01:00:00+03:00"];
        assert_eq!(found(&offsets).1, ["2020-02-29T23:00:00Z", "2020-03-31T22:00:00Z"]);
        assert_eq!(found(&["2020Q3"]).1, ["2020Q3"]);
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
        let other =
            |texts: &[&str]| TimeFormat::find(texts).unwrap().exchanged(texts).map(|other| other.to_string());
        assert_eq!((found(doubtful).0.as_str(), other(doubtful)), ("%m/%d/%Y", Some("%d/%m/%Y".to_string())));
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

    #[test]
    fn numbers_after_a_month_may_be_days() {
        let days: Vec<String> = (1..=28).map(|day| format!("Jan-{day:02}")).collect();
        let days: Vec<&str> = days.iter().map(String::as_str).collect();
        assert_eq!(TimeFormat::find(&days), Err(0));
        assert_eq!(found(&["Jan-01", "Feb-01", "Mar-01"]).0, "%b-%y");
        for text in ["01-00", "00-01", "Jan 00", "2023-335", "2022.1234", "1.5", "January -2000"] {
            assert!(TimeFormat::find(&[text]).is_err(), "{text}");
        }
    }

    #[test]
    fn offsets_are_told() {
        let offset = |text: &str| TimeFormat::find(&[text]).unwrap().offset().map(|offset| offset / 60_000);
        assert_eq!(offset("2020-01-01T00:00:00+09:00"), Some(540));
        assert_eq!(offset("2020-01-01 00:00:00-0330"), Some(-210));
        assert_eq!(offset("2020-01-01T00:00:00.5Z"), Some(0));
        assert_eq!(offset("2020-01-01 00:00:00"), None);
        assert_eq!(offset("1/2/2020 9:00"), None);
        assert_eq!(offset("17"), None);
    }

    #[test]
    fn form_is_told_in_words() {
        let words = |text: &str| TimeFormat::find(&[text]).unwrap().words();
        assert_eq!(words("1/2/2020"), "month/day/year");
        assert_eq!(words("31-Dec-99"), "day-month-year");
    }
}
