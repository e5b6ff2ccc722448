//! Character encodings of data files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Names that people use beside those of the WHATWG Encoding Standard.
const ALIASES: [(&str, &str); 11] = [
    // The standard takes ASCII for windows-1252; ASCII text is UTF-8.
    ("ascii", "utf-8"),
    ("us-ascii", "utf-8"),
    ("cp949", "euc-kr"),
    ("ms949", "euc-kr"),
    ("uhc", "euc-kr"),
    ("cp932", "shift_jis"),
    ("cp936", "gbk"),
    ("cp950", "big5"),
    ("latin-1", "latin1"),
    ("latin-9", "iso-8859-15"),
    ("mac-roman", "macintosh"),
];

/// A character encoding of the WHATWG Encoding Standard, such as UTF-8 or EUC-KR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub struct Encoding(pub(super) &'static encoding_rs::Encoding);

impl Encoding {
    /// The name in the standard, such as `EUC-KR`.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Whether the encoding is UTF-8.
    pub fn is_utf8(self) -> bool {
        self.0 == encoding_rs::UTF_8
    }

    /// Whether the encoding is UTF-16, in either byte order.
    pub fn is_utf16(self) -> bool {
        [encoding_rs::UTF_16LE, encoding_rs::UTF_16BE].contains(&self.0)
    }
}

impl FromStr for Encoding {
    type Err = Error;

    /// Parse a name of the standard or a usual one, such as `utf-16`, `cp949` or `latin-1`.
    ///
    /// # Errors
    /// If there is no such encoding.
    fn from_str(name: &str) -> Result<Self> {
        let plain = name.trim().to_ascii_lowercase();
        let hyphenated = plain.replace('_', "-");
        let alias = ALIASES.iter().find(|(alias, _)| *alias == hyphenated).map(|(_, label)| *label);
        let windows = hyphenated.strip_prefix("cp").map(|number| format!("windows-{number}"));
        let labels = [alias, Some(plain.as_str()), windows.as_deref(), Some(hyphenated.as_str())];
        let mut found = labels
            .into_iter()
            .flatten()
            .filter_map(|label| encoding_rs::Encoding::for_label_no_replacement(label.as_bytes()));
        found.next().map(Self).ok_or_else(|| {
            let known =
                "utf-8, utf-16le, utf-16be, cp949 (euc-kr), shift_jis, gb18030, big5, windows-1252 (latin-1)";
            Error::invalid("encoding", format!("no encoding `{name}` is known; expected one such as {known}"))
        })
    }
}

impl TryFrom<String> for Encoding {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<Encoding> for &'static str {
    fn from(encoding: Encoding) -> Self {
        encoding.name()
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_are_known() {
        for (name, expected) in [
            ("cp949", "EUC-KR"),
            ("EUC-KR", "EUC-KR"),
            ("euc_kr", "EUC-KR"),
            ("latin-1", "windows-1252"),
            ("iso-8859-1", "windows-1252"),
            ("cp1251", "windows-1251"),
            ("UTF-16", "UTF-16LE"),
            ("utf_8", "UTF-8"),
            ("ascii", "UTF-8"),
            ("US_ASCII", "UTF-8"),
            ("Shift_JIS", "Shift_JIS"),
            ("gb18030", "gb18030"),
        ] {
            let encoding: Encoding = name.parse().unwrap();
            assert_eq!(encoding.name(), expected, "{name}");
            let json = serde_json::to_string(&encoding).unwrap();
            assert_eq!(serde_json::from_str::<Encoding>(&json).unwrap(), encoding);
        }
        for unknown in ["", "klingon", "cp", "iso-2022-kr"] {
            let problem = unknown.parse::<Encoding>().unwrap_err().to_string();
            assert!(problem.starts_with("encoding: ") && problem.contains("cp949"), "{problem}");
        }
    }
}
