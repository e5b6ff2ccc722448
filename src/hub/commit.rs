//! A commit of several files: how the hub wants each, and the commit itself.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::repository::Repository;
use super::request::Request;
use crate::Result;

/// A file on its way into a commit.
pub(super) struct Candidate<'a> {
    pub(super) name: &'a str,
    pub(super) size: u64,
    /// The first bytes of the contents, from which the hub tells text from other data.
    pub(super) sample: &'a [u8],
}

/// The way in which the hub wants a file uploaded.
#[derive(Debug, Deserialize)]
pub(super) struct UploadMode {
    path: String,
    #[serde(rename = "uploadMode")]
    mode: String,
    /// Whether the repository's `.gitignore` leaves the file out.
    #[serde(default, rename = "shouldIgnore")]
    pub(super) ignored: bool,
    /// The hash of the contents that the repository has under this name.
    #[serde(default)]
    pub(super) oid: Option<String>,
}

impl UploadMode {
    /// Whether the file is uploaded by Git LFS.
    pub(super) fn is_large(&self) -> bool {
        self.mode == "lfs"
    }
}

/// A change of a commit.
pub(super) enum Change<'a> {
    /// A small file, with its contents.
    Add { name: &'a str, contents: &'a [u8] },
    /// A file that has been uploaded by Git LFS.
    Link { name: &'a str, oid: &'a str, size: u64 },
    /// A file to remove.
    Remove { name: &'a str },
}

impl Change<'_> {
    fn to_json(&self) -> Value {
        match self {
            Self::Add { name, contents } => json!({
                "key": "file",
                "value": { "path": name, "content": STANDARD.encode(contents), "encoding": "base64" },
            }),
            Self::Link { name, oid, size } => json!({
                "key": "lfsFile",
                "value": { "path": name, "algo": "sha256", "oid": oid, "size": size },
            }),
            Self::Remove { name } => json!({ "key": "deletedFile", "value": { "path": name } }),
        }
    }
}

/// Ask the hub how it wants the files; by name.
///
/// # Errors
/// If the hub does not answer, or not as expected.
pub(super) fn upload_modes(
    repository: &Repository<'_>,
    files: &[Candidate<'_>],
) -> Result<HashMap<String, UploadMode>> {
    #[derive(Deserialize)]
    struct Modes {
        files: Vec<UploadMode>,
    }
    let url = repository.api(&format!("/preupload/{}", repository.revision.in_path()));
    let described = |file: &Candidate<'_>| json!({ "path": file.name, "size": file.size, "sample": STANDARD.encode(file.sample) });
    let question = json!({ "files": files.iter().map(described).collect::<Vec<_>>() });
    let answer = Request::post(&url, &question).and_then(|request| repository.client.json(&request));
    let Modes { files } = answer.map_err(|failure| repository.failed(&url, &failure))?;
    Ok(files.into_iter().map(|mode| (mode.path.clone(), mode)).collect())
}

/// Make a commit on top of `parent`. Returns its address on the hub.
///
/// # Errors
/// If the hub refuses it: another commit came first, or the token may not write.
pub(super) fn commit(
    repository: &Repository<'_>,
    message: &str,
    parent: Option<&str>,
    changes: &[Change<'_>],
) -> Result<String> {
    #[derive(Deserialize)]
    struct Committed {
        #[serde(rename = "commitUrl")]
        url: String,
    }
    let mut header = json!({ "summary": message, "description": "" });
    if let Some(parent) = parent {
        header["parentCommit"] = parent.into();
    }
    let lines = [json!({ "key": "header", "value": header })].into_iter();
    let lines = lines.chain(changes.iter().map(Change::to_json));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    let url = repository.api(&format!("/commit/{}", repository.revision.in_path()));
    let request = Request::post_once(&url, text.into_bytes());
    let request = request.map(|request| request.with("Content-Type", "application/x-ndjson"));
    let answer = request.and_then(|request| repository.client.json(&request));
    let Committed { url } = answer.map_err(|failure| repository.failed(&url, &failure))?;
    Ok(url)
}
