//! Files of the Hugging Face hub, fetched once and kept in its cache.
//!
//! A file that is in the cache is used as it is, without asking the hub whether it changed; delete it
//! there to fetch it anew. The cache is the one that Python's `huggingface_hub` uses.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use indicatif::ProgressBar;

use crate::{Error, Result};

/// Where the hub is and what is known about the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address of the hub, without a slash at the end.
    pub url: String,
    /// Folder that holds downloads.
    pub cache: PathBuf,
    /// What proves who the user is, for private and gated files.
    pub token: Option<String>,
    /// Use nothing but the cache.
    pub offline: bool,
}

impl Endpoint {
    /// The endpoint that the environment describes: `HF_ENDPOINT`, `HF_HUB_CACHE` or `HF_HOME`,
    /// `HF_TOKEN` or the token file of the cache, `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// Names `HF_HOME` when there is no home folder to keep downloads in.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var(name).ok(), std::env::home_dir())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>, home: Option<PathBuf>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let hub_home = set("HF_HOME").map(PathBuf::from).or(home.map(|home| home.join(".cache/huggingface")));
        let cache = match (set("HF_HUB_CACHE"), hub_home) {
            (Some(cache), _) => PathBuf::from(cache),
            (None, Some(home)) => home.join("hub"),
            (None, None) => {
                return Err(Error::Message(
                    "set HF_HOME to a folder that may keep downloads from the hub".into(),
                ));
            }
        };
        let url = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let offline = set("HF_HUB_OFFLINE").map(|value| value.to_ascii_lowercase());
        Ok(Self {
            url: url.trim_end_matches('/').to_string(),
            token: set("HF_TOKEN").or_else(|| Cache::new(cache.clone()).token()),
            offline: offline.is_some_and(|value| ["1", "true", "yes", "on"].contains(&value.as_str())),
            cache,
        })
    }
}

/// What a bundle has first and last, without which it is none.
const CONFIG: &str = "config.json";
const MODEL: &str = "model.safetensors";

/// What it may have besides. That a tokenizer is missing where there should be one is found when the bundle is
/// loaded.
const BESIDES: [&str; 6] =
    ["SHA256SUMS", "tokenizer.json", "README.md", "metrics.jsonl", "recipe.toml", "curve.svg"];

/// The local copy of `hf://datasets/OWNER/NAME/FILE`.
///
/// # Errors
/// Names the address, and says whether there is no such file, it needs a token, or the connection broke.
/// A download that was cut is never taken for a whole file.
pub fn dataset_file(endpoint: &Endpoint, owner: &str, name: &str, file: &str) -> Result<PathBuf> {
    let repo = Repo::new(format!("{owner}/{name}"), RepoType::Dataset);
    fetch(endpoint, &repo, file).map_err(|problem| problem.error)
}

/// A local folder with the files of the bundle `hf://OWNER/NAME`, all of the same revision. Where the model is there
/// all else has been asked for, and nothing is fetched.
///
/// # Errors
/// As [`dataset_file`]; only a configuration and a model must be there.
pub fn bundle(endpoint: &Endpoint, owner: &str, name: &str) -> Result<PathBuf> {
    let id = format!("{owner}/{name}");
    let config = fetch(endpoint, &Repo::model(id.clone()), CONFIG).map_err(|problem| problem.error)?;
    let strange = || Error::file(&config, "lies in an unexpected place; clear the cache of the hub");
    let folder = config.parent().ok_or_else(strange)?.to_path_buf();
    if folder.join(MODEL).exists() {
        return Ok(folder);
    }
    let revision = folder.file_name().and_then(|name| name.to_str()).ok_or_else(strange)?;
    let repo = Repo::with_revision(id, RepoType::Model, revision.to_string());
    for file in BESIDES.into_iter().filter(|file| !folder.join(file).exists()) {
        match fetch(endpoint, &repo, file) {
            Err(problem) if !problem.absent => return Err(problem.error),
            _ => {}
        }
    }
    fetch(endpoint, &repo, MODEL).map_err(|problem| problem.error)?;
    Ok(folder)
}

/// Reads the argument `hf://OWNER/NAME`; `None` if it has another form.
pub fn bundle_address(argument: &str) -> Option<(&str, &str)> {
    let (owner, name) = argument.strip_prefix("hf://")?.split_once('/')?;
    let sound = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('/');
    (sound(owner) && sound(name) && owner != "datasets").then_some((owner, name))
}

struct Problem {
    error: Error,
    /// Whether the hub, or the cache when offline, has no such file.
    absent: bool,
}

fn fetch(endpoint: &Endpoint, repo: &Repo, file: &str) -> Result<PathBuf, Problem> {
    let url = format!("{}/{}/resolve/{}/{file}", endpoint.url, repo.url(), repo.url_revision());
    if file.contains(|c: char| c.is_whitespace() || c.is_control() || "?#\\".contains(c)) {
        return Err(refused(&url, "is no address; write %20 for a space", false));
    }
    let cache = Cache::new(endpoint.cache.clone());
    if let Some(path) = cache.repo(repo.clone()).get(file) {
        return Ok(path);
    }
    if endpoint.offline {
        let place = endpoint.cache.display();
        return Err(refused(
            &url,
            &format!("is not in {place}, and HF_HUB_OFFLINE forbids to fetch it"),
            true,
        ));
    }
    let api = ApiBuilder::from_cache(cache)
        .with_endpoint(endpoint.url.clone())
        .with_token(endpoint.token.clone())
        .build()
        .map_err(|error| explain(&url, &error))?;
    let remote = api.repo(repo.clone());
    let partial = endpoint.cache.join(repo.folder_name()).join("blobs");
    match download(&remote, file) {
        Err(error) if cannot_resume(&error) => {
            discard_partial(&partial);
            download(&remote, file)
        }
        other => other,
    }
    .map_err(|error| explain(&url, &error))
}

/// Downloads a file and makes sure that all of it arrived: the client takes a body that simply ends for
/// a whole one.
fn download(remote: &ApiRepo, file: &str) -> Result<PathBuf, ApiError> {
    let expected = Rc::new(Cell::new(0));
    let progress = Watched { bar: ProgressBar::new(0), expected: Rc::clone(&expected) };
    let path = remote.download_with_progress(file, progress)?;
    let blob = path.canonicalize()?;
    let arrived = blob.metadata()?.len();
    if arrived == expected.get() {
        return Ok(path);
    }
    std::fs::remove_file(&path)?;
    if blob != path {
        std::fs::remove_file(&blob).ok();
    }
    let problem = format!("{arrived} of {} bytes arrived", expected.get());
    Err(ApiError::IoError(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, problem)))
}

/// A progress bar that remembers how long the file should be.
struct Watched {
    bar: ProgressBar,
    expected: Rc<Cell<u64>>,
}

impl Progress for Watched {
    fn init(&mut self, size: usize, filename: &str) {
        self.expected.set(size as u64);
        Progress::init(&mut self.bar, size, filename);
    }

    fn update(&mut self, size: usize) {
        Progress::update(&mut self.bar, size);
    }

    fn finish(&mut self) {
        Progress::finish(&mut self.bar);
    }
}

/// Whether what is left of an earlier download is in the way: as long as the file or longer.
fn cannot_resume(error: &ApiError) -> bool {
    matches!(error, ApiError::InvalidResume) || status(error) == Some(416)
}

fn discard_partial(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "part"))
    {
        std::fs::remove_file(path).ok();
    }
}

/// The HTTP status behind an error; the client keeps it in the message alone.
fn status(error: &ApiError) -> Option<u16> {
    let ApiError::RequestError(error) = error else { return None };
    error.to_string().strip_prefix("http status: ")?.parse().ok()
}

fn explain(url: &str, error: &ApiError) -> Problem {
    match (status(error), error) {
        (Some(404), _) => refused(url, "not found (404); check owner, name and file", true),
        (Some(code @ (401 | 403)), _) => {
            let reason = "it is private, gated or does not exist; set HF_TOKEN to a token that may read it";
            refused(url, &format!("not authorised ({code}): {reason}"), false)
        }
        (Some(code), _) => {
            refused(url, &format!("the server answered with status {code}; try again later"), false)
        }
        (None, ApiError::RequestError(_) | ApiError::IoError(_) | ApiError::TooManyRetries(_)) => {
            refused(url, &format!("the connection failed ({error}); try again"), false)
        }
        (None, ApiError::LockAcquisition(path)) => {
            let problem = format!("another process is fetching it ({}); try again later", path.display());
            refused(url, &problem, false)
        }
        (None, _) => {
            refused(url, &format!("the server does not answer like the Hugging Face hub: {error}"), false)
        }
    }
}

fn refused(url: &str, problem: &str, absent: bool) -> Problem {
    Problem { error: Error::Message(format!("{url}: {problem}")), absent }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(variables: &[(&str, &str)]) -> Endpoint {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, v)| v.to_string());
        Endpoint::from_variables(find, Some("home".into())).unwrap()
    }

    #[test]
    fn the_environment_is_respected() {
        let plain = endpoint(&[]);
        assert_eq!(plain.url, "https://huggingface.co");
        assert_eq!(plain.cache, Path::new("home/.cache/huggingface/hub"));
        assert!(!plain.offline);
        let set = endpoint(&[
            ("HF_ENDPOINT", "http://mirror/"),
            ("HF_HOME", "elsewhere"),
            ("HF_TOKEN", "secret"),
            ("HF_HUB_OFFLINE", "1"),
        ]);
        assert_eq!((set.url.as_str(), set.token.as_deref()), ("http://mirror", Some("secret")));
        assert_eq!(set.cache, Path::new("elsewhere/hub"));
        assert!(set.offline);
        assert_eq!(endpoint(&[("HF_HUB_CACHE", "there"), ("HF_HOME", "x")]).cache, Path::new("there"));
        assert!(Endpoint::from_variables(|_| None, None).unwrap_err().to_string().contains("HF_HOME"));
    }

    #[test]
    fn a_token_file_in_the_cache_is_found() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "from-file\n").unwrap();
        let place = home.path().to_str().unwrap();
        assert_eq!(endpoint(&[("HF_HOME", place)]).token.as_deref(), Some("from-file"));
    }

    #[test]
    fn bundle_addresses_are_owner_and_name() {
        assert_eq!(bundle_address("hf://me/lstm"), Some(("me", "lstm")));
        for wrong in ["me/lstm", "hf://me", "hf://me/lstm/file", "hf://../x", "hf://datasets/x"] {
            assert_eq!(bundle_address(wrong), None, "{wrong}");
        }
    }
}
