//! Tasks: what a model reads, its network, loss and metrics, and its answers.
//!
//! | file | content |
//! |---|---|
//! | `task.rs` | the trait of tasks |
//! | `registry.rs` | the list of tasks |
//! | `lm.rs`, `classify.rs`, `tag.rs`, `translate.rs`, `forecast/` | one task each |
//! | `forecast_spec.rs` | the settings of a forecaster in a run's data |
//! | `data_spec.rs`, `shape.rs`, `names.rs` | a run's data, the sizes and the names that follow from it |
//! | `text.rs`, `sequences.rs` | data of tasks on text, and on built-in sequences |
//! | `network.rs`, `defaults.rs` | options of a network, default settings of a run |
//! | `meter.rs`, `figures.rs`, `sums.rs` | sums and figures of an evaluation, sums of several processes |
//! | `confusion.rs`, `class_report.rs` | counts of true and predicted classes, their metrics and tables |
//! | `classify_series.rs` | numeric series as data of the classifier |
//! | `class_weights.rs` | weights of classes in the training loss |
//! | `spans.rs`, `bleu.rs`, `chrf.rs`, `series_scores.rs` | metrics of spans, of translations and of forecasts |
//! | `pair_sides.rs`, `pair_spec.rs`, `translate_pairs.rs`, `vocabularies.rs`, `translate_meter.rs` | pairs of texts and tokenizers of a translator, and its metrics |
//! | `criterion.rs` | the metrics that can choose the best checkpoint |
//! | `answer.rs`, `first_use.rs` | the answer to one sequence, the first use of a trained model |
//!
//! A new task is a file that implements [`Task`], and a line in `registry.rs`. A task overrides
//! [`Task::loss`] and [`Task::meter`] if its network has more than one output layer or reads more than the inputs of
//! a batch: both run the network themselves.

mod answer;
pub mod bleu;
pub mod chrf;
mod class_report;
mod class_weights;
mod classify;
mod classify_series;
mod confusion;
mod criterion;
mod data_spec;
mod defaults;
pub mod figures;
mod first_use;
pub mod forecast;
mod forecast_spec;
mod lm;
mod meter;
mod names;
mod network;
mod pair_sides;
mod pair_spec;
pub mod registry;
mod sequences;
pub mod series_scores;
mod shape;
pub mod spans;
mod sums;
mod tag;
mod tag_meter;
mod tag_words;
mod task;
mod text;
pub mod translate;
mod translate_meter;
mod translate_pairs;
mod vocabularies;

pub use answer::Answer;
pub use class_report::ClassReport;
pub use class_weights::ClassWeights;
pub use classify::Classify;
pub use confusion::{ClassScore, Confusion, MacroAverage};
pub use criterion::{Better, Criterion};
pub use data_spec::{DataSpec, Known, Origin, Prepared, TaggingColumns, TokenizerSpec, TrainingData};
pub use defaults::{Defaults, STORY, Sizes};
pub use figures::Figures;
pub use first_use::FirstUse;
pub use forecast::Forecast;
pub use forecast_spec::{ForecastLoss, ForecastSpec, ForecastStart};
pub use lm::{Lm, floor};
pub use meter::{Baselines, Measured, Meter};
pub use names::Names;
pub use network::NetworkOptions;
pub use pair_sides::PairSides;
pub use pair_spec::of_sides;
pub use registry::{TASKS, suited};
pub use shape::NetworkShape;
pub use tag::Tag;
pub use task::{Answerer, BatchLoss, Questions, Task, TextReader};
pub use translate::Translate;
pub use vocabularies::{MOST_TOKENS, Vocabularies};

#[cfg(test)]
mod tests;
