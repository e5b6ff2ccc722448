//! A bundle as one commit on the hub.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::address::RepoName;
use super::card::with_metadata;
use super::client::Client;
use super::commit::{Candidate, Change, UploadMode, commit, upload_modes};
use super::content_hash::{git_blob, sha256};
use super::endpoint::Endpoint;
use super::large_files::{LargeFile, upload};
use super::repository::Repository;
use super::revision::Revision;
use crate::bundle::{self, FileContents, Publication, PublishedFile};
use crate::{Error, Result, regular_file};

/// The largest file that is part of the commit itself, in bytes. Larger ones are uploaded by Git LFS.
const LARGEST_IN_COMMIT: u64 = 10 << 20;

/// The number of bytes from which the hub tells text from other data.
const SAMPLE: usize = 512;

/// Options of a push.
#[derive(Clone, Debug, Default)]
pub struct Push {
    /// Whether a new repository is private. One that exists as a public one is refused.
    pub private: bool,
    /// The branch; made if it does not exist.
    pub revision: Revision,
    /// The message of the commit; names the bundle if `None`.
    pub message: Option<String>,
    /// The identifier of the licence, as `mit`, for the model card.
    pub license: Option<String>,
}

/// The result of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The address of the commit; that of the repository if nothing has changed.
    pub url: String,
    /// The files that the commit added or replaced.
    pub sent: Vec<&'static str>,
    /// The files that the commit removed: those of a bundle that this one lacks.
    pub removed: Vec<&'static str>,
    /// The files that the repository had already.
    pub unchanged: Vec<&'static str>,
}

/// Push the files of the bundle at `path` to a repository of models, in one commit. The model card there has metadata;
/// the bundle on disk does not change. The repository is made if it does not exist.
///
/// # Errors
/// If the bundle is broken, or changes meanwhile; without a token, or with one that may not write; offline; if the hub
/// cannot be reached or refuses a file; if another commit comes first.
pub fn push(endpoint: &Endpoint, path: &Path, name: &RepoName, options: &Push) -> Result<Pushed> {
    if endpoint.offline {
        return Err(Error::Message(format!(
            "{name}: cannot be pushed while HF_HUB_OFFLINE is set; unset it"
        )));
    }
    if endpoint.token.is_none() {
        let problem = "pushing needs a token; set HF_TOKEN to one that may write";
        return Err(Error::Message(format!("{name}: {problem}")));
    }
    let loaded = bundle::load(path)?;
    loaded.check()?;
    let card = with_metadata(&loaded.card()?, &loaded, name.name(), options.license.as_deref())?;
    let Publication { files, absent } = loaded.publication(card)?;
    let files = files.into_iter().map(Prepared::new).collect::<Result<Vec<_>>>()?;

    let client = Client::new(endpoint)
        .map_err(|failure| Error::Message(format!("{}: {}", endpoint.url, failure.problem())))?;
    let repository = Repository { client: &client, hub: &endpoint.url, name, revision: &options.revision };
    repository.create(options.private)?;
    let description = repository.open()?;
    let candidates: Vec<Candidate<'_>> = files.iter().map(Prepared::candidate).collect();
    let mut modes = upload_modes(&repository, &candidates)?;
    let mut plan = Plan::default();
    for file in &files {
        plan.add(file, modes.remove(file.name))?;
    }
    plan.removed = absent.into_iter().filter(|name| description.has(name)).collect();
    upload(&repository, &plan.large)?;
    if let Some(changed) = files.iter().find(|file| file.has_changed()) {
        return Err(Error::file(&changed.path, "has changed while it was pushed; push the bundle again"));
    }
    let Plan { small, large_names, large, removed, unchanged } = plan;
    let added = small.iter().map(|&(name, contents)| Change::Add { name, contents });
    let linked = large_names.iter().zip(&large);
    let linked = linked.map(|(name, file)| Change::Link { name, oid: file.oid, size: file.size });
    let dropped = removed.iter().map(|name| Change::Remove { name });
    let changes: Vec<Change<'_>> = added.chain(linked).chain(dropped).collect();
    let sent = small.iter().map(|(name, _)| *name).chain(large_names.iter().copied()).collect();
    if changes.is_empty() {
        return Ok(Pushed { url: repository.page(), sent, removed, unchanged });
    }
    let title = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let message = options.message.clone().unwrap_or_else(|| format!("Push {title} with rnn-zoo"));
    let url = commit(&repository, &message, description.sha.as_deref(), &changes)?;
    Ok(Pushed { url, sent, removed, unchanged })
}

/// A file of a bundle, ready to be sent.
struct Prepared {
    name: &'static str,
    /// The path on disk; for contents that are not on disk, the name.
    path: PathBuf,
    size: u64,
    /// The time when the file on disk was last written.
    modified: Option<SystemTime>,
    /// The contents of a small file; the first bytes of a large one.
    bytes: Vec<u8>,
    /// The SHA-256 hash of a large file.
    sha256: Option<String>,
}

impl Prepared {
    fn new(file: PublishedFile) -> Result<Self> {
        let PublishedFile { name, contents } = file;
        let path = match contents {
            FileContents::Text(text) => {
                let (size, bytes) = (text.len() as u64, text.into_bytes());
                return Ok(Self { name, path: name.into(), size, modified: None, bytes, sha256: None });
            }
            FileContents::OnDisk(path) => path,
        };
        let (size, modified) = state(&path)?;
        // The hub wants safetensors by LFS whatever their size, so every file on disk has its hash.
        let sha256 = Some(sha256(&path)?);
        let bytes =
            if size > LARGEST_IN_COMMIT { vec![] } else { regular_file::read(&path, LARGEST_IN_COMMIT)? };
        Ok(Self { name, path, size, modified, bytes, sha256 })
    }

    fn candidate(&self) -> Candidate<'_> {
        Candidate { name: self.name, size: self.size, sample: &self.bytes[..self.bytes.len().min(SAMPLE)] }
    }

    /// Whether the file on disk is no longer the one that was prepared.
    fn has_changed(&self) -> bool {
        self.modified.is_some_and(|modified| state(&self.path).ok() != Some((self.size, Some(modified))))
    }
}

/// The size of a file, and when it was last written, if the system knows.
fn state(path: &Path) -> Result<(u64, Option<SystemTime>)> {
    let metadata =
        fs::metadata(path).map_err(|error| Error::file(path, format!("cannot be read: {error}")))?;
    Ok((metadata.len(), metadata.modified().ok()))
}

/// The files of a push by what becomes of them.
#[derive(Default)]
struct Plan<'a> {
    small: Vec<(&'static str, &'a [u8])>,
    large: Vec<LargeFile<'a>>,
    /// The names of `large`.
    large_names: Vec<&'static str>,
    removed: Vec<&'static str>,
    unchanged: Vec<&'static str>,
}

impl<'a> Plan<'a> {
    /// Add a file as the hub wants it. What is not on disk is small.
    fn add(&mut self, file: &'a Prepared, mode: Option<UploadMode>) -> Result<()> {
        let Some(mode) = mode else {
            return Err(Error::Message(format!(
                "{}: the hub does not say how it wants this file",
                file.name
            )));
        };
        if mode.ignored {
            let problem =
                "is left out by the repository's .gitignore; remove its line from .gitignore, and push again";
            return Err(Error::file(file.name, problem));
        }
        // LFS stores no file without bytes.
        let by_lfs = file.size > LARGEST_IN_COMMIT || (mode.is_large() && file.size > 0);
        let large = file.sha256.as_deref().filter(|_| by_lfs);
        let oid = match large {
            Some(sha256) => sha256.to_string(),
            None => {
                git_blob(file.bytes.as_slice(), file.size).map_err(|error| Error::file(&file.path, error))?
            }
        };
        match large {
            _ if mode.oid.as_ref() == Some(&oid) => self.unchanged.push(file.name),
            Some(sha256) => {
                self.large.push(LargeFile { path: &file.path, oid: sha256, size: file.size });
                self.large_names.push(file.name);
            }
            None => self.small.push((file.name, &file.bytes)),
        }
        Ok(())
    }
}
