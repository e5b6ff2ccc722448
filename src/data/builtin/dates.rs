//! `builtin:dates`, the normalisation of dates: text that people write, to `YYYY-MM-DD`.
//!
//! ```text
//! 3 march 1998          1998-03-03
//! March 3rd, 1998       1998-03-03
//! Tue, 3 Mar 1998       1998-03-03
//! 1998년 3월 3일         1998-03-03
//! ```
//!
//! A date is drawn evenly from the years 1900 to 2099, and its form evenly from all forms. The order of day and month
//! is clear in each form: numbers alone stand in the order of Korea (`1998. 3. 3.`) or of ISO 8601 (`1998/03/03`).

use rand::RngExt;

use crate::rng::Rng;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Number of forms.
const FORMS: u32 = 12;

/// A date of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Date {
    year: u32,
    /// From 1.
    month: u32,
    /// From 1.
    day: u32,
}

/// `count` dates: each as people write it, and as `YYYY-MM-DD`.
pub fn examples(mut rng: Rng, count: usize) -> impl Iterator<Item = [String; 2]> {
    (0..count).map(move |_| {
        let date = Date::draw(&mut rng);
        let form = rng.random_range(..FORMS);
        [date.written(form), date.normal()]
    })
}

impl Date {
    fn draw(rng: &mut Rng) -> Self {
        let (year, month) = (rng.random_range(1900..2100), rng.random_range(1..=12));
        Self { year, month, day: rng.random_range(1..=days_of(year, month)) }
    }

    fn normal(self) -> String {
        let Self { year, month, day } = self;
        format!("{year}-{month:02}-{day:02}")
    }

    /// The date in one of the forms.
    fn written(self, form: u32) -> String {
        let Self { year, month, day } = self;
        let name = MONTHS[month as usize - 1];
        let (short, weekday) = (&name[..3], DAYS[self.weekday()]);
        match form {
            0 => format!("{day} {} {year}", name.to_lowercase()),
            1 => format!("{name} {day}{}, {year}", ordinal(day)),
            2 => format!("the {day}{} of {name} {year}", ordinal(day)),
            3 => format!("{weekday}, {name} {day}, {year}"),
            4 => format!("{}, {day} {short} {year}", &weekday[..3]),
            5 => format!("{day}-{}-{year}", short.to_uppercase()),
            6 => format!("{short} {day} {year}"),
            7 => format!("{} {year}, {day}{}", name.to_uppercase(), ordinal(day)),
            8 => format!("{year}/{month:02}/{day:02}"),
            9 => format!("{year}. {month}. {day}."),
            10 => format!("{year}년 {month}월 {day}일"),
            _ => format!("{year}년{month}월{day}일"),
        }
    }

    /// The day of the week, from Monday as 0, by Zeller's congruence.
    fn weekday(self) -> usize {
        let Self { year, month, day } = self;
        let (year, month) = if month < 3 { (year - 1, month + 12) } else { (year, month) };
        let (century, rest) = (year / 100, year % 100);
        let from_saturday = (day + 13 * (month + 1) / 5 + rest + rest / 4 + century / 4 + 5 * century) % 7;
        (from_saturday as usize + 5) % 7
    }
}

/// The number of days of a month.
fn days_of(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The ending of an ordinal number.
fn ordinal(number: u32) -> &'static str {
    match (number / 10 % 10, number % 10) {
        (1, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};

    #[test]
    fn a_date_has_these_forms() {
        let date = Date { year: 1998, month: 3, day: 3 };
        let forms: Vec<String> = (0..FORMS).map(|form| date.written(form)).collect();
        let expected = [
            "3 march 1998",
            "March 3rd, 1998",
            "the 3rd of March 1998",
            "Tuesday, March 3, 1998",
            "Tue, 3 Mar 1998",
            "3-MAR-1998",
            "Mar 3 1998",
            "MARCH 1998, 3rd",
            "1998/03/03",
            "1998. 3. 3.",
            "1998년 3월 3일",
            "1998년3월3일",
        ];
        assert_eq!((forms, date.normal()), (expected.map(String::from).to_vec(), "1998-03-03".to_string()));
        let (new_year, leap) =
            (Date { year: 2000, month: 1, day: 1 }, Date { year: 2024, month: 2, day: 29 });
        assert_eq!([new_year, leap].map(|date| DAYS[date.weekday()]), ["Saturday", "Thursday"]);
        let endings = [1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30].map(ordinal).join(" ");
        assert_eq!(endings, "st nd rd th th th th st nd rd th");
    }

    #[test]
    fn the_seed_determines_the_dates_and_all_are_valid() {
        let draw = |seed| examples(stream(seed, Purpose::Train, 0), 3000).collect::<Vec<_>>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        for [written, normal] in draw(1) {
            let numbers: Vec<u32> = normal.split('-').map(|number| number.parse().unwrap()).collect();
            let [year, month, day] = numbers[..] else { panic!("{normal}") };
            assert!((1900..2100).contains(&year) && (1..=days_of(year, month)).contains(&day), "{written}");
            assert!((0..FORMS).any(|form| Date { year, month, day }.written(form) == written), "{written}");
        }
    }
}
