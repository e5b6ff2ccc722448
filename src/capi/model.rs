//! A model: loaded from a bundle, and its tokens.

use std::ffi::c_char;
use std::path::Path;

use candle_core::Device;

use super::pointer::{copy_to, exclusive, shared, text};
use super::problem::{Problem, RnnZooCode, guarded};
use crate::inference::Model;
use crate::tokenizer::Tokenizer;

/// A language model. Several threads may use one model at the same time; `rnn_zoo_model_free` must be the last use.
pub struct RnnZooModel(Model);

impl RnnZooModel {
    pub(super) fn model(&self) -> &Model {
        &self.0
    }

    fn tokenizer(&self) -> Result<&Tokenizer, Problem> {
        self.0.tokenizer().map_err(|error| Problem::new(RnnZooCode::Unsuited, error.to_string()))
    }
}

/// Load the bundle in the folder `path`, UTF-8 text, onto the CPU. `*model` becomes the model, to be freed with
/// `rnn_zoo_model_free`; after a failure it becomes null.
///
/// # Safety
/// `path` is null or ends with NUL; `model` is null or points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnn_zoo_model_load(path: *const c_char, model: *mut *mut RnnZooModel) -> RnnZooCode {
    guarded(|| {
        // SAFETY: by the contract of this function.
        let (model, path) = unsafe { (exclusive(model, "model")?, text(path, "path")) };
        *model = std::ptr::null_mut();
        let loaded = Model::load(Path::new(path?), &Device::Cpu)
            .map_err(|error| Problem::new(RnnZooCode::Bundle, error.to_string()))?;
        *model = Box::into_raw(Box::new(RnnZooModel(loaded)));
        Ok(())
    })
}

/// Free a model. Its streams stay valid. Null is ignored.
///
/// # Safety
/// `model` is null or a model that is not freed, which no thread uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnn_zoo_model_free(model: *mut RnnZooModel) {
    guarded(|| {
        if !model.is_null() {
            // SAFETY: by the contract of this function it comes from `Box::into_raw`, and this is its last use.
            drop(unsafe { Box::from_raw(model) });
        }
        Ok(())
    });
}

/// Return the number of tokens that the model knows, which is the number of scores of a step. 0 for null.
///
/// # Safety
/// `model` is null or a model that is not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnn_zoo_model_vocabulary_size(model: *const RnnZooModel) -> usize {
    let mut size = 0;
    guarded(|| {
        // SAFETY: by the contract of this function.
        let model = unsafe { shared(model, "model") }?;
        size = model.0.config.network.vocabulary_size().unwrap_or(0);
        Ok(())
    });
    size
}

/// Set `*token` to the token that the model reads before the first token of a text.
///
/// # Safety
/// `model` is null or a model that is not freed; `token` is null or points to a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnn_zoo_model_start_token(model: *const RnnZooModel, token: *mut u32) -> RnnZooCode {
    guarded(|| {
        // SAFETY: by the contract of this function.
        let model = unsafe { shared(model, "model") }?;
        let start =
            model.0.start_token().map_err(|error| Problem::new(RnnZooCode::Unsuited, error.to_string()))?;
        // SAFETY: by the contract of this function.
        unsafe { copy_to(&[start], token, 1, "token") }
    })
}

/// Encode the UTF-8 text `text` as tokens. `*count` becomes their number, also if it exceeds `capacity`; then nothing
/// is copied, and the code is `RNN_ZOO_CODE_RANGE`.
///
/// # Safety
/// `model` is null or a model that is not freed; `text` is null or ends with NUL; `tokens` is null or has room for
/// `capacity` numbers; `count` is null or points to a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnn_zoo_model_encode(
    model: *const RnnZooModel,
    text: *const c_char,
    tokens: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> RnnZooCode {
    guarded(|| {
        // SAFETY: by the contract of this function.
        let (model, text) = unsafe { (shared(model, "model")?, self::text(text, "text")?) };
        let encoded = model.tokenizer()?.encode(text);
        let encoded = encoded.map_err(|error| Problem::new(RnnZooCode::Argument, error.to_string()))?;
        // SAFETY: by the contract of this function.
        unsafe {
            copy_to(&[encoded.len()], count, 1, "count")?;
            copy_to(&encoded, tokens, capacity, "tokens")
        }
    })
}

/// Copy the text of a token, with a NUL at its end, to `text`. `*length` becomes the number of bytes without the NUL,
/// also if there is no room for them; then nothing is copied, and the code is `RNN_ZOO_CODE_RANGE`.
///
/// # Safety
/// `model` is null or a model that is not freed; `text` is null or has room for `capacity` bytes; `length` is null or
/// points to a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnn_zoo_model_token_text(
    model: *const RnnZooModel,
    token: u32,
    text: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> RnnZooCode {
    guarded(|| {
        // SAFETY: by the contract of this function.
        let model = unsafe { shared(model, "model") }?;
        let found = model.tokenizer()?.token_text(token).ok_or_else(|| {
            Problem::new(RnnZooCode::Range, format!("token {token} is not in the vocabulary"))
        })?;
        let mut bytes: Vec<u8> = found.bytes().collect();
        let size = bytes.len();
        bytes.push(0);
        // SAFETY: by the contract of this function.
        unsafe {
            copy_to(&[size], length, 1, "length")?;
            copy_to(&bytes, text.cast(), capacity, "text")
        }
    })
}
