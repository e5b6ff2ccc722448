//! Building a tokenizer from the training split.

use std::borrow::Cow;

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{
    AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, PreTokenizerWrapper,
    SplitDelimiterBehavior, Trainer,
};

use super::character;
use super::encode::Tokenizer;
use super::kind::Kind;
use super::normalizer::{FormDetector, LineEnd, Normalizer};
use super::treebank;
use super::vocabulary::{Counts, END, Limits, UNKNOWN};
use crate::{Error, Result};

impl Tokenizer {
    /// Build a tokenizer from the texts of the training split, in one pass. The result is deterministic.
    /// [`Kind::File`] reads the file instead and does not read `texts`.
    ///
    /// Every line end (`\n`, `\r\n` or `\r`) becomes `\n`, here and whenever the tokenizer is used. If all texts are
    /// composed (NFC) or all decomposed (NFD), other text is converted to that Unicode form when the tokenizer is used.
    ///
    /// `limits` are those of a vocabulary of characters or words; `Some(n)` keeps the most frequent. The size of a BPE
    /// vocabulary is part of the kind. With `lowercase`, text is lower-cased here and whenever the tokenizer is used.
    ///
    /// # Errors
    /// If a text is an error or no text has a token, `max_vocab` is below 3, no symbol occurs `min_count` times, or
    /// `lowercase` is used with a file; and as [`Tokenizer::from_file`].
    pub fn train(
        kind: &Kind,
        texts: impl Iterator<Item = Result<String>> + Send,
        limits: impl Into<Limits>,
        lowercase: bool,
    ) -> Result<Self> {
        let limits = limits.into();
        if limits.min_count.is_some() && matches!(kind, Kind::Bpe(_) | Kind::File(_)) {
            let problem = "only vocabularies of characters and words are counted; leave this out";
            return Err(Error::invalid("min_count", problem));
        }
        if let Some(max) = limits.max.filter(|&max| max < 3) {
            let problem =
                format!("a vocabulary of {max} holds nothing beside <unk> and <eos>; give 3 or more");
            return Err(Error::invalid("max_vocab", problem));
        }
        let mut reader = TrainingTexts::new(lowercase);
        let mut inner = match kind {
            Kind::File(_) if lowercase => {
                let problem = "a tokenizer file decides on upper and lower case itself; leave this out";
                return Err(Error::invalid("lowercase", problem));
            }
            Kind::File(path) => return Ok(Self::from_file(path)?.with_known_line_ends()),
            Kind::Char => {
                let count = |text: &str, counts: &mut Counts| {
                    character::split(text).for_each(|character| counts.add(character));
                };
                let mut inner = level(texts, limits, &mut reader, count)?;
                let pattern = SplitPattern::Regex(character::PATTERN.into());
                let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                    .expect("invariant: the pattern is a valid regular expression");
                inner.with_pre_tokenizer(Some(split));
                inner.with_decoder(Some(tokenizers::decoders::fuse::Fuse::new()));
                inner
            }
            Kind::Word => {
                let count = |text: &str, counts: &mut Counts| {
                    text.split_whitespace().for_each(|word| counts.add(word));
                };
                let mut inner = level(texts, limits, &mut reader, count)?;
                inner.with_pre_tokenizer(Some(WhitespaceSplit));
                inner
            }
            Kind::Treebank => {
                let cut = treebank::pre_tokenizer();
                let count = |text: &str, counts: &mut Counts| {
                    treebank::for_each_word(&cut, text, |word| counts.add(word));
                };
                let mut inner = level(texts, limits, &mut reader, count)?;
                inner.with_pre_tokenizer(Some(cut));
                inner
            }
            Kind::Bpe(size) => byte_pairs(texts, *size, &mut reader)?,
        };
        inner.with_normalizer(reader.finish().to_wrapper()).map_err(|error| failed(&error))?;
        Self::new(inner).map_err(Error::Message)
    }
}

/// Normalizes the texts of the training split as the tokenizer will, and finds their Unicode form.
struct TrainingTexts {
    normalizer: Normalizer,
    form: FormDetector,
}

impl TrainingTexts {
    fn new(lowercase: bool) -> Self {
        let normalizer = Normalizer { line_end: Some(LineEnd::Lf), form: None, lowercase };
        Self { normalizer, form: FormDetector::new() }
    }

    fn read(&mut self, text: String) -> String {
        self.form.read(&text);
        match self.normalizer.apply(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(text) => text,
        }
    }

    /// The normalizer of the tokenizer, after all texts.
    fn finish(&self) -> Normalizer {
        Normalizer { form: self.form.form(), ..self.normalizer }
    }
}

/// A vocabulary of the symbols that `count` finds in each text.
fn level(
    texts: impl Iterator<Item = Result<String>>,
    limits: Limits,
    reader: &mut TrainingTexts,
    count: impl Fn(&str, &mut Counts),
) -> Result<tokenizers::Tokenizer> {
    let mut counts = Counts::default();
    for text in texts {
        count(&reader.read(text?), &mut counts);
    }
    if counts.is_empty() {
        return Err(nothing_to_learn());
    }
    let vocabulary = counts.into_vocabulary(limits);
    if let (Some(fewest), [_, _]) = (limits.min_count, vocabulary.as_slice()) {
        let problem =
            format!("nothing occurs {fewest} times, so all text would be unknown; give a smaller number");
        return Err(Error::invalid("min_count", problem));
    }
    let model = WordLevel::builder()
        .vocab(vocabulary.into_iter().zip(0..).collect())
        .unk_token(UNKNOWN.into())
        .build()
        .map_err(|error| failed(&error))?;
    Ok(tokenizers::Tokenizer::new(model))
}

/// GPT-2's scheme: bytes, merged within a word and the space before it.
fn byte_pairs(
    texts: impl Iterator<Item = Result<String>> + Send,
    size: usize,
    reader: &mut TrainingTexts,
) -> Result<tokenizers::Tokenizer> {
    let bytes = ByteLevel::new(false, false, true);
    let mut trainer = BpeTrainer::builder()
        .vocab_size(size)
        .show_progress(false)
        // In the vocabulary but not an added token of the file: `<eos>` in a text is encoded as text.
        .special_tokens(vec![AddedToken::from(UNKNOWN, true), AddedToken::from(END, true)])
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let mut failure = None;
    let texts = texts.map_while(|text| match text {
        Ok(text) => Some(reader.read(text)),
        Err(error) => {
            failure = Some(error);
            None
        }
    });
    let words = |text: &str| {
        let mut text = PreTokenizedString::from(text);
        bytes.pre_tokenize(&mut text)?;
        let splits = text.get_splits(OffsetReferential::Normalized, OffsetType::None);
        Ok(splits.into_iter().map(|(word, ..)| word.to_string()).collect())
    };
    trainer.feed(texts, words).map_err(|error| failed(&error))?;
    if let Some(error) = failure {
        return Err(error);
    }
    if trainer.get_word_count() == 0 {
        return Err(nothing_to_learn());
    }
    let mut model = BPE::default();
    trainer.train(&mut model).map_err(|error| failed(&error))?;
    let mut inner = tokenizers::Tokenizer::new(model);
    inner.with_pre_tokenizer(Some(PreTokenizerWrapper::ByteLevel(bytes)));
    inner.with_decoder(Some(bytes));
    Ok(inner)
}

fn nothing_to_learn() -> Error {
    Error::Message("the training split holds no text to build a tokenizer from".into())
}

fn failed(error: &tokenizers::Error) -> Error {
    Error::Message(format!("the tokenizer cannot be built: {error}"))
}
