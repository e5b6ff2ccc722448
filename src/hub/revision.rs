//! Revisions of a repository: branches, tags, references and commits.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// The branch of a repository that no revision is given for.
const MAIN: &str = "main";

/// The largest number of bytes of a revision.
const LONGEST: usize = 200;

/// A branch, a tag, a reference such as `refs/pr/1`, or a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(String);

impl Revision {
    /// The name, as Git writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as one part of the path of an address.
    pub(super) fn in_path(&self) -> String {
        self.0.replace('/', "%2F")
    }

    /// Whether it is the full name of a commit, whose files never change.
    pub(super) fn is_commit(&self) -> bool {
        self.0.len() == 40 && self.0.bytes().all(|digit| digit.is_ascii_hexdigit())
    }

    /// Whether it can be made as a branch.
    pub(super) fn is_branch(&self) -> bool {
        !self.is_commit() && !self.0.starts_with("refs/")
    }

    /// Whether it is the branch `main`.
    pub(super) fn is_main(&self) -> bool {
        self.0 == MAIN
    }
}

impl Default for Revision {
    /// The branch `main`.
    fn default() -> Self {
        Self(MAIN.into())
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Revision {
    type Err = Error;

    /// Parse a revision; `%2F` is a slash. A revision is part of a path in the cache, so it has no part `..`.
    ///
    /// # Errors
    /// If it is empty or longer than 200 bytes, or has a character or a part that no revision has.
    fn from_str(text: &str) -> Result<Self> {
        let name = text.replace("%2F", "/").replace("%2f", "/");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
        let is_part =
            |part: &str| !part.is_empty() && !part.starts_with(['.', '-']) && part.chars().all(is_plain);
        if name.len() <= LONGEST && name.split('/').all(is_part) && !name.contains("..") {
            return Ok(Self(name));
        }
        let problem = format!("`{text}` is no revision; expected a branch, a tag or a commit, as `main`");
        Err(Error::invalid("revision", problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_stay_in_their_folder() {
        let parse = |text: &str| text.parse::<Revision>();
        assert_eq!(parse("refs%2Fpr%2F1").unwrap().as_str(), "refs/pr/1");
        assert_eq!(parse("refs/pr/1").unwrap().in_path(), "refs%2Fpr%2F1");
        assert!(parse(&"0a".repeat(20)).unwrap().is_commit());
        assert!(parse("v1.0").unwrap().is_branch() && !parse("refs/pr/1").unwrap().is_branch());
        let long = "a".repeat(LONGEST + 1);
        for wrong in
            ["", "..", "../x", "a/../../x", "/x", "a//b", ".git", "a\\b", "a b", "a%2e%2e", "a?b", &long]
        {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(
                error.starts_with("revision: ") && error.contains("expected a branch"),
                "{wrong}: {error}"
            );
        }
    }
}
