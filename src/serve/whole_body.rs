//! The body of a whole answer, which keeps the places of its texts until the client has been given all of it.

use std::io;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::job::Places;

/// Bytes that are written to a connection at a time.
const PIECE: usize = 16 << 10;

/// The bytes of an answer that have not been written.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    deadline: Instant,
    _places: Places,
}

impl Iterator for Pieces {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        if self.deadline <= Instant::now() {
            // The length was announced, so an error is the only end: the connection breaks.
            self.at = self.bytes.len();
            return Some(Err(io::ErrorKind::TimedOut.into()));
        }
        // A copy, so that a piece that waits for its client does not keep the others.
        let piece = Bytes::copy_from_slice(&rest[..rest.len().min(PIECE)]);
        self.at += piece.len();
        Some(Ok(piece))
    }
}

/// Answer with the bytes of a JSON object, which a client must take up to `deadline`.
pub(super) fn answer(bytes: Vec<u8>, deadline: Instant, places: Places) -> Response {
    let length = HeaderValue::from(bytes.len());
    let pieces = Pieces { bytes, at: 0, deadline, _places: places };
    let mut response = Body::from_stream(tokio_stream::iter(pieces)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, length);
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::Semaphore;

    use super::*;

    fn pieces(semaphore: &Arc<Semaphore>, deadline: Instant) -> Pieces {
        let places = Arc::new(Arc::clone(semaphore).try_acquire_owned().unwrap());
        Pieces { bytes: vec![b'a'; PIECE + 1], at: 0, deadline, _places: places }
    }

    #[test]
    fn places_are_free_after_the_last_piece_and_none_goes_after_the_deadline() {
        let semaphore = Arc::new(Semaphore::new(1));
        let mut whole = pieces(&semaphore, Instant::now() + Duration::from_secs(60));
        let lengths: Vec<usize> = whole.by_ref().map(|piece| piece.unwrap().len()).collect();
        assert_eq!((lengths, semaphore.available_permits()), (vec![PIECE, 1], 0));
        drop(whole);
        assert_eq!(semaphore.available_permits(), 1);
        let late: Vec<_> = pieces(&semaphore, Instant::now()).collect();
        assert!(late.len() == 1 && late[0].is_err());
    }
}
