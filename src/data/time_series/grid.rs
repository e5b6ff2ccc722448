//! The step between the timestamps of series.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, Timelike};
use serde::{Deserialize, Serialize};

use super::form::TimeFormat;
use crate::listing::counted;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// The timestamps of series: their form and the step between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeGrid {
    /// The form.
    pub form: TimeFormat,
    /// The step.
    pub step: Interval,
}

/// The step between two timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interval {
    /// A difference of integers, or of dates in milliseconds.
    Fixed(i64),
    /// Months of the calendar.
    Months {
        /// The number of months.
        count: u32,
        /// Whether timestamps are the last days of their months.
        ends: bool,
    },
}

/// The usual number of steps of a season, and of a forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequency {
    /// Steps of a season; 1 for none.
    pub season: usize,
    /// Steps of a forecast where the user names none: those of the M4 competition.
    pub horizon: usize,
}

impl Interval {
    /// Whether the step goes forward.
    pub(crate) fn is_positive(self) -> bool {
        match self {
            Self::Fixed(step) => step > 0,
            Self::Months { count, .. } => count > 0,
        }
    }
}

impl Frequency {
    const HOURLY: Self = Self { season: 24, horizon: 48 };
    const DAILY: Self = Self { season: 7, horizon: 14 };
    const WEEKLY: Self = Self { season: 1, horizon: 13 };
    const MONTHLY: Self = Self { season: 12, horizon: 18 };
    const QUARTERLY: Self = Self { season: 4, horizon: 8 };
    const YEARLY: Self = Self { season: 1, horizon: 6 };

    /// The frequency of series without timestamps.
    pub const UNKNOWN: Self = Self { season: 1, horizon: 10 };

    /// The frequency that a file name such as `hourly-train.csv` says; `None` if it says none.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let named = [
            ("hourly", Self::HOURLY),
            ("daily", Self::DAILY),
            ("weekly", Self::WEEKLY),
            ("monthly", Self::MONTHLY),
            ("quarterly", Self::QUARTERLY),
            ("yearly", Self::YEARLY),
        ];
        named.into_iter().find(|(word, _)| name.contains(word)).map(|(_, frequency)| frequency)
    }
}

impl TimeGrid {
    /// The grid of timestamps, which ascend within each series. It has the step that is most frequent.
    pub(super) fn find(form: TimeFormat, series: &[Vec<i64>]) -> Self {
        let pairs = || series.iter().flat_map(|times| times.windows(2)).map(|pair| (pair[0], pair[1]));
        if !form.is_integer()
            && let Some(step) = months(series)
        {
            return Self { form, step };
        }
        Self { form, step: Interval::Fixed(most_frequent(pairs().map(|(a, b)| b - a)).max(1)) }
    }

    /// Whether the step is that of another grid. Whether timestamps are the last days of their months is not compared:
    /// a few rows do not tell.
    pub fn same_step(&self, other: &Self) -> bool {
        match (self.step, other.step) {
            (Interval::Months { count, .. }, Interval::Months { count: other, .. }) => count == other,
            (own, other) => own == other,
        }
    }

    /// The number of steps from `start` to `time`; `None` if `time` lies between two steps.
    pub fn steps(&self, start: i64, time: i64) -> Option<i64> {
        match self.step {
            Interval::Fixed(step) => {
                let distance = time.checked_sub(start)?;
                (distance.rem_euclid(step) == 0).then(|| distance.div_euclid(step))
            }
            Interval::Months { count, .. } => {
                let distance = month_number(time)? - month_number(start)?;
                let steps = (distance % i64::from(count) == 0).then(|| distance / i64::from(count))?;
                (self.time(start, steps) == time).then_some(steps)
            }
        }
    }

    /// The timestamp `steps` after `start`.
    pub fn time(&self, start: i64, steps: i64) -> i64 {
        match self.step {
            Interval::Fixed(step) => start.saturating_add(step.saturating_mul(steps)),
            Interval::Months { count, ends } => {
                let moved = date(start).and_then(|date| moved(date, steps.saturating_mul(i64::from(count))));
                let moved = moved.map(|date| if ends { month_end(date).unwrap_or(date) } else { date });
                moved.map_or(start, |date| date.and_utc().timestamp_millis())
            }
        }
    }

    /// The text of the timestamp `steps` after `start`.
    pub fn text(&self, start: i64, steps: i64) -> String {
        self.form.text(self.time(start, steps))
    }

    /// The usual season and horizon.
    pub fn frequency(&self) -> Frequency {
        match self.step {
            _ if self.form.is_integer() => Frequency::UNKNOWN,
            Interval::Fixed(HOUR) => Frequency::HOURLY,
            Interval::Fixed(DAY) => Frequency::DAILY,
            Interval::Fixed(step) if step == 7 * DAY => Frequency::WEEKLY,
            Interval::Fixed(step) if step < DAY && DAY % step == 0 => {
                let season = (DAY / step) as usize;
                Frequency { season, horizon: season.min(96) }
            }
            Interval::Fixed(_) => Frequency::UNKNOWN,
            Interval::Months { count: 1, .. } => Frequency::MONTHLY,
            Interval::Months { count: 3, .. } => Frequency::QUARTERLY,
            Interval::Months { count: 12, .. } => Frequency::YEARLY,
            Interval::Months { count, .. } => {
                let season = if 12 % count == 0 { 12 / count } else { 1 };
                Frequency { season: season as usize, horizon: 10 }
            }
        }
    }

    /// The step in words.
    pub fn words(&self) -> String {
        match self.step {
            Interval::Fixed(step) if self.form.is_integer() => step.to_string(),
            Interval::Fixed(step) => {
                let units =
                    [(7 * DAY, "week"), (DAY, "day"), (HOUR, "hour"), (60_000, "minute"), (1000, "second")];
                let unit = units.into_iter().find(|(unit, _)| step % unit == 0);
                let (unit, name) = unit.unwrap_or((1, "millisecond"));
                counted((step / unit).unsigned_abs(), name)
            }
            Interval::Months { count, .. } if count % 12 == 0 => counted(u64::from(count / 12), "year"),
            Interval::Months { count, .. } => counted(u64::from(count), "month"),
        }
    }

    /// The number of features of [`TimeGrid::calendar`].
    pub fn calendar_features(&self) -> usize {
        self.calendar(0).len()
    }

    /// Features of a timestamp, each a sine and a cosine: the time of the day for steps of less than a day, the time of
    /// the week for steps of less than a week, and the day of the year. None for integers.
    pub fn calendar(&self, time: i64) -> Vec<f32> {
        let Some(date) = date(time).filter(|_| !self.form.is_integer()) else { return vec![] };
        let day = f64::from(date.num_seconds_from_midnight()) / 86_400.;
        let week = (f64::from(date.weekday().num_days_from_monday()) + day) / 7.;
        let year = f64::from(date.ordinal0()) / 365.25;
        let phases: &[f64] = match self.step {
            Interval::Fixed(step) if step < DAY => &[day, week, year],
            Interval::Fixed(step) if step < 7 * DAY => &[week, year],
            _ => &[year],
        };
        let turn = |phase: &f64| (std::f64::consts::TAU * phase).sin_cos();
        phases.iter().map(turn).flat_map(|(sin, cos)| [sin as f32, cos as f32]).collect()
    }
}

/// The step in months of dates that are all on the same day of their month and time of day, or on the last day; `None`
/// for others.
fn months(series: &[Vec<i64>]) -> Option<Interval> {
    let all = || series.iter().flatten().filter_map(|&time| date(time));
    let first = all().next()?;
    let same_day = all().all(|date| date.day() == first.day() && date.time() == first.time());
    let ends = all().all(|date| month_end(date) == Some(date) && date.time() == first.time());
    if !same_day && !ends {
        return None;
    }
    let numbers = series
        .iter()
        .flat_map(|times| times.windows(2))
        .filter_map(|pair| Some(month_number(pair[1])? - month_number(pair[0])?));
    let count = u32::try_from(most_frequent(numbers)).ok().filter(|&count| count > 0)?;
    Some(Interval::Months { count, ends: ends && !same_day })
}

/// The most frequent of positive numbers, the smallest of several; 0 if there are none.
fn most_frequent(numbers: impl Iterator<Item = i64>) -> i64 {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    numbers.filter(|number| *number > 0).for_each(|number| *counts.entry(number).or_default() += 1);
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(0, |(number, _)| number)
}

fn date(time: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_millis(time).map(|date| date.naive_utc())
}

/// The same day and time of another month, at most the last day of that month.
fn moved(date: NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    let distance = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months < 0 { date.checked_sub_months(distance) } else { date.checked_add_months(distance) }
}

fn month_number(time: i64) -> Option<i64> {
    date(time).map(|date| 12 * i64::from(date.year()) + i64::from(date.month0()))
}

/// The same time on the last day of the month.
fn month_end(date: NaiveDateTime) -> Option<NaiveDateTime> {
    let first = NaiveDate::from_ymd_opt(date.year(), date.month(), 1)?;
    let last = first.checked_add_months(Months::new(1))?.pred_opt()?;
    Some(last.and_time(date.time()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(texts: &[&str]) -> (TimeGrid, Vec<i64>) {
        let form = TimeFormat::find(texts).unwrap();
        let times: Vec<i64> = texts.iter().map(|text| form.parse(text).unwrap()).collect();
        (TimeGrid::find(form, std::slice::from_ref(&times)), times)
    }

    #[test]
    fn steps_of_the_calendar_are_found() {
        for (texts, words, season, next) in [
            (["2016-07-01 22:00", "2016-07-01 23:00", "2016-07-02 00:00"], "1 hour", 24, "2016-07-02 01:00"),
            (["2020-02-27", "2020-02-28", "2020-02-29"], "1 day", 7, "2020-03-01"),
            (["2020-02-15", "2020-02-22", "2020-02-29"], "1 week", 1, "2020-03-07"),
            (["2019-12-31", "2020-01-31", "2020-02-29"], "1 month", 12, "2020-03-31"),
            (["2019-12-15", "2020-01-15", "2020-02-15"], "1 month", 12, "2020-03-15"),
            (["2019-Q3", "2019-Q4", "2020-Q1"], "3 months", 4, "2020-Q2"),
            (["2018-01-01", "2019-01-01", "2020-01-01"], "1 year", 1, "2021-01-01"),
            (["1998", "1999", "2000"], "1", 1, "2001"),
        ] {
            let (grid, times) = grid(&texts);
            assert_eq!((grid.words().as_str(), grid.frequency().season), (words, season), "{texts:?}");
            assert_eq!(grid.text(times[0], 3), next);
            let steps: Vec<_> = times.iter().map(|&time| grid.steps(times[0], time)).collect();
            assert_eq!(steps, [Some(0), Some(1), Some(2)], "{texts:?}");
        }
    }

    #[test]
    fn a_gap_is_steps_and_a_time_between_steps_is_none() {
        let (grid, times) = grid(&["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-07"]);
        assert_eq!(grid.steps(times[0], times[3]), Some(6));
        assert_eq!(grid.steps(times[0], times[1] + HOUR), None);
        assert_eq!(grid.steps(times[1], times[0]), Some(-1));
    }

    #[test]
    fn a_day_between_two_months_is_none() {
        for (texts, before, between) in [
            (["2020-01-01", "2020-02-01", "2020-03-01"], "2019-11-01", "2024-01-17"),
            (["2020-01-31", "2020-02-29", "2020-03-31"], "2019-11-30", "2024-01-30"),
            (["2020-01-30", "2020-03-30", "2020-04-30"], "2019-11-30", "2020-05-29"),
        ] {
            let (grid, times) = grid(&texts);
            let steps = |text: &str| grid.steps(times[0], grid.form.parse(text).unwrap());
            assert_eq!((steps(before), steps(between)), (Some(-2), None), "{texts:?}");
        }
        let (grid, times) = grid(&["2020-01-31", "2020-02-29", "2020-03-31"]);
        let last = grid.form.parse("2020-04-30").unwrap();
        assert_eq!((grid.steps(times[0], last), grid.steps(times[1], last)), (Some(3), Some(2)));
    }

    #[test]
    fn calendar_repeats_after_a_week_and_a_day() {
        let (grid, times) = grid(&["2020-01-01 00:00", "2020-01-01 01:00"]);
        let close = |a: f32, b: f32| (a - b).abs() < 1e-6;
        let [first, day, week] = [0, 24, 168].map(|steps| grid.calendar(grid.time(times[0], steps)));
        assert_eq!(first.len(), 6);
        assert!(close(first[0], day[0]) && !close(first[2], day[2]) && close(first[2], week[2]));
        assert!(!close(first[4], week[4]));
    }
}
