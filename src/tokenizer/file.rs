//! Reading a `tokenizer.json`, of this program or of another.

use std::path::Path;

use tokenizers::pre_tokenizers::split::SplitPattern;
use tokenizers::{DecoderWrapper, ModelWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

use super::encode::Tokenizer;
use super::encoder::{CharacterTable, Encoder};
use super::normalizer::Normalizer;
use super::vocabulary::{END, UNKNOWN};
use super::{byte_level, character, json};
use crate::contain::contain;
use crate::{Error, Result, regular_file};

/// The largest `tokenizer.json` that is read, in bytes.
const LARGEST_FILE: u64 = 64 << 20;

/// The most token numbers without a token, beside as many as there are tokens. Each takes memory.
const MOST_GAPS: usize = 1 << 16;

/// Texts that a tokenizer encodes and decodes when it is loaded, to find a panic of the tokenizers library early.
const PROBES: [&str; 3] = ["a", "Hello, world 1\n", "안녕 é 👋🏽"];

/// Tokens that a tokenizer decodes when it is loaded, one by one.
const PROBED_TOKENS: u32 = 16;

impl Tokenizer {
    /// Read a `tokenizer.json` of the Hugging Face tokenizers format, of at most 64 MiB. Truncation and padding are
    /// switched off, because they would drop or add tokens. Tokens that the post-processor would add around a
    /// sentence are not added.
    ///
    /// # Errors
    /// If the file cannot be read or is not such a tokenizer. The message names the file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let json = regular_file::read(path.as_ref(), LARGEST_FILE)?;
        Self::from_json(&json).map_err(|problem| Error::file(path, problem))
    }

    /// Read the contents of a `tokenizer.json`. The tokenizers library recurses into nested JSON and panics on some
    /// files that are malformed or have a wrong shape; both become errors.
    ///
    /// # Errors
    /// If the contents are not such a tokenizer. The error is the problem, without a file name.
    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self, String> {
        json::check(bytes).and_then(|()| contain(|| Self::parse(bytes))?).map_err(|problem| {
            let problem = problem.replace('\n', " ");
            format!("is not a tokenizer.json of the Hugging Face tokenizers format: {problem}")
        })
    }

    fn parse(json: &[u8]) -> Result<Self, String> {
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(|error| error.to_string())?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| error.to_string())?;
        let tokenizer = Self::new(inner)?;
        if let Encoder::General { .. } = tokenizer.encoder {
            probe(&tokenizer.inner);
        }
        Ok(tokenizer)
    }

    /// Find out how `inner` encodes, and its special tokens.
    pub(super) fn new(inner: tokenizers::Tokenizer) -> Result<Self, String> {
        let unknown = [model_unknown(&inner), Some(UNKNOWN), Some("[UNK]"), Some("<|unk|>")]
            .into_iter()
            .flatten()
            .find_map(|token| inner.token_to_id(token));
        let end = [END, "</s>", "<|endoftext|>", "[SEP]"].iter().find_map(|token| inner.token_to_id(token));
        let normalizer = Normalizer::from_wrapper(inner.get_normalizer());
        Ok(Self {
            tokens: tokens(&inner)?,
            encoder: encoder(&inner, normalizer),
            drops_text: drops_text(&inner),
            normalizer: normalizer.unwrap_or_default(),
            tries_forms: false,
            unknown,
            end,
            inner,
        })
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

/// Whether the tokenizers library drops characters that it has no token for. Byte pairs without an unknown token do;
/// other models fail.
fn drops_text(inner: &tokenizers::Tokenizer) -> bool {
    let ModelWrapper::BPE(model) = inner.get_model() else { return false };
    let reads_bytes = matches!(inner.get_decoder(), Some(DecoderWrapper::ByteLevel(_)));
    let has_every_byte =
        || byte_level::letters().all(|letter| inner.token_to_id(&letter.to_string()).is_some());
    model.unk_token.is_none() && !(reads_bytes && has_every_byte())
}

/// Encode and decode some text and tokens. A result or an error of the library is fine here, a panic is not.
fn probe(inner: &tokenizers::Tokenizer) {
    for text in PROBES {
        if let Ok(encoding) = inner.encode_fast(text, false) {
            inner.decode(encoding.get_ids(), false).ok();
        }
    }
    for id in 0..PROBED_TOKENS {
        inner.decode(&[id], false).ok();
    }
}

fn tokens(inner: &tokenizers::Tokenizer) -> Result<Vec<Option<String>>, String> {
    let vocabulary = inner.get_vocab(true);
    let size = vocabulary.values().max().map_or(0, |&greatest| greatest as usize + 1);
    if size == 0 {
        return Err("its vocabulary is empty".into());
    }
    if size > 2 * vocabulary.len() + MOST_GAPS {
        let count = vocabulary.len();
        return Err(format!(
            "token number {} is out of range for {count} tokens; the file is damaged",
            size - 1
        ));
    }
    let mut tokens = vec![None; size];
    for (token, id) in vocabulary {
        tokens[id as usize] = Some(token);
    }
    Ok(tokens)
}

/// Recognise the two schemes that are encoded without the tokenizers library. `normalizer` is that of `inner`, if it
/// has only steps of this program.
fn encoder(inner: &tokenizers::Tokenizer, normalizer: Option<Normalizer>) -> Encoder {
    let general =
        Encoder::General { byte_level: matches!(inner.get_decoder(), Some(DecoderWrapper::ByteLevel(_))) };
    let plain = inner.get_added_vocabulary().is_empty() && normalizer.is_some();
    let ModelWrapper::WordLevel(model) = inner.get_model() else { return general };
    let Some(unknown) = inner.token_to_id(&model.unk_token).filter(|_| plain) else { return general };
    match inner.get_pre_tokenizer() {
        Some(PreTokenizerWrapper::Split(split))
            if split.pattern == SplitPattern::Regex(character::PATTERN.into())
                && split.behavior == SplitDelimiterBehavior::Isolated
                && !split.invert =>
        {
            Encoder::Characters(CharacterTable::new(inner.get_vocab(false).into_iter(), unknown))
        }
        Some(PreTokenizerWrapper::WhitespaceSplit(_)) => Encoder::Words(inner.get_vocab(false)),
        _ => general,
    }
}
