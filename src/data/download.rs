//! Downloads from the Hugging Face hub into its cache. The user's token is sent to the hub alone.
//!
//! The hub answers most requests for a file with a redirect to another host, which stores the data. Redirects are
//! followed here, not by the HTTP client, so that no request to another host, for data or metadata, has the token.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::{Cache, Repo};
use indicatif::ProgressBar;
use ureq::http::header::{CONTENT_RANGE, ETAG, LOCATION};
use ureq::http::{HeaderMap, Response, StatusCode, Uri};
use ureq::{Agent, Body};

/// The most redirects that are followed for a request.
const MOST_REDIRECTS: usize = 10;

/// The number of seconds to wait for another process that downloads the same file.
const LOCK_SECONDS: usize = 5;

/// The longest time to wait for a connection.
const CONNECTING: Duration = Duration::from_secs(30);

/// A failed download.
#[derive(Debug)]
pub(super) enum DownloadError {
    /// The server answered with an error.
    Status(u16),
    /// The connection failed, or ended before the file did.
    Connection(String),
    /// The server does not answer as the hub does.
    Protocol(String),
    /// Another process is downloading the same file; the path of its lock.
    Locked(PathBuf),
    /// The cache cannot be written.
    Cache(PathBuf, std::io::Error),
}

type Result<T, E = DownloadError> = std::result::Result<T, E>;

/// A client of the hub for one user.
pub(super) struct Client {
    agent: Agent,
    hub: WebOrigin,
    token: Option<String>,
}

/// The scheme, host and port of an address.
#[derive(Debug, PartialEq, Eq)]
struct WebOrigin(String, String, u16);

/// The properties of a file of the hub.
struct Metadata {
    etag: String,
    commit: String,
    size: u64,
}

impl Client {
    /// A client of the hub at `url`, which sends `token` to this hub only.
    ///
    /// # Errors
    /// If `url` is not an address.
    pub(super) fn new(url: &str, token: Option<String>) -> Result<Self> {
        let agent = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECTING))
            .user_agent(concat!("rnn-zoo/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Self { agent, hub: WebOrigin::of(&address(url)?)?, token })
    }

    /// Download the file at `url`, which is `file` of `repo`, into the cache. Returns its path there.
    ///
    /// # Errors
    /// If the file is not downloaded whole. A partial download is continued by the next call.
    pub(super) fn download(&self, url: &str, cache: &Path, repo: &Repo, file: &str) -> Result<PathBuf> {
        let Metadata { etag, commit, size } = self.metadata(url)?;
        let folder = cache.join(repo.folder_name());
        let blob = folder.join("blobs").join(&etag);
        create_parent(&blob)?;
        let lock = lock(&blob.with_file_name(format!("{etag}.lock")))?;
        let partial = blob.with_file_name(format!("{etag}.part"));
        self.download_to(&partial, url, size)?;
        std::fs::rename(&partial, &blob).map_err(|error| DownloadError::Cache(blob.clone(), error))?;
        drop(lock);
        let cached = Cache::new(cache.to_path_buf()).repo(repo.clone());
        let pointer = cached.pointer_path(&commit).join(file);
        create_parent(&pointer)?;
        link(&blob, &pointer, file).map_err(|error| DownloadError::Cache(pointer.clone(), error))?;
        cached.create_ref(&commit).map_err(|error| DownloadError::Cache(folder, error))?;
        Ok(pointer)
    }

    /// Request the first byte of a file. The hub's answer, a redirect or not, has the names of the file's contents and
    /// of its revision; the last answer has the size.
    fn metadata(&self, url: &str) -> Result<Metadata> {
        let mut names = None;
        let response = self.get(url, "bytes=0-0", |headers| {
            if names.is_none()
                && let Some(commit) = text(headers, "x-repo-commit")
                && let Some(etag) = text(headers, "x-linked-etag").or_else(|| text(headers, ETAG.as_str()))
            {
                names = Some((etag.trim_start_matches("W/").replace('"', ""), commit.to_string()));
            }
        })?;
        let missing = |name: &str| DownloadError::Protocol(format!("its answer has no usable {name}"));
        let (etag, commit) = names
            .filter(|(etag, commit)| is_file_name(etag) && is_file_name(commit))
            .ok_or_else(|| missing("ETag and X-Repo-Commit"))?;
        let range = text(response.headers(), CONTENT_RANGE.as_str());
        let size = range.and_then(|range| range.rsplit('/').next()?.parse().ok());
        Ok(Metadata { etag, commit, size: size.ok_or_else(|| missing("Content-Range"))? })
    }

    /// Download what is missing of a file of `size` bytes to `path`.
    fn download_to(&self, path: &Path, url: &str, size: u64) -> Result<()> {
        let failed = |error| DownloadError::Cache(path.to_path_buf(), error);
        let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
        let mut present = file.metadata().map_err(failed)?.len();
        if present >= size {
            // The rest of another download.
            file.set_len(0).map_err(failed)?;
            present = 0;
        }
        let response = self.get(url, &format!("bytes={present}-"), |_| {})?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            file.set_len(0).map_err(failed)?; // The answer is the whole file.
            present = 0;
        }
        let progress = ProgressBar::new(size).with_position(present);
        let body = response.into_body().into_reader();
        std::io::copy(&mut progress.wrap_read(body), &mut file)
            .map_err(|error| DownloadError::Connection(error.to_string()))?;
        progress.finish();
        file.flush().map_err(failed)?;
        match file.metadata().map_err(failed)?.len() {
            arrived if arrived < size => {
                Err(DownloadError::Connection(format!("{arrived} of {size} bytes arrived")))
            }
            arrived if arrived > size => {
                file.set_len(0).map_err(failed)?;
                Err(DownloadError::Protocol(format!("it sent {arrived} bytes, but announced {size}")))
            }
            _ => Ok(()),
        }
    }

    /// Request a range of a file and follow redirects. `see` gets the headers of every answer of the hub.
    fn get(&self, url: &str, range: &str, mut see: impl FnMut(&HeaderMap)) -> Result<Response<Body>> {
        let mut url = address(url)?;
        for _ in 0..=MOST_REDIRECTS {
            let is_hub = WebOrigin::of(&url)? == self.hub;
            let mut request = self.agent.get(&url).header("Range", range);
            if let Some(token) = self.token.as_ref().filter(|_| is_hub) {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| DownloadError::Connection(error.to_string()))?;
            if is_hub {
                see(response.headers());
            }
            let status = response.status();
            if status.is_redirection() {
                let location = text(response.headers(), LOCATION.as_str());
                url = resolve(&url, location.unwrap_or_default())?;
                continue;
            }
            return if status.is_success() {
                Ok(response)
            } else {
                Err(DownloadError::Status(status.as_u16()))
            };
        }
        Err(DownloadError::Protocol(format!("it redirects more than {MOST_REDIRECTS} times")))
    }
}

impl WebOrigin {
    fn of(url: &Uri) -> Result<Self> {
        let (Some(scheme), Some(host)) = (url.scheme_str(), url.host()) else {
            return Err(DownloadError::Protocol(format!("{url} is not an address")));
        };
        let default = if scheme == "https" { 443 } else { 80 };
        let port = url.port_u16().unwrap_or(default);
        Ok(Self(scheme.to_ascii_lowercase(), host.to_ascii_lowercase(), port))
    }
}

fn address(url: &str) -> Result<Uri> {
    url.parse().map_err(|error| DownloadError::Protocol(format!("{url:?} is not an address: {error}")))
}

/// The address that `location` names in an answer from `base`.
fn resolve(base: &Uri, location: &str) -> Result<Uri> {
    let invalid =
        || DownloadError::Protocol(format!("it redirects to {location:?}, which is not an address"));
    let (scheme, authority) = (base.scheme_str().unwrap_or_default(), base.authority().ok_or_else(invalid)?);
    let absolute = match location {
        "" => return Err(invalid()),
        location if has_scheme(location) => location.to_string(),
        location if location.starts_with("//") => format!("{scheme}:{location}"),
        location if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
        location => {
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{authority}{folder}/{location}")
        }
    };
    absolute.parse().map_err(|_| invalid())
}

/// Whether an address begins with a scheme, such as `https:`.
fn has_scheme(location: &str) -> bool {
    location.find([':', '/', '?', '#']).is_some_and(|at| at > 0 && location[at..].starts_with(':'))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a name from a server is the name of a file, and no path out of its folder.
fn is_file_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.len() <= 200 && name.chars().all(is_plain)
}

fn create_parent(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(|error| DownloadError::Cache(folder.to_path_buf(), error))
}

/// Lock a download against other processes. The lock ends with the file that is returned.
fn lock(path: &Path) -> Result<File> {
    let failed = |error| DownloadError::Cache(path.to_path_buf(), error);
    let file = File::create(path).map_err(failed)?;
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
    Err(DownloadError::Locked(path.to_path_buf()))
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
    fn redirects_resolve_against_their_page() {
        let base = "http://hub:81/a/b".parse().unwrap();
        for (location, expected) in [
            ("https://cdn/x?y=z", "https://cdn/x?y=z"),
            ("//cdn/x", "http://cdn/x"),
            ("/x/y", "http://hub:81/x/y"),
            ("c", "http://hub:81/a/c"),
        ] {
            assert_eq!(resolve(&base, location).unwrap().to_string(), expected);
        }
        assert!(resolve(&base, "").is_err());
    }

    #[test]
    fn origin_has_scheme_host_and_port() {
        let origin = |url: &str| WebOrigin::of(&url.parse().unwrap()).unwrap();
        assert_eq!(origin("https://Hub/a"), origin("https://hub:443/b"));
        for other in ["http://hub", "https://hub:444", "https://cdn"] {
            assert_ne!(origin("https://hub"), origin(other), "{other}");
        }
    }

    #[test]
    fn names_from_a_server_are_no_paths() {
        assert!(is_file_name("0123abc-ef") && is_file_name("tag.1_2"));
        for name in ["", "..", ".hidden", "a/b", "a\\b", "a b"] {
            assert!(!is_file_name(name), "{name:?}");
        }
    }
}
