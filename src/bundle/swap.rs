//! Replacing a directory by a new one in a single step.
//!
//! A save fills `.NAME.partial-PID` beside the bundle and flushes it to disk. Linux and macOS then exchange the
//! two directories in one system call; the partial directory is the previous bundle after that and is removed.
//! If the file system cannot exchange, the bundle is renamed to `.NAME.old` and the partial directory to the
//! bundle. A crash between the two renames leaves the complete previous bundle under `.NAME.old`, which
//! [`BundlePath::readable`] finds and [`BundlePath::recover`] renames back.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;

use super::config::is_bundle;
use super::files::OWN;
use crate::atomic::sync_directory;
use crate::error::plain;
use crate::{Error, Result};

/// The way in which two directories are swapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Swap {
    /// By one system call if there is one, else by two renames.
    Exchange,
    /// By two renames, for tests.
    #[cfg(test)]
    TwoRenames,
}

/// The path of a bundle, resolved.
#[derive(Clone, Debug)]
pub(super) struct BundlePath {
    bundle: PathBuf,
    name: OsString,
}

impl BundlePath {
    /// Return the place that a path names; a link stands for its target.
    ///
    /// # Errors
    /// If the path is a link to nothing, or has no name.
    pub(super) fn new(path: &Path) -> Result<Self> {
        let linked = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
        let bundle = match path.file_name() {
            Some(_) if !linked => path.components().collect(),
            _ => fs::canonicalize(path).map_err(|error| Error::file(path, link_problem(path, &error)))?,
        };
        let name =
            bundle.file_name().ok_or_else(|| Error::file(path, "cannot be a bundle; name a folder in it"))?;
        Ok(Self { name: name.to_os_string(), bundle })
    }

    /// Return the path of the bundle.
    pub(super) fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// Return the directory that contains the bundle.
    pub(super) fn parent(&self) -> &Path {
        match self.bundle.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        }
    }

    /// Return the name `.NAME.suffix`, of an entry beside the bundle.
    pub(super) fn beside_name(&self, suffix: &str) -> OsString {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(".");
        name.push(suffix);
        name
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.parent().join(self.beside_name(suffix))
    }

    fn old(&self) -> PathBuf {
        self.beside("old")
    }

    /// Return the directory to read the bundle from: its own, or `.NAME.old` after a crash between two renames.
    pub(super) fn readable(&self) -> PathBuf {
        match !exists(&self.bundle) && is_bundle(&self.old()) {
            true => self.old(),
            false => self.bundle.clone(),
        }
    }

    /// Rename `.NAME.old` back to the bundle after a crash between two renames.
    pub(super) fn recover(&self) -> Result<()> {
        match self.readable() {
            path if path == self.bundle => Ok(()),
            old => fs::rename(old, &self.bundle).map_err(|error| cannot_save(&self.bundle, &error)),
        }
    }

    /// Create a new directory beside the bundle, and remove those that dead processes left there.
    pub(super) fn begin(&self) -> Result<Partial<'_>> {
        self.clear_leftovers();
        let path = self.beside(&format!("partial-{}", process::id()));
        fs::create_dir(&path).map_err(|error| cannot_save(&self.bundle, &error))?;
        Ok(Partial { _lock: lock(&path).ok(), path, place: self })
    }

    fn clear_leftovers(&self) {
        if exists(&self.bundle) && is_bundle(&self.old()) {
            // Renamed first: an interrupted removal must not leave a partial `.NAME.old`.
            let _ = fs::rename(self.old(), self.beside(&format!("partial-{}", process::id())));
        }
        let prefix = self.beside("partial-");
        let prefix = prefix.file_name().unwrap_or_default().as_encoded_bytes();
        let Ok(entries) = fs::read_dir(self.parent()) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(pid) = name.as_encoded_bytes().strip_prefix(prefix) else { continue };
            let dead = match lock(&entry.path()) {
                // The system releases a lock when its process ends.
                Ok(_) => !pid.is_empty() && pid.iter().all(u8::is_ascii_digit),
                Err(error) if error.kind() == ErrorKind::WouldBlock => false,
                // Without locks, only a directory with this process's number is known to be unused.
                Err(_) => pid == process::id().to_string().as_bytes(),
            };
            if dead {
                // A directory that cannot be removed does no harm.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// A new directory that is being filled. It is removed with its contents when dropped.
pub(super) struct Partial<'a> {
    place: &'a BundlePath,
    path: PathBuf,
    /// Marks this directory as used for other processes.
    _lock: Option<File>,
}

impl Partial<'_> {
    /// Write a file and flush it to disk. `name` may contain a subdirectory.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(&self.path))?;
            let mut file = File::create_new(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|error| cannot_save(&self.place.bundle.join(name), &error))
    }

    /// Make this directory the bundle, and move the user's files over from the previous one.
    pub(super) fn commit(self, swap: Swap) -> Result<()> {
        let bundle = &self.place.bundle;
        let failed = |error| cannot_save(bundle, &error);
        let replaces = exists(bundle);
        if replaces {
            carry_over(bundle, &self.path, Path::new(""))?;
            fs::metadata(bundle)
                .and_then(|old| fs::set_permissions(&self.path, old.permissions()))
                .map_err(failed)?;
        }
        sync_tree(&self.path).map_err(failed)?;
        match swap {
            _ if !replaces => fs::rename(&self.path, bundle),
            // If the exchange fails for any reason, two renames may still succeed.
            Swap::Exchange => exchange(&self.path, bundle).or_else(|_| self.two_renames()),
            #[cfg(test)]
            Swap::TwoRenames => self.two_renames(),
        }
        .map_err(failed)?;
        sync_directory(self.place.parent()).map_err(failed)?;
        if replaces {
            // Files that the user added in the meantime are kept before the previous bundle is removed.
            let _ = carry_over(&self.path, bundle, Path::new(""));
        }
        Ok(())
    }

    fn two_renames(&self) -> io::Result<()> {
        let (bundle, old) = (&self.place.bundle, self.place.old());
        fs::rename(bundle, &old)?;
        fs::rename(&self.path, bundle).inspect_err(|_| {
            let _ = fs::rename(&old, bundle);
        })?;
        sync_directory(self.place.parent())?;
        fs::rename(&old, &self.path)
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        // After a commit there is nothing left to remove. The next save removes leftovers.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Return the error of a failed save, with advice.
pub(super) fn cannot_save(path: &Path, error: &io::Error) -> Error {
    let advice = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "free some space, or let a new run choose another place with option `out`"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "make its folder writable, or let a new run choose another place with option `out`"
        }
        ErrorKind::ResourceBusy | ErrorKind::CrossesDevices => {
            "a mount point cannot be replaced: choose a folder inside it with option `out`"
        }
        _ => "choose another place with option `out`",
    };
    let kept = match path.ancestors().take_while(|folder| *folder != Path::new("")).any(is_bundle) {
        true => " (the bundle from before is untouched)",
        false => "",
    };
    Error::file(path, format!("cannot save: {}; {advice}{kept}", plain(error)))
}

/// Return the reason why a path, possibly a link, cannot be resolved.
fn link_problem(path: &Path, error: &io::Error) -> String {
    match fs::read_link(path) {
        Ok(target) if error.kind() == ErrorKind::NotFound => {
            format!(
                "is a link to {}, which does not exist; create that folder or remove the link",
                target.display()
            )
        }
        _ => plain(error),
    }
}

/// Link or copy the user's files that are missing in another directory to it.
fn carry_over(from: &Path, to: &Path, inside: &Path) -> Result<()> {
    let folder = from.join(inside);
    let failed = |error| cannot_save(&folder, &error);
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let relative = inside.join(entry.file_name());
        let target = to.join(&relative);
        if OWN.iter().any(|own| Path::new(own) == relative) {
            continue;
        }
        if entry.file_type().map_err(failed)?.is_dir() {
            fs::create_dir_all(target).map_err(failed)?;
            carry_over(from, to, &relative)?;
        } else if !exists(&target) {
            // A hard link takes no space and reflects later edits, but not every file system supports it.
            fs::hard_link(entry.path(), &target)
                .or_else(|_| fs::copy(entry.path(), &target).and_then(|_| File::open(&target)?.sync_all()))
                .map_err(|error| cannot_save(&entry.path(), &error))?;
        }
    }
    Ok(())
}

/// Return whether the path exists; true for a dangling link too.
pub(super) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    sync_directory(path)
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn exchange(left: &Path, right: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, left, CWD, right, RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn exchange(_left: &Path, _right: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Lock a directory, unless another process holds its lock. The lock is released when the file is dropped.
#[cfg(unix)]
fn lock(directory: &Path) -> io::Result<File> {
    use rustix::fs::{FlockOperation, flock};
    let file = File::open(directory)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

#[cfg(not(unix))]
fn lock(_directory: &Path) -> io::Result<File> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests;
