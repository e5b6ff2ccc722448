//! Pairs of texts as data of the translator.

use super::data_spec::{DataSpec, Known, Origin, Prepared, TokenizerSpec};
use super::names::Names;
use super::sequences::EXAMPLES;
use super::shape::NetworkShape;
use super::text;
use super::vocabularies::{EncodedText, MOST_TOKENS, Vocabularies};
use crate::data::batch::Examples;
use crate::data::builtin::dates;
use crate::data::dataset::Dataset;
use crate::data::divided::Divided;
use crate::data::pairs::{TokenPair, TokenPairs};
use crate::data::parallel_text::PairFile;
use crate::data::source::Split;
use crate::listing::{counted, thousands};
use crate::rng::{self, Purpose};
use crate::tokenizer::{Kind, Tokenizer};
use crate::training::{LossUnit, Splits};
use crate::{Error, Result};

/// The pairs of a run, in splits.
enum PairCorpus {
    Files(Divided<PairFile>),
    /// Dates that are drawn from this seed.
    Dates(u64),
}

/// Pairs of texts, source and target, read lazily.
pub type TextPairs = Box<dyn Iterator<Item = Result<[String; 2]>> + Send>;

impl PairCorpus {
    fn open(data: &DataSpec) -> Result<Self> {
        Ok(data.pair_corpus()?.map_or(Self::Dates(data.seed), Self::Files))
    }

    fn has(&self, split: Split) -> Result<bool> {
        match self {
            Self::Files(corpus) => corpus.has(split),
            Self::Dates(_) => Ok(true),
        }
    }

    fn default_split(&self) -> Split {
        match self {
            Self::Files(corpus) => corpus.default_split(),
            Self::Dates(_) => Split::Test,
        }
    }

    fn texts(&self, split: Split) -> Result<TextPairs> {
        match self {
            Self::Files(corpus) => {
                let pairs = corpus.items(split)?;
                Ok(Box::new(pairs.map(|pair| pair.map(|pair| [pair.source, pair.target]))))
            }
            Self::Dates(seed) => {
                let parts = [
                    (Split::Train, Purpose::Train),
                    (Split::Valid, Purpose::Valid),
                    (Split::Test, Purpose::Test),
                ];
                let parts = parts
                    .into_iter()
                    .zip(EXAMPLES)
                    .filter(|((part, _), _)| split == Split::All || split == *part);
                let seed = *seed;
                let dates = parts.flat_map(move |((_, purpose), count)| {
                    dates::examples(rng::stream(seed, purpose, 0), count)
                });
                Ok(Box::new(dates.map(Ok).collect::<Vec<_>>().into_iter()))
            }
        }
    }
}

/// The pairs of a split as they are, source and target, and the split: `split`, or the default of the data.
///
/// # Errors
/// If the data cannot be read or does not hold pairs of texts. Reading can also fail at each pair.
pub fn pairs(data: &DataSpec, split: Option<Split>) -> Result<(TextPairs, Split)> {
    let corpus = PairCorpus::open(data)?;
    let split = split.unwrap_or_else(|| corpus.default_split());
    Ok((corpus.texts(split)?, split))
}

/// Read training and validation data.
pub(super) fn prepare(
    data: &DataSpec,
    origin: Origin,
    unit: impl Fn(&Tokenizer) -> LossUnit,
) -> Result<Prepared> {
    let corpus = PairCorpus::open(data)?;
    let vocabularies = match origin {
        Origin::Trained(spec) => learn(&corpus, data, &spec)?,
        Origin::Loaded(Known { tokenizer, schema, labels }) => {
            let tokenizer = tokenizer.ok_or_else(|| text::unread("pairs of texts"))?;
            Vocabularies::of(Names { tokenizer: Some(&tokenizer), labels: &labels, schema: &schema })?
        }
    };
    let train = encode(corpus.texts(Split::Train)?, &vocabularies, Length::LeaveOut)?;
    if train.is_empty() {
        return Err(Error::file(&data.data, "its training split has no pair of two texts"));
    }
    let valid = match corpus.has(Split::Valid)? {
        true => Some(encode(corpus.texts(Split::Valid)?, &vocabularies, Length::Cut)?.into()),
        false => None,
    };
    let schema = vocabularies.schema(train.longest_target())?;
    Ok(Prepared {
        splits: Splits { train: train.into(), valid },
        text_column: None,
        shape: NetworkShape {
            vocabulary: Some(vocabularies.source().vocabulary_size()),
            features: 0,
            outputs: vocabularies.target().vocabulary_size(),
        },
        unit: unit(vocabularies.target()),
        schema,
        tokenizer: Some(vocabularies.source().clone()),
        labels: vec![],
    })
}

/// Read a split for a trained model.
pub(super) fn read_split(
    data: &DataSpec,
    split: Option<Split>,
    names: Names<'_>,
) -> Result<(Dataset, Split)> {
    let corpus = PairCorpus::open(data)?;
    let split = split.unwrap_or_else(|| corpus.default_split());
    let pairs = encode(corpus.texts(split)?, &Vocabularies::of(names)?, Length::Cut)?;
    match pairs.is_empty() {
        true => Err(Error::file(&data.data, format!("its {split} split has no pair of two texts"))),
        false => Ok((pairs.into(), split)),
    }
}

/// Convert texts without translations.
pub(super) fn read_texts(texts: &[String], vocabularies: &Vocabularies) -> Result<TokenPairs> {
    let texts: Vec<Result<[String; 2]>> =
        texts.iter().map(|text| Ok([text.clone(), String::new()])).collect();
    encode(Box::new(texts.into_iter()), vocabularies, Length::Cut)
}

/// The tokenizers of the training split.
fn learn(corpus: &PairCorpus, data: &DataSpec, spec: &TokenizerSpec) -> Result<Vocabularies> {
    let TokenizerSpec { kind, target, limits, lowercase } = spec;
    let of = |kind: &Kind, texts: Box<dyn Iterator<Item = Result<String>> + Send>| {
        Tokenizer::train(kind, texts, *limits, *lowercase)
    };
    let of_target = target.as_ref().unwrap_or(kind);
    let side = |side: usize| -> Result<Box<dyn Iterator<Item = Result<String>> + Send>> {
        let texts = corpus.texts(Split::Train)?;
        Ok(Box::new(texts.map(move |pair| pair.map(|mut pair| std::mem::take(&mut pair[side])))))
    };
    match data.shared_vocabulary {
        true if of_target != kind => {
            let problem = "one vocabulary has one tokenizer; leave one of the two out";
            Err(Error::invalid("target_tokenizer", problem))
        }
        true => Ok(Vocabularies::new(of(kind, Box::new(side(0)?.chain(side(1)?)))?, None)),
        false => Ok(Vocabularies::new(of(kind, side(0)?)?, Some(of(of_target, side(1)?)?))),
    }
}

/// The rule for pairs of which a side has more than [`MOST_TOKENS`] tokens.
#[derive(Clone, Copy, PartialEq)]
enum Length {
    LeaveOut,
    Cut,
}

fn encode(texts: TextPairs, vocabularies: &Vocabularies, rule: Length) -> Result<TokenPairs> {
    let mut pairs = TokenPairs::new(vocabularies.end()?);
    let mut long = 0;
    for texts in texts {
        let texts = texts?;
        let EncodedText { tokens: source, cut } = vocabularies.encode_source(&texts[0])?;
        let target = vocabularies.encode_target(&texts[1])?;
        let is_long = cut || target.cut;
        long += u64::from(is_long);
        if !is_long || rule == Length::Cut {
            pairs.push(TokenPair { source, target: target.tokens }, texts);
        }
    }
    if long > 0 {
        let happens = if rule == Length::Cut { "cut there" } else { "left out" };
        let most = thousands(MOST_TOKENS as u64);
        pairs.note(format!("{} with a text of more than {most} tokens: {happens}", counted(long, "pair")));
    }
    Ok(pairs)
}

impl From<TokenPairs> for Dataset {
    fn from(pairs: TokenPairs) -> Self {
        Self::Examples(Box::new(pairs))
    }
}
