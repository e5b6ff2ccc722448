//! Pairs of texts from the records of a table or JSONL file: the text column holds sources, the label column targets.
//!
//! Records are divided without regard to the target: each is a class of its own for [`Corpus`](super::Corpus), which
//! could set none aside.

use std::path::Path;
use std::sync::OnceLock;

use super::data_file::DataFile;
use super::divided::{Divided, Items, ItemsOf, names_of};
use super::division::{Division, SplitRule};
use super::formats;
use super::fractions::Fractions;
use super::parallel_text::{PairCensus, PairFile, TextPair, census, is_complete};
use super::piece::Piece;
use super::read_options::ReadOptions;
use super::source::{Source, Split};
use crate::hub::{self, Endpoint};
use crate::{Error, Result};

/// All records, those with an empty side too.
const ALL: Division =
    Division { fractions: Fractions { valid: 0., test: 0. }, rule: SplitRule::Tail, incomplete: true };

/// A file of records with two texts.
#[derive(Debug)]
struct PairTable {
    file: Box<dyn DataFile>,
    census: OnceLock<PairCensus>,
}

/// Open a table of pairs, or a folder with `train`, and optionally `valid` (also `validation`, `val` or `dev`) and
/// `test`. Fetch a file of the hub. `options.columns.text` names the column of the sources, `options.columns.label`
/// that of the targets.
///
/// # Errors
/// If a file cannot be fetched or read, is not a table or has no such columns; if the label column is not named; if the
/// folder has no training file or two files for one split; and for built-ins.
pub fn open(source: &Source, options: &ReadOptions) -> Result<Divided<PairFile>> {
    match source {
        Source::Builtin(builtin) => Err(Error::invalid(
            "data",
            format!("builtin:{} has no columns; expected a table", builtin.name()),
        )),
        Source::File(path) => Ok(Divided::file(open_file(path, options)?)),
        Source::Hub(address) => {
            let path = hub::data_file(&Endpoint::from_env()?, address)?;
            Ok(Divided::file(open_file(&path, options)?))
        }
        Source::Directory(folder) => open_folder(folder, options),
    }
}

fn open_folder(folder: &Path, options: &ReadOptions) -> Result<Divided<PairFile>> {
    let extensions: Vec<&str> = formats::extensions()
        .filter(|extension| formats::has_columns(Path::new(&format!("a.{extension}"))))
        .collect();
    let found = Divided::in_folder(folder, &extensions, |path| open_file(path, options))?;
    found.ok_or_else(|| {
        let names = names_of("train", &extensions);
        Error::file(folder, format!("has no training file ({names}); a folder of tables needs one"))
    })
}

fn open_file(path: &Path, options: &ReadOptions) -> Result<PairFile> {
    if !formats::has_columns(path) {
        let problem = "has no columns; expected a .csv, .tsv or .jsonl file with sources and targets";
        return Err(Error::file(path, problem));
    }
    if options.columns.label.is_none() {
        let problem = format!("{} has sources and targets; name the column of the targets", path.display());
        return Err(Error::invalid("columns.label", problem));
    }
    let file = formats::open(path, options)?;
    Ok(Box::new(PairTable { file, census: OnceLock::new() }))
}

impl PairTable {
    /// The pairs of all records, numbered.
    fn pairs(&self) -> Result<impl Iterator<Item = Result<TextPair>> + Send + use<>> {
        let numbered = (1..).zip(self.file.pieces(Split::All, ALL)?);
        Ok(numbered.map(|(number, piece)| {
            let Piece { text, label, .. } = piece?;
            Ok(TextPair { source: text, target: label.unwrap_or_default(), number })
        }))
    }
}

impl Items for PairTable {
    type Item = TextPair;

    fn path(&self) -> &Path {
        self.file.path()
    }

    fn items(&self) -> Result<ItemsOf<TextPair>> {
        Ok(Box::new(self.pairs()?.filter(is_complete)))
    }

    fn count(&self) -> Result<u64> {
        Ok(census(&self.census, self.path(), self.pairs()?)?.complete)
    }

    fn notes(&self) -> Result<Vec<String>> {
        let notes = self.file.notes(ALL)?.into_iter();
        let mut notes: Vec<String> = notes.map(|note| format!("{}: {note}", self.path().display())).collect();
        notes.extend(census(&self.census, self.path(), self.pairs()?)?.note(self.path()));
        Ok(notes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::Columns;
    use super::*;

    fn options() -> ReadOptions {
        Columns { text: Some("q".into()), label: Some("a".into()) }.into()
    }

    fn table(name: &str, text: &str) -> Result<(tempfile::TempDir, Divided<PairFile>)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let data = open(&Source::File(path), &options())?;
        Ok((folder, data))
    }

    #[test]
    fn records_with_an_empty_side_are_skipped_and_counted() {
        let text = "a,id,q\nA,1,\"x,\ny\"\n,2,z\nB,3,\nC,4,w\n";
        let (_folder, data) = table("t.csv", text).unwrap();
        let pairs: Vec<TextPair> = data.items(Split::All).unwrap().collect::<Result<_>>().unwrap();
        let pair = |source: &str, target: &str, number| TextPair {
            source: source.into(),
            target: target.into(),
            number,
        };
        assert_eq!(pairs, [pair("x,\ny", "A", 1), pair("w", "C", 4)]);
        let notes = data.notes(None).unwrap();
        assert!(
            notes[0]
                .ends_with("of 4 pairs 1 have an empty source and 1 have an empty target; these are skipped")
        );
    }

    #[test]
    fn different_targets_are_divided_like_one_class() {
        let text: String = (0..100).map(|n| format!("{{\"q\":\"q{n}\",\"a\":\"a{n}\"}}\n")).collect();
        let (_folder, data) = table("t.jsonl", &text).unwrap();
        let [train, valid, test] = [Split::Train, Split::Valid, Split::Test].map(|split| {
            let pairs = data.items(split).unwrap().map(Result::unwrap);
            pairs.map(|pair| pair.number).collect::<Vec<u64>>()
        });
        assert_eq!([train.len(), valid.len(), test.len()], [90, 5, 5]);
        let mut all = [train, valid, test].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(1..=100));
    }

    #[test]
    fn folders_have_a_table_for_each_split() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["train.tsv", "dev.tsv", "test.csv"] {
            let line = if name.ends_with("tsv") { "q\ta\nx\ty\n" } else { "q,a\nx,y\nv,w\n" };
            std::fs::write(folder.path().join(name), line).unwrap();
        }
        let data = open(&Source::Directory(folder.path().into()), &options()).unwrap();
        let counts =
            [Split::Train, Split::Valid, Split::Test].map(|split| data.items(split).unwrap().count());
        assert_eq!(counts, [1, 1, 2]);
    }

    #[test]
    fn bad_tables_are_errors() {
        let problem = |name, text| table(name, text).err().unwrap().to_string();
        assert!(problem("t.txt", "q\ta\n").contains("has no columns; expected a .csv"));
        assert!(problem("t.csv", "q,b\nx,y\n").contains("has no `a`"));
        let (_folder, data) = table("t.csv", "q,a\nx,y\nz\n").unwrap();
        assert!(
            data.train().count().unwrap_err().to_string().contains("line 3: 1 field where the header has 2")
        );
        let unnamed = ReadOptions::default();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, "q,a\nx,y\n").unwrap();
        assert!(
            open(&Source::File(path), &unnamed)
                .unwrap_err()
                .to_string()
                .contains("name the column of the targets")
        );
        let empty = Source::Directory(folder.path().join(""));
        assert!(
            open(&empty, &options()).unwrap_err().to_string().contains("has no training file (train.csv, ")
        );
        assert!(open(&"builtin:story".parse().unwrap(), &options()).is_err());
    }
}
