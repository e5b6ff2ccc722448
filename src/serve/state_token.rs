//! The state of a text as a client keeps it: base64 of a signature and of the bytes of a saved text.
//!
//! The signature is HMAC-SHA256 with the bundle's fingerprint as the key. So every server of the same bundle, on any
//! machine, accepts a state of any other, and refuses one that has been changed or belongs to another bundle.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::problem::Problem;
use crate::Result;
use crate::inference::Model;
use crate::inference::generate::{SavedText, Text};

/// The number of bytes of a signature.
const SIGNATURE: usize = 32;

/// Return the state of a text.
pub(super) fn encode(text: &Text<'_>, model: &Model) -> Result<String> {
    let bytes = SavedText::to_bytes(text, model)?;
    let mut token = signer(model, &bytes).finalize().into_bytes().to_vec();
    token.extend(bytes);
    Ok(STANDARD.encode(token))
}

/// Return the text of a state.
pub(super) fn decode(token: &str, model: &Model) -> Result<SavedText, Problem> {
    let refused = |problem: &str| Problem::field("state", problem);
    let bytes = STANDARD
        .decode(token)
        .ok()
        .filter(|bytes| bytes.len() > SIGNATURE)
        .ok_or_else(|| refused("is not a state; expected one that an answer with return_state holds"))?;
    let (signature, bytes) = bytes.split_at(SIGNATURE);
    let signed = signer(model, bytes).verify_slice(signature).is_ok();
    if !signed {
        return Err(refused(
            "was changed, or belongs to another bundle; give a state as the same bundle returned it",
        ));
    }
    SavedText::from_bytes("state", bytes, model).map_err(|error| Problem::field("state", error))
}

fn signer(model: &Model, bytes: &[u8]) -> Hmac<Sha256> {
    let mut signer = Hmac::<Sha256>::new_from_slice(model.fingerprint().as_bytes())
        .expect("HMAC takes keys of any length");
    signer.update(bytes);
    signer
}
