//! Data of tasks that read text.

use super::data_spec::{DataSpec, Known, Origin, TokenizerSpec};
use crate::data::corpus::Corpus;
use crate::data::dataset::Dataset;
use crate::data::source::Split;
use crate::distributed::{Communicator, broadcast};
use crate::tokenizer::Tokenizer;
use crate::training::Splits;
use crate::{Error, Result};

/// The tokenizer of a run on `corpus`.
pub(super) fn tokenizer(corpus: &Corpus, origin: Origin) -> Result<Tokenizer> {
    match origin {
        Origin::Loaded(Known { tokenizer: Some(tokenizer), .. }) => Ok(*tokenizer),
        Origin::Loaded(Known { tokenizer: None, .. }) => Err(unread("text")),
        Origin::Trained(TokenizerSpec { kind, limits, lowercase, .. }) => {
            Tokenizer::train(&kind, corpus.texts(Split::Train)?, limits, lowercase)
        }
    }
}

/// The tokenizer of a run of several processes. The first builds it, so that the others need not read the text.
pub(super) fn shared_tokenizer(
    corpus: &Corpus,
    origin: Origin,
    ranks: &dyn Communicator,
) -> Result<Tokenizer> {
    if ranks.size() == 1 || matches!(origin, Origin::Loaded(_)) {
        return tokenizer(corpus, origin);
    }
    let built = match ranks.is_first() {
        true => tokenizer(corpus, origin)?.to_json()?,
        false => String::new(),
    };
    Tokenizer::from_json(&broadcast(ranks, built.into_bytes()))
        .map_err(|problem| Error::Message(format!("the tokenizer of the first process {problem}")))
}

/// The training and validation splits. `read` reads one split.
pub(super) fn splits(corpus: &Corpus, read: impl Fn(Split) -> Result<Dataset>) -> Result<Splits> {
    let train = read(Split::Train)?;
    let valid = if corpus.has(Split::Valid)? { Some(read(Split::Valid)?) } else { None };
    Ok(Splits { train, valid: valid.filter(|valid| !valid.is_empty()) })
}

/// One split for a trained model, by default the corpus's own default. `read` reads the split.
pub(super) fn split(
    data: &DataSpec,
    split: Option<Split>,
    read: impl Fn(&Corpus, Split) -> Result<Dataset>,
) -> Result<(Dataset, Split)> {
    let corpus = data.corpus()?;
    let split = split.unwrap_or_else(|| corpus.default_split());
    let dataset = read(&corpus, split)?;
    if dataset.is_empty() {
        let problem = format!("its {split} split is empty; use more text or option `split = all`");
        return Err(Error::file(&data.data, problem));
    }
    Ok((dataset, split))
}

/// An error about data that the model of a run does not read.
pub(super) fn unread(data: &str) -> Error {
    Error::invalid(
        "data",
        format!("is {data}, which the model does not read; give it data of the kind that it was trained on"),
    )
}

/// The tokenizer of a model that was trained on text.
pub(super) fn require(tokenizer: Option<&Tokenizer>) -> Result<&Tokenizer> {
    tokenizer.ok_or_else(|| Error::Message("this model reads text, but has no tokenizer".into()))
}
