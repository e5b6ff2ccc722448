//! Numbers in data files.

/// Texts, in small letters, that say that a value is missing.
const MISSING: [&str; 6] = ["", "?", "nan", "na", "n/a", "null"];

/// Parse a value of a series: NaN if it is missing (`?`, `NaN`, `NA`, `null`, or nothing), 1 and 0 for `true` and
/// `false`.
///
/// # Errors
/// If the text is not a number, or the number is infinite. The error is the problem, without its place.
pub(super) fn value(text: &str) -> Result<f64, String> {
    let text = text.trim();
    if is_missing(text) {
        return Ok(f64::NAN);
    }
    if is_truth(text) {
        return Ok(f64::from(u8::from(text.eq_ignore_ascii_case("true"))));
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => {
            Err(format!("{text:?} is infinite or out of range; expected a number, or ? where one is missing"))
        }
        Err(_) => {
            let hint = with_point(text).map_or(String::new(), |number| format!(", such as {number}"));
            Err(format!("{text:?} is not a number; expected one{hint}, or ? where one is missing"))
        }
    }
}

/// Whether a text says that a value is missing.
pub(super) fn is_missing(text: &str) -> bool {
    MISSING.iter().any(|missing| text.trim().eq_ignore_ascii_case(missing))
}

/// Whether a text is `true` or `false`.
pub(super) fn is_truth(text: &str) -> bool {
    ["true", "false"].iter().any(|truth| text.trim().eq_ignore_ascii_case(truth))
}

/// A number with commas as it is to be written: `54.78` for `54,78`, `5478.02` for `5,478.02`. A comma before three
/// digits at the end may be either, as in `5,478`: `5478 or 5.478`.
fn with_point(text: &str) -> Option<String> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, end) = text.rsplit_once([',', '.'])?;
    let bare = whole.strip_prefix('-').unwrap_or(whole);
    let has_comma = text.contains(',');
    if !has_comma || !digits(end) || !bare.split([',', '.']).all(digits) {
        return None;
    }
    let joined = whole.replace([',', '.'], "");
    Some(match end.len() == 3 && !text.contains('.') {
        true if whole.contains(',') => format!("{joined}{end}"),
        true => format!("{joined}{end} or {whole}.{end}"),
        false => format!("{joined}.{end}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_values_and_truths_are_numbers() {
        for text in ["", " ", "?", "NaN", "NA", "n/a", "null"] {
            assert!(value(text).unwrap().is_nan(), "{text}");
        }
        assert_eq!(["True", "false", " -1.5e3 "].map(|text| value(text).unwrap()), [1., 0., -1500.]);
    }

    #[test]
    fn numbers_with_commas_are_refused_with_the_number_to_write() {
        for (text, expected) in [
            ("54,78", "such as 54.78,"),
            ("-1,5", "such as -1.5,"),
            ("5,478.02", "such as 5478.02,"),
            ("1.234,5", "such as 1234.5,"),
            ("5,478", "such as 5478 or 5.478,"),
            ("1,234,567", "such as 1234567,"),
        ] {
            let said = value(text).unwrap_err();
            assert!(said.contains(expected), "{text}: {said}");
        }
        for text in ["54.8%", "abc", "1,2,x", "inf"] {
            assert!(!value(text).unwrap_err().contains("such as"), "{text}");
        }
    }
}
