//! A repository of models: made if it does not exist, with a branch for the revision.

use serde::Deserialize;
use serde_json::json;

use super::address::RepoName;
use super::client::Client;
use super::failure::Failure;
use super::request::Request;
use super::revision::Revision;
use crate::{Error, Result};

/// A repository at a revision, and the client that reaches it.
pub(super) struct Repository<'a> {
    pub(super) client: &'a Client,
    /// The address of the hub.
    pub(super) hub: &'a str,
    pub(super) name: &'a RepoName,
    pub(super) revision: &'a Revision,
}

/// The hub's description of a repository at a revision.
#[derive(Deserialize)]
pub(super) struct Description {
    /// Whether only its owner sees it.
    #[serde(default)]
    private: bool,
    /// The last commit.
    #[serde(default)]
    pub(super) sha: Option<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

/// A file of a repository.
#[derive(Deserialize)]
struct Sibling {
    #[serde(rename = "rfilename")]
    name: String,
}

impl Description {
    /// Whether the repository has a file.
    pub(super) fn has(&self, file: &str) -> bool {
        self.siblings.iter().any(|sibling| sibling.name == file)
    }
}

impl Repository<'_> {
    /// The address of its page.
    pub(super) fn page(&self) -> String {
        format!("{}/{}", self.hub, self.name)
    }

    /// The address of a part of its programming interface.
    pub(super) fn api(&self, part: &str) -> String {
        format!("{}/api/models/{}{part}", self.hub, self.name)
    }

    /// Return the error of a request to `url` that would change the repository.
    pub(super) fn failed(&self, url: &str, failure: &Failure) -> Error {
        let name = self.name;
        let because = |reason: &str| if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        let problem = match failure {
            Failure::Local(message) => return Error::Message(message.clone()),
            Failure::Status(401, reason) => format!(
                "not authorised (401){}: the token is not valid; set HF_TOKEN to a token that may write to {name}",
                because(reason)
            ),
            Failure::Status(403, reason) => format!(
                "not allowed (403){}: the token may not write to {name}; set HF_TOKEN to one that may",
                because(reason)
            ),
            Failure::Status(404, reason) => {
                format!("not found (404){}; check owner, name and revision", because(reason))
            }
            Failure::Status(code @ (409 | 412), reason) => {
                format!("conflict ({code}){}: {name} has changed meanwhile; push again", because(reason))
            }
            failure => failure.problem(),
        };
        Error::Message(format!("{}: {problem}", super::origin::without_query(url)))
    }

    /// Make the repository if it does not exist.
    ///
    /// # Errors
    /// If it cannot be made, or it is to be private and exists as a public one.
    pub(super) fn create(&self, private: bool) -> Result<()> {
        let url = format!("{}/api/repos/create", self.hub);
        let mut wanted =
            json!({ "type": "model", "name": self.name.name(), "organization": self.name.owner() });
        if private {
            wanted["private"] = true.into();
        }
        let request = Request::post(&url, &wanted).map_err(|failure| self.failed(&url, &failure))?;
        match self.client.send(&request) {
            Ok(_) => return Ok(()),
            Err(Failure::Status(409, _)) => {}
            // A token that may not make a repository may be allowed to write to one.
            Err(failure @ Failure::Status(403, _)) => {
                return self.describe("").map(drop).map_err(|_| self.failed(&url, &failure));
            }
            Err(failure) => return Err(self.failed(&url, &failure)),
        }
        if private && !self.describe("")?.private {
            let problem = "exists and is public; make it private on its page, or leave option `private` out";
            return Err(Error::Message(format!("{}: {problem}", self.page())));
        }
        Ok(())
    }

    /// Make the branch of the revision if it does not exist, and describe the repository there.
    ///
    /// # Errors
    /// If there is no such revision and it cannot be made.
    pub(super) fn open(&self) -> Result<Description> {
        if !self.revision.is_main() && self.revision.is_branch() {
            let url = self.api(&format!("/branch/{}", self.revision.in_path()));
            let request = Request::post(&url, &json!({})).map_err(|failure| self.failed(&url, &failure))?;
            match self.client.send(&request) {
                Ok(_) | Err(Failure::Status(409, _)) => {}
                Err(failure) => return Err(self.failed(&url, &failure)),
            }
        }
        self.describe(&format!("/revision/{}", self.revision.in_path()))
    }

    fn describe(&self, part: &str) -> Result<Description> {
        let url = self.api(part);
        let described = Request::get(&url).and_then(|request| self.client.json(&request));
        described.map_err(|failure| self.failed(&url, &failure))
    }
}
