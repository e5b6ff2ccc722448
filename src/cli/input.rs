//! Reading text files that the user names, up to a limit. They may be pipes, or devices without an end.

use std::fs::File;
use std::io::{Error, Read, Result};
use std::path::Path;

/// Advice about text that is not UTF-8.
pub(super) const CONVERT: &str = "convert it, as `iconv -f cp949 -t utf-8` does";

/// Read a text file of at most `limit` bytes.
pub(super) fn text(path: &Path, limit: u64) -> Result<String> {
    text_of(File::open(path)?, limit)
}

/// Read text of at most `limit` bytes to its end.
pub(super) fn text_of(input: impl Read, limit: u64) -> Result<String> {
    let mut bytes = vec![];
    input.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(Error::other(format!("it has more than {limit} bytes")));
    }
    String::from_utf8(bytes)
        .map_err(|error| Error::other(format!("it is not UTF-8: {}; {CONVERT}", error.utf8_error())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_up_to_the_limit() {
        assert_eq!(text_of(&b"abc"[..], 3).unwrap(), "abc");
        assert_eq!(text_of(&b"abcd"[..], 3).unwrap_err().to_string(), "it has more than 3 bytes");
        assert_eq!(text_of(std::io::repeat(b'a'), 9).unwrap_err().to_string(), "it has more than 9 bytes");
        let problem = text_of(&b"\xff"[..], 3).unwrap_err().to_string();
        assert!(problem.starts_with("it is not UTF-8") && problem.contains("iconv"), "{problem}");
    }
}
