//! A connection whose answers of status 431 have a body. The HTTP library refuses a header that is too large by itself,
//! before any route, and sends no body.

use std::io;
use std::pin::Pin;
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
    answer: Vec<u8>,
    /// The number of bytes of the answer that are written.
    written: usize,
}

impl<S> RefusalBody<S> {
    /// `limits` describes the largest header in the error.
    pub(super) fn new(stream: S, limits: &str) -> Self {
        let problem = format!("header: is larger than {limits}; send less");
        let problem = Problem::request(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, problem);
        let body = problem.json().to_string();
        let answer = format!(
            "content-type: application/json\r\nx-content-type-options: nosniff\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        );
        Self { stream, answer: [START, answer.as_bytes()].concat(), written: 0 }
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
