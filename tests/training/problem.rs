//! Small data, small networks, and runs of them on disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use rnn_zoo::bundle::{BundleWriter, Config, FORMAT};
use rnn_zoo::data::builtin::copy;
use rnn_zoo::data::dataset::Dataset;
use rnn_zoo::data::example::{Example, Input, Target};
use rnn_zoo::data::{Columns, Fractions};
use rnn_zoo::distributed::{Communicator, Ranks, SingleProcess};
use rnn_zoo::models::{
    GruOptions, LstmOptions, Merge, ModelConfig, Precision, PredictorConfig, Readout, RecurrentConfig,
    RnnlmConfig, SimpleRnnOptions, StackOptions,
};
use rnn_zoo::rng::{Purpose, stream};
use rnn_zoo::tasks::{
    DataSpec, ForecastSpec, NetworkOptions, NetworkShape, Origin, Prepared, Tag, Task, TokenizerSpec,
};
use rnn_zoo::tokenizer::{Kind, Limits};
use rnn_zoo::training::optim::OptimizerConfig;
use rnn_zoo::training::schedule::Schedule;
use rnn_zoo::training::{self, Checkpoint, MetricsLine, Options, Run, Splits};
use rnn_zoo::{Error, Result};
use serde_json::Value;
use tempfile::TempDir;

/// The files whose bytes do not depend on interruptions.
pub(super) const FILES: [&str; 6] = [
    "model.safetensors",
    "training/last.safetensors",
    "training/optimizer.safetensors",
    "training/best.safetensors",
    "training/average.safetensors",
    "training/carry.safetensors",
];

/// The files of [`FILES`] that differ between two bundles.
pub(super) fn differences(one: &Files, other: &Files) -> Vec<&'static str> {
    FILES.into_iter().filter(|file| one[file] != other[file]).collect()
}

/// The bytes of each of [`FILES`] that a bundle has.
pub(super) type Files = BTreeMap<&'static str, Option<Vec<u8>>>;

/// Data of one task, and a folder for the bundles.
pub(super) struct Problem {
    pub(super) dir: TempDir,
    pub(super) data: DataSpec,
    pub(super) task: &'static dyn Task,
    pub(super) valid: bool,
}

impl Problem {
    /// About 300 characters to predict, 36 short texts of two classes, 30 sequences to copy, or a series of 90 steps.
    pub(super) fn new(task: &'static dyn Task, valid: bool) -> Result<Self> {
        let dir = tempfile::tempdir().map_err(|error| Error::Message(error.to_string()))?;
        let mut columns = Columns::default();
        let data = match task.name() {
            "classify" => {
                columns.label = Some("label".into());
                let words = ["plain", "red", "old", "blue", "new"];
                let row = |row: usize| {
                    let text: Vec<&str> = (0..row % 6).map(|at| words[(row / 6 + at * row) % 5]).collect();
                    format!("{},{}\n", text.join(" "), if text.contains(&"red") { "yes" } else { "no" })
                };
                let rows: String = (0..36).map(row).collect();
                write(&dir.path().join("data.csv"), &format!("text,label\n{rows}"))?
            }
            "tag" => "builtin:copy".into(),
            "forecast" => {
                // Some values are missing, so that windows have different numbers of them.
                let row = |step: usize| match step % 7 {
                    3 => format!("{step},\n"),
                    _ => format!("{step},{:.3}\n", (step as f64 / 3.).sin() + (step % 5) as f64 / 10.),
                };
                let rows: String = (0..90).map(row).collect();
                write(&dir.path().join("data.csv"), &format!("step,y\n{rows}"))?
            }
            _ => write(&dir.path().join("data.txt"), &"the cat sat on the mat; ".repeat(14))?,
        };
        let fractions =
            if valid { Fractions { valid: 0.2, test: 0.05 } } else { Fractions { valid: 0., test: 0. } };
        let mut data = DataSpec { columns, fractions, ..DataSpec::new(data) };
        if task.reads_time_series() {
            let targets = vec!["y".into()];
            let (horizon, window) = (Some(3), Some(6));
            data.forecasting = Some(ForecastSpec { targets, horizon, window, ..ForecastSpec::default() });
        }
        Ok(Self { dir, data, task, valid })
    }

    pub(super) fn bundle(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The data of a new run; a few short sequences of the copying problem.
    pub(super) fn prepare(&self, ranks: &dyn Communicator) -> Result<Prepared> {
        if self.task.name() == "tag" {
            return Ok(self.few());
        }
        let kind = if self.task.name() == "classify" { Kind::Word } else { Kind::Char };
        let spec = TokenizerSpec { kind, target: None, limits: Limits::default(), lowercase: false };
        training::prepare(self.task, &self.data, Origin::Trained(spec), ranks)
    }

    /// The data of a resumed run.
    fn prepare_again(&self, checkpoint: &Checkpoint, ranks: &dyn Communicator) -> Result<Prepared> {
        if self.task.name() == "tag" { Ok(self.few()) } else { checkpoint.prepare(ranks) }
    }

    fn few(&self) -> Prepared {
        let examples = |purpose, count: usize| {
            // One symbol to remember for two steps or three, so that some sequences are padded.
            let sequences = |delay, index| copy::examples(stream(1, purpose, index), count / 2, 1, delay);
            let examples = sequences(0, 0).chain(sequences(1, 1));
            let example = |copy::CopyExample { tokens, tags }| Example {
                input: Input::Tokens(tokens),
                target: Target::Tags(tags),
            };
            Dataset::from(examples.map(example).collect::<Vec<_>>())
        };
        let valid = self.valid.then(|| examples(Purpose::Valid, 8));
        Prepared {
            splits: Splits { train: examples(Purpose::Train, 30), valid },
            tokenizer: None,
            labels: vec![],
            text_column: None,
            shape: NetworkShape {
                vocabulary: Some(copy::VOCABULARY),
                features: 0,
                outputs: copy::VOCABULARY,
            },
            unit: Tag.unit(None),
            schema: Value::Null,
        }
    }

    pub(super) fn start(&self, name: &str, model: &Model, options: &Options) -> Result<Run> {
        self.start_on(SingleProcess::ranks(), name, model, options)
    }

    /// Start a run of several processes in one of them.
    pub(super) fn start_on(&self, ranks: Ranks, name: &str, model: &Model, options: &Options) -> Result<Run> {
        let writer = match ranks.is_first() {
            true => BundleWriter::create(&self.bundle(name), false)?,
            false => BundleWriter::beside(&self.bundle(name))?,
        };
        let prepared = self.prepare(ranks.as_ref())?;
        let config = Config {
            format: FORMAT,
            model: "lstm".into(),
            task: self.task,
            network: model.network(self.task, prepared.shape, &prepared.schema)?,
            tokenizer: prepared.tokenizer.as_ref().map(|tokenizer| tokenizer.scheme()),
            labels: prepared.labels.clone(),
            text_column: prepared.text_column.clone(),
            schema: prepared.schema.clone(),
            data: None,
            converted_from: None,
            stored: None,
            dtype: DType::F32,
            zoo_version: "0.1.0".into(),
            created_with: "a test".into(),
        };
        Run::start(writer, config, self.data.clone(), prepared, options.clone(), &Device::Cpu, ranks)
    }

    pub(super) fn resume(&self, name: &str, change: impl FnOnce(&mut Options)) -> Result<Run> {
        self.resume_on(SingleProcess::ranks(), name, change)
    }

    /// Resume a run of several processes in one of them.
    pub(super) fn resume_on(
        &self,
        ranks: Ranks,
        name: &str,
        change: impl FnOnce(&mut Options),
    ) -> Result<Run> {
        let mut checkpoint = Checkpoint::open(&self.bundle(name), ranks.as_ref())?;
        change(&mut checkpoint.options);
        let prepared = self.prepare_again(&checkpoint, ranks.as_ref())?;
        checkpoint.resume(prepared, &Device::Cpu, ranks)
    }

    pub(super) fn files(&self, name: &str) -> Files {
        FILES.into_iter().map(|file| (file, std::fs::read(self.bundle(name).join(file)).ok())).collect()
    }

    /// The lines of `metrics.jsonl`.
    fn metrics(&self, name: &str) -> Result<Vec<MetricsLine>> {
        let path = self.bundle(name).join("metrics.jsonl");
        let text = std::fs::read_to_string(&path).map_err(|error| Error::file(&path, error))?;
        let metric = |line| serde_json::from_str(line).map_err(|error| Error::file(&path, error));
        text.lines().map(metric).collect()
    }

    /// The lines of `metrics.jsonl` without times.
    pub(super) fn lines(&self, name: &str) -> Result<Vec<Line>> {
        let metrics = self.metrics(name)?.into_iter();
        Ok(metrics.map(|line| (line.split, line.step, line.epoch, line.loss, line.lr)).collect())
    }

    /// Step and loss of every line of `metrics.jsonl` about `split`.
    pub(super) fn losses(&self, name: &str, split: &str) -> Result<Vec<(usize, f64)>> {
        let metrics = self.metrics(name)?.into_iter().filter(|metric| metric.split == split);
        Ok(metrics.map(|metric| (metric.step, metric.loss)).collect())
    }

    /// Step and loss of every evaluation in `metrics.jsonl`.
    pub(super) fn evaluations(&self, name: &str) -> Result<Vec<(usize, f64)>> {
        self.losses(name, "valid")
    }
}

/// A line of `metrics.jsonl` without times: split, step, epoch, loss and learning rate.
pub(super) type Line = (String, usize, usize, f64, f64);

pub(super) fn write(path: &Path, text: &str) -> Result<String> {
    std::fs::write(path, text).map_err(|error| Error::file(path, error))?;
    Ok(path.display().to_string())
}

/// A small network for any task.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// 0, 1, 2: simple, LSTM, GRU.
    pub(super) cell: usize,
    pub(super) layers: usize,
    pub(super) noise: [f64; 5],
    pub(super) locked: bool,
    /// For a language model: tied ends with a projection between them, and penalties on the output.
    pub(super) tied: bool,
}

pub(super) const PLAIN: Model = Model { cell: 1, layers: 1, noise: [0.; 5], locked: false, tied: false };

impl Model {
    fn network(&self, task: &dyn Task, shape: NetworkShape, schema: &Value) -> Result<ModelConfig> {
        let [dropout, recurrent_dropout, weight_drop, zoneout, embedding_dropout] = self.noise;
        let shared = StackOptions {
            num_layers: self.layers,
            dropout,
            locked_dropout: self.locked,
            recurrent_dropout,
            weight_drop,
            zoneout,
            bidirectional: (!task.is_language_model() && self.locked).then_some(Merge::Concat),
            ..StackOptions::new(if task.reads_time_series() { shape.features } else { 6 }, 8)
        };
        let rnn = match self.cell {
            0 => RecurrentConfig::SimpleRnn(shared.with_cell(SimpleRnnOptions::default())),
            1 => RecurrentConfig::Lstm(shared.with_cell(LstmOptions::default())),
            _ => RecurrentConfig::Gru(shared.with_cell(GruOptions::default())),
        };
        if task.reads_time_series() {
            return task.network(rnn, shape, schema, &NetworkOptions::default());
        }
        if task.is_language_model() {
            let config = RnnlmConfig::new(shape.outputs, rnn);
            let penalty = if self.tied { 0.1 } else { 0. };
            return Ok(ModelConfig::Rnnlm(RnnlmConfig {
                dropout,
                embedding_dropout,
                tied: self.tied,
                ar: penalty,
                tar: penalty,
                ..config
            }));
        }
        let readout = if task.name() == "tag" { Readout::Every } else { Readout::Last };
        let (vocabulary_size, outputs) = (shape.vocabulary, shape.outputs);
        Ok(ModelConfig::Predictor(PredictorConfig {
            vocabulary_size,
            outputs,
            readout,
            dropout,
            embedding_dropout,
            rnn,
        }))
    }
}

/// With these an epoch has 6 to 9 steps for every task, so that runs of up to 18 steps pass its end.
pub(super) fn options(steps: usize) -> Options {
    Options {
        epochs: None,
        max_steps: Some(steps),
        batch_size: 4,
        bptt: 10,
        optimizer: OptimizerConfig::Adam { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0. },
        lr: 0.02,
        vary_bptt: false,
        state_reset: 0.,
        similar_sizes: true,
        accumulate: 1,
        label_smoothing: 0.,
        average: None,
        schedule: Schedule::Constant,
        clip: 1.,
        eval_every: Some(3),
        metric: "loss".into(),
        early_stop: None,
        log_every: 1000,
        seed: 1,
        precision: Precision::F32,
        reduce: Precision::F32,
    }
}
