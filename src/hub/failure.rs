//! Failures of requests, before they are put in words with the address that failed.

use std::path::PathBuf;

/// The largest number of characters of a server's own words in a message.
const LONGEST_REASON: usize = 300;

/// A failed request or download.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server answered with an error, and with its reason or an empty text.
    Status(u16, String),
    /// The server asks to wait for so many seconds, too long to wait here.
    Busy(u64),
    /// There is no connection, or it ended too early; `again` says whether another attempt may succeed at once.
    Connection { problem: String, again: bool },
    /// The server does not answer as the hub does.
    Protocol(String),
    /// Another process is downloading the same file; the path of its lock.
    Locked(PathBuf),
    /// The bytes that arrived are not those that the hub announced.
    Damaged,
    /// The cache cannot be written.
    Cache(PathBuf, std::io::Error),
    /// A file to upload cannot be read; the message names it.
    Local(String),
}

/// A result with a [`Failure`].
pub(super) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// Return the failure of an answer with an error. `reason` is the server's; control characters are left out.
    pub(super) fn status(code: u16, reason: &str) -> Self {
        let words: Vec<&str> = reason.split(|c: char| c.is_whitespace() || c.is_control()).collect();
        let words = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        Self::Status(code, words.chars().take(LONGEST_REASON).collect())
    }

    /// Return the failure of a request that ureq could not complete.
    pub(super) fn of_request(error: &ureq::Error) -> Self {
        use ureq::{Error, Timeout};
        let again = match error {
            Error::HostNotFound
            | Error::ConnectionFailed
            | Error::Tls(_)
            | Error::Rustls(_)
            | Error::ConnectProxyFailed(_)
            | Error::InvalidProxyUrl
            | Error::Timeout(Timeout::Resolve | Timeout::Connect) => false,
            Error::Io(error) => error.kind() != std::io::ErrorKind::ConnectionRefused,
            Error::Http(_) | Error::BadUri(_) | Error::Protocol(_) => {
                return Self::Protocol(error.to_string());
            }
            _ => true,
        };
        Self::Connection { problem: error.to_string(), again }
    }

    /// Return the problem and the remedy, for a message that begins with the address.
    pub(super) fn problem(&self) -> String {
        match self {
            Self::Status(code, reason) if reason.is_empty() => {
                format!("the server answered with status {code}; try again later")
            }
            Self::Status(code, reason) => format!("the server answered with status {code} ({reason})"),
            Self::Busy(seconds) => {
                format!("the server answers too many requests (429); try again in {seconds} seconds")
            }
            Self::Connection { problem, .. } => format!("the connection failed ({problem}); try again"),
            Self::Locked(path) => {
                format!("another process is fetching it ({}); try again later", path.display())
            }
            Self::Protocol(problem) => {
                format!("the server does not answer like the Hugging Face hub: {problem}")
            }
            Self::Damaged => {
                "what arrived differs from the checksum that the hub announced, and was removed; try again"
                    .into()
            }
            Self::Cache(path, error) => {
                let place = path.display();
                format!("cannot be kept in {place}: {error}; set HF_HOME to another folder")
            }
            Self::Local(message) => message.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_servers_are_one_short_line() {
        let Failure::Status(code, reason) = Failure::status(403, "no\r\n  \u{1b}[31mrights") else {
            panic!()
        };
        assert_eq!((code, reason.as_str()), (403, "no [31mrights"));
        let long = Failure::status(500, &"é".repeat(10_000)).problem();
        assert!(long.chars().count() < LONGEST_REASON + 60, "{long}");
    }
}
