//! The folder of a bundle, or a description of what a path is instead.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::config::is_bundle;
use super::files::CONFIG;
use super::lock;
use super::swap::{BundlePath, exists};
use crate::error::plain;
use crate::{Error, Result};

const HOW: &str = "`Run::start` makes one";

/// Return the folder that holds the files of the bundle at `path`.
///
/// # Errors
/// If it is not a bundle; the error says what it is.
pub(super) fn find(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().is_empty() {
        return Err(Error::file(path, "an empty path names no bundle"));
    }
    if !exists(path) && path.file_name().is_none() {
        return Err(Error::file(path, "does not exist"));
    }
    let place = BundlePath::new(path)?;
    let found = place.readable();
    match fs::metadata(&found) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(Error::file(path, file_problem(&found))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let problem = match lock::holder(&place) {
                Some(process) => {
                    format!("{process} is training it and has not saved it yet; wait for its first save")
                }
                None => format!("there is no bundle here; {HOW}"),
            };
            return Err(Error::file(path, problem));
        }
        Err(error) => return Err(not_accessible(&found, &error)),
    }
    let config = found.join(CONFIG);
    match fs::metadata(&config) {
        Ok(_) => Ok(found),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::file(path, folder_problem(&found))),
        Err(error) => Err(not_accessible(&config, &error)),
    }
}

fn file_problem(file: &Path) -> String {
    match file.parent().is_some_and(is_bundle) {
        true => "is one file of a bundle; give the folder that it lies in".to_string(),
        false => format!("is a file, but a bundle is a folder; {HOW}"),
    }
}

fn folder_problem(folder: &Path) -> String {
    let inside = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    match inside.filter(|path| is_bundle(path)).min() {
        Some(bundle) => format!("is not a bundle, but holds one: {}", bundle.display()),
        None => format!("is not a bundle: it has no {CONFIG}; {HOW}"),
    }
}

fn not_accessible(path: &Path, error: &std::io::Error) -> Error {
    let problem = match error.kind() {
        ErrorKind::PermissionDenied => plain(error),
        _ => format!("cannot be accessed: {}", plain(error)),
    };
    Error::file(path, format!("{problem}; check the permissions of the bundle"))
}
