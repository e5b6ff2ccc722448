//! `forecast`: numbers from numbers.

use candle_core::DType;
use rnn_zoo_models::{ModelConfig, Network, Noise, Readout, RecurrentConfig};
use serde_json::json;

use super::answer::Answer;
use super::data_spec::{DataSpec, Prepared, TokenizerSource};
use super::figures::Figures;
use super::meter::{Measured, Meter};
use super::names::Names;
use super::network::{NetworkOptions, predictor};
use super::sequences::Sequences;
use super::shape::Shape;
use super::task::{BatchLoss, Task, check_windows};
use crate::data::batch::{Batch, Dataset, Example, Input, Target};
use crate::data::builtin::adding::{self, AddingExample};
use crate::data::source::{Builtin, Source, Split};
use crate::inference::carry::Carried;
use crate::inference::evaluate::Scores;
use crate::rng::Rng;
use crate::tokenizer::Tokenizer;
use crate::training::loss::{self, Sum};
use crate::training::{LossUnit, Options};
use crate::{Error, Result};

/// Time steps of a sequence of `builtin:adding`.
const STEPS: usize = 100;

/// Numbers from numbers.
pub struct Forecast;

/// The adding problem.
const ADDING: Sequences = Sequences { task: "forecast", builtin: Builtin::Adding, examples };

impl Task for Forecast {
    fn name(&self) -> &'static str {
        ADDING.task
    }

    fn summary(&self) -> &'static str {
        "Numbers from numbers"
    }

    fn suits(&self, data: &DataSpec) -> Result<bool> {
        Ok(data.source()? == Source::Builtin(Builtin::Adding))
    }

    fn prepare(&self, data: &DataSpec, _tokenizer: TokenizerSource, labels: Vec<String>) -> Result<Prepared> {
        let shape = Shape { vocabulary: None, features: 2, outputs: 1 };
        ADDING.prepare(data, labels, shape, self.unit(None))
    }

    fn read_split(
        &self,
        data: &DataSpec,
        split: Option<Split>,
        _names: Names<'_>,
    ) -> Result<(Dataset, Split)> {
        ADDING.read_split(data, split)
    }

    fn network(&self, rnn: RecurrentConfig, shape: Shape, options: &NetworkOptions) -> Result<ModelConfig> {
        Ok(predictor(Readout::Last, rnn, shape, options))
    }

    fn check_options(&self, options: &Options) -> Result<()> {
        check_windows(self.name(), options)?;
        if options.label_smoothing > 0. {
            let problem = "numbers are no classes; leave it out for option `task = forecast`";
            return Err(Error::invalid("label_smoothing", problem));
        }
        Ok(())
    }

    fn unit(&self, _tokenizer: Option<&Tokenizer>) -> LossUnit {
        LossUnit { name: "squared error", target: "sequence", nats: false, floor: None }
    }

    fn loss(
        &self,
        network: &dyn Network,
        batch: &Batch,
        carried: &mut Carried,
        noise: Noise<'_>,
        _smoothing: f64,
    ) -> Result<BatchLoss> {
        let (hidden, penalty) = carried.encode_t(network, batch, noise)?;
        let (mean, targets) = loss::squared_error(network, &hidden, batch)?;
        Ok(BatchLoss { mean, targets, penalty })
    }

    fn meter(&self, _names: Names<'_>) -> Box<dyn Meter> {
        Box::new(SquaredErrorMeter::default())
    }

    fn report(&self, scores: &Scores, _unit: &str) -> Vec<String> {
        vec![format!("squared error {:.6}", scores.loss)]
    }

    fn answer(&self, network: &dyn Network, batch: &Batch, _names: Names<'_>) -> Result<Vec<Answer>> {
        let (hidden, _) = network.encode(&batch.inputs, None, batch.lengths.as_deref())?;
        let values = network.decode(&hidden)?.to_dtype(DType::F64)?.to_vec2::<f64>()?; // (batch, values)
        Ok(values.iter().map(|values| answer(values)).collect())
    }
}

/// The mean squared error.
#[derive(Default)]
struct SquaredErrorMeter(Sum);

impl Meter for SquaredErrorMeter {
    fn add(&mut self, network: &dyn Network, batch: &Batch, carried: &mut Carried) -> Result<()> {
        let hidden = carried.encode(network, batch)?;
        self.0 += loss::squared_error_sum(network, &hidden, batch)?;
        Ok(())
    }

    fn measured(&self) -> Measured {
        let Sum { loss, count, .. } = self.0;
        Measured { targets: count, loss: loss / count.max(1) as f64, figures: Figures::default() }
    }
}

fn examples(rng: Rng, count: usize) -> Result<Vec<Example>> {
    let examples = adding::examples(rng, count, STEPS)?;
    let example = |example: AddingExample| Example {
        input: Input::Features { values: example.features.concat(), width: 2 },
        target: Target::Values(vec![example.target]),
    };
    Ok(examples.map(example).collect())
}

fn answer(values: &[f64]) -> Answer {
    let words: Vec<String> = values.iter().map(|value| format!("{value:.6}")).collect();
    Answer { text: words.join(" "), json: json!({ "values": values }) }
}
