//! A server in a process of its own, and a client of plain sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cli::Folder;

/// The time in which a server must answer anything here.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. It is killed when dropped.
pub struct Server {
    pub child: Child,
    pub address: String,
}

/// An answer: status, header in lower case, body.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub header: String,
    pub body: String,
}

impl Server {
    /// Start `rnn serve` in a folder, on a free port; the arguments in `line` hold no spaces.
    pub fn start(folder: &Folder, line: &str) -> Self {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin!("rnn"))
            .current_dir(folder.path(""))
            .args(["serve", "--port", "0"])
            .args(line.split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let address = first.trim().strip_prefix("http://").unwrap_or_default().to_string();
        assert!(!address.is_empty(), "rnn serve {line}: {first:?}");
        Self { child, address }
    }

    /// Open a connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Send bytes and read the answer to its end.
    pub fn send(&self, request: &[u8]) -> Reply {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        read_reply(stream)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
    }

    pub fn post(&self, path: &str, body: &str) -> Reply {
        self.send(&post(path, body, ""))
    }

    /// Post an object that is answered with status 200, and return the answer.
    pub fn ask(&self, path: &str, body: &Value) -> Value {
        let reply = self.post(path, &body.to_string());
        assert_eq!(reply.status, 200, "{body}: {reply:?}");
        reply.json()
    }

    /// Post an object that is refused with `status` and an error about `param`; return the message.
    pub fn refused(&self, path: &str, body: &str, status: u16, param: Option<&str>) -> String {
        let reply = self.post(path, body);
        assert_eq!(reply.status, status, "{body}: {reply:?}");
        let error = &reply.json()["error"];
        assert_eq!(error["param"], json!(param), "{error}");
        assert!(error["type"].is_string() && error.get("code").is_some(), "{error}");
        let message = error["message"].as_str().unwrap().to_string();
        assert_eq!(message.lines().count(), 1, "{message}");
        message
    }

    /// The value of a figure of `/metrics`, whose line begins with `name`.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").body;
        let line = text.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Wait until a condition holds.
    pub fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(began.elapsed() < PATIENCE, "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Send SIGTERM and return the exit code.
    #[cfg(unix)]
    pub fn terminate(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The objects of a stream, which ends with `[DONE]`.
    pub fn events(&self) -> Vec<Value> {
        let mut data: Vec<&str> = self.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(data.pop(), Some("[DONE]"), "{self:?}");
        data.iter().map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    /// The texts of a stream by the index of their choice.
    pub fn streamed(&self) -> Vec<String> {
        let mut texts = vec![];
        for event in self.events() {
            for choice in event["choices"].as_array().unwrap() {
                let index = choice["index"].as_u64().unwrap() as usize;
                texts.resize(texts.len().max(index + 1), String::new());
                texts[index].push_str(choice["text"].as_str().unwrap());
            }
        }
        texts
    }
}

/// The bytes of a request; `more` has further lines of the header.
pub fn post(path: &str, body: &str, more: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{more}\r\n{body}"
    )
    .into_bytes()
}

/// Read an answer to the end of its connection.
pub fn read_reply(mut stream: impl Read) -> Reply {
    let mut bytes = vec![];
    // The server may close a connection whose request it has not read to its end.
    stream.read_to_end(&mut bytes).ok();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (header, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = header.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let header = header.to_lowercase();
    let body = if header.contains("transfer-encoding: chunked") { joined(body) } else { body.to_string() };
    Reply { status, header, body }
}

/// Join the chunks of a body.
fn joined(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        text.push_str(&rest[..size]);
        body = rest[size..].strip_prefix("\r\n").unwrap_or_default();
    }
    text
}
