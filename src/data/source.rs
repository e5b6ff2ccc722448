//! The location of a corpus, and the names of its splits.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::plain;
use crate::hub::FileAddress;
use crate::listing::nearest;
use crate::{Error, Result};

/// The source of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A seeded generator; needs no file.
    Builtin(Builtin),
    /// One file: `.csv`, `.tsv`, `.jsonl`, or anything else as plain text.
    File(PathBuf),
    /// A folder that holds `train`, and optionally `valid` and `test`.
    Directory(PathBuf),
    /// A file of a data set on the Hugging Face hub.
    Hub(FileAddress),
}

/// The corpora and tasks that the program makes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Builtin {
    /// Small English stories from a grammar whose entropy is known.
    Story,
    /// The embedded Reber grammar of Hochreiter and Schmidhuber (1997).
    Reber,
    /// The adding problem: a number to forecast, not text.
    Adding,
    /// The copying problem: symbols to tag, not text.
    Copy,
    /// Dates to normalise: pairs of texts.
    Dates,
}

impl Builtin {
    /// Every built-in, in the order in which they are listed to users.
    pub const ALL: [Self; 5] = [Self::Story, Self::Reber, Self::Adding, Self::Copy, Self::Dates];

    /// The name after `builtin:`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Story => "story",
            Self::Reber => "reber",
            Self::Adding => "adding",
            Self::Copy => "copy",
            Self::Dates => "dates",
        }
    }

    /// Whether it is text that a tokenizer can read.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Story | Self::Reber)
    }
}

impl FromStr for Builtin {
    type Err = Error;

    /// The built-in of that name.
    ///
    /// # Errors
    /// If there is no such built-in; the error lists all names and suggests the nearest.
    fn from_str(name: &str) -> Result<Self> {
        if let Some(found) = Self::ALL.into_iter().find(|builtin| builtin.name() == name) {
            return Ok(found);
        }
        let names = Self::ALL.map(Self::name).join(", ");
        let near = nearest(name, Self::ALL.into_iter().map(Self::name));
        let hint = near.map_or(String::new(), |near| format!("; did you mean builtin:{near}?"));
        Err(Error::invalid("data", format!("no built-in corpus `{name}`{hint} (there are: {names})")))
    }
}

impl FromStr for Source {
    type Err = Error;

    /// Parse the DATA argument: `builtin:NAME`, `hf://datasets/OWNER/NAME[@REVISION]/FILE`, a folder or a file.
    ///
    /// # Errors
    /// If `data` has none of these forms, or names a file that does not exist.
    fn from_str(data: &str) -> Result<Self> {
        if let Some(name) = data.strip_prefix("builtin:") {
            return name.parse().map(Self::Builtin);
        }
        if data.starts_with("hf://") {
            return FileAddress::parse(data).map(Self::Hub).ok_or_else(|| {
                let form = "hf://datasets/OWNER/NAME/FILE, or NAME@REVISION";
                Error::invalid("data", format!("`{data}` is not a data file of the hub; expected {form}"))
            });
        }
        let path = PathBuf::from(data);
        match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => Ok(Self::Directory(path)),
            Ok(_) if is_spreadsheet(&path) => {
                Err(Error::file(path, "is a spreadsheet; save it as a .csv file, with UTF-8 as its encoding"))
            }
            Ok(_) => Ok(Self::File(path)),
            Err(error) => Err(missing(data, &error)),
        }
    }
}

fn is_spreadsheet(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    ["xlsx", "xls", "xlsm", "ods", "numbers"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn missing(data: &str, error: &std::io::Error) -> Error {
    if Builtin::ALL.iter().any(|builtin| builtin.name() == data) {
        return Error::file(data, format!("no such file or folder; did you mean builtin:{data}?"));
    }
    let forms = "a text, .csv, .tsv or .jsonl file, a folder, builtin:NAME or hf://datasets/OWNER/NAME/FILE";
    if data == "-" {
        let problem = format!("standard input is not data, which is read more than once; expected {forms}");
        return Error::invalid("data", problem);
    }
    let problem = plain(error);
    let name = if data.is_empty() { "an empty path" } else { data };
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        return Error::file(name, format!("{problem}; check the permissions of the file and of its folders"));
    }
    Error::file(name, format!("{problem}; expected {forms}"))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(builtin) => write!(f, "builtin:{}", builtin.name()),
            Self::File(path) | Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Hub(address) => write!(f, "{address}"),
        }
    }
}

/// A part of a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// The part that a model and its tokenizer are trained on.
    Train,
    /// The part that selects the best checkpoint.
    Valid,
    /// The part that results are reported on.
    Test,
    /// Everything, in the order train, valid, test.
    All,
}

impl Split {
    /// All four, in the order in which they are listed to users.
    pub const ALL: [Self; 4] = [Self::Train, Self::Valid, Self::Test, Self::All];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
            Self::All => "all",
        }
    }

    /// One line about it, for help texts.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Train => "The part that a model and its tokenizer are trained on",
            Self::Valid => "The part that selects the best checkpoint",
            Self::Test => "The part that results are reported on",
            Self::All => "Everything, in the order train, valid, test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = Error;

    /// # Errors
    /// If the name is not one of the four.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|split| split.name() == name)
            .ok_or_else(|| Error::invalid("split", format!("`{name}` is not one of train, valid, test, all")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_data_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.txt");
        std::fs::write(&file, "x").unwrap();
        let parse = |text: &str| text.parse::<Source>().unwrap();
        assert_eq!(parse("builtin:reber"), Source::Builtin(Builtin::Reber));
        assert_eq!(parse(&folder.path().display().to_string()), Source::Directory(folder.path().into()));
        assert_eq!(parse(&file.display().to_string()), Source::File(file));
        for text in ["builtin:story", "hf://datasets/o/n/deep/f.csv", "hf://datasets/o/n@v1/f.csv"] {
            assert_eq!(parse(text).to_string(), text);
        }
    }

    #[test]
    fn an_unknown_source_names_the_flag_and_the_nearest() {
        let problem = |text: &str| text.parse::<Source>().unwrap_err();
        assert!(matches!(problem("builtin:stroy"), Error::Invalid { field: "data", .. }));
        assert!(problem("builtin:stroy").to_string().contains("did you mean builtin:story?"));
        assert!(!problem("builtin:elephant").to_string().contains("did you mean"));
        assert!(problem("reber").to_string().contains("did you mean builtin:reber?"));
        assert!(problem("-").to_string().contains("standard input is not data"));
        let folder = tempfile::tempdir().unwrap();
        let sheet = folder.path().join("a.XLSX");
        std::fs::write(&sheet, "PK").unwrap();
        assert!(problem(&sheet.display().to_string()).to_string().contains("save it as a .csv file"));
        assert!(problem("no/such/file.txt").to_string().starts_with("no/such/file.txt: no such file"));
        let denied = missing("a/b.txt", &std::io::ErrorKind::PermissionDenied.into()).to_string();
        assert_eq!(
            denied,
            "a/b.txt: permission denied; check the permissions of the file and of its folders"
        );
        for wrong in ["hf://o/n", "hf://datasets/o", "hf://datasets/o/n", "hf://datasets/o/n/../../x"] {
            assert!(problem(wrong).to_string().contains("hf://datasets/OWNER/NAME/FILE"), "{wrong}");
        }
    }

    #[test]
    fn split_names_go_both_ways() {
        for split in Split::ALL {
            assert_eq!(split.to_string().parse::<Split>().unwrap(), split);
            assert_eq!(serde_json::to_string(&split).unwrap(), format!("\"{split}\""));
        }
        assert!("dev".parse::<Split>().unwrap_err().to_string().starts_with("split: "));
    }
}
