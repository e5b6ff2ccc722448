//! Bodies of requests: read within their size and time, and within a sum of bytes of all bodies.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use tokio::sync::Semaphore;
use tokio_stream::StreamExt;

use super::fields::Fields;
use super::options::Limits;
use super::problem::Problem;

/// The largest bodies that are read at a time. Smaller ones take less of the room.
const LARGEST_AT_ONCE: usize = 64;

/// Bytes of a permit.
const UNIT: usize = 1 << 10;

/// The room of the bodies that are read at a time.
pub(super) struct Bodies {
    room: Semaphore,
}

impl Bodies {
    /// Room for bodies of at most `largest` bytes.
    pub(super) fn new(largest: usize) -> Self {
        let units = units(largest) as usize * LARGEST_AT_ONCE;
        Self { room: Semaphore::new(units.min(Semaphore::MAX_PERMITS)) }
    }

    /// Read the fields of a request.
    pub(super) async fn fields(
        &self,
        headers: &HeaderMap,
        body: Body,
        limits: &Limits,
    ) -> Result<Fields, Problem> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        // Web pages of other origins can send any other type without asking.
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            let problem = "Content-Type: expected application/json";
            return Err(Problem::request(StatusCode::UNSUPPORTED_MEDIA_TYPE, problem));
        }
        let announced = headers.get(header::CONTENT_LENGTH);
        let announced: Option<u64> = announced.and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length| length > limits.body as u64) {
            return Err(too_large(limits));
        }
        let size = announced.map_or(limits.body, |length| length as usize);
        let room = tokio::time::timeout(limits.read, self.room.acquire_many(units(size))).await;
        let Ok(Ok(_room)) = room else { return Err(Problem::busy()) };
        let read = tokio::time::timeout(limits.read, bytes(body, limits)).await;
        let read = read.map_err(|_| {
            let problem = format!("body: does not end within {} seconds", limits.read.as_secs());
            Problem::request(StatusCode::REQUEST_TIMEOUT, problem)
        })?;
        Fields::parse(&read?)
    }
}

/// The permits of a body of so many bytes.
fn units(bytes: usize) -> u32 {
    u32::try_from(bytes / UNIT + 1).unwrap_or(u32::MAX)
}

/// Read a body to its end.
async fn bytes(body: Body, limits: &Limits) -> Result<Vec<u8>, Problem> {
    let (mut bytes, mut parts) = (vec![], body.into_data_stream());
    while let Some(part) = parts.next().await {
        let part = part.map_err(|_| Problem::field("body", "cannot be read; send it again, whole"))?;
        if bytes.len() + part.len() > limits.body {
            return Err(too_large(limits));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

fn too_large(limits: &Limits) -> Problem {
    let problem = format!("body: is larger than {} bytes; send less", limits.body);
    Problem::request(StatusCode::PAYLOAD_TOO_LARGE, problem)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn broken_and_large_bodies_differ_and_bodies_wait_for_room() {
        let limits = Limits { body: 4, read: Duration::from_millis(50), ..Limits::default() };
        let bodies = Bodies::new(limits.body);
        let headers: HeaderMap =
            [(header::CONTENT_TYPE, "application/json".parse().unwrap())].into_iter().collect();
        let of = |parts: Vec<std::io::Result<&'static str>>| Body::from_stream(tokio_stream::iter(parts));
        let message = |read: Result<Fields, Problem>| match read {
            Ok(_) => String::new(),
            Err(problem) => problem.json()["error"]["message"].as_str().unwrap_or_default().to_string(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let whole = bodies.fields(&headers, of(vec![Ok("{"), Ok("}")]), &limits).await;
            assert_eq!(message(whole), "");
            let large = bodies.fields(&headers, of(vec![Ok("{  "), Ok(" }")]), &limits).await;
            assert_eq!(message(large), "body: is larger than 4 bytes; send less");
            let broken = of(vec![Ok("{"), Err(std::io::Error::other("x"))]);
            let broken = bodies.fields(&headers, broken, &limits).await;
            assert_eq!(message(broken), "body: cannot be read; send it again, whole");
            let _all = bodies.room.acquire_many(LARGEST_AT_ONCE as u32).await.unwrap();
            let crowded = bodies.fields(&headers, of(vec![Ok("{}")]), &limits).await;
            assert!(message(crowded).contains("try again in a second"));
        });
    }
}
