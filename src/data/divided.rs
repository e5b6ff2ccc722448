//! Data in train, valid and test: one file, of which a draw sets records aside, or a folder with a file for each.
//!
//! The draw is that of records (see [`SplitRule::Drawn`](super::SplitRule::Drawn)) with a single class: it depends on
//! the number of items alone. A folder without a validation file holds out a fraction of its training file.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use super::draw::{Draw, Quotas};
use super::fingerprint::fingerprint;
use super::fractions::Fractions;
use super::source::Split;
use super::until_error::UntilError;
use crate::listing::listed;
use crate::{Error, Result};

/// The names of a validation file, without extension.
pub(super) const VALID_NAMES: [&str; 4] = ["valid", "validation", "val", "dev"];

/// Items, read lazily. After an error there are no more.
pub type ItemsOf<T> = Box<dyn Iterator<Item = Result<T>> + Send>;

/// A file, or files that belong together, of items: sentences, or pairs of lines.
pub trait Items: Debug + Send + Sync {
    /// One item.
    type Item: Send + 'static;

    /// The path that errors name.
    fn path(&self) -> &Path;

    /// All items in order.
    ///
    /// # Errors
    /// If the file cannot be read. Reading can also fail at each item.
    fn items(&self) -> Result<ItemsOf<Self::Item>>;

    /// The number of items, counted at the first call by reading all of them.
    ///
    /// # Errors
    /// If an item cannot be read.
    fn count(&self) -> Result<u64>;

    /// Notes for the user, each as one line after the name of the file: an encoding that was assumed, lines
    /// that are skipped.
    ///
    /// # Errors
    /// If an item cannot be read.
    fn notes(&self) -> Result<Vec<String>>;
}

impl<I: Items + ?Sized> Items for Box<I> {
    type Item = I::Item;

    fn path(&self) -> &Path {
        (**self).path()
    }

    fn items(&self) -> Result<ItemsOf<Self::Item>> {
        (**self).items()
    }

    fn count(&self) -> Result<u64> {
        (**self).count()
    }

    fn notes(&self) -> Result<Vec<String>> {
        (**self).notes()
    }
}

/// Data in splits.
#[derive(Debug)]
pub struct Divided<F> {
    path: PathBuf,
    train: F,
    valid: Option<F>,
    /// By name.
    tests: BTreeMap<String, F>,
    is_folder: bool,
    fractions: Fractions,
}

impl<F: Items> Divided<F> {
    /// A single file, by default divided 90/5/5.
    pub(super) fn file(file: F) -> Self {
        Self {
            path: file.path().to_path_buf(),
            train: file,
            valid: None,
            tests: BTreeMap::new(),
            is_folder: false,
            fractions: Fractions::default(),
        }
    }

    /// A folder. Without `valid`, a tenth of `train` is held out by default.
    pub(super) fn folder(path: &Path, train: F, valid: Option<F>, tests: BTreeMap<String, F>) -> Self {
        let fractions = Fractions { valid: 0.1, ..Fractions::default() };
        Self { path: path.to_path_buf(), train, valid, tests, is_folder: true, fractions }
    }

    /// A folder with `train`, and perhaps `valid` and `test`, each a file with one of `extensions` that `open` opens;
    /// `None` without `train`.
    ///
    /// # Errors
    /// If there are two files for one split, and errors of `open`.
    pub(super) fn in_folder(
        folder: &Path,
        extensions: &[&str],
        open: impl Fn(&Path) -> Result<F>,
    ) -> Result<Option<Self>> {
        let opened = |names: &[&str]| find(folder, names, extensions)?.map(|path| open(&path)).transpose();
        let Some(train) = opened(&["train"])? else { return Ok(None) };
        let valid = opened(&VALID_NAMES)?;
        let tests = opened(&["test"])?.into_iter().map(|file| ("test".to_string(), file)).collect();
        Ok(Some(Self::folder(folder, train, valid, tests)))
    }

    /// Set the fractions that are held out; without effect on a folder with a validation file.
    ///
    /// # Errors
    /// If a fraction is negative or nothing would be left to train on.
    pub fn with_fractions(mut self, fractions: Fractions) -> Result<Self> {
        fractions.validate()?;
        self.fractions = fractions;
        Ok(self)
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The training file.
    pub fn train(&self) -> &F {
        &self.train
    }

    /// The test files of a folder, by name.
    pub fn tests(&self) -> &BTreeMap<String, F> {
        &self.tests
    }

    /// The split that is evaluated if none is named: the whole of a single file, otherwise the test split.
    pub fn default_split(&self) -> Split {
        if self.is_folder { Split::Test } else { Split::All }
    }

    /// The best split for a final evaluation: test, or else validation; all of a file that is not divided.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn held_out(&self) -> Result<Split> {
        for split in [Split::Test, Split::Valid] {
            if self.has(split)? {
                return Ok(split);
            }
        }
        Ok(Split::All)
    }

    /// A hash of a single file, to recognise the training data of a model; `None` for a folder.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn fingerprint(&self) -> Result<Option<String>> {
        if self.is_folder {
            return Ok(None);
        }
        let hash = fingerprint(&self.path).map_err(|error| Error::file(&self.path, error))?;
        Ok(Some(hash))
    }

    /// Whether there is anything in `split`: false if the folder has no such file or the file is too short.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn has(&self, split: Split) -> Result<bool> {
        match self.drawn(split) {
            Some(fractions) => Ok(self.quotas(fractions)?.total(split) > 0),
            None => Ok(!self.files(split).is_empty()),
        }
    }

    /// The items of a split. Those of several test files follow each other in the order of their names.
    ///
    /// # Errors
    /// If a file cannot be read, or there is nothing in the split. Reading can also fail at each item.
    pub fn items(&self, split: Split) -> Result<ItemsOf<F::Item>> {
        let Some(fractions) = self.drawn(split) else {
            let parts: Vec<ItemsOf<F::Item>> =
                self.files(split).into_iter().map(Items::items).collect::<Result<_>>()?;
            return match parts.is_empty() {
                true => Err(self.absent(split)),
                false => Ok(Box::new(UntilError::new(parts.into_iter().flatten()))),
            };
        };
        let quotas = self.quotas(fractions)?;
        if quotas.total(split) == 0 {
            return Err(self.too_short(split, fractions));
        }
        let mut draw = Draw::new(&quotas);
        let selected = self.train.items()?.filter(move |item| item.is_err() || draw.next("") == split);
        Ok(Box::new(UntilError::new(selected)))
    }

    /// Notes for the user about the files of a split, or about those that training reads if it is `None`.
    /// Each is one line.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn notes(&self, split: Option<Split>) -> Result<Vec<String>> {
        let files = match split {
            None => [self.files(Split::Train), self.valid.iter().collect()].concat(),
            Some(split) => self.files(split),
        };
        let mut notes = vec![];
        for file in files {
            notes.extend(file.notes()?);
        }
        let gives_up = self.is_folder && self.drawn(Split::Valid).is_some();
        if gives_up && matches!(split, None | Some(Split::Valid)) {
            // Without the digits that binary fractions add.
            let percent = (1e6 * self.fractions.valid).round() / 1e4;
            let file = self.train.path().file_name().unwrap_or_default().display();
            notes.push(format!(
                "{}: has no valid file; {percent} % of {file} (drawn at random) is held out for validation \
                 (option `fractions.valid = 0` turns this off)",
                self.path.display()
            ));
        }
        Ok(notes)
    }

    /// The fractions of the draw that a split of the training file takes part in; `None` if it is whole files.
    fn drawn(&self, split: Split) -> Option<Fractions> {
        match (self.is_folder, split) {
            (_, Split::All) => None,
            (false, _) => Some(self.fractions),
            (true, Split::Train | Split::Valid) if self.valid.is_none() && self.fractions.valid > 0. => {
                Some(Fractions { test: 0., ..self.fractions })
            }
            (true, _) => None,
        }
    }

    fn quotas(&self, fractions: Fractions) -> Result<Quotas> {
        Ok(Quotas::new(&BTreeMap::from([(String::new(), self.train.count()?)]), fractions))
    }

    /// The files that a split reads.
    fn files(&self, split: Split) -> Vec<&F> {
        let drawn = self.drawn(split).is_some().then_some(&self.train);
        match split {
            Split::Train => vec![&self.train],
            Split::Valid => drawn.into_iter().chain(&self.valid).collect(),
            Split::Test => drawn.into_iter().chain(self.tests.values()).collect(),
            Split::All => [&self.train].into_iter().chain(&self.valid).chain(self.tests.values()).collect(),
        }
    }

    fn absent(&self, split: Split) -> Error {
        let advice = match split {
            Split::Test => "; option `split = valid` names the validation split",
            _ => "",
        };
        Error::file(&self.path, format!("has no {split} file{advice}"))
    }

    fn too_short(&self, split: Split, fractions: Fractions) -> Error {
        let fraction = match split {
            Split::Valid => fractions.valid,
            Split::Test => fractions.test,
            Split::Train | Split::All => 1.,
        };
        let problem = match (fraction == 0., self.is_folder) {
            (true, _) => format!("has no {split} split, because its fraction is 0; use option `split = all`"),
            (false, true) => format!(
                "is too short to be divided: its {split} split is empty; option `fractions.valid = 0` uses all of it"
            ),
            (false, false) => format!(
                "is too short to set aside a {split} split; use option `split = all`, or a longer file"
            ),
        };
        Error::file(self.train.path(), problem)
    }
}

/// The one file in `folder` called one of `names`, with one of the extensions.
///
/// # Errors
/// If there are two.
pub(super) fn find(folder: &Path, names: &[&str], extensions: &[&str]) -> Result<Option<PathBuf>> {
    let files = names.iter().flat_map(|name| extensions.iter().map(move |kind| format!("{name}.{kind}")));
    let found: Vec<PathBuf> = files.map(|file| folder.join(file)).filter(|path| path.exists()).collect();
    match found.as_slice() {
        [first, second, ..] => {
            let problem = format!("exists beside {}; keep one of them", second.display());
            Err(Error::file(first, problem))
        }
        _ => Ok(found.into_iter().next()),
    }
}

/// `train.a, train.b` for an error about a missing file.
pub(super) fn names_of(name: &str, extensions: &[&str]) -> String {
    listed(extensions.iter().map(|extension| format!("{name}.{extension}")), ", ")
}
