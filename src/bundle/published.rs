//! The files of a bundle as they are published: with another model card, and checksums that fit it.

use std::path::PathBuf;

use super::files::{CHECKSUMS, OWN, README};
use super::load::Loaded;
use super::read;
use super::swap::exists;
use crate::{Error, Result};

/// The files of a bundle to publish.
#[derive(Debug)]
pub struct Publication {
    /// The files, in a fixed order.
    pub files: Vec<PublishedFile>,
    /// The names of those files that other bundles have and this one lacks. Left behind by an earlier publication,
    /// they would not belong to this bundle.
    pub absent: Vec<&'static str>,
}

/// A file to publish.
#[derive(Debug)]
pub struct PublishedFile {
    /// The path inside the bundle, with slashes.
    pub name: &'static str,
    /// The contents.
    pub contents: FileContents,
}

/// The contents of a published file.
#[derive(Debug)]
pub enum FileContents {
    /// Those of a file on disk.
    OnDisk(PathBuf),
    /// A text that the bundle on disk does not have.
    Text(String),
}

impl Loaded {
    /// Return the text of the model card; empty if the bundle has none.
    ///
    /// # Errors
    /// If the file cannot be read, is larger than 64 MiB, or is not UTF-8.
    pub fn card(&self) -> Result<String> {
        Ok(read::optional_text(&self.path.join(README))?.unwrap_or_default())
    }

    /// Return the files to publish, with `card` as model card. Files that the user added are not among them.
    ///
    /// # Errors
    /// If a file of the bundle is something else than a regular file.
    pub fn publication(&self, card: String) -> Result<Publication> {
        let mut checksums = self.checksums().clone();
        checksums.add(README, card.as_bytes());
        let mut card = Some(card);
        let (mut files, mut absent) = (vec![], vec![]);
        for name in OWN {
            let path = self.path.join(name);
            let contents = match name {
                README => card.take().map(FileContents::Text),
                _ if !exists(&path) => None,
                _ if !path.is_file() => return Err(Error::file(path, "is not a regular file")),
                CHECKSUMS => Some(FileContents::Text(checksums.to_text())),
                _ => Some(FileContents::OnDisk(path)),
            };
            match contents {
                Some(contents) => files.push(PublishedFile { name, contents }),
                None => absent.push(name),
            }
        }
        Ok(Publication { files, absent })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::fixture::{config, weights};
    use super::super::{BundleWriter, Contents, load};
    use super::*;

    #[test]
    fn card_is_replaced_and_checksums_fit_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        let (config, weights) = (config(), weights(1.0, 6));
        let contents = Contents {
            config: &config,
            weights: &weights,
            tokenizer: Some("{}"),
            readme: "# before",
            curve: None,
            training: None,
        };
        BundleWriter::create(&path, false).unwrap().save(&contents).unwrap();
        fs::write(path.join("notes.txt"), "private").unwrap();
        let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        fs::write(path.join(CHECKSUMS), format!("{sum}  README.md\n{sum}  curve.svg\n")).unwrap();
        let loaded = load(&path).unwrap();
        assert_eq!(loaded.card().unwrap(), "# before");
        let Publication { files, absent } = loaded.publication("abc".into()).unwrap();
        let names: Vec<&str> = files.iter().map(|file| file.name).collect();
        let expected = [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "metrics.jsonl",
            "README.md",
            "SHA256SUMS",
        ];
        assert_eq!(names, expected);
        assert!(absent.contains(&"curve.svg") && absent.contains(&"training/state.json"), "{absent:?}");
        let text = |name: &str| match &files.iter().find(|file| file.name == name).unwrap().contents {
            FileContents::Text(text) => text.clone(),
            FileContents::OnDisk(path) => panic!("{} is on disk", path.display()),
        };
        assert_eq!(text(README), "abc");
        let sums = format!(
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  README.md\n{sum}  curve.svg\n"
        );
        assert_eq!(text(CHECKSUMS), sums);
    }
}
