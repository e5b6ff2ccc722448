//! Downloads into the cache: continued where they were cut, and compared with the hash that the hub announces.
//!
//! The hub answers most requests for a file with a redirect to another host, which stores the data. The hub's answer
//! names the contents and the commit, the last answer has the size.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, RANGE};
use ureq::http::{HeaderMap, StatusCode};

use super::cache::{Cached, create_parent, is_file_name};
use super::client::{Client, Waits};
use super::content_hash::is_named;
use super::failure::{Failure, Result};
use super::request::Request;

/// The properties of a file of the hub.
struct Metadata {
    etag: String,
    commit: String,
    size: u64,
}

/// Download the file at `url`, which is `file` of a repository, into the cache. Returns its path there.
///
/// # Errors
/// If the file is not downloaded whole, or its hash is wrong. A partial download is continued by the next call.
pub(super) fn download(client: &Client, url: &str, cached: &Cached<'_>, file: &str) -> Result<PathBuf> {
    let metadata = metadata(client, url)?;
    let Metadata { etag, commit, size } = &metadata;
    let blob = cached.blob(etag);
    create_parent(&blob)?;
    let lock = cached.lock(etag)?;
    // Another revision may have the same contents.
    if std::fs::metadata(&blob).map(|blob| blob.len()).ok() != Some(*size) {
        fetch(client, url, &blob, &metadata)?;
    }
    drop(lock);
    cached.add(etag, commit, file)
}

/// Request the first byte of a file.
fn metadata(client: &Client, url: &str) -> Result<Metadata> {
    let answer = match client.send(&Request::get(url)?.with(RANGE.as_str(), "bytes=0-0")) {
        // A file without bytes has no first one.
        Err(Failure::Status(416, _)) => client.send(&Request::get(url)?)?,
        answer => answer?,
    };
    let missing = |name: &str| Failure::Protocol(format!("its answer has no usable {name}"));
    let (etag, commit) = answer
        .of_hub
        .iter()
        .find_map(names)
        .filter(|(etag, commit)| is_file_name(etag) && is_file_name(commit))
        .ok_or_else(|| missing("ETag and X-Repo-Commit"))?;
    match range(answer.response.headers()) {
        Some((0, size)) => Ok(Metadata { etag, commit, size }),
        // A server that cannot send a part of a file, or a file without bytes.
        _ if answer.response.status() == StatusCode::OK => {
            let size = text(answer.response.headers(), CONTENT_LENGTH.as_str());
            let size = size.and_then(|size| size.parse().ok()).ok_or_else(|| missing("Content-Length"))?;
            Ok(Metadata { etag, commit, size })
        }
        _ => Err(missing("Content-Range")),
    }
}

/// The names of the contents and of the commit in an answer of the hub.
fn names(headers: &HeaderMap) -> Option<(String, String)> {
    let commit = text(headers, "x-repo-commit")?;
    let etag = text(headers, "x-linked-etag").or_else(|| text(headers, ETAG.as_str()))?;
    Some((etag.trim_start_matches("W/").replace('"', ""), commit.to_string()))
}

/// The first byte of an answer, and the size of the whole file.
fn range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let (range, size) = text(headers, CONTENT_RANGE.as_str())?.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, size.parse().ok()?))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Download contents to `blob`. They lie beside it until they are whole and have the right hash.
fn fetch(client: &Client, url: &str, blob: &Path, metadata: &Metadata) -> Result<()> {
    let partial = blob.with_file_name(format!("{}.incomplete", metadata.etag));
    let failed = |error| Failure::Cache(partial.clone(), error);
    let mut file = OpenOptions::new().append(true).create(true).open(&partial).map_err(failed)?;
    let bar = ProgressBar::new(metadata.size);
    let mut waits = Waits::new();
    loop {
        let before = file.metadata().map_err(failed)?.len();
        match proceed(client, url, &partial, &mut file, metadata.size, &bar) {
            Ok(()) => break,
            Err(failure @ Failure::Connection { again: true, .. }) => {
                // A download that proceeds goes on, however often it is cut.
                if file.metadata().map_err(failed)?.len() > before {
                    waits = Waits::new();
                } else if !waits.next_after(None)? {
                    return Err(failure);
                }
            }
            Err(failure) => return Err(failure),
        }
    }
    bar.finish();
    if !is_named(&partial, &metadata.etag).map_err(failed)? {
        std::fs::remove_file(&partial).map_err(failed)?;
        return Err(Failure::Damaged);
    }
    file.sync_all().map_err(failed)?;
    std::fs::rename(&partial, blob).map_err(|error| Failure::Cache(blob.to_path_buf(), error))
}

/// Download what `file`, at `path`, lacks of `size` bytes, as far as the connection lasts.
fn proceed(
    client: &Client,
    url: &str,
    path: &Path,
    file: &mut File,
    size: u64,
    bar: &ProgressBar,
) -> Result<()> {
    let failed = |error| Failure::Cache(path.to_path_buf(), error);
    let mut present = file.metadata().map_err(failed)?.len();
    if present >= size {
        // The rest of another download.
        file.set_len(0).map_err(failed)?;
        present = 0;
    }
    if size == 0 {
        return Ok(());
    }
    let answer = client.send(&Request::get(url)?.with(RANGE.as_str(), format!("bytes={present}-")))?;
    if answer.response.status() != StatusCode::PARTIAL_CONTENT {
        file.set_len(0).map_err(failed)?; // The answer is the whole file.
        present = 0;
    } else if range(answer.response.headers()) != Some((present, size)) {
        return Err(Failure::Protocol("it sent another part of the file than was asked for".into()));
    }
    bar.set_position(present);
    // One byte more would show that the announced size is wrong.
    let body = answer.response.into_body().into_reader().take(size - present + 1);
    copy(bar.wrap_read(body), file, path)?;
    match file.metadata().map_err(failed)?.len() {
        arrived if arrived < size => {
            Err(Failure::Connection { problem: format!("{arrived} of {size} bytes arrived"), again: true })
        }
        arrived if arrived > size => {
            file.set_len(0).map_err(failed)?;
            Err(Failure::Protocol(format!("it sent more than the {size} bytes that it announced")))
        }
        _ => Ok(()),
    }
}

/// Append what arrives to `file`, at `path`. The connection may fail, or the disk.
fn copy(mut body: impl Read, file: &mut File, path: &Path) -> Result<()> {
    let mut piece = vec![0; 1 << 16];
    loop {
        let count = match body.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::Connection { problem: error.to_string(), again: true }),
        };
        file.write_all(&piece[..count]).map_err(|error| Failure::Cache(path.to_path_buf(), error))?;
    }
}
