//! `lm`: predict the next token of running text.

use std::sync::Arc;

use candle_core::Device;
use rnn_zoo_models::{ModelConfig, RecurrentConfig, RnnlmConfig};

use serde_json::Value;

use super::criterion::Criterion;
use super::data_spec::{DataSpec, Origin, Prepared};
use super::defaults::{Defaults, STORY, Sizes};
use super::figures::{ACCURACY, BITS, PERPLEXITY};
use super::first_use::FirstUse;
use super::meter::{Meter, TokenMeter};
use super::names::Names;
use super::network::{NetworkKind, NetworkOptions};
use super::shape::NetworkShape;
use super::task::{Answerer, Task};
use super::text;
use crate::data::builtin::{Floor, reber, story};
use crate::data::corpus::Corpus;
use crate::data::dataset::Dataset;
use crate::data::source::{Builtin, Source, Split};
use crate::data::tokens::SplitTokens;
use crate::distributed::{Communicator, SingleProcess, agree};
use crate::inference::evaluate::EvaluationResult;
use crate::tokenizer::{Scheme, Tokenizer};
use crate::training::{LossUnit, Options, Sampler};
use crate::{Error, Result};

/// Most tokens that validation during training reads, from the beginning of its split. `rnn eval` reads all.
const VALIDATION_TOKENS: u64 = 250_000;

/// A text with fewer words is too short for a large model over words.
const FEW_WORDS: usize = 200_000;

/// Fewest optimizer steps of a default run.
const FEWEST_STEPS: usize = 1500;

/// Steps between evaluations where epochs are shorter.
const EVALUATION_STEPS: usize = 250;

/// Predict the next token of running text.
pub struct Lm;

impl Task for Lm {
    fn name(&self) -> &'static str {
        "lm"
    }

    fn model(&self) -> &'static str {
        "a language model"
    }

    fn summary(&self) -> &'static str {
        "Predict the next token"
    }

    fn pipeline_tag(&self, _reads_text: bool) -> Option<&'static str> {
        Some("text-generation")
    }

    fn is_language_model(&self) -> bool {
        true
    }

    fn suits(&self, data: &DataSpec) -> Result<bool> {
        Ok(data.is_text()? && data.columns.label.is_none())
    }

    fn prepare(&self, data: &DataSpec, origin: Origin) -> Result<Prepared> {
        self.prepare_share(data, origin, &SingleProcess)
    }

    /// The first process builds the tokenizer, and each encodes its part of the text.
    fn prepare_share(&self, data: &DataSpec, origin: Origin, ranks: &dyn Communicator) -> Result<Prepared> {
        data.require_text(self.name())?;
        let corpus = data.corpus()?;
        let labels = origin.labels().to_vec();
        let valid = if corpus.has(Split::Valid)? { "some" } else { "none" };
        agree(ranks, &[("validation data:".into(), valid.into())])?;
        let tokenizer = text::shared_tokenizer(&corpus, origin, ranks)?;
        let mut splits = text::splits(&corpus, |split| read(&corpus, split, &tokenizer, ranks))?;
        if let Some(Dataset::Stream { tokens, .. }) = &mut splits.valid {
            tokens.truncate(VALIDATION_TOKENS);
        }
        let vocabulary = tokenizer.vocabulary_size();
        let floor = floor(data, &tokenizer, &splits.train)?;
        Ok(Prepared {
            splits,
            labels,
            text_column: corpus.text_column().map(String::from),
            shape: NetworkShape { vocabulary: Some(vocabulary), features: 0, outputs: vocabulary },
            unit: LossUnit { floor, ..self.unit(Some(&tokenizer)) },
            tokenizer: Some(tokenizer),
            schema: Value::Null,
        })
    }

    fn read_split(
        &self,
        data: &DataSpec,
        split: Option<Split>,
        names: Names<'_>,
    ) -> Result<(Dataset, Split)> {
        data.require_text(self.name())?;
        let tokenizer = text::require(names.tokenizer)?;
        text::split(data, split, |corpus, split| read(corpus, split, tokenizer, &SingleProcess))
    }

    fn check_network(&self, options: &NetworkOptions) -> Result<()> {
        options.check(Some(NetworkKind::LanguageModel), self.name())
    }

    fn network(
        &self,
        rnn: RecurrentConfig,
        shape: NetworkShape,
        _schema: &Value,
        options: &NetworkOptions,
    ) -> Result<ModelConfig> {
        if rnn.stack().bidirectional.is_some() {
            let problem = "a language model reads from left to right: with both directions it would read the tokens that it predicts";
            return Err(Error::invalid("bidirectional", problem));
        }
        let plain = RnnlmConfig::new(shape.outputs, rnn);
        Ok(ModelConfig::Rnnlm(RnnlmConfig {
            dropout: options.dropout,
            tied: options.tied,
            embedding_dropout: options.embedding_dropout.unwrap_or(plain.embedding_dropout),
            ar: options.ar.unwrap_or(plain.ar),
            tar: options.tar.unwrap_or(plain.tar),
            ..plain
        }))
    }

    fn defaults(&self, data: &DataSpec, prepared: &Prepared) -> Defaults {
        let words = prepared.tokenizer.as_ref().is_some_and(|tokenizer| tokenizer.scheme() != Scheme::Char);
        let tokens = prepared.splits.train.len();
        match words {
            false if data.data == STORY => of_story(),
            false => of_characters(tokens),
            true if tokens < FEW_WORDS => of_few_words(tokens),
            true => of_many_words(tokens),
        }
    }

    fn check_options(&self, _options: &Options, _network: Option<&ModelConfig>) -> Result<()> {
        Ok(())
    }

    fn sampler(
        &self,
        tokenizer: &Arc<Tokenizer>,
        records: bool,
        seed: u64,
        device: &Device,
    ) -> Option<Sampler> {
        let length = match tokenizer.scheme() {
            Scheme::Char => 200,
            _ => 40,
        };
        Some(Sampler { tokenizer: tokenizer.clone(), records, length, seed, device: device.clone() })
    }

    fn unit(&self, tokenizer: Option<&Tokenizer>) -> LossUnit {
        LossUnit::of_tokens(tokenizer.map_or("token", Tokenizer::unit))
    }

    fn meter(&self, _names: Names<'_>) -> Box<dyn Meter> {
        Box::new(TokenMeter::default())
    }

    /// The loss and its perplexity choose the same checkpoint, so there is no criterion for the latter.
    fn criteria(&self) -> &'static [Criterion] {
        const CRITERIA: [Criterion; 2] = [Criterion::LOSS, Criterion::higher("accuracy", ACCURACY)];
        &CRITERIA
    }

    fn report(&self, scores: &EvaluationResult, unit: &str) -> Vec<String> {
        let EvaluationResult { loss, figures, .. } = scores;
        let perplexity = figures.get(PERPLEXITY).map(|value| format!(", perplexity {value:.2}"));
        let bits = figures.get(BITS).map(|value| format!("{value:.4} bits a {unit}"));
        let loss = format!("loss {loss:.4} nats a {unit}{}", perplexity.unwrap_or_default());
        std::iter::once(loss).chain(bits).collect()
    }

    fn answerer(&self) -> Option<Answerer> {
        None
    }

    fn first_use(&self, _schema: &Value) -> FirstUse {
        FirstUse::Generate { length: 300 }
    }
}

/// The lowest loss that a model can reach on `split`, in nats per token of `tokenizer`. Return `None` if it is not
/// known, and if the tokenizer hides a part of the text, because the rest is easier to predict.
///
/// # Errors
/// If the source of the data does not exist.
pub fn floor(data: &DataSpec, tokenizer: &Tokenizer, split: &Dataset) -> Result<Option<f64>> {
    let hides = match split {
        Dataset::Stream { tokens, .. } => tokens.unknown().total() > 0,
        Dataset::Examples(_) => true,
    };
    if hides || tokenizer.folds_case() {
        return Ok(None);
    }
    let floor: Floor = match data.source()? {
        Source::Builtin(Builtin::Story) => story::floor(),
        Source::Builtin(Builtin::Reber) => reber::floor(),
        _ => return Ok(None),
    };
    Ok(match tokenizer.scheme() {
        Scheme::Char => Some(floor.nats_per_character()),
        Scheme::Word => Some(floor.nats_per_word()),
        Scheme::Subword => None,
    })
}

fn read(corpus: &Corpus, split: Split, tokenizer: &Tokenizer, ranks: &dyn Communicator) -> Result<Dataset> {
    let tokens = SplitTokens::encode_part(corpus, split, tokenizer, ranks)?;
    Ok(Dataset::Stream { tokens, start: tokenizer.start(corpus.is_records()) })
}

fn of_story() -> Defaults {
    Defaults {
        sizes: Sizes { embedding: 32, hidden: 128, layers: 1, dropout: 0., bidirectional: false },
        epochs: 1,
        lr: 6e-3,
        eval_every: Some(400),
        ..Defaults::default()
    }
}

fn of_characters(tokens: usize) -> Defaults {
    let sizes = Sizes { embedding: 64, hidden: 256, layers: 1, dropout: 0.1, bidirectional: false };
    lengthened(Defaults { sizes, epochs: 5, lr: 3e-3, ..Defaults::default() }, tokens)
}

fn of_few_words(tokens: usize) -> Defaults {
    let sizes = Sizes { embedding: 128, hidden: 128, layers: 1, dropout: 0.3, bidirectional: false };
    let defaults = Defaults { sizes, epochs: 5, batch_size: 16, bptt: 16, lr: 3e-3, ..Defaults::default() };
    lengthened(defaults, tokens)
}

/// The recipe of PyTorch's word-level example: on many words plain gradient descent learns faster than Adam.
fn of_many_words(tokens: usize) -> Defaults {
    let defaults = Defaults {
        sizes: Sizes { embedding: 200, hidden: 200, layers: 2, dropout: 0.2, bidirectional: false },
        epochs: 4,
        batch_size: 20,
        bptt: 35,
        optimizer: "sgd",
        lr: 20.,
        clip: 0.25,
        ..Defaults::default()
    };
    lengthened(defaults, tokens)
}

/// More epochs for a short text, with fewer evaluations than one per epoch.
fn lengthened(defaults: Defaults, tokens: usize) -> Defaults {
    let epoch = (tokens / (defaults.batch_size * defaults.bptt)).max(1);
    let epochs = defaults.epochs.max(FEWEST_STEPS.div_ceil(epoch));
    Defaults { epochs, eval_every: (epoch < EVALUATION_STEPS).then_some(EVALUATION_STEPS), ..defaults }
}
