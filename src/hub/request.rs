//! A request, which can be sent more than once.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use indicatif::ProgressBar;
use serde_json::Value;
use ureq::http::{Method, Uri};

use super::failure::{Failure, Result};
use super::origin;
use crate::Error;

/// A request and its body.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: Uri,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Payload<'a>,
    /// Whether it may be sent again if the connection ends before the answer. A second commit would be another commit.
    pub(super) repeatable: bool,
}

/// The body of a request.
pub(super) enum Payload<'a> {
    Empty,
    Text(Vec<u8>),
    File(FilePart<'a>),
}

/// A part of a file, or all of it.
#[derive(Clone, Copy)]
pub(super) struct FilePart<'a> {
    pub(super) path: &'a Path,
    pub(super) start: u64,
    pub(super) size: u64,
    /// Shows the position in the file.
    pub(super) bar: &'a ProgressBar,
}

impl<'a> Request<'a> {
    /// A request for what is at `url`.
    pub(super) fn get(url: &str) -> Result<Self> {
        Self::new(Method::GET, url, Payload::Empty)
    }

    /// A request that sends JSON.
    pub(super) fn post(url: &str, value: &Value) -> Result<Self> {
        let request = Self::new(Method::POST, url, Payload::Text(value.to_string().into_bytes()))?;
        Ok(request.with("Content-Type", "application/json"))
    }

    /// A request that stores a part of a file.
    pub(super) fn put(url: &str, part: FilePart<'a>) -> Result<Self> {
        Self::new(Method::PUT, url, Payload::File(part))
    }

    /// A request that sends a text once.
    pub(super) fn post_once(url: &str, text: Vec<u8>) -> Result<Self> {
        Ok(Self { repeatable: false, ..Self::new(Method::POST, url, Payload::Text(text))? })
    }

    fn new(method: Method, url: &str, body: Payload<'a>) -> Result<Self> {
        Ok(Self { method, url: origin::address(url)?, headers: vec![], body, repeatable: true })
    }

    /// The request with another header.
    #[must_use]
    pub(super) fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl Payload<'_> {
    /// Return the number of bytes, and a reader from the first on; `None` if there is no body.
    pub(super) fn open(&self) -> Result<Option<(u64, Box<dyn Read + '_>)>> {
        Ok(match self {
            Self::Empty => None,
            Self::Text(text) => Some((text.len() as u64, Box::new(text.as_slice()))),
            Self::File(part) => Some((part.size, Box::new(part.open()?))),
        })
    }
}

impl FilePart<'_> {
    fn open(&self) -> Result<impl Read + use<>> {
        let unreadable =
            |error| Failure::Local(Error::file(self.path, format!("cannot be read: {error}")).to_string());
        let mut file = File::open(self.path).map_err(unreadable)?;
        file.seek(SeekFrom::Start(self.start)).map_err(unreadable)?;
        self.bar.set_position(self.start);
        Ok(self.bar.wrap_read(file).take(self.size))
    }
}
