//! Uploads of large files by Git LFS: the hub names an address for each that it lacks, and checks what arrived.
//!
//! The transfer `basic` is one request with the whole file. `multipart`, the hub's own, is a request for each part and
//! one that joins them.

use std::collections::BTreeMap;
use std::path::Path;

use indicatif::ProgressBar;
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::header::{ACCEPT, CONTENT_TYPE, ETAG};

use super::failure::Failure;
use super::repository::Repository;
use super::request::{FilePart, Request};
use crate::{Error, Result};

/// The type of requests and answers of Git LFS.
const LFS_JSON: &str = "application/vnd.git-lfs+json";

/// The header with the size of a part. Headers that are numbers are addresses of parts.
const PART_SIZE: &str = "chunk_size";

/// A file to upload.
pub(super) struct LargeFile<'a> {
    pub(super) path: &'a Path,
    /// The SHA-256 hash of its contents, in hexadecimal.
    pub(super) oid: &'a str,
    pub(super) size: u64,
}

/// The hub's answer for several files.
#[derive(Deserialize)]
struct Batch {
    objects: Vec<Object>,
}

/// The hub's answer for a file.
#[derive(Deserialize)]
struct Object {
    oid: String,
    /// Absent if the hub has the contents.
    actions: Option<Actions>,
    error: Option<ObjectError>,
}

#[derive(Deserialize)]
struct ObjectError {
    message: String,
}

#[derive(Deserialize)]
struct Actions {
    upload: Option<Action>,
    verify: Option<Action>,
}

/// A request that the hub asks for.
#[derive(Deserialize)]
struct Action {
    href: String,
    #[serde(default)]
    header: BTreeMap<String, Value>,
}

impl Action {
    /// A header as text, whether it is a text or a number.
    fn text(value: &Value) -> String {
        value.as_str().map_or_else(|| value.to_string(), String::from)
    }

    /// The headers that requests have.
    fn headers(&self) -> impl Iterator<Item = (&String, String)> {
        let is_own = |name: &String| name != PART_SIZE && name.parse::<u64>().is_err();
        self.header
            .iter()
            .filter(move |(name, _)| is_own(name))
            .map(|(name, value)| (name, Self::text(value)))
    }

    /// The size of the parts, and the address of each, in order; `None` if the file is uploaded as a whole.
    fn parts(&self) -> Option<(u64, Vec<String>)> {
        let size = Self::text(self.header.get(PART_SIZE)?).parse().unwrap_or(0);
        let numbered =
            self.header.iter().filter_map(|(name, url)| Some((name.parse::<u64>().ok()?, Self::text(url))));
        let parts: BTreeMap<u64, String> = numbered.collect();
        Some((size, parts.into_values().collect()))
    }
}

/// Upload the files whose contents the hub lacks.
///
/// # Errors
/// If a file cannot be read, or the hub does not take it.
pub(super) fn upload(repository: &Repository<'_>, files: &[LargeFile<'_>]) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let url = format!("{}.git/info/lfs/objects/batch", repository.page());
    let failed = |failure: &Failure| repository.failed(&url, failure);
    let objects: Vec<Value> =
        files.iter().map(|file| json!({ "oid": file.oid, "size": file.size })).collect();
    let wanted = json!({
        "operation": "upload",
        "transfers": ["basic", "multipart"],
        "objects": objects,
        "hash_algo": "sha256",
        "ref": { "name": repository.revision.as_str() },
    });
    let request = Request::post(&url, &wanted).map_err(|failure| failed(&failure))?;
    let request = request.with(ACCEPT.as_str(), LFS_JSON);
    let batch: Batch = repository.client.json(&request).map_err(|failure| failed(&failure))?;
    for file in files {
        let object =
            batch.objects.iter().find(|object| object.oid == file.oid).ok_or_else(|| {
                failed(&Failure::Protocol(format!("its answer lacks {}", file.path.display())))
            })?;
        if let Some(ObjectError { message }) = &object.error {
            let refused = format!("it refuses {}: {message}", file.path.display());
            return Err(Error::Message(format!("{url}: {}", refused.replace(['\n', '\r'], " "))));
        }
        let Some(actions) = &object.actions else { continue };
        if let Some(action) = &actions.upload {
            send(repository, file, action)?;
        }
        if let Some(action) = &actions.verify {
            post(repository, action, &json!({ "oid": file.oid, "size": file.size }))?;
        }
    }
    Ok(())
}

/// Upload a file as the hub asks for it.
fn send(repository: &Repository<'_>, file: &LargeFile<'_>, action: &Action) -> Result<()> {
    let bar = ProgressBar::new(file.size);
    let whole = FilePart { path: file.path, start: 0, size: file.size, bar: &bar };
    match action.parts() {
        None => put(repository, &action.href, whole, action).map(drop)?,
        Some((part, urls)) => {
            if part == 0 || urls.len() as u64 != file.size.div_ceil(part) {
                let problem = format!("it asks for {} parts of {part} bytes", urls.len());
                return Err(repository.failed(&action.href, &Failure::Protocol(problem)));
            }
            let mut stored = vec![];
            for (number, url) in (1..).zip(&urls) {
                let start = (number - 1) * part;
                let piece = FilePart { start, size: part.min(file.size - start), ..whole };
                let etag = put(repository, url, piece, action)?.ok_or_else(|| {
                    repository.failed(url, &Failure::Protocol("its answer has no ETag".into()))
                })?;
                stored.push(json!({ "partNumber": number, "etag": etag }));
            }
            let joined = Action { href: action.href.clone(), header: BTreeMap::new() };
            post(repository, &joined, &json!({ "oid": file.oid, "parts": stored }))?;
        }
    }
    bar.finish();
    Ok(())
}

/// Store a part of a file at `url`. Returns the ETag of the answer.
fn put(
    repository: &Repository<'_>,
    url: &str,
    part: FilePart<'_>,
    action: &Action,
) -> Result<Option<String>> {
    let failed = |failure: Failure| repository.failed(url, &failure);
    let mut request = Request::put(url, part).map_err(failed)?;
    // Those of an action with parts are for their addresses.
    if action.parts().is_none() {
        for (name, value) in action.headers() {
            request = request.with(name, value);
        }
    }
    let answer = repository.client.send(&request).map_err(failed)?;
    Ok(answer.response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).map(String::from))
}

/// Send JSON to the address of an action.
fn post(repository: &Repository<'_>, action: &Action, value: &Value) -> Result<()> {
    let failed = |failure: Failure| repository.failed(&action.href, &failure);
    let mut request = Request::post(&action.href, value).map_err(failed)?;
    request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(CONTENT_TYPE.as_str()));
    request = request.with(CONTENT_TYPE.as_str(), LFS_JSON).with(ACCEPT.as_str(), LFS_JSON);
    for (name, value) in action.headers() {
        request = request.with(name, value);
    }
    repository.client.send(&request).map(drop).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_in_the_order_of_their_numbers() {
        let action: Action = serde_json::from_value(json!({
            "href": "h", "header": { "chunk_size": "5", "10": "c", "2": "b", "1": "a", "x-key": "v" },
        }))
        .unwrap();
        assert_eq!(action.parts(), Some((5, vec!["a".into(), "b".into(), "c".into()])));
        assert_eq!(action.headers().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x-key"]);
        let whole: Action = serde_json::from_value(json!({ "href": "h" })).unwrap();
        assert_eq!(whole.parts(), None);
    }
}
