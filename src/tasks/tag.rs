//! `tag`: one tag for every word of a sentence, or for every step of a built-in sequence.
//!
//! The metrics of an evaluation are the accuracy over words, and precision, recall and F1: those of spans if the tags
//! mark spans (BIO, BIOES), otherwise means over the tags that occur among the targets or the predictions (macro
//! averages).

use rnn_zoo_models::{
    CharactersConfig, ColumnConfig, Inputs, Merge, ModelConfig, Network, Noise, Readout, RecurrentConfig,
    StackOptions, TaggerConfig,
};
use serde_json::{Value, json};

use super::answer::Answer;
use super::criterion::Criterion;
use super::data_spec::{DataSpec, Origin, Prepared};
use super::defaults::{Defaults, Sizes};
use super::figures::{ACCURACY, F1};
use super::first_use::FirstUse;
use super::meter::Meter;
use super::names::Names;
use super::network::{NetworkKind, NetworkOptions, predictor};
use super::sequences::Sequences;
use super::shape::NetworkShape;
use super::tag_meter::{TagMeter, TagScores, refuse_smoothing};
use super::tag_words::{self, TagSchema};
use super::task::{
    Answerer, BatchLoss, Questions, Task, TextReader, check_windows, figures_line, overflowing,
};
use crate::Result;
use crate::data::batch::Batch;
use crate::data::builtin::copy;
use crate::data::column_corpus::has_columns_of_words;
use crate::data::dataset::Dataset;
use crate::data::example::{Example, Input, Target};
use crate::data::source::{Builtin, Source, Split};
use crate::inference::carry::Carried;
use crate::inference::evaluate::EvaluationResult;
use crate::rng::Rng;
use crate::tokenizer::{Kind, Tokenizer};
use crate::training::{LossUnit, Options};

/// Number of symbols to remember in `builtin:copy`.
const SYMBOLS: usize = 10;

/// Time steps between the symbols and their repetition in `builtin:copy`.
const DELAY: usize = 40;

/// Features of a character's embedding.
const CHARACTER_EMBEDDING: usize = 25;

/// Units of each direction of the stack over the characters of a word, if the user gives none.
const CHARACTER_UNITS: usize = 25;

/// Features of the embedding of a further column's value.
const COLUMN_EMBEDDING: usize = 25;

/// One tag for every word, or every time step.
///
/// In evaluation, `precision`, `recall` and `f1` are those of spans if the tags mark spans, and macro averages over the
/// tags otherwise. Micro averages over tags would all equal the accuracy, because every word has exactly one tag.
pub struct Tag;

/// The copying problem.
const COPY: Sequences = Sequences { task: "tag", builtin: Builtin::Copy, examples };

impl Task for Tag {
    fn name(&self) -> &'static str {
        COPY.task
    }

    fn model(&self) -> &'static str {
        "a tagger"
    }

    fn summary(&self) -> &'static str {
        "One tag for every word"
    }

    fn pipeline_tag(&self, _reads_text: bool) -> Option<&'static str> {
        Some("token-classification")
    }

    fn suits(&self, data: &DataSpec) -> Result<bool> {
        Ok(is_copy(data)? || data.is_columns()?)
    }

    fn claimed(&self, mut data: DataSpec) -> DataSpec {
        data.tagging.get_or_insert_default();
        data
    }

    fn question_data(&self, data: DataSpec, schema: &Value) -> Result<DataSpec> {
        let names_text = schema.is_null() || data.columns.text.is_some();
        match !names_text && has_columns_of_words(&data.source()?)? {
            true => Ok(self.claimed(data)),
            false => Ok(data),
        }
    }

    fn prepare(&self, data: &DataSpec, origin: Origin) -> Result<Prepared> {
        if !is_copy(data)? {
            data.require_columns(self.name())?;
            return tag_words::prepare(data, origin, self.unit(None));
        }
        let shape =
            NetworkShape { vocabulary: Some(copy::VOCABULARY), features: 0, outputs: copy::VOCABULARY };
        COPY.prepare(data, origin.labels(), shape, self.unit(None))
    }

    fn read_split(
        &self,
        data: &DataSpec,
        split: Option<Split>,
        names: Names<'_>,
    ) -> Result<(Dataset, Split)> {
        match TagSchema::read(names.schema)? {
            Some(schema) => tag_words::read_split(data, split, names, &schema, true),
            None => COPY.read_split(data, split),
        }
    }

    fn read_questions(&self, data: &DataSpec, split: Option<Split>, names: Names<'_>) -> Result<Dataset> {
        match TagSchema::read(names.schema)? {
            Some(schema) => Ok(tag_words::read_split(data, split, names, &schema, false)?.0),
            None => Ok(COPY.read_split(data, split)?.0),
        }
    }

    fn schema_of_texts(&self, labels: &[String]) -> Value {
        json!(TagSchema::of_words(labels))
    }

    fn tokenizer(&self) -> Kind {
        Kind::Word
    }

    fn check_network(&self, options: &NetworkOptions) -> Result<()> {
        options.check(Some(NetworkKind::Tagger), self.name())
    }

    fn network(
        &self,
        rnn: RecurrentConfig,
        shape: NetworkShape,
        schema: &Value,
        options: &NetworkOptions,
    ) -> Result<ModelConfig> {
        let Some(schema) = TagSchema::read(schema)? else {
            options.check(None, self.name())?;
            return Ok(predictor(Readout::Every, rnn, shape, options));
        };
        Ok(ModelConfig::Tagger(tagger(rnn, shape, &schema, options)))
    }

    fn defaults(&self, _data: &DataSpec, prepared: &Prepared) -> Defaults {
        match TagSchema::read(&prepared.schema) {
            Ok(Some(schema)) => of_words(schema.spans),
            _ => Defaults::default(),
        }
    }

    fn check_options(&self, options: &Options, network: Option<&ModelConfig>) -> Result<()> {
        check_windows(self.name(), options)?;
        match network {
            Some(ModelConfig::Tagger(network)) if network.crf => refuse_smoothing(options.label_smoothing),
            _ => Ok(()),
        }
    }

    fn unit(&self, _tokenizer: Option<&Tokenizer>) -> LossUnit {
        LossUnit::of_classes("tag")
    }

    fn loss(
        &self,
        network: &dyn Network,
        batch: &Batch,
        carried: &mut Carried,
        noise: Noise<'_>,
        smoothing: f64,
    ) -> Result<BatchLoss> {
        let (hidden, penalty) = carried.encode_t(network, batch, noise)?;
        let (mean, targets) = TagScores { network, hidden: &hidden, batch }.loss(smoothing)?;
        Ok(BatchLoss { mean, targets, values: targets, penalty })
    }

    fn meter(&self, names: Names<'_>) -> Box<dyn Meter> {
        let spans = matches!(TagSchema::read(names.schema), Ok(Some(TagSchema { spans: true, .. })));
        Box::new(TagMeter::new(names.labels, spans))
    }

    fn criteria(&self) -> &'static [Criterion] {
        const CRITERIA: [Criterion; 3] =
            [Criterion::LOSS, Criterion::higher("accuracy", ACCURACY), Criterion::higher("f1", F1)];
        &CRITERIA
    }

    fn report(&self, scores: &EvaluationResult, unit: &str) -> Vec<String> {
        vec![format!("loss {:.4} nats a {unit}", scores.loss), figures_line(&scores.figures)]
    }

    fn answerer(&self) -> Option<Answerer> {
        Some(answer)
    }

    fn text_reader(&self) -> Option<TextReader> {
        Some(tag_words::read_texts)
    }

    fn first_use(&self, schema: &Value) -> FirstUse {
        match TagSchema::read(schema) {
            Ok(Some(schema)) if schema.columns.is_empty() => FirstUse::AnswerText,
            _ => FirstUse::AnswerData,
        }
    }
}

fn is_copy(data: &DataSpec) -> Result<bool> {
    Ok(data.source()? == Source::Builtin(Builtin::Copy))
}

/// The network of a tagger of words. Its stack over characters has the cell of `rnn`.
fn tagger(
    mut rnn: RecurrentConfig,
    shape: NetworkShape,
    schema: &TagSchema,
    options: &NetworkOptions,
) -> TaggerConfig {
    let units = options.characters.unwrap_or(CHARACTER_UNITS);
    let characters = (units > 0).then(|| CharactersConfig {
        vocabulary_size: schema.character_count(),
        rnn: rnn.same_cell(StackOptions {
            bidirectional: Some(Merge::Concat),
            init: rnn.stack().init,
            ..StackOptions::new(CHARACTER_EMBEDDING, units)
        }),
    });
    let columns: Vec<ColumnConfig> = schema
        .column_sizes()
        .map(|vocabulary_size| ColumnConfig { vocabulary_size, embedding_size: COLUMN_EMBEDDING })
        .collect();
    let embedding_size = rnn.stack().input_size;
    rnn.stack_mut().input_size = embedding_size + 2 * units + COLUMN_EMBEDDING * columns.len();
    TaggerConfig {
        vocabulary_size: shape.vocabulary.unwrap_or_default(),
        embedding_size,
        characters,
        columns,
        outputs: shape.outputs,
        crf: options.crf.unwrap_or(schema.spans),
        dropout: options.dropout,
        rnn,
    }
}

/// `spans` tells whether the tags mark spans.
fn of_words(spans: bool) -> Defaults {
    let sizes = Sizes { embedding: 100, hidden: 150, layers: 1, dropout: 0.5, bidirectional: true };
    Defaults {
        sizes,
        epochs: 15,
        batch_size: 16,
        lr: 3e-3,
        clip: 5.,
        metric: if spans { "f1" } else { "accuracy" },
        ..Defaults::default()
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

fn answer(network: &dyn Network, questions: &Questions, names: Names<'_>) -> Result<Vec<Answer>> {
    let Questions { batch, parts, .. } = questions;
    let has_words = names.schema.is_null() || parts.iter().any(|words| !words.is_empty());
    if !has_words {
        return Ok(parts.iter().map(|_| named(&[], &[], names)).collect());
    }
    let (hidden, _) = network.encode(&batch.inputs, None, batch.lengths.as_deref())?;
    let predicted = TagScores { network, hidden: &hidden, batch }.predicted()?.ok_or_else(overflowing)?;
    let symbols = match &batch.inputs {
        Inputs::Steps(tokens) => tokens.to_vec2::<u32>()?, // (batch, time)
        _ => vec![vec![]; predicted.len()],
    };
    let rows = predicted.iter().zip(&symbols).zip(parts);
    let answers = rows.map(|((tags, symbols), words)| {
        let tokens = match words.as_slice() {
            [] => symbols[..tags.len()].iter().map(ToString::to_string).collect(),
            words => words.to_vec(),
        };
        named(&tokens, tags, names)
    });
    Ok(answers.collect())
}

/// The answer with the names of the tags; those without a name are called by their number.
fn named(tokens: &[String], tags: &[u32], names: Names<'_>) -> Answer {
    let tag = |&tag: &u32| names.labels.get(tag as usize).cloned().unwrap_or_else(|| tag.to_string());
    let tags: Vec<String> = tags.iter().map(tag).collect();
    Answer { text: tags.join(" "), json: json!({ "tokens": tokens, "tags": tags }) }
}
