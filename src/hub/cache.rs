//! The cache on disk, in the layout of Python's `huggingface_hub`.
//!
//! ```text
//! models--OWNER--NAME/
//!   refs/REVISION           the commit of a branch or tag
//!   blobs/ETAG              contents
//!   snapshots/COMMIT/FILE   a link to contents
//! .locks/models--OWNER--NAME/ETAG.lock
//! ```

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::{Cache, Repo, RepoType};

use super::address::RepoName;
use super::failure::{Failure, Result};
use super::revision::Revision;

/// The number of seconds to wait for another process that downloads the same file.
const LOCK_SECONDS: usize = 5;

/// A repository at a revision, as the cache has it.
pub(super) struct Cached<'a> {
    cache: &'a Path,
    repo: Repo,
    revision: &'a Revision,
}

impl<'a> Cached<'a> {
    /// A repository of models or data sets.
    pub(super) fn new(cache: &'a Path, kind: RepoType, name: &RepoName, revision: &'a Revision) -> Self {
        let repo = Repo::with_revision(name.to_string(), kind, revision.to_string());
        Self { cache, repo, revision }
    }

    /// The path of a file, if the cache has it.
    pub(super) fn find(&self, file: &str) -> Option<PathBuf> {
        let path = self.snapshot(&self.commit()?).join(file);
        path.exists().then_some(path)
    }

    /// The commit of the revision, if the cache knows it.
    fn commit(&self) -> Option<String> {
        if self.revision.is_commit() {
            return Some(self.revision.to_string());
        }
        let reference = self.folder().join("refs").join(self.revision.as_str());
        let commit = std::fs::read_to_string(reference).ok()?.trim().to_string();
        // It is a part of a path, and anyone may have written it.
        is_file_name(&commit).then_some(commit)
    }

    /// The path of contents.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder().join("blobs").join(etag)
    }

    /// Lock contents against other processes that download them. The lock ends with the file that is returned.
    ///
    /// # Errors
    /// If another process keeps the lock, or it cannot be made.
    pub(super) fn lock(&self, etag: &str) -> Result<File> {
        let path = self.cache.join(".locks").join(self.repo.folder_name()).join(format!("{etag}.lock"));
        create_parent(&path)?;
        let failed = |error| Failure::Cache(path.clone(), error);
        let file = File::create(&path).map_err(failed)?;
        for second in 0..=LOCK_SECONDS {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if second < LOCK_SECONDS => {
                    std::thread::sleep(Duration::from_secs(1));
                }
                Err(TryLockError::WouldBlock) => break,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        Err(Failure::Locked(path))
    }

    /// Make the contents `etag` the file `file` of `commit`, and the revision that commit. Returns the path of the
    /// file.
    ///
    /// # Errors
    /// If the cache cannot be written.
    pub(super) fn add(&self, etag: &str, commit: &str, file: &str) -> Result<PathBuf> {
        let pointer = self.snapshot(commit).join(file);
        create_parent(&pointer)?;
        link(&self.blob(etag), &pointer, file).map_err(|error| Failure::Cache(pointer.clone(), error))?;
        if !self.revision.is_commit() {
            let cached = Cache::new(self.cache.to_path_buf()).repo(self.repo.clone());
            cached.create_ref(commit).map_err(|error| Failure::Cache(self.folder(), error))?;
        }
        Ok(pointer)
    }

    fn snapshot(&self, commit: &str) -> PathBuf {
        Cache::new(self.cache.to_path_buf()).repo(self.repo.clone()).pointer_path(commit)
    }

    fn folder(&self) -> PathBuf {
        self.cache.join(self.repo.folder_name())
    }
}

/// Whether a name from a server is the name of a file, and no path out of its folder.
pub(super) fn is_file_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.len() <= 200 && name.chars().all(is_plain)
}

/// Make the folder that a file lies in.
pub(super) fn create_parent(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(|error| Failure::Cache(folder.to_path_buf(), error))
}

/// Make `pointer`, the path of `file` in the folder of its revision, a link to its contents; a copy on systems without
/// symbolic links.
fn link(blob: &Path, pointer: &Path, file: &str) -> std::io::Result<()> {
    if pointer.exists() {
        return Ok(());
    }
    // From `snapshots/COMMIT/FILE` to `blobs/ETAG`.
    let mut target: PathBuf = std::iter::repeat_n("..", 2 + file.matches('/').count()).collect();
    target.extend(["blobs".as_ref(), blob.file_name().unwrap_or_default()]);
    match symlink(&target, pointer) {
        // A link to contents that were deleted, or another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) if cfg!(unix) => Err(error),
        Err(_) => std::fs::copy(blob, pointer).map(drop),
        Ok(()) => Ok(()),
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_a_server_are_no_paths() {
        assert!(is_file_name("0123abc-ef") && is_file_name("tag.1_2"));
        for name in ["", "..", ".hidden", "a/b", "a\\b", "a b"] {
            assert!(!is_file_name(name), "{name:?}");
        }
    }

    #[test]
    fn reference_out_of_the_cache_is_not_followed() {
        let cache = tempfile::tempdir().unwrap();
        let (name, revision) = ("me/lstm".parse().unwrap(), Revision::default());
        let cached = Cached::new(cache.path(), RepoType::Model, &name, &revision);
        let folder = cache.path().join("models--me--lstm");
        std::fs::create_dir_all(folder.join("refs")).unwrap();
        std::fs::create_dir_all(folder.join("snapshots/c0")).unwrap();
        std::fs::write(folder.join("config.json"), "").unwrap();
        std::fs::write(folder.join("snapshots/c0/config.json"), "").unwrap();
        let found = |commit: &str| {
            std::fs::write(folder.join("refs/main"), commit).unwrap();
            cached.find("config.json").is_some()
        };
        assert!(found("c0") && !found("..") && !found("../snapshots/c0"));
    }
}
