//! Places, the queue, time, clients that go away, and the end of the server.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Server, post, read_reply};
use crate::cli::{Folder, TINY_SEQUENCES};

/// The body of a request whose text takes long.
fn long(more: &str) -> String {
    format!(r#"{{"prompt": "the", "max_tokens": 100000000, "stream": true{more}}}"#)
}

const LONG: &str = "m --max-tokens 100000000";

/// Open a stream and read its first bytes.
fn begun(server: &Server) -> std::net::TcpStream {
    let mut stream = server.connect();
    stream.write_all(&post("/v1/completions", &long(""), "")).unwrap();
    let mut start = [0; 600];
    stream.read_exact(&mut start).unwrap();
    assert!(start.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&start));
    stream
}

#[test]
fn full_queue_is_status_429_and_a_client_that_goes_away_frees_its_place() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, &format!("{LONG} --streams 2 --queue 1"));
    let streams = [begun(&server), begun(&server)];
    let mut queued = server.connect();
    queued.write_all(&post("/v1/completions", r#"{"prompt": "the", "max_tokens": 4}"#, "")).unwrap();
    server.until("a text waits", || server.metric("rnn_queue{") == 1.);
    let reply = server.post("/v1/completions", &long(""));
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (429, Some("rate_limit_exceeded")));
    assert!(reply.header.contains("retry-after: 1"), "{}", reply.header);
    assert_eq!(server.metric("rnn_streams{"), 2.);
    // The queued text gets the place of a client that breaks its connection.
    drop(streams);
    assert_eq!(read_reply(queued).status, 200);
    server.until("all places are free", || server.metric("rnn_streams{") == 0.);
    assert_eq!(server.ask("/v1/completions", &json!({"n": 2, "max_tokens": 2}))["choices"][1]["index"], 1);
}

#[test]
fn crowd_beyond_the_limit_gets_answers_or_429_and_nothing_else() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, "m --streams 4 --queue 8");
    let body = r#"{"prompt": "the", "max_tokens": 400}"#;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..100).map(|_| scope.spawn(|| server.post("/v1/completions", body).status)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let count = |status| statuses.iter().filter(|&&found| found == status).count();
    assert_eq!(count(200) + count(429), 100, "{statuses:?}");
    assert!(count(200) >= 12, "{statuses:?}");
}

#[test]
fn client_that_does_not_read_loses_its_connection_and_its_place() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, &format!("{LONG} --streams 1 --queue 1 --write-timeout 0.5"));
    let unread = begun(&server);
    let waiting = server.post("/v1/completions", r#"{"prompt": "the", "max_tokens": 4}"#);
    assert_eq!(waiting.status, 200, "{waiting:?}");
    server.until("the place is free", || server.metric("rnn_streams{") == 0.);
    // The bytes that the system had taken from the server are still there, and nothing after them.
    let mut rest = vec![];
    let _ = { unread }.read_to_end(&mut rest);
    assert!(rest.len() > 1000 && !rest.ends_with(b"data: [DONE]\n\n"), "{} bytes", rest.len());
}

#[test]
fn text_that_no_one_reads_keeps_its_place_up_to_its_time() {
    let folder = Folder::with_model();
    let start = |more: &str| Server::start(&folder, &format!("{LONG} --streams 1 --queue 0 {more}"));
    let short = |server: &Server| server.post("/v1/completions", r#"{"max_tokens": 1}"#).status;
    let server = start("--write-timeout 60");
    let mut unread = server.connect();
    // More bytes than the system takes from the server.
    let body = r#"{"max_tokens": 40000, "logprobs": 20, "stream": true}"#;
    unread.write_all(&post("/v1/completions", body, "")).unwrap();
    let written = || server.metric("rnn_tokens_total{kind=\"completion\"") == 40000.;
    server.until("the text is written", written);
    assert_eq!(short(&server), 429);
    drop(unread);
    server.until("the place is free", || short(&server) == 200);

    let server = start("--write-timeout 60 --timeout 1");
    let mut unread = server.connect();
    unread.write_all(&post("/v1/completions", &long(r#", "logprobs": 20"#), "")).unwrap();
    server.until("the text begins", || server.metric("rnn_streams{") == 1.);
    server.until("the place is free", || short(&server) == 200);
}

#[test]
fn echoed_tokens_need_no_place_of_their_own() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, "m --streams 1 --queue 0");
    let body = json!({"prompt": "the", "echo": true, "logprobs": 1, "max_tokens": 1});
    assert_eq!(server.ask("/v1/completions", &body)["choices"][0]["logprobs"]["tokens"][0], "t");
}

#[test]
fn request_ends_at_its_time() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, &format!("{LONG} --timeout 0.5"));
    let whole = server.post("/v1/completions", r#"{"max_tokens": 100000000}"#);
    assert_eq!((whole.status, whole.json()["error"]["code"].as_str()), (504, Some("timeout")));
    let streamed = server.post("/v1/completions", &long("")).events();
    assert_eq!(streamed.last().unwrap()["error"]["code"], "timeout");
    server.until("all places are free", || server.metric("rnn_streams{") == 0.);
}

#[test]
fn translations_end_when_their_client_has_gone() {
    let folder = Folder::new();
    folder.done(&format!("train gru --task translate --data builtin:dates --out m {TINY_SEQUENCES}"));
    let server = Server::start(&folder, "m");
    let texts: Vec<String> = (0..256).map(|n| format!("{n} may 1999 ").repeat(60)).collect();
    // A text is translated as if it were alone.
    let few = server.ask("/v1/predict", &json!({ "input": texts[..2], "beams": 8 }));
    let one = server.ask("/v1/predict", &json!({ "input": texts[1], "beams": 8 }));
    assert_eq!(few["data"][1], one["data"][0]);
    // All of them take far longer than the client of this test waits for an answer.
    let mut stream = server.connect();
    let body = json!({ "input": texts, "beams": 64 });
    stream.write_all(&post("/v1/predict", &body.to_string(), "")).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    drop(stream);
    server.ask("/v1/predict", &json!({ "input": "3 may 1999" }));
}

#[cfg(unix)]
#[test]
fn server_that_is_told_to_end_lets_requests_end_up_to_the_grace() {
    let folder = Folder::with_model();
    let mut server = Server::start(&folder, &format!("{LONG} --grace 20"));
    let mut stream = server.connect();
    stream.write_all(&post("/v1/completions", r#"{"max_tokens": 30000, "stream": true}"#, "")).unwrap();
    stream.read_exact(&mut [0; 300]).unwrap();
    // The server cannot end before the client has read the text.
    let reader = std::thread::spawn(move || {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        rest
    });
    assert_eq!(server.terminate(), Some(0));
    let rest = reader.join().unwrap();
    assert!(rest.contains("\"finish_reason\":\"length\"") && rest.contains("[DONE]"), "cut short");
    assert!(std::net::TcpStream::connect(&server.address).is_err());

    let mut server = Server::start(&folder, &format!("{LONG} --grace 0.3"));
    let _endless = begun(&server);
    let began = Instant::now();
    assert_eq!(server.terminate(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(20));
}
