//! Clients that send too much, too slowly or not HTTP: each is answered or dropped, and the next is served.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use super::client::{Server, post, read_reply};
use crate::cli::Folder;

const LINE: &str = "m --read-timeout 1 --max-body 100000";

fn is_served(server: &Server) {
    let reply = server.post("/v1/completions", r#"{"prompt": "the", "max_tokens": 3}"#);
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// The bytes that the server still has in memory, in KiB.
#[cfg(target_os = "linux")]
fn memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn headers_that_come_slowly_or_not_at_all_end_the_connection() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, LINE);
    let began = Instant::now();
    // Half-open: nothing is ever sent. Slow-loris: a line every 200 ms, for ever.
    let mut silent = server.connect();
    // Idle: a request is answered, and no other comes.
    let mut idle = server.connect();
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut slow = server.connect();
    slow.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n").unwrap();
    let mut number = 0;
    while slow.write_all(format!("X-{number}: a\r\n").as_bytes()).is_ok() {
        number += 1;
        std::thread::sleep(Duration::from_millis(200));
        assert!(began.elapsed() < Duration::from_secs(20), "the slow connection is still open");
    }
    assert_eq!(silent.read(&mut [0; 1]).unwrap_or(0), 0);
    let mut answer = String::new();
    idle.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("}"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(20));
    is_served(&server);
}

#[test]
fn bodies_that_do_not_end_or_are_too_large_are_refused() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, LINE);
    let header = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    // A body that stops half way.
    let mut stream = server.connect();
    write!(stream, "{header}Content-Length: 50\r\n\r\n{{").unwrap();
    assert_eq!(read_reply(stream).status, 408);
    // A length beyond the limit is refused before anything is read.
    let mut stream = server.connect();
    write!(stream, "{header}Content-Length: 99999999999\r\n\r\n").unwrap();
    assert_eq!(read_reply(stream).status, 413);
    // Chunks without end.
    let mut stream = server.connect();
    let writer = stream.try_clone().unwrap();
    let endless = std::thread::spawn(move || {
        let mut writer = writer;
        write!(writer, "{header}Transfer-Encoding: chunked\r\n\r\n").unwrap();
        let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
        (0..100_000).take_while(|_| writer.write_all(chunk.as_bytes()).is_ok()).count()
    });
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    stream.shutdown(Shutdown::Both).ok();
    assert!(endless.join().unwrap() < 100_000);
    is_served(&server);
}

#[cfg(target_os = "linux")]
#[test]
fn header_of_100_megabytes_is_refused_without_its_memory() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, LINE);
    is_served(&server);
    let before = memory(&server);
    let mut stream = server.connect();
    let mut writer = stream.try_clone().unwrap();
    let large = std::thread::spawn(move || {
        writer.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Large: ").unwrap();
        let piece = [b'a'; 1 << 16];
        (0..1600).take_while(|_| writer.write_all(&piece).is_ok()).count()
    });
    let mut start = [0; 12];
    if stream.read_exact(&mut start).is_ok() {
        assert_eq!(&start, b"HTTP/1.1 431");
    }
    stream.shutdown(Shutdown::Both).ok();
    assert!(large.join().unwrap() < 1600, "all of the header was read");
    assert!(memory(&server) < before + 20_000, "{} KiB, before {before}", memory(&server));
    // So are 100,000 lines.
    let lines = "X: a\r\n".repeat(100_000);
    let mut stream = server.connect();
    stream.write_all(format!("GET /health HTTP/1.1\r\n{lines}\r\n").as_bytes()).ok();
    assert!([0, 431].contains(&read_reply(stream).status));
    is_served(&server);
}

#[test]
fn header_that_is_too_large_is_a_json_error() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, LINE);
    let lines = "X: a\r\n".repeat(100);
    let reply = server.send(format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n").as_bytes());
    assert_eq!(reply.status, 431, "{reply:?}");
    assert!(reply.header.contains("content-type: application/json"), "{}", reply.header);
    let error = &reply.json()["error"];
    let problem = "header: is larger than 32768 bytes, or has more than 64 lines; send less";
    assert_eq!((&error["message"], &error["type"]), (&problem.into(), &"invalid_request_error".into()));
    is_served(&server);
}

#[test]
fn bytes_that_are_no_text_or_no_http_are_refused() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, LINE);
    let mut invalid = post("/v1/completions", r#"{"prompt": "??"}"#, "");
    let at = invalid.iter().position(|&byte| byte == b'?').unwrap();
    invalid[at] = 0xff;
    let reply = server.send(&invalid);
    assert_eq!((reply.status, &reply.json()["error"]["param"]), (400, &"body".into()));
    let nested = "[".repeat(90_000);
    let deep = format!("{{\"prompt\": {}", "{\"a\":".repeat(10_000));
    for body in [nested.as_str(), &deep, "", "null", "\u{feff}{}", "{\"prompt\": \"\\ud800\"}"] {
        server.refused("/v1/completions", body, 400, Some("body"));
    }
    for bytes in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"[..], b"GET\r\n\r\n", &[0; 4000], b"PRI * HTTP/2.0\r\n\r\n"]
    {
        let status = server.send(bytes).status;
        assert!([0, 400].contains(&status), "{bytes:?}: {status}");
    }
    for path in ["/../Cargo.toml", "/%2e%2e/%2e%2e/etc/passwd", "/v1/models/..%2f..%2fm", "/page/index.html"]
    {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    is_served(&server);
}
