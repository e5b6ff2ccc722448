//! `tag`: one tag for every time step.
//!
//! The metrics of an evaluation are the accuracy over time steps, and precision, recall and F1 as means over the tags
//! that occur among the targets or the predictions (macro averages).

use rnn_zoo_models::{ModelConfig, Network, Readout, RecurrentConfig};
use serde_json::{Value, json};

use super::answer::Answer;
use super::confusion::{Confusion, MacroAverage};
use super::criterion::Criterion;
use super::data_spec::{DataSpec, Origin, Prepared};
use super::figures::{ACCURACY, F1, Figures, PRECISION, RECALL};
use super::meter::{ClassMeter, Meter};
use super::names::Names;
use super::network::{NetworkOptions, predictor};
use super::sequences::Sequences;
use super::shape::Shape;
use super::task::{Answerer, Task, figures_line, finite_outputs};
use crate::Result;
use crate::data::batch::Batch;
use crate::data::builtin::copy;
use crate::data::dataset::Dataset;
use crate::data::example::{Example, Input, Target};
use crate::data::source::{Builtin, Source, Split};
use crate::inference::evaluate::Scores;
use crate::rng::Rng;
use crate::tokenizer::Tokenizer;
use crate::training::{LossUnit, loss};

/// Number of symbols to remember in `builtin:copy`.
const SYMBOLS: usize = 10;

/// Time steps between the symbols and their repetition in `builtin:copy`.
const DELAY: usize = 40;

/// One tag for every time step.
///
/// In evaluation, `precision`, `recall` and `f1` are macro averages over the tags. Micro averages would all equal the
/// accuracy, because every time step has exactly one tag.
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

    fn prepare(&self, data: &DataSpec, origin: Origin) -> Result<Prepared> {
        let shape = Shape { vocabulary: Some(copy::VOCABULARY), features: 0, outputs: copy::VOCABULARY };
        COPY.prepare(data, origin.labels(), shape, self.unit(None))
    }

    fn read_split(
        &self,
        data: &DataSpec,
        split: Option<Split>,
        _names: Names<'_>,
    ) -> Result<(Dataset, Split)> {
        COPY.read_split(data, split)
    }

    fn network(
        &self,
        rnn: RecurrentConfig,
        shape: Shape,
        _schema: &Value,
        options: &NetworkOptions,
    ) -> Result<ModelConfig> {
        Ok(predictor(Readout::Every, rnn, shape, options))
    }

    fn unit(&self, _tokenizer: Option<&Tokenizer>) -> LossUnit {
        LossUnit::of_classes("tag")
    }

    fn meter(&self, names: Names<'_>) -> Box<dyn Meter> {
        Box::new(ClassMeter::new(names.labels, figures))
    }

    fn criteria(&self) -> &'static [Criterion] {
        const CRITERIA: [Criterion; 3] =
            [Criterion::LOSS, Criterion::higher("accuracy", ACCURACY), Criterion::higher("f1", F1)];
        &CRITERIA
    }

    fn report(&self, scores: &Scores, unit: &str) -> Vec<String> {
        vec![format!("loss {:.4} nats a {unit}", scores.loss), figures_line(&scores.figures)]
    }

    fn answerer(&self) -> Option<Answerer> {
        Some(answer)
    }
}

fn figures(confusion: &Confusion) -> Figures {
    let MacroAverage { precision, recall, f1 } = confusion.macro_average();
    let figures = Figures::default().with(ACCURACY, confusion.accuracy());
    figures.with(PRECISION, precision).with(RECALL, recall).with(F1, f1)
}

fn examples(rng: Rng, count: usize) -> Result<Vec<Example>> {
    let examples = copy::examples(rng, count, SYMBOLS, DELAY);
    let example = |example: copy::CopyExample| Example {
        input: Input::Tokens(example.tokens),
        target: Target::Tags(example.tags),
    };
    Ok(examples.map(example).collect())
}

fn answer(network: &dyn Network, batch: &Batch, _before: usize, names: Names<'_>) -> Result<Vec<Answer>> {
    let outputs = finite_outputs(network, batch)?.to_vec3::<f64>()?; // (batch, time, tags)
    let inputs = batch.inputs.as_steps()?.to_vec2::<u32>()?; // (batch, time)
    let rows = inputs.iter().zip(&outputs).enumerate();
    let answers = rows.map(|(row, (tokens, outputs))| {
        let length = batch.lengths.as_ref().map_or(tokens.len(), |lengths| lengths[row]);
        let tags: Vec<usize> = outputs[..length].iter().map(|outputs| loss::highest(outputs)).collect();
        named(&tokens[..length], &tags, names)
    });
    Ok(answers.collect())
}

/// The answer with the names of tokens and tags; those without a name are called by their number.
fn named(tokens: &[u32], tags: &[usize], names: Names<'_>) -> Answer {
    let token = |&id: &u32| {
        let name = names.tokenizer.and_then(|tokenizer| tokenizer.token(id));
        name.map_or_else(|| id.to_string(), String::from)
    };
    let tokens: Vec<String> = tokens.iter().map(token).collect();
    let tag = |&tag: &usize| names.labels.get(tag).cloned().unwrap_or_else(|| tag.to_string());
    let tags: Vec<String> = tags.iter().map(tag).collect();
    Answer { text: tags.join(" "), json: json!({ "tokens": tokens, "tags": tags }) }
}
