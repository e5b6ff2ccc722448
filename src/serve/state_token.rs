//! The state of a text as a client keeps it: base64 of a signature and of the bytes of a saved text.
//!
//! The signature is HMAC-SHA256 under a SHA-256 of the bundle's network and parameters, which no answer shows. So every
//! server of the same bundle, on any machine, accepts a state of any other, and refuses one that has been changed or
//! belongs to another bundle. Whoever has the bundle can compute the key and sign.

use std::fs::File;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::problem::Problem;
use crate::bundle::MODEL;
use crate::inference::Model;
use crate::inference::generate::{SavedText, Text};
use crate::{Error, Result};

/// The number of bytes of a signature.
const SIGNATURE: usize = 32;

/// What the key's hash begins with, so that it is not a published checksum of a file.
const PURPOSE: &[u8] = b"rnn-zoo state of a text\0";

/// The key of a bundle's states.
pub(super) struct StateKey([u8; 32]);

impl StateKey {
    /// Return the key of a model's bundle.
    ///
    /// # Errors
    /// If the file of the parameters cannot be read.
    pub(super) fn of(model: &Model) -> Result<Self> {
        let path = model.path().join(MODEL);
        let failed = |error: std::io::Error| Error::file(&path, error);
        let mut hash = Sha256::new_with_prefix(PURPOSE);
        hash.update(model.fingerprint());
        hash.update(serde_json::to_vec(&model.config.network).map_err(|error| Error::file(&path, error))?);
        std::io::copy(&mut File::open(&path).map_err(failed)?, &mut hash).map_err(failed)?;
        Ok(Self(hash.finalize().into()))
    }

    /// Return the state of a text.
    pub(super) fn encode(&self, text: &Text<'_>, model: &Model) -> Result<String> {
        let bytes = SavedText::to_bytes(text, model)?;
        let mut token = self.signer(&bytes).finalize().into_bytes().to_vec();
        token.extend(bytes);
        Ok(STANDARD.encode(token))
    }

    /// Return the text of a state.
    pub(super) fn decode(&self, token: &str, model: &Model) -> Result<SavedText, Problem> {
        let refused = |problem: &str| Problem::field("state", problem);
        let bytes =
            STANDARD.decode(token).ok().filter(|bytes| bytes.len() > SIGNATURE).ok_or_else(|| {
                refused("is not a state; expected one that an answer with return_state holds")
            })?;
        let (signature, bytes) = bytes.split_at(SIGNATURE);
        let signed = self.signer(bytes).verify_slice(signature).is_ok();
        if !signed {
            return Err(refused(
                "was changed, or belongs to another bundle; give a state as the same bundle returned it",
            ));
        }
        SavedText::from_bytes("state", bytes, model).map_err(|error| match error {
            Error::File { problem, .. } => refused(&problem),
            error => Problem::field("state", error),
        })
    }

    fn signer(&self, bytes: &[u8]) -> Hmac<Sha256> {
        let mut signer = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        signer.update(bytes);
        signer
    }
}
