//! A server of HTTP/1.1 that answers each request by a function, and can cut uploads.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A request, and what arrived of its body.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Clone)]
pub(super) struct Reply {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// The bytes of the body that arrive before the connection ends.
    arriving: usize,
    /// Whether the length of the body is announced.
    announced: bool,
}

impl Reply {
    pub(super) fn new(status: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { status, headers: vec![], arriving: body.len(), body, announced: true }
    }

    pub(super) fn json(value: &serde_json::Value) -> Self {
        Self::new("200 OK", value.to_string())
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same answer, of whose body only so many bytes arrive.
    pub(super) fn cut(self, arriving: usize) -> Self {
        Self { arriving, ..self }
    }

    /// The same answer without a length: the end of the connection ends it.
    pub(super) fn unannounced(self) -> Self {
        Self { announced: false, ..self }
    }
}

/// The server, in threads that end with the test.
pub(super) struct Server {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    cuts: Arc<AtomicUsize>,
}

impl Server {
    pub(super) fn new(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, requests: Arc::default(), cuts: Arc::default() };
        let (requests, cuts, answer) =
            (Arc::clone(&server.requests), Arc::clone(&server.cuts), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (requests, cuts, answer) =
                    (Arc::clone(&requests), Arc::clone(&cuts), Arc::clone(&answer));
                // The client may close the connection.
                std::thread::spawn(move || serve(stream, &requests, &cuts, &*answer).ok());
            }
        });
        server
    }

    /// Close the connections of the next uploads half way.
    pub(super) fn cut_uploads(&self, count: usize) {
        self.cuts.store(count, Ordering::SeqCst);
    }

    /// The requests so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    requests: &Mutex<Vec<Request>>,
    cuts: &AtomicUsize,
    answer: &dyn Fn(&Request) -> Reply,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let Some(mut request) = head(&mut reader)? else { return Ok(()) };
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let is_cut = request.method == "PUT"
        && cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    reader.take(if is_cut { length / 2 } else { length }).read_to_end(&mut request.body)?;
    requests.lock().unwrap().push(request.clone());
    if is_cut {
        return Ok(());
    }
    let Reply { status, headers, body, arriving, announced } = answer(&request);
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n")?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    if announced {
        write!(stream, "Content-Length: {}\r\n", body.len())?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&body[..arriving])
}

/// Read the first line and the headers of a request; `None` if the client sends nothing.
fn head(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut lines = vec![];
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_string());
    }
    let Some((method, rest)) = lines.first().and_then(|line| line.split_once(' ')) else { return Ok(None) };
    let path = rest.split(' ').next().unwrap_or_default();
    let headers = lines[1..].iter().filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Ok(Some(Request { method: method.into(), path: path.into(), body: vec![], headers }))
}
