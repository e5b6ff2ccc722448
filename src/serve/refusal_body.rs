//! A connection whose answers of status 431 have a body. The HTTP library refuses a header that is too large by itself,
//! before any route, and sends no body.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::problem::Problem;

/// The start of the library's answer. No route answers with this status.
const START: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\n";

/// The end of an answer without a body.
const END: &[u8] = b"\r\n\r\n";

/// A stream that writes a JSON error in place of an answer of status 431 without a body.
pub(super) struct RefusalBody<S> {
    stream: S,
    answer: Arc<[u8]>,
    /// The number of bytes of the answer that are written.
    written: usize,
}

/// The answer of status 431 with a body. `limits` describes the largest header.
pub(super) fn refusal(limits: &str) -> Arc<[u8]> {
    let problem = format!("header: is larger than {limits}; send less");
    let problem = Problem::request(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, problem);
    let body = problem.json().to_string();
    let rest = format!(
        "content-type: application/json\r\nx-content-type-options: nosniff\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    [START, rest.as_bytes()].concat().into()
}

impl<S> RefusalBody<S> {
    /// Write `answer` in place of an answer without a body.
    pub(super) fn new(stream: S, answer: Arc<[u8]>) -> Self {
        Self { stream, answer, written: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RefusalBody<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RefusalBody<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !(bytes.starts_with(START) && bytes.ends_with(END)) {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        let Self { stream, answer, written } = &mut *self;
        while *written < answer.len() {
            match ready!(Pin::new(&mut *stream).poll_write(cx, &answer[*written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => *written += count,
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match parts {
            [part] => self.poll_write(cx, part),
            parts => Pin::new(&mut self.stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// A client that takes seven bytes at a time.
    #[derive(Default)]
    struct Client(Vec<u8>);

    impl AsyncWrite for Client {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(7);
            self.0.extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    // Only the write half is used.
    impl AsyncRead for Client {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// What the client has after one write of `bytes`, and the number of bytes that the writer is told.
    fn written(bytes: &[u8]) -> (Vec<u8>, usize) {
        let mut stream = RefusalBody::new(Client::default(), refusal("10 bytes"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let count = runtime.block_on(poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, bytes))).unwrap();
        (stream.stream.0, count)
    }

    #[test]
    fn status_431_without_a_body_gets_one() {
        let bare = [START, b"content-length: 0", END].concat();
        let (answer, count) = written(&bare);
        assert_eq!(count, bare.len());
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["message"], "header: is larger than 10 bytes; send less");
    }

    #[test]
    fn other_answers_pass() {
        let found = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(written(found), (found[..7].to_vec(), 7));
    }
}
