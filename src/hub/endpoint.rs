//! The address of the hub, the cache and the user's token, as the environment describes them.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The address of the hub, the cache, and the user's token.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The address of the hub, without a slash at the end.
    pub url: String,
    /// The folder that holds downloads.
    pub cache: PathBuf,
    /// The user's access token, for private and gated files and for pushing. It is sent to the hub only, not to hosts
    /// that the hub names.
    pub token: Option<String>,
    /// Whether only the cache is used.
    pub offline: bool,
}

impl Endpoint {
    /// The endpoint that the environment describes, in the words of Python's `huggingface_hub`: `HF_ENDPOINT`;
    /// `HF_HUB_CACHE`, `HF_HOME` or `XDG_CACHE_HOME`; `HF_TOKEN`, or else the file `HF_TOKEN_PATH` or `token` in
    /// `HF_HOME`; `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// If there is no home folder to keep downloads in, or the token has a character that no token has. The message
    /// names the variable.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var(name).ok(), std::env::home_dir().as_deref())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>, user: Option<&Path>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let path = |name: &str| set(name).map(|value| in_home(&value, user));
        let caches = path("XDG_CACHE_HOME").or_else(|| user.map(|user| user.join(".cache")));
        let home = path("HF_HOME").or_else(|| caches.map(|caches| caches.join("huggingface")));
        let cache = path("HF_HUB_CACHE").or_else(|| Some(home.as_ref()?.join("hub"))).ok_or_else(|| {
            Error::Message("set HF_HOME to a folder that may keep downloads from the hub".into())
        })?;
        let token_file = path("HF_TOKEN_PATH").or_else(|| Some(home?.join("token")));
        let token = match set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN")) {
            Some(token) => Some(checked("HF_TOKEN", &token)?),
            None => token_file.map(|file| read_token(&file)).transpose()?.flatten(),
        };
        let url = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let offline = set("HF_HUB_OFFLINE").map(|value| value.to_ascii_lowercase());
        Ok(Self {
            url: url.trim().trim_end_matches('/').to_string(),
            token,
            offline: offline.is_some_and(|value| ["1", "true", "yes", "on"].contains(&value.as_str())),
            cache,
        })
    }
}

impl fmt::Debug for Endpoint {
    /// Everything but the token, which must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, cache, token, offline } = self;
        let token = token.as_ref().map(|_| "...");
        let mut shown = f.debug_struct("Endpoint");
        shown
            .field("url", url)
            .field("cache", cache)
            .field("token", &token)
            .field("offline", offline)
            .finish()
    }
}

/// A path in which `~/` is the folder of the user.
fn in_home(path: &str, user: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), user) {
        (Some(rest), Some(user)) => user.join(rest),
        _ => path.into(),
    }
}

/// The token in a file; `None` if there is no such file or it is empty.
fn read_token(file: &Path) -> Result<Option<String>> {
    /// No token has as many bytes.
    const LARGEST: u64 = 1 << 16;
    if !file.exists() {
        return Ok(None);
    }
    let bytes = crate::regular_file::read(file, LARGEST)?;
    let text = String::from_utf8_lossy(&bytes);
    if text.trim().is_empty() {
        return Ok(None);
    }
    checked(&file.display().to_string(), &text).map(Some)
}

/// Return a token without the space around it. `origin` is for errors, which do not show the token.
fn checked(origin: &str, token: &str) -> Result<String> {
    let token = token.trim();
    if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(token.to_string());
    }
    let problem = "has a space or another character that no token has; copy the token again";
    Err(Error::Message(format!("{origin}: {problem}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(variables: &[(&str, &str)]) -> Result<Endpoint> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, v)| v.to_string());
        Endpoint::from_variables(find, Some(Path::new("home")))
    }

    #[test]
    fn environment_variables_set_the_endpoint() {
        let plain = endpoint(&[]).unwrap();
        assert_eq!(plain.url, "https://huggingface.co");
        assert_eq!(plain.cache, Path::new("home/.cache/huggingface/hub"));
        assert!(!plain.offline);
        let set = endpoint(&[
            ("HF_ENDPOINT", "http://mirror/"),
            ("HF_HOME", "elsewhere"),
            ("HF_TOKEN", " secret\n"),
            ("HF_HUB_OFFLINE", "1"),
        ])
        .unwrap();
        assert_eq!((set.url.as_str(), set.token.as_deref()), ("http://mirror", Some("secret")));
        assert_eq!(set.cache, Path::new("elsewhere/hub"));
        assert!(set.offline);
        assert!(!format!("{set:?}").contains("secret"));
        let cache = |variables: &[(&str, &str)]| endpoint(variables).unwrap().cache;
        assert_eq!(cache(&[("HF_HUB_CACHE", "there"), ("HF_HOME", "x")]), Path::new("there"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "x")]), Path::new("x/huggingface/hub"));
        assert_eq!(cache(&[("HF_HOME", "~/hf")]), Path::new("home/hf/hub"));
        assert!(Endpoint::from_variables(|_| None, None).unwrap_err().to_string().contains("HF_HOME"));
    }

    #[test]
    fn token_is_in_a_variable_or_a_file() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().to_str().unwrap();
        let other = home.path().join("other");
        std::fs::write(home.path().join("token"), "from-file\n").unwrap();
        std::fs::write(&other, "from-other").unwrap();
        let token = |variables: &[(&str, &str)]| endpoint(variables).unwrap().token;
        let in_place = ("HF_HOME", place);
        assert_eq!(token(&[in_place]).as_deref(), Some("from-file"));
        // The cache may lie elsewhere.
        assert_eq!(token(&[in_place, ("HF_HUB_CACHE", "x")]).as_deref(), Some("from-file"));
        let path = ("HF_TOKEN_PATH", other.to_str().unwrap());
        assert_eq!(token(&[in_place, path]).as_deref(), Some("from-other"));
        assert_eq!(token(&[in_place, path, ("HF_TOKEN", "set")]).as_deref(), Some("set"));
        assert_eq!(token(&[in_place, ("HF_TOKEN_PATH", "none")]), None);
        std::fs::write(&other, " \n").unwrap();
        assert_eq!(token(&[path]), None);
    }

    #[test]
    fn token_with_a_line_end_inside_is_refused_and_not_shown() {
        let error = endpoint(&[("HF_TOKEN", "sec\r\nret")]).unwrap_err().to_string();
        assert!(error.starts_with("HF_TOKEN: has a space") && !error.contains("sec"), "{error}");
    }
}
