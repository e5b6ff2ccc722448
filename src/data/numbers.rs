//! Numbers in data files.

/// Parse a value of a series: NaN if it is missing (`?`, `NaN`, or nothing).
///
/// # Errors
/// If the text is no number, or the number is infinite. The error is the problem, without its place.
pub(super) fn value(text: &str) -> Result<f64, String> {
    let text = text.trim();
    if text.is_empty() || text == "?" || text.eq_ignore_ascii_case("nan") {
        return Ok(f64::NAN);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => {
            Err(format!("{text:?} is infinite or out of range; expected a number, or ? where one is missing"))
        }
        Err(_) => Err(format!("{text:?} is not a number; expected one, or ? where one is missing")),
    }
}
