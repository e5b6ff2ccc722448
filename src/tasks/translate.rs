//! `translate`: a text to another one, such as a sentence to its translation or a question to its answer.
//!
//! The metrics of an evaluation are those of translations: BLEU and chrF as sacrebleu computes them, and the share of
//! translations that are the target word for word. Training evaluates greedy translations.

use rnn_zoo_models::{AttentionScore, ModelConfig, Network, RecurrentConfig, TranslatorConfig};
use serde_json::{Value, json};

use super::answer::Answer;
use super::criterion::Criterion;
use super::data_spec::{DataSpec, Origin, Prepared};
use super::defaults::{Defaults, Sizes};
use super::figures::{BLEU, CHRF, EXACT};
use super::first_use::FirstUse;
use super::meter::Meter;
use super::names::Names;
use super::network::{NetworkKind, NetworkOptions};
use super::shape::NetworkShape;
use super::task::{Answerer, Questions, Task, TextReader, figures_line};
use super::translate_meter::{TranslateMeter, translations};
use super::translate_pairs;
pub use super::translate_pairs::{TextPairs, pairs};
use super::vocabularies::{TranslateSchema, Vocabularies};
use crate::Result;
use crate::data::batch::Examples;
use crate::data::dataset::Dataset;
use crate::data::pairs::{TokenPair, TokenPairs};
use crate::data::source::{Builtin, Source, Split};
use crate::inference::evaluate::EvaluationResult;
use crate::inference::search::{SearchOptions, SearchResult};
use crate::tokenizer::Tokenizer;
use crate::training::LossUnit;

/// The data of a run where the user names none.
const DATES: &str = "builtin:dates";

/// Fewest pairs of a data set that is not small.
const MANY: usize = 5000;

/// Text to text.
#[derive(Debug)]
pub struct Translate;

impl Task for Translate {
    fn name(&self) -> &'static str {
        "translate"
    }

    fn model(&self) -> &'static str {
        "a translator"
    }

    fn summary(&self) -> &'static str {
        "Text to text: translations, answers to questions"
    }

    fn pipeline_tag(&self, _reads_text: bool) -> Option<&'static str> {
        Some("translation")
    }

    fn suits(&self, data: &DataSpec) -> Result<bool> {
        data.is_pairs()
    }

    fn claimed(&self, data: DataSpec) -> DataSpec {
        let sides = data.sides.clone().unwrap_or_default();
        match data.source() {
            Ok(Source::Builtin(_)) => data,
            _ => DataSpec { sides: Some(sides), ..data },
        }
    }

    fn default_data(&self) -> &'static str {
        DATES
    }

    fn prepare(&self, data: &DataSpec, origin: Origin) -> Result<Prepared> {
        self.require_pairs(data)?;
        translate_pairs::prepare(data, origin, |tokenizer| self.unit(Some(tokenizer)))
    }

    fn read_split(
        &self,
        data: &DataSpec,
        split: Option<Split>,
        names: Names<'_>,
    ) -> Result<(Dataset, Split)> {
        self.require_pairs(data)?;
        translate_pairs::read_split(data, split, names)
    }

    fn check_network(&self, options: &NetworkOptions) -> Result<()> {
        options.check(Some(NetworkKind::Translator), self.name())
    }

    fn network(
        &self,
        rnn: RecurrentConfig,
        shape: NetworkShape,
        schema: &Value,
        options: &NetworkOptions,
    ) -> Result<ModelConfig> {
        let TranslateSchema { target_tokenizer, .. } = TranslateSchema::read(schema)?;
        Ok(ModelConfig::Translator(TranslatorConfig {
            source_vocabulary: shape.vocabulary.unwrap_or_default(),
            target_vocabulary: shape.outputs,
            score: options.attention_score.unwrap_or(AttentionScore::General),
            tied: options.tied,
            shared: target_tokenizer.is_none(),
            dropout: options.dropout,
            rnn,
        }))
    }

    fn defaults(&self, data: &DataSpec, prepared: &Prepared) -> Defaults {
        let is_dates = matches!(data.source(), Ok(Source::Builtin(Builtin::Dates)));
        match prepared.splits.train.len() {
            _ if is_dates => of_dates(),
            MANY.. => of_many_pairs(),
            pairs => of_few_pairs(pairs),
        }
    }

    fn unit(&self, tokenizer: Option<&Tokenizer>) -> LossUnit {
        LossUnit::of_classes(tokenizer.map_or("token", Tokenizer::unit))
    }

    fn meter(&self, names: Names<'_>) -> Box<dyn Meter> {
        meter(names, SearchOptions::default())
    }

    fn criteria(&self) -> &'static [Criterion] {
        const CRITERIA: [Criterion; 4] = [
            Criterion::LOSS,
            Criterion::higher("bleu", BLEU),
            Criterion::higher("chrf", CHRF),
            Criterion::higher("exact", EXACT),
        ];
        &CRITERIA
    }

    fn report(&self, scores: &EvaluationResult, unit: &str) -> Vec<String> {
        vec![format!("loss {:.4} nats a {unit}", scores.loss), figures_line(&scores.figures)]
    }

    fn answerer(&self) -> Option<Answerer> {
        Some(answer)
    }

    fn text_reader(&self) -> Option<TextReader> {
        Some(|texts, names| Ok(translate_pairs::read_texts(texts, &Vocabularies::of(names)?)?.into()))
    }

    fn first_use(&self, _schema: &Value) -> FirstUse {
        FirstUse::AnswerText
    }
}

impl Translate {
    /// Refuse data that does not hold pairs of texts.
    fn require_pairs(&self, data: &DataSpec) -> Result<()> {
        match data.is_pairs()? {
            true => Ok(()),
            false => Err(data.unsuited(self.name(), "parallel files, a table or builtin:dates")),
        }
    }
}

/// A meter of the translations that a search with these options finds.
pub fn meter(names: Names<'_>, options: SearchOptions) -> Box<dyn Meter> {
    Box::new(TranslateMeter::new(Vocabularies::of(names), options))
}

/// Translate texts, in their order, with the attention weights if they are asked for.
///
/// # Errors
/// If a text cannot be encoded, and as the search.
pub fn translate(
    network: &dyn Network,
    vocabularies: &Vocabularies,
    texts: &[String],
    options: SearchOptions,
    keeps_weights: bool,
) -> Result<Translations> {
    let mut pairs = TokenPairs::new(vocabularies.end()?);
    let mut found = vec![SearchResult::default(); texts.len()];
    let (mut rows, mut cut) = (vec![], 0);
    for (row, text) in texts.iter().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let source = vocabularies.encode_source(text)?;
        cut += usize::from(source.cut);
        let target = vocabularies.encode_target("")?.tokens;
        pairs.push(TokenPair { source: source.tokens, target }, [text.clone(), String::new()]);
        rows.push(row);
    }
    if !rows.is_empty() {
        let all: Vec<usize> = (0..rows.len()).collect();
        let batch = pairs.batch(&all, network.output_layer().weight().device())?;
        let translated =
            translations(network, batch.inputs.as_pair()?, vocabularies, options, keeps_weights)?;
        rows.into_iter().zip(translated).for_each(|(row, translation)| found[row] = translation);
    }
    Ok(Translations { found, cut })
}

/// The results of [`translate`].
#[derive(Clone, Debug)]
pub struct Translations {
    /// The translation of each text; without tokens for a text that is empty or blank.
    pub found: Vec<SearchResult>,
    /// The number of texts that were cut, because they have more than [`MOST_TOKENS`](super::MOST_TOKENS) tokens.
    pub cut: usize,
}

/// The answer to a source text.
pub fn as_answer(vocabularies: &Vocabularies, found: &SearchResult, source: &str) -> Answer {
    let text = vocabularies.text(found, source);
    let json = json!({ "source": source, "text": text, "score": found.score });
    // A translation is one line; one of a table may have several.
    Answer { text: text.replace('\n', " "), json }
}

fn answer(network: &dyn Network, questions: &Questions, names: Names<'_>) -> Result<Vec<Answer>> {
    let vocabularies = Vocabularies::of(names)?;
    let first = |parts: &Vec<String>| parts.first().cloned().unwrap_or_default();
    let sources: Vec<String> = questions.parts.iter().map(first).collect();
    let found = translate(network, &vocabularies, &sources, SearchOptions::default(), false)?.found;
    Ok(found.iter().zip(&sources).map(|(found, source)| as_answer(&vocabularies, found, source)).collect())
}

fn of_dates() -> Defaults {
    Defaults {
        sizes: Sizes { embedding: 32, hidden: 128, layers: 1, dropout: 0., bidirectional: true },
        epochs: 3,
        batch_size: 32,
        lr: 2e-3,
        metric: "exact",
        ..Defaults::default()
    }
}

/// About 450 steps at least, which a few pairs need to be memorised.
fn of_few_pairs(pairs: usize) -> Defaults {
    Defaults {
        sizes: Sizes { embedding: 64, hidden: 128, layers: 1, dropout: 0.2, bidirectional: true },
        epochs: (3600 / pairs.max(1)).clamp(20, 300),
        batch_size: 8,
        lr: 3e-3,
        eval_every: (pairs < 800).then_some(100),
        metric: "chrf",
        ..Defaults::default()
    }
}

fn of_many_pairs() -> Defaults {
    Defaults {
        sizes: Sizes { embedding: 256, hidden: 256, layers: 1, dropout: 0.3, bidirectional: true },
        epochs: 15,
        batch_size: 64,
        lr: 1e-3,
        metric: "bleu",
        ..Defaults::default()
    }
}
