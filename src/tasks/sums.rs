//! The sums of a meter as bytes, for the other processes of a run.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Return sums as bytes.
///
/// # Errors
/// If they cannot be written as JSON.
pub(super) fn encode(sums: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(sums).map_err(|error| unsuited(&error))
}

/// Return the sums that [`encode`] was given.
///
/// # Errors
/// If they are sums of another meter.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| unsuited(&error))
}

fn unsuited(error: &serde_json::Error) -> Error {
    Error::Message(format!("sums of an evaluation cannot be sent between processes: {error}"))
}
