//! Files of the Hugging Face hub, downloaded once and kept in its cache.
//!
//! A file that is in the cache is used as it is, without asking the hub whether it has changed. Delete it there to
//! download it again. The cache is the one that Python's `huggingface_hub` uses.

use std::path::{Path, PathBuf};

use hf_hub::RepoType;
use serde_json::Value;

use super::address::{BundleAddress, FileAddress, RepoName};
use super::cache::Cached;
use super::client::Client;
use super::download::download;
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::revision::Revision;
use crate::{Error, Result};

/// The files that every bundle has: `CONFIG` is downloaded first, `MODEL` last.
const CONFIG: &str = "config.json";
const MODEL: &str = "model.safetensors";

/// Files that a bundle may have too. If a tokenizer is missing that the model needs, loading the bundle says so.
const OPTIONAL: [&str; 6] =
    ["SHA256SUMS", "tokenizer.json", "README.md", "metrics.jsonl", "recipe.toml", "curve.svg"];

/// Return the path of the local copy of a file of a data set, and download it if there is none.
///
/// # Errors
/// If there is no such file, it needs a token, the connection fails, what arrives is damaged, or the cache cannot be
/// written. The message names the address. An interrupted download is never taken for a whole file.
pub fn data_file(endpoint: &Endpoint, address: &FileAddress) -> Result<PathBuf> {
    let FileAddress { repo, revision, file } = address;
    Place { endpoint, kind: RepoType::Dataset, repo, revision }.fetch(file).map_err(|problem| problem.error)
}

/// Return a local folder with the files of a bundle, all of the same commit. The model is downloaded last: if the
/// folder has it, nothing is downloaded but a tokenizer that the configuration names and other programs left out.
///
/// # Errors
/// As [`data_file`]. Only the configuration and the model must exist.
pub fn bundle(endpoint: &Endpoint, address: &BundleAddress) -> Result<PathBuf> {
    let place = Place { endpoint, kind: RepoType::Model, repo: &address.repo, revision: &address.revision };
    let config = place.fetch(CONFIG).map_err(|problem| problem.error)?;
    let misplaced = || Error::file(&config, "lies in an unexpected place; clear the cache of the hub");
    let folder = config.parent().ok_or_else(misplaced)?.to_path_buf();
    if folder.join(MODEL).exists() && (endpoint.offline || !lacks_tokenizer(&folder)) {
        return Ok(folder);
    }
    let commit = folder.file_name().and_then(|name| name.to_str()).ok_or_else(misplaced)?;
    let place = Place { revision: &commit.parse()?, ..place };
    for file in OPTIONAL.into_iter().filter(|file| !folder.join(file).exists()) {
        match place.fetch(file) {
            Err(problem) if !problem.absent => return Err(problem.error),
            _ => {}
        }
    }
    place.fetch(MODEL).map_err(|problem| problem.error)?;
    Ok(folder)
}

/// Whether the configuration names a tokenizer that is not in the folder.
fn lacks_tokenizer(folder: &Path) -> bool {
    let config = std::fs::read(folder.join(CONFIG)).unwrap_or_default();
    let config: Value = serde_json::from_slice(&config).unwrap_or_default();
    !config["tokenizer"].is_null() && !folder.join("tokenizer.json").exists()
}

/// A file that was not downloaded.
struct FetchError {
    error: Error,
    /// Whether the hub, or the cache when offline, has no such file.
    absent: bool,
}

/// A repository at a revision.
struct Place<'a> {
    endpoint: &'a Endpoint,
    kind: RepoType,
    repo: &'a RepoName,
    revision: &'a Revision,
}

impl Place<'_> {
    /// Return the path of a file in the cache. If it is not there, download it from the hub.
    fn fetch(&self, file: &str) -> Result<PathBuf, FetchError> {
        let Self { endpoint, kind, repo, revision } = self;
        let folder = if matches!(kind, RepoType::Dataset) { "datasets/" } else { "" };
        let url = format!("{}/{folder}{repo}/resolve/{}/{file}", endpoint.url, revision.in_path());
        if file.contains(|c: char| c.is_whitespace() || c.is_control() || "?#\\".contains(c))
            || file.split('/').any(|part| matches!(part, "" | "." | ".."))
        {
            return Err(refused(&url, "is not an address; write %20 for a space", false));
        }
        let cached = Cached::new(&endpoint.cache, *kind, repo, revision);
        if let Some(path) = cached.find(file) {
            return Ok(path);
        }
        if endpoint.offline {
            let place = endpoint.cache.display();
            let problem = format!("is not in {place}, and HF_HUB_OFFLINE forbids downloading it");
            return Err(refused(&url, &problem, true));
        }
        let client = Client::new(endpoint).map_err(|failure| explain(&url, &failure))?;
        download(&client, &url, &cached, file).map_err(|failure| explain(&url, &failure))
    }
}

fn explain(url: &str, failure: &Failure) -> FetchError {
    match failure {
        Failure::Status(404, _) => {
            refused(url, "not found (404); check owner, name, revision and file", true)
        }
        Failure::Status(code @ (401 | 403), _) => {
            let reason = "it is private, gated or does not exist; set HF_TOKEN to a token that may read it";
            refused(url, &format!("not authorised ({code}): {reason}"), false)
        }
        failure => refused(url, &failure.problem(), false),
    }
}

fn refused(url: &str, problem: &str, absent: bool) -> FetchError {
    FetchError { error: Error::Message(format!("{url}: {problem}")), absent }
}
