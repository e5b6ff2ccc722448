//! The task of forecasts.

use rnn_zoo_models::{ForecasterConfig, ModelConfig, Network, Noise, Readout, RecurrentConfig};
use serde_json::Value;

use super::adding::{self, ADDING, ErrorMeter};
use super::answers;
use super::loss::summed;
use super::schema::ForecastSchema;
use super::series_meter::{SeriesMeter, of_batch};
use super::tables;
use crate::data::batch::{Batch, Targets};
use crate::data::dataset::Dataset;
use crate::data::source::{Builtin, Source, Split};
use crate::inference::carry::Carried;
use crate::inference::evaluate::EvaluationResult;
use crate::tasks::answer::Answer;
use crate::tasks::criterion::Criterion;
use crate::tasks::data_spec::{DataSpec, Origin, Prepared};
use crate::tasks::defaults::{Defaults, Sizes};
use crate::tasks::figures::{MAE, MASE, MSE, RMSE, SMAPE};
use crate::tasks::first_use::FirstUse;
use crate::tasks::meter::{Baselines, Meter};
use crate::tasks::names::Names;
use crate::tasks::network::{NetworkOptions, predictor};
use crate::tasks::shape::NetworkShape;
use crate::tasks::task::{Answerer, BatchLoss, Questions, Task, check_windows, figures_line};
use crate::tokenizer::Tokenizer;
use crate::training::loss;
use crate::training::{LossUnit, Options};
use crate::{Error, Result};

/// The steps of a run where the user gives none.
const STEPS: [usize; 2] = [600, 6000];

/// Passes over the windows of a run, between these bounds.
const PASSES: usize = 30;

/// Evaluations of a run.
const EVALUATIONS: usize = 20;

/// The fewest windows of a large data set.
const MANY: usize = 5000;

/// Numbers predicted from a series.
pub struct Forecast;

impl Task for Forecast {
    fn name(&self) -> &'static str {
        ADDING.task
    }

    fn model(&self) -> &'static str {
        "a forecaster"
    }

    fn summary(&self) -> &'static str {
        "Numbers from a series"
    }

    fn pipeline_tag(&self, _reads_text: bool) -> Option<&'static str> {
        Some("time-series-forecasting")
    }

    fn suits(&self, data: &DataSpec) -> Result<bool> {
        Ok(data.source()? == Source::Builtin(Builtin::Adding) || data.forecasting.is_some())
    }

    fn claimed(&self, mut data: DataSpec) -> DataSpec {
        if !matches!(data.source(), Ok(Source::Builtin(_))) {
            data.forecasting.get_or_insert_default();
        }
        data
    }

    fn completed(&self, data: DataSpec, schema: &Value) -> Result<DataSpec> {
        Ok(match ForecastSchema::read(schema)? {
            Some(schema) => tables::completed(data, &schema),
            None => data,
        })
    }

    fn reads_time_series(&self) -> bool {
        true
    }

    fn prepare(&self, data: &DataSpec, origin: Origin) -> Result<Prepared> {
        if data.is_time_series()? {
            return tables::prepare(data, &origin);
        }
        let shape = NetworkShape { vocabulary: None, features: 2, outputs: 1 };
        ADDING.prepare(data, origin.labels(), shape, self.unit(None))
    }

    fn read_split(
        &self,
        data: &DataSpec,
        split: Option<Split>,
        names: Names<'_>,
    ) -> Result<(Dataset, Split)> {
        match ForecastSchema::read(names.schema)? {
            Some(schema) => tables::read_split(data, split, &schema),
            None => ADDING.read_split(data, split),
        }
    }

    fn read_questions(&self, data: &DataSpec, split: Option<Split>, names: Names<'_>) -> Result<Dataset> {
        match ForecastSchema::read(names.schema)? {
            Some(schema) => Ok(Dataset::Examples(Box::new(tables::questions(data, &schema)?))),
            None => Ok(ADDING.read_split(data, split)?.0),
        }
    }

    fn network(
        &self,
        mut rnn: RecurrentConfig,
        shape: NetworkShape,
        schema: &Value,
        options: &NetworkOptions,
    ) -> Result<ModelConfig> {
        let Some(schema) = ForecastSchema::read(schema)? else {
            return Ok(predictor(Readout::Last, rnn, shape, options));
        };
        if schema.segment.is_some() {
            let stack = rnn.stack_mut();
            if stack.bidirectional.is_some() {
                let problem =
                    "segments are read forward; leave it out, or add option `forecasting.segment = 1`";
                return Err(Error::invalid("bidirectional", problem));
            }
            stack.input_size = stack.hidden_size;
        }
        let series =
            if schema.segment.is_some() && schema.targets.len() > 1 { schema.targets.len() } else { 0 };
        Ok(ModelConfig::Forecaster(ForecasterConfig {
            window: schema.sizes.window,
            horizon: schema.sizes.horizon,
            segment: schema.segment,
            channels: shape.features,
            known: shape.features - 1 - schema.features.len(),
            series,
            head: schema.head,
            linear: schema.linear,
            dropout: options.dropout,
            rnn,
        }))
    }

    fn defaults(&self, _data: &DataSpec, prepared: &Prepared) -> Defaults {
        if prepared.schema.is_null() {
            return Defaults::default();
        }
        let windows = prepared.splits.train.len();
        let batch_size = if windows < MANY { 32 } else { 64 };
        let epoch = windows.div_ceil(batch_size).max(1);
        let steps = (PASSES * epoch).clamp(STEPS[0], STEPS[1]);
        let hidden = if windows < MANY { 64 } else { 128 };
        Defaults {
            sizes: Sizes { embedding: 32, hidden, layers: 1, dropout: 0.1, bidirectional: false },
            epochs: steps.div_ceil(epoch),
            batch_size,
            lr: 1e-3,
            eval_every: Some((steps / EVALUATIONS).max(1)),
            ..Defaults::default()
        }
    }

    fn check_options(&self, options: &Options, _network: Option<&ModelConfig>) -> Result<()> {
        check_windows(self.name(), options)?;
        if options.label_smoothing > 0. {
            let problem = "it applies to classes only; leave it out for option `task = forecast`";
            return Err(Error::invalid("label_smoothing", problem));
        }
        Ok(())
    }

    fn unit(&self, _tokenizer: Option<&Tokenizer>) -> LossUnit {
        LossUnit::of_numbers("sequence")
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
        if !matches!(batch.targets, Targets::Windows(_)) {
            let (mean, targets) = loss::squared_error(network, &hidden, batch)?;
            return Ok(BatchLoss { mean, targets, values: targets, penalty });
        }
        let (head, targets) = of_batch(network, batch)?;
        let (sum, values) = summed(head, &network.outputs(&hidden)?, targets)?;
        let mean = (sum / values.max(1) as f64)?;
        Ok(BatchLoss { mean, targets: targets.windows.len(), values, penalty })
    }

    fn meter(&self, names: Names<'_>) -> Box<dyn Meter> {
        match names.schema.is_null() {
            true => Box::new(ErrorMeter::default()),
            false => Box::new(SeriesMeter::default()),
        }
    }

    fn criteria(&self) -> &'static [Criterion] {
        const CRITERIA: [Criterion; 6] = [
            Criterion::LOSS,
            Criterion::lower("mae", MAE),
            Criterion::lower("rmse", RMSE),
            Criterion::lower("mse", MSE),
            Criterion::lower("smape", SMAPE),
            Criterion::lower("mase", MASE),
        ];
        &CRITERIA
    }

    fn report(&self, scores: &EvaluationResult, _unit: &str) -> Vec<String> {
        let Some(Baselines { naive, seasonal_naive }) = &scores.baselines else {
            return vec![format!("squared error {:.6}", scores.loss), figures_line(&scores.figures)];
        };
        vec![
            format!("loss {:.6}", scores.loss),
            figures_line(&scores.figures),
            format!("naive: {}", figures_line(naive)),
            format!("seasonal naive: {}", figures_line(seasonal_naive)),
        ]
    }

    fn first_use(&self, schema: &Value) -> FirstUse {
        match ForecastSchema::read(schema) {
            Ok(Some(schema)) if !schema.known.is_empty() => FirstUse::DrawForecast,
            _ => FirstUse::AnswerData,
        }
    }

    fn answerer(&self) -> Option<Answerer> {
        Some(answer)
    }
}

fn answer(network: &dyn Network, questions: &Questions, names: Names<'_>) -> Result<Vec<Answer>> {
    match questions.batch.targets {
        Targets::Windows(_) => answers::answer(network, questions, names),
        _ => adding::answer(network, questions),
    }
}
