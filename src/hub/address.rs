//! Addresses of bundles and data files: `hf://OWNER/NAME@REVISION`, `hf://datasets/OWNER/NAME@REVISION/FILE`.

use std::fmt;
use std::str::FromStr;

use super::revision::Revision;
use crate::{Error, Result};

/// The beginning of every address of the hub.
const SCHEME: &str = "hf://";

/// The form of the address of a bundle.
const BUNDLE_FORM: &str = "hf://OWNER/NAME or hf://OWNER/NAME@REVISION";

/// The largest number of bytes of an owner, and of a name.
const LONGEST: usize = 96;

/// The name of a repository: its owner, a user or an organisation, and its name there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoName {
    owner: String,
    name: String,
}

impl RepoName {
    /// The user or organisation.
    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// The name without the owner.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn new(owner: &str, name: &str) -> Option<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_name = |part: &str| {
            (1..=LONGEST).contains(&part.len())
                && part.chars().all(is_plain)
                && !part.starts_with(['-', '.'])
                && !part.ends_with(['-', '.'])
                // Two hyphens separate the owner from the name in the cache.
                && !part.contains("--")
                && !part.contains("..")
        };
        (is_name(owner) && is_name(name)).then(|| Self { owner: owner.into(), name: name.into() })
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for RepoName {
    type Err = Error;

    /// Parse `OWNER/NAME`, or the same after `hf://`.
    ///
    /// # Errors
    /// If it has another form, or a character that names on the hub do not have.
    fn from_str(text: &str) -> Result<Self> {
        let parts = text.strip_prefix(SCHEME).unwrap_or(text).split_once('/');
        parts.and_then(|(owner, name)| Self::new(owner, name)).ok_or_else(|| {
            let problem = "is no name on the hub; expected OWNER/NAME, of letters, digits, `-`, `_` and `.`";
            Error::invalid("repository", format!("`{text}` {problem}"))
        })
    }
}

/// A bundle on the hub, at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleAddress {
    /// The repository, one of models.
    pub repo: RepoName,
    /// The revision; `main` unless the address has one.
    pub revision: Revision,
}

impl BundleAddress {
    /// Parse a BUNDLE argument. Returns `None` if it does not begin with `hf://`.
    ///
    /// # Errors
    /// If it begins with `hf://` and has another form than `hf://OWNER/NAME[@REVISION]`.
    pub fn parse(argument: &str) -> Result<Option<Self>> {
        let Some(address) = argument.strip_prefix(SCHEME) else { return Ok(None) };
        let found = || {
            let (owner, rest) = address.split_once('/')?;
            let (name, revision) = at_revision(rest)?;
            Some(Self { repo: RepoName::new(owner, name).filter(|_| owner != "datasets")?, revision })
        };
        let wrong = || {
            Error::file(
                argument,
                format!("is not the address of a bundle on the hub; expected {BUNDLE_FORM}"),
            )
        };
        found().map(Some).ok_or_else(wrong)
    }
}

/// A file of a data set on the hub, at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAddress {
    /// The repository, one of data sets.
    pub repo: RepoName,
    /// The revision; `main` unless the address has one.
    pub revision: Revision,
    /// The file inside it; may lie in folders.
    pub file: String,
}

impl FileAddress {
    /// Parse `hf://datasets/OWNER/NAME[@REVISION]/FILE`. A slash of the revision is written `%2F`. Returns `None` if
    /// the text has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(SCHEME)?.strip_prefix("datasets/")?.splitn(3, '/');
        let (owner, name, file) = (parts.next()?, parts.next()?, parts.next()?);
        let (name, revision) = at_revision(name)?;
        let repo = RepoName::new(owner, name)?;
        is_inside(file).then(|| Self { repo, revision, file: file.to_string() })
    }
}

impl fmt::Display for FileAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repo, revision, file } = self;
        match revision.is_main() {
            true => write!(f, "{SCHEME}datasets/{repo}/{file}"),
            false => write!(f, "{SCHEME}datasets/{repo}@{}/{file}", revision.in_path()),
        }
    }
}

/// Split `NAME@REVISION`; the revision is `main` if there is none. Returns `None` if it is no revision.
fn at_revision(text: &str) -> Option<(&str, Revision)> {
    match text.split_once('@') {
        Some((name, revision)) => Some((name, revision.parse().ok()?)),
        None => Some((text, Revision::default())),
    }
}

/// Whether a path of a file stays in its folder.
fn is_inside(file: &str) -> bool {
    file.split('/').all(|part| !matches!(part, "" | "." | "..")) && !file.contains('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundle_addresses_have_owner_name_and_revision() {
        let parse = |text| {
            BundleAddress::parse(text).unwrap().map(|it| (it.repo.to_string(), it.revision.to_string()))
        };
        let found = |repo: &str, revision: &str| Some((repo.to_string(), revision.to_string()));
        assert_eq!(parse("hf://me/lstm"), found("me/lstm", "main"));
        assert_eq!(parse("hf://me/lstm@v1"), found("me/lstm", "v1"));
        assert_eq!(parse("hf://me/lstm@refs/pr/1"), found("me/lstm", "refs/pr/1"));
        assert_eq!(parse("me/lstm"), None);
        for wrong in [
            "hf://me",
            "hf://me/lstm/file",
            "hf://../x",
            "hf://datasets/x",
            "hf://me/lstm@",
            "hf://me/a--b",
            "hf://a/b@../c",
        ] {
            let error = BundleAddress::parse(wrong).unwrap_err().to_string();
            assert!(error.starts_with(wrong) && error.contains("expected hf://OWNER/NAME"), "{error}");
        }
    }

    #[test]
    fn file_addresses_round_trip() {
        for text in [
            "hf://datasets/o/n/deep/f.csv",
            "hf://datasets/o/n@v1/f.csv",
            "hf://datasets/o/n@refs%2Fpr%2F1/f",
        ] {
            assert_eq!(FileAddress::parse(text).unwrap().to_string(), text);
        }
        for wrong in
            ["hf://o/n", "hf://datasets/o/n", "hf://datasets/o/n/../../x", "hf://datasets/o/n/a\\..\\b"]
        {
            assert_eq!(FileAddress::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn repository_names_are_those_of_the_hub() {
        for name in ["me/lstm", "hf://me/lstm", "my-org/a_b.c-1"] {
            assert!(name.parse::<RepoName>().is_ok(), "{name}");
        }
        let long = format!("me/{}", "a".repeat(LONGEST + 1));
        for wrong in ["lstm", "me/", "/lstm", "me/a/b", "me/a b", "me/..", "me/.git", "me/a@v1", &long] {
            let error = wrong.parse::<RepoName>().unwrap_err().to_string();
            assert!(error.starts_with("repository: ") && error.contains("expected OWNER/NAME"), "{error}");
        }
    }
}
