//! The lock of a bundle: one process writes to it at a time.
//!
//! A run or an export holds an advisory lock on the file `.NAME.lock` beside the bundle, which has the number of
//! its process. The system releases the lock when the process ends, however it ends; a file that a crash leaves
//! behind is taken over by the next run. The lock is shared within a process: a run can be resumed while the
//! object of its first part is still alive.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::swap::{BundlePath, cannot_save};
use crate::{Error, Result};

/// The locks of this process, by path.
static HELD: Mutex<BTreeMap<PathBuf, Weak<LockFile>>> = Mutex::new(BTreeMap::new());

/// A lock, held until it and its copies are dropped.
#[derive(Clone, Debug)]
pub(super) struct Lock {
    _file: Arc<LockFile>,
}

impl Lock {
    /// Lock the bundle at `place`, whose parent folder exists.
    ///
    /// # Errors
    /// If another process holds the lock, or the file cannot be written.
    pub(super) fn acquire(place: &BundlePath) -> Result<Self> {
        let failed = |error: io::Error| cannot_save(place.bundle(), &error);
        let path = fs::canonicalize(place.parent()).map_err(failed)?.join(place.beside_name("lock"));
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = held.get(&path).and_then(Weak::upgrade) {
            return Ok(Self { _file: file });
        }
        let file = Arc::new(lock_file(&path, place.bundle())?);
        held.retain(|_, file| file.strong_count() > 0);
        held.insert(path, Arc::downgrade(&file));
        Ok(Self { _file: file })
    }
}

#[derive(Debug)]
struct LockFile {
    path: PathBuf,
    _locked: File,
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Still locked, so the file belongs to this process. A file that stays does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

fn lock_file(path: &Path, bundle: &Path) -> Result<LockFile> {
    let failed = |error: io::Error| cannot_save(bundle, &error);
    loop {
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.map_err(failed)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(held_by_another(file, bundle)),
            // The file system has no locks: continue unlocked.
            Err(TryLockError::Error(_)) => {}
            // The holder before may have removed the file after it was opened here.
            Ok(()) if !is_at(&file, path) => continue,
            Ok(()) => {}
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", process::id())).map_err(failed)?;
        return Ok(LockFile { path: path.to_path_buf(), _locked: file });
    }
}

fn held_by_another(file: File, bundle: &Path) -> Error {
    let problem = format!(
        "{} is training or exporting to it; wait until it has ended, or choose another option `out`",
        process_of(file)
    );
    Error::file(bundle, problem)
}

/// Return a description of the process whose number a lock file has.
fn process_of(file: File) -> String {
    let mut text = String::new();
    let _ = file.take(32).read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(pid) => format!("another process ({pid})"),
        Err(_) => "another process".to_string(),
    }
}

/// Return a description of the other process that holds the lock of the bundle at `place`; `None` if none does.
pub(super) fn holder(place: &BundlePath) -> Option<String> {
    let file = File::open(place.parent().join(place.beside_name("lock"))).ok()?;
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)).then(|| process_of(file))
}

/// Return whether an open file is still the one of that path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::super::find::find;
    use super::*;

    #[test]
    fn a_process_shares_its_lock_and_removes_the_file_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let place = BundlePath::new(&dir.path().join("model")).unwrap();
        let path = dir.path().join(".model.lock");
        let first = Lock::acquire(&place).unwrap();
        let second = Lock::acquire(&place).unwrap();
        drop(first);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", process::id()));
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn another_holder_is_named_and_a_stale_file_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let place = BundlePath::new(&dir.path().join("model")).unwrap();
        let path = dir.path().join(".model.lock");
        fs::write(&path, "4242\n").unwrap();
        // As another process would: past the registry of this one.
        let other = File::open(&path).unwrap();
        other.try_lock().unwrap();
        let error = Lock::acquire(&place).unwrap_err().to_string();
        assert!(error.contains("model: another process (4242) is training or exporting to it"), "{error}");
        let error = find(place.bundle()).unwrap_err().to_string();
        assert!(error.contains("another process (4242) is training it and has not saved it yet"), "{error}");
        drop(other);
        let lock = Lock::acquire(&place).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", process::id()));
        drop(lock);
    }
}
