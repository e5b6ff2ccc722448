//! Texts of dates: the forms that are known, and one date in one of them.
//!
//! A text has a form only if the date that is read from it is written as the same text again, but for zeros before
//! numbers, zeros after a fraction and the case of letters. So `Jan-2000` is not January of the year -2000, and
//! `01/02/23` has no year of four digits.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime};

/// The forms of dates in the notation of `strftime`, in the order in which they are tried.
pub(super) const FORMS: [&str; 74] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M%#z",
    "%Y-%m-%d %H:%M%#z",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y%m%d",
    "%Y.%m.%d %H:%M:%S",
    "%Y.%m.%d %H:%M",
    "%Y.%m.%d",
    "%Y. %m. %d.",
    "%Y. %m. %d",
    "%Y년 %m월 %d일",
    "%Y년%m월%d일",
    "%Y年%m月%d日",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y %I:%M:%S %p",
    "%d/%m/%Y %I:%M %p",
    "%d/%m/%Y",
    "%d-%m-%Y %H:%M:%S",
    "%d-%m-%Y %H:%M",
    "%d-%m-%Y",
    "%m-%d-%Y %H:%M:%S",
    "%m-%d-%Y %H:%M",
    "%m-%d-%Y",
    "%d %b %Y",
    "%d %B %Y",
    "%d-%b-%Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%b %d %Y",
    "%B %d %Y",
    "%d.%m.%y",
    "%m/%d/%y %H:%M",
    "%m/%d/%y",
    "%d/%m/%y %H:%M",
    "%d/%m/%y",
    "%d-%m-%y",
    "%m-%d-%y",
    "%y-%m-%d",
    "%y/%m/%d",
    "%d-%b-%y",
    "%G-W%V",
    "%Y-%m",
    "%Y/%m",
    "%Y.%m",
    "%Y%m",
    "%y%m%d",
    "%Y년 %m월",
    "%m/%Y",
    "%m-%Y",
    "%b %Y",
    "%B %Y",
    "%b-%Y",
    "%Y-%b",
    "%b-%y",
    "%y-%b",
    "%Y-Q%q",
    "%YQ%q",
];

/// The offset at the end of a form whose rows have different ones.
pub(super) const OFFSET: &str = "%#z";

/// The years of a `%Y%m`, which is a number like others.
const YEARS_OF_NUMBERS: std::ops::Range<i32> = 1900..2200;

/// The moment in a text, as milliseconds since 1970; `None` if it has another form.
pub(super) fn parse(form: &str, text: &str) -> Option<i64> {
    let text = text.trim();
    if let Some(local) = form.strip_suffix(OFFSET) {
        let date = DateTime::parse_from_str(text, form).ok()?;
        let (own, offset) = text.split_at(offset_at(text)?);
        let is_same = same(own.trim_end(), &date.naive_local().format(local).to_string());
        return (is_same && !offset.is_empty() && has_usual_year(date.naive_local(), form))
            .then(|| date.timestamp_millis());
    }
    let date = read(form, text)?;
    let time = date.and_utc().timestamp_millis();
    (has_usual_year(date, form) && same(text, &written(form, time)?)).then_some(time)
}

/// The text of a moment in a form; `None` if there is no such date.
pub(super) fn written(form: &str, time: i64) -> Option<String> {
    Some(DateTime::from_timestamp_millis(time)?.naive_utc().format(form).to_string())
}

/// The place of the offset in a text such as `2020-01-01T00:00:00+09:00`; `None` if it has none.
pub(super) fn offset_at(text: &str) -> Option<usize> {
    // The dashes of a date come before its colon.
    let clock = text.find(':')?;
    text[clock..].find(['+', '-', 'Z', 'z']).map(|at| clock + at)
}

/// A text without what may differ from the text that is written.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let leads =
            letter == '0' && !before.is_ascii_digit() && letters.peek().is_some_and(char::is_ascii_digit);
        if !leads {
            plain.extend(letter.to_lowercase());
            before = letter;
        }
    }
    plain
}

fn same(text: &str, written: &str) -> bool {
    let without_zeros = |text: &str| match text.rsplit_once('.') {
        // A fraction of a second.
        Some((clock, fraction)) if clock.contains(':') => {
            let end = fraction.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(fraction.len());
            let digits = fraction[..end].trim_end_matches('0');
            let point = if digits.is_empty() { "" } else { "." };
            plain(clock) + point + digits + &plain(&fraction[end..])
        }
        _ => plain(text),
    };
    text == written || without_zeros(text) == without_zeros(written)
}

/// Whether a year has four digits, or the form has two of them.
fn has_usual_year(date: NaiveDateTime, form: &str) -> bool {
    match form {
        "%Y%m" => YEARS_OF_NUMBERS.contains(&date.year()),
        _ => (1000..10_000).contains(&date.year()),
    }
}

/// Read a text. A date without a day is the first of its month, or the Monday of its week.
fn read(form: &str, text: &str) -> Option<NaiveDateTime> {
    let digits = |count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    match form {
        "%Y%m%d" if !digits(8) => return None,
        // 2000.1 may be October, written as a number.
        "%Y.%m" if text.len() != 7 => return None,
        "%Y%m" | "%y%m%d" if !digits(6) => return None,
        _ => {}
    }
    let has = |letters: &[char]| {
        form.split('%').skip(1).any(|field| field.trim_start_matches('-').starts_with(letters))
    };
    let date = if let Some(before) = form.strip_suffix("Q%q") {
        let (year, quarter) = text.split_at_checked(text.len().checked_sub(2)?)?;
        let quarter: u32 =
            quarter.strip_prefix(['Q', 'q'])?.parse().ok().filter(|quarter| (1..=4).contains(quarter))?;
        NaiveDate::parse_from_str(&format!("{year}{} 1", 3 * quarter - 2), &format!("{before}%m %d"))
    } else if has(&['H', 'I']) {
        return NaiveDateTime::parse_from_str(text, form).ok().map(|date| of_1969(form, date));
    } else if has(&['V']) {
        NaiveDate::parse_from_str(&format!("{text} 1"), &format!("{form} %u"))
    } else if has(&['d']) {
        NaiveDate::parse_from_str(text, form)
    } else {
        NaiveDate::parse_from_str(&format!("{text} 1"), &format!("{form} %d"))
    };
    date.ok()?.and_hms_opt(0, 0, 0).map(|date| of_1969(form, date))
}

/// The date whose year of two digits is 69 in the century that `strptime` of C gives it: chrono has 2069, not 1969.
fn of_1969(form: &str, date: NaiveDateTime) -> NaiveDateTime {
    match date.year() {
        2069 if form.contains("%y") => date.checked_sub_months(Months::new(1200)).unwrap_or(date),
        _ => date,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_what_it_writes() {
        let noon = 1_700_000_000_000 - 1_700_000_000_000 % 86_400_000 + 46_800_000;
        for form in FORMS {
            let local = form.strip_suffix(OFFSET);
            let text =
                written(local.unwrap_or(form), noon).unwrap() + if local.is_some() { "+00:00" } else { "" };
            let time = parse(form, &text).unwrap_or_else(|| panic!("{form}: {text}"));
            assert_eq!(written(local.unwrap_or(form), time), written(local.unwrap_or(form), noon), "{form}");
        }
    }

    #[test]
    fn text_that_is_not_written_again_has_another_form() {
        for (form, text) in [
            ("%b %Y", "Jan-2000"),
            ("%m/%d/%Y", "01/02/23"),
            ("%m/%d/%Y", "01/02/0023"),
            ("%m/%d/%Y", "+1/02/2023"),
            ("%Y-%m", "-2000-01"),
            ("%b %Y", "January 2000"),
            ("%Y-%m-%d", "2020-01- 02"),
            ("%Y%m%d", "2020102"),
            ("%Y%m", "230101"),
            ("%Y.%m", "2023.1"),
            ("%Y-%m-%d %H:%M:%S%.f", "2020-01-01 00:00:00.0001"),
            ("%Y-%m-%dT%H:%M:%S%.f%#z", "0020-01-01T00:00:00Z"),
        ] {
            assert_eq!(parse(form, text), None, "{form}: {text}");
        }
        for (form, text) in [
            ("%m/%d/%Y", "1/2/2023"),
            ("%d-%b-%Y", "01-JAN-2020"),
            ("%Y-%m-%d %H:%M:%S%.f", "2020-01-01 00:00:00.120000"),
            ("%Y-%m-%d %H:%M:%S%.f", "2020-01-01 00:00:00.000"),
        ] {
            assert!(parse(form, text).is_some(), "{form}: {text}");
        }
    }

    #[test]
    fn years_of_two_digits_are_those_from_1969_to_2068() {
        let year = |text: &str| written("%Y", parse("%d.%m.%y", text).unwrap()).unwrap();
        assert_eq!(
            ["01.01.69", "01.01.99", "01.01.00", "01.01.68"].map(year),
            ["1969", "1999", "2000", "2068"]
        );
    }
}
