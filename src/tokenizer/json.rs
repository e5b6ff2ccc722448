//! Checks of JSON before a parser that recurses or panics reads it.

use serde::de::IgnoredAny;

/// The deepest nesting that the tokenizers library, whose parser recurses, is given.
const DEEPEST: usize = 128;

/// Check that `bytes` are JSON of bounded depth.
///
/// # Errors
/// If they are not. The error is the problem, without a file name.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    check_depth(bytes)?;
    serde_json::from_slice::<IgnoredAny>(bytes).map(drop).map_err(|error| format!("is not JSON: {error}"))
}

fn check_depth(json: &[u8]) -> Result<(), String> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(format!("is nested deeper than {DEEPEST} levels"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_strings() {
        let nested = |depth: usize| format!("{}{}", "[{\"a\":".repeat(depth / 2), "}]".repeat(depth / 2));
        check_depth(nested(DEEPEST).as_bytes()).unwrap();
        assert!(check_depth(nested(DEEPEST + 2).as_bytes()).unwrap_err().contains("128 levels"));
        check_depth(format!("[\"{}\"]", r#"[\"{"#.repeat(500)).as_bytes()).unwrap();
        check_depth("[]".repeat(500).as_bytes()).unwrap();
    }

    #[test]
    fn truncated_json_is_refused() {
        check(br#"{"a": [1, "b"]}"#).unwrap();
        assert!(check(br#"{"a": [1, "b""#).unwrap_err().contains("is not JSON: EOF while parsing"));
    }
}
