//! Reading a `tokenizer.json`, our own or anyone's.

use std::path::Path;

use tokenizers::pre_tokenizers::split::SplitPattern;
use tokenizers::{
    DecoderWrapper, ModelWrapper, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior,
};

use super::vocabulary::{END, UNKNOWN};
use super::{CharacterTable, Scheme, Tokenizer, character};
use crate::{Error, Result};

/// No vocabulary is larger; a file with a greater number in it is damaged, or hostile.
const LARGEST_VOCABULARY: usize = 1 << 24;

impl Tokenizer {
    /// Reads a `tokenizer.json` of the Hugging Face tokenizers format. Its truncation and padding are
    /// dropped, for they would lose or invent tokens, and tokens that its post-processor would add
    /// around a sentence are never inserted.
    ///
    /// # Errors
    /// Names the file when it cannot be read or is no such tokenizer.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let json = std::fs::read(&path).map_err(|error| Error::file(&path, error))?;
        Self::from_json(&json).map_err(|problem| Error::file(path, problem))
    }

    /// Reads the contents of a `tokenizer.json`; the error is the problem alone.
    pub(crate) fn from_json(json: &[u8]) -> Result<Self, String> {
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(|error| {
            let error = error.to_string().replace('\n', " ");
            format!("is no tokenizer.json of the Hugging Face tokenizers format: {error}")
        })?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| error.to_string())?;
        Self::new(inner)
    }

    /// Works out how `inner` encodes, and what its special tokens are.
    pub(super) fn new(inner: tokenizers::Tokenizer) -> Result<Self, String> {
        let unknown = [model_unknown(&inner), Some(UNKNOWN), Some("[UNK]"), Some("<|unk|>")]
            .into_iter()
            .flatten()
            .find_map(|token| inner.token_to_id(token));
        let end = [END, "</s>", "<|endoftext|>", "[SEP]"].iter().find_map(|token| inner.token_to_id(token));
        let lowercase = matches!(inner.get_normalizer(), Some(NormalizerWrapper::Lowercase(_)));
        Ok(Self { tokens: tokens(&inner)?, scheme: scheme(&inner), lowercase, unknown, end, inner })
    }
}

fn model_unknown(inner: &tokenizers::Tokenizer) -> Option<&str> {
    match inner.get_model() {
        ModelWrapper::BPE(model) => model.unk_token.as_deref(),
        ModelWrapper::WordPiece(model) => Some(&model.unk_token),
        ModelWrapper::WordLevel(model) => Some(&model.unk_token),
        ModelWrapper::Unigram(_) => None,
    }
}

fn tokens(inner: &tokenizers::Tokenizer) -> Result<Vec<Option<String>>, String> {
    let vocabulary = inner.get_vocab(true);
    let size = vocabulary.values().max().map_or(0, |&greatest| greatest as usize + 1);
    if size == 0 {
        return Err("its vocabulary is empty".into());
    }
    if size > LARGEST_VOCABULARY {
        return Err(format!("token number {} is out of range; the file is damaged", size - 1));
    }
    let mut tokens = vec![None; size];
    for (token, id) in vocabulary {
        tokens[id as usize] = Some(token);
    }
    Ok(tokens)
}

/// Recognises the two schemes that have a fast path; everything else is general.
fn scheme(inner: &tokenizers::Tokenizer) -> Scheme {
    let general =
        Scheme::General { byte_level: matches!(inner.get_decoder(), Some(DecoderWrapper::ByteLevel(_))) };
    let plain = inner.get_added_vocabulary().is_empty()
        && matches!(inner.get_normalizer(), None | Some(NormalizerWrapper::Lowercase(_)));
    let ModelWrapper::WordLevel(model) = inner.get_model() else { return general };
    let Some(unknown) = inner.token_to_id(&model.unk_token).filter(|_| plain) else { return general };
    match inner.get_pre_tokenizer() {
        Some(PreTokenizerWrapper::Split(split))
            if split.pattern == SplitPattern::Regex(character::PATTERN.into())
                && split.behavior == SplitDelimiterBehavior::Isolated
                && !split.invert =>
        {
            Scheme::Characters(CharacterTable::new(inner.get_vocab(false).into_iter(), unknown))
        }
        Some(PreTokenizerWrapper::WhitespaceSplit(_)) => Scheme::Words(inner.get_vocab(false)),
        _ => general,
    }
}
