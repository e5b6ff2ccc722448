//! Errors in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::Error;

/// A request that is refused or fails.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    message: String,
    /// The field of the request.
    param: Option<String>,
    code: Option<&'static str>,
}

impl Problem {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: None }
    }

    /// An error about a field.
    pub(super) fn field(field: &str, problem: impl std::fmt::Display) -> Self {
        let message = format!("{field}: {problem}");
        Self { param: Some(field.into()), ..Self::new(StatusCode::BAD_REQUEST, message) }
    }

    /// An error about the request as a whole.
    pub(super) fn request(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, message)
    }

    /// A model that is not served.
    pub(super) fn no_model(name: &str, served: &str) -> Self {
        let message = format!("model: {name:?} is not served; expected one of {served}");
        let code = Some("model_not_found");
        Self { param: Some("model".into()), code, ..Self::new(StatusCode::NOT_FOUND, message) }
    }

    /// The queue is full.
    pub(super) fn busy() -> Self {
        let message = "the server is busy and its queue is full; try again in a second";
        let code = Some("rate_limit_exceeded");
        Self { code, ..Self::new(StatusCode::TOO_MANY_REQUESTS, message) }
    }

    /// A request that takes longer than it may.
    pub(super) fn timeout() -> Self {
        let message = "the request takes longer than the server allows; ask for less";
        Self { code: Some("timeout"), ..Self::new(StatusCode::GATEWAY_TIMEOUT, message) }
    }

    /// A failure of the server.
    pub(super) fn failure(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// The JSON object.
    pub(super) fn json(&self) -> serde_json::Value {
        let kind = match self.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            StatusCode::UNAUTHORIZED => "authentication_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        json!({ "error": { "message": self.message, "type": kind, "param": self.param, "code": self.code } })
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid { field, problem } => Self::field(field_of(field).unwrap_or(field), problem),
            Error::Unsuited { problem, .. } => Self::field("model", problem),
            // A client does not need the paths of files.
            Error::File { problem, .. } => Self::failure(problem),
            error @ Error::Message(_) => Self::new(StatusCode::BAD_REQUEST, error.to_string()),
            error => Self::failure(error.to_string()),
        }
    }
}

/// The options of the library that a request sets, and the field of each.
const FIELDS: [(&str, &str); 4] = [
    ("forecasting.start", "at"),
    ("repetition_penalty", "repeat_penalty"),
    ("repetition_window", "repeat_last_n"),
    ("series_column", "series_column"),
];

/// The field of a request for an option of the library; `None` if no request sets it under another name.
pub(super) fn field_of(option: &str) -> Option<&'static str> {
    FIELDS.iter().find(|(name, _)| *name == option).map(|(_, field)| *field)
}

/// Replace each "option `NAME`" that a request sets by its field.
pub(super) fn in_fields(text: &str) -> String {
    let replaced = |text: String, (field, name): &(&str, &str)| {
        text.replace(&format!("option `{field}`"), &format!("`{name}`"))
    };
    FIELDS.iter().fold(text.to_string(), replaced)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::body::Body::from(self.json().to_string())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self.status {
            StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}
