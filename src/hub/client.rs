//! Requests to the hub, and to the hosts that it names. The user's token is sent to the hub alone.
//!
//! Redirects are followed here, not by the HTTP client, so that no request to another host, for data or metadata, has
//! the token. A request that the server is too busy for, or whose connection ends early, is repeated.

use std::time::{Duration, SystemTime};

use chrono::DateTime;
use indicatif::ProgressBar;
use serde::de::DeserializeOwned;
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION, RETRY_AFTER};
use ureq::http::{self, HeaderMap, Method, Response, StatusCode, Uri};
use ureq::{Agent, Body, SendBody};

use super::endpoint::Endpoint;
use super::failure::{Failure, Result};
use super::origin::{Origin, address, resolve};
use super::request::Request;

/// The most redirects that are followed for a request.
const MOST_REDIRECTS: usize = 10;

/// The longest time to wait for a connection.
const CONNECTING: Duration = Duration::from_secs(30);

/// The longest time to wait for the next bytes of a connection.
const SILENCE: Duration = Duration::from_secs(120);

/// The times to wait before each further attempt, in milliseconds.
const WAITS: [u64; 4] = [250, 500, 1000, 2000];

/// The longest time that a server may ask to wait: the hub counts requests in windows of five minutes.
const LONGEST_WAIT: u64 = 300;

/// The largest answer in JSON, in bytes.
const LARGEST_ANSWER: u64 = 16 << 20;

/// A client of the hub for one user.
pub(super) struct Client {
    agent: Agent,
    hub: Origin,
    token: Option<String>,
}

/// A successful answer.
pub(super) struct HubResponse {
    pub(super) response: Response<Body>,
    /// The headers of the hub's answers on the way, redirects too.
    pub(super) of_hub: Vec<HeaderMap>,
}

impl Client {
    /// A client that sends the token of `endpoint` to its hub only.
    ///
    /// # Errors
    /// If the hub's address is malformed.
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self> {
        let agent = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECTING))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(SILENCE))
            .user_agent(concat!("rnn-zoo/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Self { agent, hub: Origin::of(&address(&endpoint.url)?)?, token: endpoint.token.clone() })
    }

    /// Send a request, and repeat it after a transient error.
    ///
    /// # Errors
    /// If there is no answer, or one with an error.
    pub(super) fn send(&self, request: &Request<'_>) -> Result<HubResponse> {
        let mut waits = Waits::new();
        loop {
            let outcome = self.follow(request);
            let again = match &outcome {
                Ok(answer) if is_transient(answer.response.status(), request.repeatable) => {
                    waits.next_after(retry_after(answer.response.headers()))?
                }
                Err(Failure::Connection { again: true, .. }) if request.repeatable => {
                    waits.next_after(None)?
                }
                _ => false,
            };
            if !again {
                return outcome.and_then(successful);
            }
        }
    }

    /// Send a request, and read its answer as JSON of at most 16 MiB.
    ///
    /// # Errors
    /// As [`Client::send`], and if the answer has other JSON than expected.
    pub(super) fn json<T: DeserializeOwned>(&self, request: &Request<'_>) -> Result<T> {
        let mut answer = self.send(request)?;
        let text = read(&mut answer.response, LARGEST_ANSWER)?;
        serde_json::from_slice(&text)
            .map_err(|error| Failure::Protocol(format!("its answer is not the JSON expected: {error}")))
    }

    /// Send a request once and follow redirects. A request that changes something follows the hub's own alone.
    fn follow(&self, request: &Request<'_>) -> Result<HubResponse> {
        let mut of_hub = vec![];
        let mut url = request.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let is_hub = Origin::of(&url)? == self.hub;
            let response = self.call(request, &url, is_hub)?;
            if is_hub {
                of_hub.push(response.headers().clone());
            }
            if !response.status().is_redirection() {
                return Ok(HubResponse { response, of_hub });
            }
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            let next = resolve(&url, location.unwrap_or_default())?;
            if request.method != Method::GET && Origin::of(&next)? != Origin::of(&url)? {
                return Err(Failure::Protocol("it redirects an upload to another host".into()));
            }
            url = next;
        }
        Err(Failure::Protocol(format!("it redirects more than {MOST_REDIRECTS} times")))
    }

    /// Send a request to `url`, with the token if this is the hub.
    fn call(&self, request: &Request<'_>, url: &Uri, is_hub: bool) -> Result<Response<Body>> {
        let mut head = http::Request::builder().method(&request.method).uri(url);
        for (name, value) in &request.headers {
            head = head.header(name, value);
        }
        let is_authorised =
            request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(AUTHORIZATION.as_str()));
        if let Some(token) = self.token.as_ref().filter(|_| is_hub && !is_authorised) {
            head = head.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let invalid = |error: http::Error| Failure::Protocol(error.to_string());
        let response = match request.body.open()? {
            // Storage takes no body of unknown length.
            Some((size, mut body)) => {
                let body = SendBody::from_reader(&mut body);
                self.agent.run(head.header(CONTENT_LENGTH, size).body(body).map_err(invalid)?)
            }
            None => self.agent.run(head.body(SendBody::none()).map_err(invalid)?),
        };
        response.map_err(|error| Failure::of_request(&error))
    }
}

/// The pauses between attempts.
pub(super) struct Waits(std::array::IntoIter<u64, 4>);

impl Waits {
    /// All pauses.
    pub(super) fn new() -> Self {
        Self(WAITS.into_iter())
    }

    /// Wait before the next attempt, at least for the seconds that the server asks for. Returns `false` after the last
    /// attempt.
    ///
    /// # Errors
    /// If the server asks for more than five minutes.
    pub(super) fn next_after(&mut self, asked: Option<u64>) -> Result<bool> {
        if let Some(asked) = asked.filter(|&asked| asked > LONGEST_WAIT) {
            return Err(Failure::Busy(asked));
        }
        let Some(wait) = self.0.next() else { return Ok(false) };
        let wait = Duration::from_millis(wait).max(Duration::from_secs(asked.unwrap_or(0)));
        let notice = ProgressBar::new_spinner().with_message(format!("waiting for the hub, {wait:?}"));
        notice.tick();
        std::thread::sleep(wait);
        notice.finish_and_clear();
        Ok(true)
    }
}

/// Whether a status is a transient error. After some of them the request may have been carried out.
fn is_transient(status: StatusCode, repeatable: bool) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || (repeatable && matches!(status.as_u16(), 500 | 502 | 503 | 504))
}

/// The seconds that a server asks to wait, by their number or the time at which they end.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let until = || {
        let end = SystemTime::from(DateTime::parse_from_rfc2822(value).ok()?);
        let left = end.duration_since(SystemTime::now()).unwrap_or_default();
        Some(left.as_secs() + u64::from(left.subsec_nanos() > 0))
    };
    value.parse().ok().or_else(until)
}

/// Return a successful answer, or the error of another.
fn successful(mut answer: HubResponse) -> Result<HubResponse> {
    /// The largest error that is read, in bytes.
    const LARGEST: u64 = 1 << 16;
    let status = answer.response.status();
    if status.is_success() {
        return Ok(answer);
    }
    let named = answer.response.headers().get("x-error-message").and_then(|reason| reason.to_str().ok());
    let reason = named.map(String::from).or_else(|| {
        let body = read(&mut answer.response, LARGEST).ok()?;
        let body: serde_json::Value = serde_json::from_slice(&body).ok()?;
        Some(body.get("error")?.as_str()?.to_string())
    });
    Err(Failure::status(status.as_u16(), &reason.unwrap_or_default()))
}

/// Read the body of an answer, at most `limit` bytes.
fn read(response: &mut Response<Body>, limit: u64) -> Result<Vec<u8>> {
    let body = response.body_mut().with_config().limit(limit);
    body.read_to_vec().map_err(|error| Failure::of_request(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_time() {
        let asked = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(asked(" 7 "), Some(7));
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:00 GMT"), Some(0));
        let later = DateTime::<chrono::Utc>::from(SystemTime::now() + Duration::from_secs(100)).to_rfc2822();
        assert!((90..=100).contains(&asked(&later).unwrap()));
        assert_eq!(asked("soon"), None);
    }
}
