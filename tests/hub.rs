//! Downloads from a local server that behaves like the Hugging Face hub.

// The lint exempts test functions, but not the functions that they call.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rnn_zoo::data::hub::{Endpoint, bundle, dataset_file};
use rnn_zoo::data::{Corpus, ReadOptions, Source, Split};
use tempfile::TempDir;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The server's response to one path.
#[derive(Clone)]
enum Response {
    /// Sends the requested part of the file.
    Whole(Vec<u8>),
    /// Announces the whole file and closes the connection half way.
    Cut(Vec<u8>),
    /// Like `Cut`, but without announcing a length.
    CutUnannounced(Vec<u8>),
    Status(&'static str),
    /// Redirects to another address, with the names of the file's contents and revision.
    Redirect(String),
}

/// The path and the token of a request.
type Request = (String, Option<String>);

struct Hub {
    url: String,
    answers: Arc<Mutex<HashMap<String, Response>>>,
    requests: Arc<Mutex<Vec<Request>>>,
    cache: TempDir,
}

impl Hub {
    fn new(answers: &[(&str, Response)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = answers.iter().map(|(path, answer)| (path.to_string(), answer.clone())).collect();
        let hub = Self {
            url,
            answers: Arc::new(Mutex::new(answers)),
            requests: Arc::default(),
            cache: tempfile::tempdir().unwrap(),
        };
        let (answers, requests) = (Arc::clone(&hub.answers), Arc::clone(&hub.requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // The client may close the connection.
                serve(stream, &answers, &requests).ok();
            }
        });
        hub
    }

    fn endpoint(&self) -> Endpoint {
        let cache = self.cache.path().join("hub");
        Endpoint { url: self.url.clone(), cache, token: Some("secret".into()), offline: false }
    }

    fn answer(&self, path: &str, answer: Response) {
        self.answers.lock().unwrap().insert(path.to_string(), answer);
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

fn serve(
    stream: TcpStream,
    answers: &Mutex<HashMap<String, Response>>,
    requests: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_string());
    }
    let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else { return Ok(()) };
    let header = |name: &str| {
        let mut headers = head.iter().filter_map(|line| line.split_once(": "));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_string())
    };
    requests.lock().unwrap().push((path.to_string(), header("authorization")));
    let answer = answers.lock().unwrap().get(path).cloned();
    let range = header("range").unwrap_or_default();
    write_answer(stream, &answer.unwrap_or(Response::Status("404 Not Found")), &range)
}

fn write_answer(mut stream: TcpStream, answer: &Response, range: &str) -> std::io::Result<()> {
    let (content, promised, cut) = match answer {
        Response::Whole(content) => (content, true, false),
        Response::Cut(content) => (content, true, true),
        Response::CutUnannounced(content) => (content, false, true),
        Response::Redirect(location) => {
            return write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: {location}\r\nX-Linked-ETag: \"tag\"\r\nX-Repo-Commit: {COMMIT}\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
        Response::Status(status) => {
            return write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    };
    let (first, last) = range.trim_start_matches("bytes=").split_once('-').unwrap_or(("0", ""));
    let first: usize = first.parse().unwrap_or(0);
    let last = last.parse().map_or(content.len(), |last: usize| last + 1);
    if first >= content.len() {
        return write!(
            stream,
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let body = &content[first..last];
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nETag: \"tag{}\"\r\nX-Repo-Commit: {COMMIT}\r\n",
        content.len()
    )?;
    write!(stream, "Content-Range: bytes {first}-{}/{}\r\nConnection: close\r\n", last - 1, content.len())?;
    if promised {
        write!(stream, "Content-Length: {}\r\n", body.len())?;
    }
    stream.write_all(b"\r\n")?;
    // The one-byte request for the size is always answered.
    let sent = if cut && body.len() > 1 { body.len() / 2 } else { body.len() };
    stream.write_all(&body[..sent])
}

const FILE: &str = "/datasets/me/poems/resolve/main/deep/train.csv";
const CSV: &[u8] = b"text\nroses are red\nviolets are blue\n";

fn fetch(hub: &Hub) -> Result<std::path::PathBuf, String> {
    dataset_file(&hub.endpoint(), "me", "poems", "deep/train.csv").map_err(|error| error.to_string())
}

#[test]
fn file_is_downloaded_once_with_the_token() {
    let hub = Hub::new(&[(FILE, Response::Whole(CSV.into()))]);
    let path = fetch(&hub).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), CSV);
    let corpus = Corpus::open(&Source::File(path.clone()), &ReadOptions::default(), 0).unwrap();
    let texts: Vec<String> = corpus.pieces(Split::All).unwrap().map(|piece| piece.unwrap().text).collect();
    assert_eq!(texts, ["roses are red", "violets are blue"]);
    assert!(hub.requests.lock().unwrap().iter().all(|(_, token)| token.as_deref() == Some("Bearer secret")));
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
        (moved, Response::Redirect(format!("{}/data/train.csv", elsewhere.url))),
    ]);
    assert_eq!(std::fs::read(fetch(&hub).unwrap()).unwrap(), CSV);
    let tokens = |hub: &Hub| -> Vec<Option<String>> {
        hub.requests.lock().unwrap().iter().map(|(_, token)| token.clone()).collect()
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
    assert_eq!(error, format!("{}{FILE}: not found (404); check owner, name and file", hub.url));
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
fn truncated_download_is_an_error_and_can_be_repeated() {
    for cut in [Response::Cut(CSV.into()), Response::CutUnannounced(CSV.into())] {
        let hub = Hub::new(&[(FILE, cut)]);
        for _ in 0..3 {
            let error = fetch(&hub).unwrap_err();
            assert!(error.contains("the connection failed") && error.contains("try again"), "{error}");
        }
        hub.answer(FILE, Response::Whole(CSV.into()));
        assert_eq!(std::fs::read(fetch(&hub).unwrap()).unwrap(), CSV);
    }
}

#[test]
fn leftovers_of_an_earlier_download_are_ignored() {
    for left in [CSV.to_vec(), [CSV, b"more"].concat()] {
        let hub = Hub::new(&[(FILE, Response::Whole(CSV.into()))]);
        let blobs = hub.endpoint().cache.join("datasets--me--poems/blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join(format!("tag{}.part", CSV.len())), left).unwrap();
        assert_eq!(std::fs::read(fetch(&hub).unwrap()).unwrap(), CSV);
    }
}

#[test]
fn missing_server_and_offline_mode_have_different_errors() {
    let hub = Hub::new(&[(FILE, Response::Whole(CSV.into()))]);
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere = Endpoint { url: format!("http://{unused}"), ..hub.endpoint() };
    let error = dataset_file(&nowhere, "me", "poems", "deep/train.csv").unwrap_err().to_string();
    assert!(error.contains("the connection failed"), "{error}");
    let offline = Endpoint { offline: true, ..hub.endpoint() };
    let offline = || dataset_file(&offline, "me", "poems", "deep/train.csv");
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
    let folder = bundle(&hub.endpoint(), "me", "lstm").unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("model.safetensors")).unwrap(), "tensors");
    for name in ["config.json", "tokenizer.json", "SHA256SUMS"] {
        assert!(folder.join(name).exists(), "{name}");
    }
    assert!(!folder.join("README.md").exists());
    let last = hub.requests.lock().unwrap().last().map(|(path, _)| path.clone());
    assert_eq!(last, Some(file(COMMIT, "model.safetensors")), "what is there with a model is whole");

    let partial = Hub::new(&[(&file("main", "config.json"), whole("{}"))]);
    let error = bundle(&partial.endpoint(), "me", "lstm").unwrap_err().to_string();
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
        assert_eq!(bundle(&endpoint, "me", "lstm").unwrap(), folder);
    }
}
