//! Access control: API keys, the Host and Origin headers, and refused command lines.

use super::client::Server;
use crate::cli::Folder;

fn get(path: &str, more: &str) -> Vec<u8> {
    let host = if more.contains("Host:") { "" } else { "Host: localhost\r\n" };
    format!("GET {path} HTTP/1.1\r\n{host}{more}Connection: close\r\n\r\n").into_bytes()
}

#[test]
fn keys_open_every_route_but_health_and_the_page() {
    let folder = Folder::with_model();
    folder.write("keys", "\u{feff}first-key\n\n # of the page\n second-key \n");
    let server = Server::start(&folder, "m --api-key-file keys");
    let status = |key: &str| server.send(&get("/v1/models", &format!("Authorization: {key}\r\n"))).status;
    assert_eq!(["Bearer first-key", "bearer second-key"].map(status), [200, 200]);
    for key in [
        "Bearer # of the page",
        "Bearer first-ke",
        "Bearer first-key2",
        "Bearer ",
        "Basic first-key",
        "first-key",
        "",
    ] {
        assert_eq!(status(key), 401, "{key}");
    }
    for route in ["/v1/models", "/metrics", "/props", "/v1/completions?prompt=a"] {
        let reply = server.get(route);
        assert_eq!((reply.status, &reply.json()["error"]["type"]), (401, &"authentication_error".into()));
        assert!(reply.header.contains("www-authenticate: bearer"), "{}", reply.header);
    }
    assert_eq!(server.post("/v1/completions", "{}").status, 401);
    assert_eq!(["/health", "/"].map(|path| server.get(path).status), [200, 200]);
}

#[test]
fn other_hosts_and_origins_are_refused_unless_allowed() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, "m --allow-origin https://a.example");
    for (host, status) in [
        ("localhost", 200),
        ("localhost:8080", 200),
        ("127.0.0.1:99", 200),
        ("[::1]:8080", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:8080", 403),
    ] {
        assert_eq!(server.send(&get("/v1/models", &format!("Host: {host}\r\n"))).status, status, "{host}");
    }
    let nameless = b"GET /v1/models HTTP/1.1\r\nConnection: close\r\n\r\n";
    assert_eq!(server.send(nameless).status, 403);
    let foreign = "Host: l\u{f6}calhost\r\n";
    assert_eq!(server.send(&get("/v1/models", foreign)).status, 403);
    let of = |origin: &str| server.send(&get("/v1/models", &format!("Origin: {origin}\r\n"))).header;
    assert!(of("https://a.example").contains("access-control-allow-origin: https://a.example"));
    for other in ["https://b.example", "https://a.example.b", "null"] {
        assert!(!of(other).contains("access-control"), "{other}");
    }
    // Nor can it make the server write by a picture or a stream that it loads.
    let path = "/v1/completions?prompt=a&max_tokens=1";
    for (site, more, status) in [
        ("cross-site", "", 403),
        ("same-site", "Origin: https://b.example\r\n", 403),
        ("cross-site", "Origin: https://a.example\r\n", 200),
        ("same-origin", "", 200),
        ("none", "", 200),
    ] {
        let reply = server.send(&get(path, &format!("Sec-Fetch-Site: {site}\r\n{more}")));
        assert_eq!(reply.status, status, "{site} {more}");
    }
    for (path, status) in
        [("/", 200), ("/health", 200), ("/metrics", 403), ("/props", 403), ("/runs.js", 403)]
    {
        assert_eq!(server.send(&get(path, "Sec-Fetch-Site: cross-site\r\n")).status, status, "{path}");
    }
    // A page of another origin can post without asking only in types that are refused.
    let plain = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
                  Connection: close\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(server.send(plain).status, 415);
}

#[test]
fn localhost_is_the_loopback_address() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, "m --host localhost");
    assert!(server.address.starts_with("127.0.0.1:"), "{}", server.address);
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn command_line_refuses_what_is_unsafe_or_cannot_be_served() {
    let folder = Folder::with_model();
    std::fs::create_dir(folder.path("other")).unwrap();
    folder.write("empty", "\n# no key\n");
    folder.refused("serve m --host 0.0.0.0", 2, &["--host", "--api-key-file", "--no-auth"]);
    folder.refused("serve m --host example.org", 2, &["--host", "expected an IP address", "localhost"]);
    folder.refused("serve m --api-key-file empty", 2, &["--api-key-file", "empty", "one a line"]);
    folder.refused("serve m --api-key-file nowhere", 1, &["nowhere", "no such file"]);
    folder.refused("serve m ./m", 2, &["BUNDLE", "both be called m"]);
    folder.refused("serve other", 1, &["other"]);
    folder.refused("serve m --runs nowhere", 2, &["--runs", "nowhere is not a folder"]);
    folder.refused("serve", 2, &["BUNDLE"]);
    for (flag, count) in [("--queue", "9223372036854775807"), ("--streams", "18446744073709551615")] {
        folder.refused(&format!("serve m {flag} {count}"), 2, &[flag, "to 1000000"]);
    }
    for origin in ["https://example.org/", "example.org", "HTTPS://example.org"] {
        folder.refused(
            &format!("serve m --allow-origin {origin}"),
            2,
            &["--allow-origin", "as browsers send it"],
        );
    }
    folder.write("large", "a\n".repeat(1 << 20));
    folder.refused("serve m --api-key-file large", 1, &["large", "more than 1048576 bytes"]);
    folder.refused("serve m --timeout 0", 2, &["--timeout", "seconds from 0.001 to 86400"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let problem = format!("cannot listen on 127.0.0.1:{port}");
    folder.refused(&format!("serve m --port {port}"), 1, &[&problem, "--port, or 0 for a free one"]);
}
