//! `tag`: one tag for every time step.

use candle_core::D;
use rnn_zoo_models::{ModelConfig, Network, Readout, RecurrentConfig};
use serde_json::json;

use super::answer::Answer;
use super::data_spec::{DataSpec, Prepared, TokenizerSource};
use super::names::Names;
use super::network::{NetworkOptions, predictor};
use super::sequences::Sequences;
use super::shape::Shape;
use super::task::Task;
use crate::Result;
use crate::data::batch::{Batch, Dataset, Example, Input, Target};
use crate::data::builtin::copy;
use crate::data::source::{Builtin, Source, Split};
use crate::rng::Rng;
use crate::tokenizer::Tokenizer;
use crate::training::LossUnit;

/// Number of symbols to remember in `builtin:copy`.
const SYMBOLS: usize = 10;

/// Time steps between the symbols and their repetition in `builtin:copy`.
const DELAY: usize = 40;

/// One tag for every time step.
pub struct Tag;

/// The copying problem.
const COPY: Sequences = Sequences { task: "tag", builtin: Builtin::Copy, examples };

impl Task for Tag {
    fn name(&self) -> &'static str {
        COPY.task
    }

    fn summary(&self) -> &'static str {
        "One tag for every step"
    }

    fn suits(&self, data: &DataSpec) -> Result<bool> {
        Ok(data.source()? == Source::Builtin(Builtin::Copy))
    }

    fn prepare(&self, data: &DataSpec, _tokenizer: TokenizerSource, labels: Vec<String>) -> Result<Prepared> {
        let shape = Shape { vocabulary: Some(copy::VOCABULARY), features: 0, outputs: copy::VOCABULARY };
        COPY.prepare(data, labels, shape, self.unit(None))
    }

    fn read_split(
        &self,
        data: &DataSpec,
        split: Option<Split>,
        _names: Names<'_>,
    ) -> Result<(Dataset, Split)> {
        COPY.read_split(data, split)
    }

    fn network(&self, rnn: RecurrentConfig, shape: Shape, options: &NetworkOptions) -> Result<ModelConfig> {
        Ok(predictor(Readout::Every, rnn, shape, options))
    }

    fn unit(&self, _tokenizer: Option<&Tokenizer>) -> LossUnit {
        LossUnit::nats("tag")
    }

    fn answer(&self, network: &dyn Network, batch: &Batch, _names: Names<'_>) -> Result<Vec<Answer>> {
        let lengths = batch.lengths.as_deref();
        let (hidden, _) = network.encode(&batch.inputs, None, lengths)?;
        let tags = network.decode(&hidden)?.argmax(D::Minus1)?.to_vec2::<u32>()?; // (batch, time)
        let rows = tags.iter().enumerate();
        Ok(rows.map(|(row, tags)| answer(&tags[..lengths.map_or(tags.len(), |all| all[row])])).collect())
    }
}

fn examples(rng: Rng, count: usize) -> Result<Vec<Example>> {
    let examples = copy::examples(rng, count, SYMBOLS, DELAY);
    let example = |example: copy::CopyExample| Example {
        input: Input::Tokens(example.tokens),
        target: Target::Tags(example.tags),
    };
    Ok(examples.map(example).collect())
}

fn answer(tags: &[u32]) -> Answer {
    let words: Vec<String> = tags.iter().map(u32::to_string).collect();
    Answer { text: words.join(" "), json: json!({ "tags": tags }) }
}
