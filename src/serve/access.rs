//! Access control: keys, hosts, origins. Headers that protect the page.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::{Choice, ConstantTimeEq};

use super::options::Access;
use super::problem::Problem;

/// The page runs its own scripts only, and no other page can frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The scheme of keys, in any case (RFC 9110).
const BEARER: &[u8] = b"bearer ";

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::VARY, "origin"),
];

/// Refuse requests without access, and add headers to every answer of a route.
pub(super) async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let origin = allowed_origin(&access, request.headers());
    let checked = check_host(&access, request.headers()).and_then(|()| match &origin {
        None => check_site(request.uri().path(), request.headers()),
        Some(_) => Ok(()),
    });
    let answered = match (checked, &origin) {
        (Err(problem), _) => problem.into_response(),
        (Ok(()), Some(_)) if request.method() == Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        (Ok(()), _) => next.run(request).await,
    };
    let mut response = answered;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, content-type"),
        );
    }
    response
}

/// Refuse requests without a key, if there are keys.
pub(super) async fn require_key(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    if access.keys.is_empty() || has_key(&access, request.headers()) {
        return next.run(request).await;
    }
    let problem = "Authorization: no key, or an unknown one; expected `Bearer` and a key of the server";
    Problem::request(StatusCode::UNAUTHORIZED, problem).into_response()
}

/// Compare a request's key with all keys in constant time.
fn has_key(access: &Access, headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked(BEARER.len())?;
        scheme.eq_ignore_ascii_case(BEARER).then_some(key)
    });
    // Hashes have one length, which the comparison needs.
    let given = Sha256::digest(given.unwrap_or_default());
    let equal = |key: &String| Sha256::digest(key.as_bytes()).ct_eq(&given);
    access.keys.iter().map(equal).fold(Choice::from(0), |any, one| any | one).into()
}

fn allowed_origin(access: &Access, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    access
        .origins
        .iter()
        .any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
        .then(|| origin.clone())
}

/// Refuse names of other machines, see [`Access::loopback_only`].
fn check_host(access: &Access, headers: &HeaderMap) -> Result<(), Problem> {
    if !access.loopback_only {
        return Ok(());
    }
    // A request without a name, or with one that is not text, names another machine too.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    match name == "localhost"
        || name == "[::1]"
        || name.starts_with("127.") && name.parse::<std::net::Ipv4Addr>().is_ok()
    {
        true => Ok(()),
        false => {
            let problem = "Host: names another machine; expected localhost or a loopback address";
            Err(Problem::request(StatusCode::FORBIDDEN, problem))
        }
    }
}

/// Refuse requests of other sites' pages, but a link to the page and the check of health. They cannot read an answer,
/// but a picture or a stream that they load with GET would make the server work.
fn check_site(path: &str, headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    match matches!(path, "/" | "/health") || !matches!(site, Some("cross-site" | "same-site")) {
        true => Ok(()),
        false => {
            let problem =
                "Sec-Fetch-Site: the request comes from a page of another origin, which is not allowed";
            Err(Problem::request(StatusCode::FORBIDDEN, problem))
        }
    }
}
