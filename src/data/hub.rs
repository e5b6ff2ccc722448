//! Files of the Hugging Face hub, downloaded once and kept in its cache.
//!
//! A file that is in the cache is used as it is, without asking the hub whether it has changed. Delete it there to
//! download it again. The cache is the one that Python's `huggingface_hub` uses.

use std::path::PathBuf;

use hf_hub::{Cache, Repo, RepoType};

use super::download::{Client, DownloadError};
use crate::{Error, Result};

/// The address of the hub, the cache, and the user's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address of the hub, without a slash at the end.
    pub url: String,
    /// The folder that holds downloads.
    pub cache: PathBuf,
    /// The user's access token, for private and gated files. It is sent to the hub only, not to hosts that the hub
    /// redirects to.
    pub token: Option<String>,
    /// Whether only the cache is used.
    pub offline: bool,
}

impl Endpoint {
    /// The endpoint that the environment describes: `HF_ENDPOINT`, `HF_HUB_CACHE` or `HF_HOME`,
    /// `HF_TOKEN` or the token file of the cache, `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// If there is no home folder to keep downloads in. The message names `HF_HOME`.
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
            token: set("HF_TOKEN")
                .map(|token| token.trim().to_string())
                .or_else(|| Cache::new(cache.clone()).token()),
            offline: offline.is_some_and(|value| ["1", "true", "yes", "on"].contains(&value.as_str())),
            cache,
        })
    }
}

/// The files that every bundle has. They are downloaded first and last.
const CONFIG: &str = "config.json";
const MODEL: &str = "model.safetensors";

/// Files that a bundle may have too. If a tokenizer is missing that the model needs, loading the bundle says so.
const OPTIONAL: [&str; 6] =
    ["SHA256SUMS", "tokenizer.json", "README.md", "metrics.jsonl", "recipe.toml", "curve.svg"];

/// Return the path of the local copy of `hf://datasets/OWNER/NAME/FILE`, and download it if there is none.
///
/// # Errors
/// If there is no such file, it needs a token, the connection fails, or the cache cannot be written. The message
/// names the address. An interrupted download is never taken for a whole file.
pub fn dataset_file(endpoint: &Endpoint, owner: &str, name: &str, file: &str) -> Result<PathBuf> {
    let repo = Repo::new(format!("{owner}/{name}"), RepoType::Dataset);
    fetch(endpoint, &format!("datasets/{owner}/{name}"), &repo, file).map_err(|problem| problem.error)
}

/// Return a local folder with the files of the bundle `hf://OWNER/NAME`, all of the same revision. The model is
/// downloaded last: if the folder has it, nothing is downloaded.
///
/// # Errors
/// As [`dataset_file`]. Only the configuration and the model must exist.
pub fn bundle(endpoint: &Endpoint, owner: &str, name: &str) -> Result<PathBuf> {
    let id = format!("{owner}/{name}");
    let config = fetch(endpoint, &id, &Repo::model(id.clone()), CONFIG).map_err(|problem| problem.error)?;
    let misplaced = || Error::file(&config, "lies in an unexpected place; clear the cache of the hub");
    let folder = config.parent().ok_or_else(misplaced)?.to_path_buf();
    if folder.join(MODEL).exists() {
        return Ok(folder);
    }
    let revision = folder.file_name().and_then(|name| name.to_str()).ok_or_else(misplaced)?;
    let repo = Repo::with_revision(id.clone(), RepoType::Model, revision.to_string());
    for file in OPTIONAL.into_iter().filter(|file| !folder.join(file).exists()) {
        match fetch(endpoint, &id, &repo, file) {
            Err(problem) if !problem.absent => return Err(problem.error),
            _ => {}
        }
    }
    fetch(endpoint, &id, &repo, MODEL).map_err(|problem| problem.error)?;
    Ok(folder)
}

/// Parse the argument `hf://OWNER/NAME`. Returns `None` if it has another form.
pub fn bundle_address(argument: &str) -> Option<(&str, &str)> {
    let (owner, name) = argument.strip_prefix("hf://")?.split_once('/')?;
    let is_name = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('/');
    (is_name(owner) && is_name(name) && owner != "datasets").then_some((owner, name))
}

/// A file that was not downloaded.
struct FetchError {
    error: Error,
    /// Whether the hub, or the cache when offline, has no such file.
    absent: bool,
}

/// Return the path of a file of `repo` in the cache. If it is not there, download it from the hub, where the address of
/// the repository is `page`.
fn fetch(endpoint: &Endpoint, page: &str, repo: &Repo, file: &str) -> Result<PathBuf, FetchError> {
    let url = format!("{}/{page}/resolve/{}/{file}", endpoint.url, repo.revision());
    if file.contains(|c: char| c.is_whitespace() || c.is_control() || "?#\\".contains(c))
        || file.split('/').any(|part| matches!(part, "" | "." | ".."))
    {
        return Err(refused(&url, "is not an address; write %20 for a space", false));
    }
    let cache = Cache::new(endpoint.cache.clone());
    if let Some(path) = cache.repo(repo.clone()).get(file) {
        return Ok(path);
    }
    if endpoint.offline {
        let place = endpoint.cache.display();
        return Err(refused(
            &url,
            &format!("is not in {place}, and HF_HUB_OFFLINE forbids downloading it"),
            true,
        ));
    }
    let client = Client::new(&endpoint.url, endpoint.token.clone()).map_err(|error| explain(&url, error))?;
    client.download(&url, &endpoint.cache, repo, file).map_err(|error| explain(&url, error))
}

fn explain(url: &str, error: DownloadError) -> FetchError {
    match error {
        DownloadError::Status(404) => refused(url, "not found (404); check owner, name and file", true),
        DownloadError::Status(code @ (401 | 403)) => {
            let reason = "it is private, gated or does not exist; set HF_TOKEN to a token that may read it";
            refused(url, &format!("not authorised ({code}): {reason}"), false)
        }
        DownloadError::Status(code) => {
            refused(url, &format!("the server answered with status {code}; try again later"), false)
        }
        DownloadError::Connection(problem) => {
            refused(url, &format!("the connection failed ({problem}); try again"), false)
        }
        DownloadError::Locked(path) => {
            let problem = format!("another process is fetching it ({}); try again later", path.display());
            refused(url, &problem, false)
        }
        DownloadError::Protocol(problem) => {
            refused(url, &format!("the server does not answer like the Hugging Face hub: {problem}"), false)
        }
        DownloadError::Cache(path, error) => {
            let place = path.display();
            refused(url, &format!("cannot be kept in {place}: {error}; set HF_HOME to another folder"), false)
        }
    }
}

fn refused(url: &str, problem: &str, absent: bool) -> FetchError {
    FetchError { error: Error::Message(format!("{url}: {problem}")), absent }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn endpoint(variables: &[(&str, &str)]) -> Endpoint {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, v)| v.to_string());
        Endpoint::from_variables(find, Some("home".into())).unwrap()
    }

    #[test]
    fn environment_variables_set_the_endpoint() {
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
    fn token_is_read_from_the_cache() {
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
