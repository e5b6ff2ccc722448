//! Files of the hub in its cache.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rnn_zoo::data::{Corpus, ReadOptions, Source, Split};
use rnn_zoo::hub::{BundleAddress, Endpoint, FileAddress, bundle, data_file};
use tempfile::TempDir;

use super::COMMIT;
use super::server::{Reply, Request, Server};

/// The server's response to one path.
#[derive(Clone)]
enum Response {
    /// Sends the requested part of the file.
    Whole(Vec<u8>),
    /// The same, under a name of the contents that the server gives.
    Named(Vec<u8>, String),
    /// Announces the whole file and closes the connection half way.
    Cut(Vec<u8>),
    /// Like `Cut`, but without announcing a length.
    CutUnannounced(Vec<u8>),
    /// Announces the whole file and sends nothing.
    Silent(Vec<u8>),
    Status(&'static str),
    /// Redirects to another address, with the names of the file's contents and revision.
    Redirect(String),
    /// Asks to wait for a second, `left` times.
    Busy {
        left: Arc<Mutex<usize>>,
        then: Box<Response>,
    },
}

struct Hub {
    server: Server,
    answers: Arc<Mutex<HashMap<String, Response>>>,
    cache: TempDir,
}

impl Hub {
    fn new(answers: &[(&str, Response)]) -> Self {
        let answers = answers.iter().map(|(path, answer)| (path.to_string(), answer.clone())).collect();
        let answers = Arc::new(Mutex::new(answers));
        let known: Arc<Mutex<HashMap<String, Response>>> = Arc::clone(&answers);
        let server = Server::new(move |request| {
            let answer = known.lock().unwrap().get(&request.path).cloned();
            reply(&answer.unwrap_or(Response::Status("404 Not Found")), request)
        });
        Self { server, answers, cache: tempfile::tempdir().unwrap() }
    }

    fn endpoint(&self) -> Endpoint {
        let cache = self.cache.path().join("hub");
        Endpoint { url: self.server.url.clone(), cache, token: Some("secret".into()), offline: false }
    }

    fn answer(&self, path: &str, answer: Response) {
        self.answers.lock().unwrap().insert(path.to_string(), answer);
    }

    fn requests(&self) -> usize {
        self.server.requests().len()
    }

    /// The files in the cache, except locks and references.
    fn cached(&self) -> Vec<PathBuf> {
        fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => collect(&path, into),
                    false => into.push(path),
                }
            }
        }
        let mut found = vec![];
        collect(self.cache.path(), &mut found);
        found.retain(|path| !path.to_str().unwrap().contains("/.locks/"));
        found
    }
}

fn reply(answer: &Response, request: &Request) -> Reply {
    let (content, announced, cut) = match answer {
        Response::Whole(content) | Response::Named(content, _) => (content, true, false),
        Response::Cut(content) | Response::Silent(content) => (content, true, true),
        Response::CutUnannounced(content) => (content, false, true),
        Response::Redirect(location) => {
            let reply = Reply::new("302 Found", "").with("Location", location);
            return reply.with("X-Linked-ETag", "\"tag\"").with("X-Repo-Commit", COMMIT);
        }
        Response::Status(status) => return Reply::new(status, ""),
        Response::Busy { left, then } => {
            let mut left = left.lock().unwrap();
            if *left == 0 {
                return reply(then, request);
            }
            *left -= 1;
            return Reply::new("429 Too Many Requests", "").with("Retry-After", "1");
        }
    };
    let etag =
        if let Response::Named(_, etag) = answer { etag.clone() } else { format!("tag{}", content.len()) };
    let named = |reply: Reply| reply.with("ETag", format!("\"{etag}\"")).with("X-Repo-Commit", COMMIT);
    let Some(range) = request.header("range") else { return named(Reply::new("200 OK", content.as_slice())) };
    let (first, last) = range.trim_start_matches("bytes=").split_once('-').unwrap_or(("0", ""));
    let first: usize = first.parse().unwrap_or(0);
    let last = last.parse().map_or(content.len(), |last: usize| last + 1);
    if first >= content.len() {
        return Reply::new("416 Range Not Satisfiable", "");
    }
    let body = &content[first..last];
    let range = format!("bytes {first}-{}/{}", last - 1, content.len());
    let reply = named(Reply::new("206 Partial Content", body)).with("Content-Range", range);
    let reply = if announced { reply } else { reply.unannounced() };
    match (cut && body.len() > 1, answer) {
        // The one-byte request for the size is always answered.
        (false, _) => reply,
        (true, Response::Silent(_)) => reply.cut(0),
        (true, _) => reply.cut(body.len() / 2),
    }
}

const FILE: &str = "/datasets/me/poems/resolve/main/deep/train.csv";
const CSV: &[u8] = b"text\nroses are red\nviolets are blue\n";

const SHA1: &str = "259d9da231a975f99ed6cfeae188d8d98759bf32";
const SHA256: &str = "6bb8b89200d3fb809a442637824e85b17a100e32b37b0115faf5172811c59f2e";

fn poems() -> FileAddress {
    FileAddress::parse("hf://datasets/me/poems/deep/train.csv").unwrap()
}

fn lstm() -> BundleAddress {
    BundleAddress::parse("hf://me/lstm").unwrap().unwrap()
}

fn fetch(hub: &Hub) -> Result<PathBuf, String> {
    data_file(&hub.endpoint(), &poems()).map_err(|error| error.to_string())
}

#[test]
fn file_is_downloaded_once_with_the_token() {
    let hub = Hub::new(&[(FILE, Response::Whole(CSV.into()))]);
    let path = fetch(&hub).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), CSV);
    let corpus = Corpus::open(&Source::File(path.clone()), &ReadOptions::default(), 0).unwrap();
    let texts: Vec<String> = corpus.pieces(Split::All).unwrap().map(|piece| piece.unwrap().text).collect();
    assert_eq!(texts, ["roses are red", "violets are blue"]);
    assert!(
        hub.server.requests().iter().all(|request| request.header("authorization") == Some("Bearer secret"))
    );
    let requests = hub.requests();
    assert_eq!(fetch(&hub).unwrap(), path);
    assert_eq!(hub.requests(), requests);
}

#[test]
fn token_is_not_sent_to_other_hosts() {
    let elsewhere = Hub::new(&[("/data/train.csv", Response::Whole(CSV.into()))]);
    let moved = "/datasets/me/renamed/resolve/main/deep/train.csv";
    let hub = Hub::new(&[
        (FILE, Response::Redirect(moved.into())),
        (moved, Response::Redirect(format!("{}/data/train.csv", elsewhere.server.url))),
    ]);
    assert_eq!(std::fs::read(fetch(&hub).unwrap()).unwrap(), CSV);
    let tokens = |hub: &Hub| -> Vec<Option<String>> {
        hub.server.requests().iter().map(|it| it.header("authorization").map(String::from)).collect()
    };
    // Metadata and data, from each address.
    assert_eq!(tokens(&hub), vec![Some("Bearer secret".to_string()); 4]);
    assert_eq!(tokens(&elsewhere), [None, None]);
}

#[test]
fn redirects_end() {
    let hub = Hub::new(&[(FILE, Response::Redirect(FILE.into()))]);
    let error = fetch(&hub).unwrap_err();
    assert!(error.contains("redirects more than 10 times"), "{error}");
    hub.answer(FILE, Response::Redirect("http://".into()));
    let error = fetch(&hub).unwrap_err();
    assert!(error.contains("is not an address"), "{error}");
}

#[test]
fn missing_file_is_named_with_its_address() {
    let hub = Hub::new(&[]);
    let error = fetch(&hub).unwrap_err();
    assert_eq!(
        error,
        format!("{}{FILE}: not found (404); check owner, name, revision and file", hub.server.url)
    );
}

#[test]
fn private_file_needs_a_token() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let hub = Hub::new(&[(FILE, Response::Status(status))]);
        let error = fetch(&hub).unwrap_err();
        assert!(
            error.contains(&status[..3]) && error.contains("HF_TOKEN") && error.contains(FILE),
            "{error}"
        );
    }
    let hub = Hub::new(&[(FILE, Response::Status("503 Service Unavailable"))]);
    assert!(fetch(&hub).unwrap_err().contains("status 503"));
}

#[test]
fn cut_download_is_continued() {
    for cut in [Response::Cut(CSV.into()), Response::CutUnannounced(CSV.into())] {
        let hub = Hub::new(&[(FILE, cut)]);
        assert_eq!(std::fs::read(fetch(&hub).unwrap()).unwrap(), CSV);
        // The size, then half of what is missing each time.
        let ranges = hub.server.requests();
        let ranges: Vec<&str> = ranges.iter().filter_map(|request| request.header("range")).collect();
        let starts =
            ["0-0", "0-", "18-", "27-", "31-", "33-", "34-", "35-"].map(|range| format!("bytes={range}"));
        assert_eq!(ranges, starts);
    }
}

#[test]
fn download_that_stops_is_an_error_and_goes_on_later() {
    let hub = Hub::new(&[(FILE, Response::Silent(CSV.into()))]);
    let error = fetch(&hub).unwrap_err();
    assert!(error.contains("the connection failed") && error.contains("try again"), "{error}");
    // One request for the size and five for the contents.
    assert_eq!(hub.requests(), 6);
    assert!(hub.cached().iter().all(|path| path.extension().unwrap() == "incomplete"), "{:?}", hub.cached());
    hub.answer(FILE, Response::Whole(CSV.into()));
    assert_eq!(std::fs::read(fetch(&hub).unwrap()).unwrap(), CSV);
}

#[test]
fn contents_with_another_hash_are_rejected() {
    // The hash of the contents by Git, and by SHA-256: `git hash-object`, `sha256sum`.
    let hashes = [SHA1, SHA256];
    for right in hashes {
        let wrong = format!("0{}", &right[1..]);
        let hub = Hub::new(&[(FILE, Response::Named(CSV.into(), wrong))]);
        let error = fetch(&hub).unwrap_err();
        assert!(error.contains("differs from the checksum") && error.contains(FILE), "{error}");
        assert_eq!(hub.cached(), Vec::<PathBuf>::new());
        hub.answer(FILE, Response::Named(CSV.into(), right.into()));
        assert_eq!(std::fs::read(fetch(&hub).unwrap()).unwrap(), CSV);
    }
}

#[test]
fn file_without_bytes_is_fetched() {
    // The hash of no bytes by Git.
    let empty = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
    let hub = Hub::new(&[(FILE, Response::Named(vec![], empty.into()))]);
    assert_eq!(std::fs::read(fetch(&hub).unwrap()).unwrap(), b"");
}

#[test]
fn names_that_would_leave_the_cache_are_refused() {
    for etag in ["../../../../evil", "..", "a/b", ".hidden"] {
        let hub = Hub::new(&[(FILE, Response::Named(CSV.into(), etag.into()))]);
        let error = fetch(&hub).unwrap_err();
        assert!(error.contains("no usable ETag"), "{etag}: {error}");
        assert_eq!(hub.cached(), Vec::<PathBuf>::new());
    }
}

#[test]
fn busy_server_is_asked_again() {
    let left = Arc::new(Mutex::new(2));
    let then = Box::new(Response::Whole(CSV.into()));
    let hub = Hub::new(&[(FILE, Response::Busy { left, then })]);
    let start = std::time::Instant::now();
    assert_eq!(std::fs::read(fetch(&hub).unwrap()).unwrap(), CSV);
    assert_eq!(hub.requests(), 4);
    assert!(start.elapsed().as_secs() >= 2, "Retry-After is a second, twice");
}

#[test]
fn contents_of_another_revision_are_not_fetched_again() {
    let file = |revision: &str| format!("/datasets/me/poems/resolve/{revision}/deep/train.csv");
    let hub =
        Hub::new(&[(&file("main"), Response::Whole(CSV.into())), (&file("v1"), Response::Whole(CSV.into()))]);
    let first = fetch(&hub).unwrap();
    let requests = hub.requests();
    let address = FileAddress::parse("hf://datasets/me/poems@v1/deep/train.csv").unwrap();
    // Both are the same commit.
    assert_eq!(data_file(&hub.endpoint(), &address).unwrap(), first);
    assert_eq!(hub.requests(), requests + 1);
    let refs = hub.endpoint().cache.join("datasets--me--poems/refs");
    for name in ["main", "v1"] {
        assert_eq!(std::fs::read_to_string(refs.join(name)).unwrap(), COMMIT);
    }
}

#[test]
fn leftovers_of_an_earlier_download_are_ignored() {
    for left in [CSV.to_vec(), [CSV, b"more"].concat()] {
        let hub = Hub::new(&[(FILE, Response::Whole(CSV.into()))]);
        let blobs = hub.endpoint().cache.join("datasets--me--poems/blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join(format!("tag{}.incomplete", CSV.len())), left).unwrap();
        assert_eq!(std::fs::read(fetch(&hub).unwrap()).unwrap(), CSV);
    }
}

#[test]
fn missing_server_and_offline_mode_have_different_errors() {
    let hub = Hub::new(&[(FILE, Response::Whole(CSV.into()))]);
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere = Endpoint { url: format!("http://{unused}"), ..hub.endpoint() };
    let error = data_file(&nowhere, &poems()).unwrap_err().to_string();
    assert!(error.contains("the connection failed"), "{error}");
    let offline = Endpoint { offline: true, ..hub.endpoint() };
    let offline = || data_file(&offline, &poems());
    assert!(offline().unwrap_err().to_string().contains("HF_HUB_OFFLINE"));
    assert_eq!(hub.requests(), 0);
    fetch(&hub).unwrap();
    assert!(offline().is_ok());
}

#[test]
fn bundle_is_one_folder_of_one_revision() {
    let file = |revision: &str, name: &str| format!("/me/lstm/resolve/{revision}/{name}");
    let whole = |content: &str| Response::Whole(content.into());
    let hub = Hub::new(&[
        (&file("main", "config.json"), whole("{}")),
        (&file(COMMIT, "model.safetensors"), whole("tensors")),
        (&file(COMMIT, "tokenizer.json"), whole("{\"t\": 1}")),
        (&file(COMMIT, "SHA256SUMS"), whole("sums")),
    ]);
    let folder = bundle(&hub.endpoint(), &lstm()).unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("model.safetensors")).unwrap(), "tensors");
    for name in ["config.json", "tokenizer.json", "SHA256SUMS"] {
        assert!(folder.join(name).exists(), "{name}");
    }
    assert!(!folder.join("README.md").exists());
    let last = hub.server.requests().last().map(|request| request.path.clone());
    assert_eq!(last, Some(file(COMMIT, "model.safetensors")), "what is there with a model is whole");

    // Another program has downloaded the model without its tokenizer.
    let hub = Hub::new(&[
        (&file("main", "config.json"), whole("{\"tokenizer\": \"word\"}")),
        (&file(COMMIT, "model.safetensors"), whole("tensors")),
        (&file(COMMIT, "tokenizer.json"), whole("{\"t\": 1}")),
    ]);
    let folder = bundle(&hub.endpoint(), &lstm()).unwrap();
    std::fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let requests = hub.requests();
    let offline = Endpoint { offline: true, ..hub.endpoint() };
    assert_eq!(bundle(&offline, &lstm()).unwrap(), folder);
    assert_eq!(hub.requests(), requests, "offline asks for nothing");
    assert_eq!(bundle(&hub.endpoint(), &lstm()).unwrap(), folder);
    assert!(folder.join("tokenizer.json").exists());
    let requests = hub.requests();
    bundle(&hub.endpoint(), &lstm()).unwrap();
    assert_eq!(hub.requests(), requests, "a whole bundle is not asked for again");

    let partial = Hub::new(&[(&file("main", "config.json"), whole("{}"))]);
    let error = bundle(&partial.endpoint(), &lstm()).unwrap_err().to_string();
    assert!(error.contains("model.safetensors: not found (404)"), "{error}");
}

#[test]
fn cached_bundle_needs_no_server() {
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cache = tempfile::tempdir().unwrap();
    // The layout of Python's huggingface_hub: a branch has a file with its revision, a revision a folder.
    let folder = cache.path().join(format!("models--me--lstm/snapshots/{COMMIT}"));
    let refs = cache.path().join("models--me--lstm/refs");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(&refs).unwrap();
    std::fs::write(refs.join("main"), COMMIT).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::write(folder.join(name), "").unwrap();
    }
    for offline in [false, true] {
        let cache = cache.path().to_path_buf();
        let endpoint = Endpoint { url: format!("http://{nowhere}"), cache, token: None, offline };
        assert_eq!(bundle(&endpoint, &lstm()).unwrap(), folder);
    }
}
