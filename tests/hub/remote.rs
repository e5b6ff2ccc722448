//! A repository on a server, as the hub's programming interface shows it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::COMMIT;
use super::server::{Reply, Request, Server};

/// The size of a part of an upload in parts.
pub(super) const PART: usize = 1000;

/// The state of the repository `me/lstm`.
#[derive(Default)]
pub(super) struct State {
    pub(super) exists: bool,
    pub(super) private: bool,
    pub(super) branches: Vec<String>,
    /// The files of every branch; those of LFS too.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    /// Contents that were uploaded by LFS, by SHA-256.
    pub(super) store: BTreeMap<String, Vec<u8>>,
    /// Parts that wait to be joined.
    pub(super) parts: BTreeMap<usize, Vec<u8>>,
    /// The messages of commits, and the branch of each.
    pub(super) commits: Vec<(String, String)>,
    /// Answers in place of those of a path, in order.
    pub(super) instead: BTreeMap<String, Vec<Reply>>,
    /// The names that the repository's `.gitignore` leaves out.
    pub(super) ignored: Vec<String>,
    /// Whether uploads are in parts.
    pub(super) in_parts: bool,
    /// The address of the host that stores uploads; the hub itself if empty.
    pub(super) storage: String,
}

pub(super) struct Remote {
    pub(super) server: Server,
    pub(super) state: Arc<Mutex<State>>,
}

impl Remote {
    pub(super) fn new(state: State) -> Self {
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let server = Server::new(move |request| {
            let mut state = shared.lock().unwrap();
            if let Some(replies) = state.instead.get_mut(&request.path).filter(|replies| !replies.is_empty())
            {
                return replies.remove(0);
            }
            let hub = format!("http://{}", request.header("host").unwrap());
            answer(&mut state, request, &hub)
        });
        Self { server, state }
    }

    /// The paths of the requests so far, each with its method.
    pub(super) fn log(&self) -> Vec<String> {
        self.server.requests().iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }
}

fn answer(state: &mut State, request: &Request, hub: &str) -> Reply {
    let missing = || Reply::new("404 Not Found", r#"{"error": "Repository not found"}"#);
    let value = || serde_json::from_slice::<Value>(&request.body).unwrap();
    let path = request.path.strip_prefix("/api/models/me/lstm").unwrap_or(&request.path);
    match (request.method.as_str(), path.split('/').nth(1).unwrap_or_default()) {
        _ if path == "/api/repos/create" => create(state, &value()),
        _ if path.starts_with("/store/") => store(state, request),
        _ if !state.exists => missing(),
        ("GET", "") => Reply::json(&json!({ "private": state.private })),
        ("GET", "revision") => {
            let revision = path.trim_start_matches("/revision/");
            let names: Vec<Value> = state.files.keys().map(|name| json!({ "rfilename": name })).collect();
            match revision == "main" || state.branches.iter().any(|branch| branch == revision) {
                true => Reply::json(&json!({ "private": state.private, "sha": COMMIT, "siblings": names })),
                false => Reply::new("404 Not Found", r#"{"error": "Invalid rev id"}"#),
            }
        }
        ("POST", "branch") => {
            state.branches.push(path.trim_start_matches("/branch/").to_string());
            Reply::json(&json!({}))
        }
        ("POST", "preupload") => preupload(state, &value()),
        ("POST", "commit") => commit(state, request, path.trim_start_matches("/commit/")),
        ("POST", "me") if path == "/me/lstm.git/info/lfs/objects/batch" => {
            let place = if state.storage.is_empty() { hub.to_string() } else { state.storage.clone() };
            batch(state, &value(), &place, hub)
        }
        _ => missing(),
    }
}

fn create(state: &mut State, wanted: &Value) -> Reply {
    assert_eq!((&wanted["organization"], &wanted["name"]), (&json!("me"), &json!("lstm")));
    if state.exists {
        return Reply::new("409 Conflict", r#"{"error": "You already created this model repo"}"#);
    }
    state.exists = true;
    state.private = wanted["private"] == true;
    Reply::json(&json!({ "url": "u" }))
}

fn preupload(state: &State, question: &Value) -> Reply {
    let mode = |file: &Value| {
        let path = file["path"].as_str().unwrap();
        let mode = if path.ends_with(".safetensors") { "lfs" } else { "regular" };
        let oid = state.files.get(path).map(|bytes| match mode {
            "lfs" => hex(&Sha256::digest(bytes)),
            _ => hex(&sha1::Sha1::digest([format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat())),
        });
        let ignored = state.ignored.iter().any(|name| name == path);
        json!({ "path": path, "uploadMode": mode, "shouldIgnore": ignored, "oid": oid })
    };
    let files: Vec<Value> = question["files"].as_array().unwrap().iter().map(mode).collect();
    Reply::json(&json!({ "files": files }))
}

fn batch(state: &State, wanted: &Value, storage: &str, hub: &str) -> Reply {
    let object = |object: &Value| {
        let (oid, size) = (object["oid"].as_str().unwrap(), object["size"].as_u64().unwrap() as usize);
        let verify = json!({ "href": format!("{hub}/store/verify/{oid}") });
        let upload = match state.in_parts {
            false => json!({ "href": format!("{storage}/store/whole/{oid}?signature=hidden") }),
            true => {
                let mut header = json!({ "chunk_size": PART.to_string() });
                for number in 1..=size.div_ceil(PART) {
                    header[number.to_string()] =
                        format!("{storage}/store/part/{number}?signature=hidden").into();
                }
                json!({ "href": format!("{hub}/store/join/{oid}"), "header": header })
            }
        };
        match state.store.contains_key(oid) {
            true => json!({ "oid": oid, "size": size }),
            false => json!({ "oid": oid, "size": size, "actions": { "upload": upload, "verify": verify } }),
        }
    };
    let objects: Vec<Value> = wanted["objects"].as_array().unwrap().iter().map(object).collect();
    Reply::json(&json!({ "transfer": "basic", "objects": objects }))
}

/// Store contents, whole or in parts.
fn store(state: &mut State, request: &Request) -> Reply {
    let path = request.path.split('?').next().unwrap();
    let (kind, name) = path.trim_start_matches("/store/").split_once('/').unwrap();
    let mut keep = |bytes: Vec<u8>| match hex(&Sha256::digest(&bytes)) == name {
        true => drop(state.store.insert(name.into(), bytes)),
        false => panic!("other contents than announced"),
    };
    match kind {
        "whole" => keep(request.body.clone()),
        "part" => drop(state.parts.insert(name.parse().unwrap(), request.body.clone())),
        "join" => {
            let joined: Value = serde_json::from_slice(&request.body).unwrap();
            let parts = joined["parts"].as_array().unwrap();
            assert!((1..).zip(parts).all(|(number, part)| part["partNumber"] == number));
            assert!(parts.iter().all(|part| part["etag"] == "\"e\""));
            let bytes: Vec<Vec<u8>> = std::mem::take(&mut state.parts).into_values().collect();
            let mut keep = |bytes: Vec<u8>| state.store.insert(name.into(), bytes);
            keep(bytes.concat());
        }
        _ => assert!(state.store.contains_key(name), "verified before it is stored"),
    }
    Reply::new("200 OK", "{}").with("ETag", "\"e\"")
}

fn commit(state: &mut State, request: &Request, branch: &str) -> Reply {
    assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
    for line in request.body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_slice(line).unwrap();
        let text = |name: &str| line["value"][name].as_str().unwrap_or_default().to_string();
        match line["key"].as_str().unwrap() {
            "header" => {
                assert_eq!(text("parentCommit"), COMMIT);
                state.commits.push((branch.into(), text("summary")));
            }
            "file" => drop(state.files.insert(text("path"), STANDARD.decode(text("content")).unwrap())),
            "lfsFile" => {
                let bytes = state.store[&text("oid")].clone();
                assert_eq!(line["value"]["size"], bytes.len());
                state.files.insert(text("path"), bytes);
            }
            "deletedFile" => drop(state.files.remove(&text("path"))),
            other => panic!("{other}"),
        }
    }
    Reply::json(&json!({ "commitUrl": "https://hub/me/lstm/commit/1", "commitOid": "1" }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
