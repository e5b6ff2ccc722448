//! Windows of tables of time series: training data, splits and questions.

use std::path::Path;
use std::sync::Arc;

use rnn_zoo_models::{Head, PointLoss};

use super::counts;
use super::schema::ForecastSchema;
use super::settings;
use crate::data::dataset::Dataset;
use crate::data::source::Split;
use crate::data::time_series::{
    Bounds, SeriesSet, SeriesWindows, Stride, TimeGrid, TimeSeries, TimeSeriesCorpus,
};
use crate::tasks::data_spec::{DataSpec, Origin, Prepared};
use crate::tasks::forecast_spec::ForecastStart;
use crate::tasks::series_scores::seasonal_scale;
use crate::tasks::shape::NetworkShape;
use crate::training::{LossUnit, Splits};
use crate::{Error, Result};

/// The most windows that are trained on in an epoch, unless the user gives a stride.
const MOST_TRAINED: usize = 300_000;

/// The most windows of validation during training.
const MOST_VALIDATED: usize = 2000;

/// Read training and validation data.
pub(super) fn prepare(data: &DataSpec, origin: &Origin) -> Result<Prepared> {
    let spec = data.forecasting.clone().unwrap_or_default();
    let known = match origin {
        Origin::Trained(_) => None,
        Origin::Loaded(known) => ForecastSchema::read(&known.schema)?,
    };
    let data = match &known {
        Some(schema) => {
            settings::check_unchanged(&spec, schema)?;
            &completed(data.clone(), schema)
        }
        None => data,
    };
    let corpus = data.time_series()?;
    let schema = match known {
        Some(schema) => {
            check_grid(&schema, &corpus)?;
            schema
        }
        None => settings::complete(&spec, &corpus, data.series_column.is_some())?,
    };
    check_values(&schema, &corpus)?;
    let stride = spec.stride.map_or(Stride::Most(MOST_TRAINED), Stride::Steps);
    let valid_file = corpus.valid_file().map(Path::to_path_buf);
    let splits = TableSplits::new(data, corpus, &schema);
    let train = splits.split(Split::Train, stride);
    if train.is_empty() {
        return Err(splits.too_short(Split::Train));
    }
    let valid = splits.split(Split::Valid, Stride::Most(MOST_VALIDATED));
    if let Some(path) = valid_file.filter(|_| valid.is_empty()) {
        let horizon = schema.sizes.horizon;
        let problem = format!(
            "no series has {horizon} steps in it, those of a forecast; expected more rows, or a smaller option \
             `forecasting.horizon`"
        );
        return Err(Error::file(path, problem));
    }
    Ok(Prepared {
        splits: Splits { train, valid: Some(valid).filter(|valid| !valid.is_empty()) },
        tokenizer: None,
        labels: vec![],
        text_column: None,
        shape: NetworkShape {
            vocabulary: None,
            features: splits.set.channels(),
            outputs: schema.head.outputs(),
        },
        unit: unit(&schema.head),
        schema: schema.to_value()?,
    })
}

/// The unit of the loss of a head.
fn unit(head: &Head) -> LossUnit {
    let name = match head {
        Head::Mean { loss: PointLoss::Mse } => "squared error",
        Head::Mean { loss: PointLoss::Mae } => "absolute error",
        Head::Mean { loss: PointLoss::Smape } => "percentage error",
        Head::Quantiles { .. } => "pinball loss",
        Head::Gaussian { .. } | Head::StudentT { .. } | Head::NegativeBinomial { .. } => {
            "negative log-likelihood"
        }
    };
    LossUnit { name, ..LossUnit::of_numbers("sequence") }
}

/// The data with the columns of a model.
pub(super) fn completed(data: DataSpec, schema: &ForecastSchema) -> DataSpec {
    let spec = schema.complete(data.forecasting.clone().unwrap_or_default());
    DataSpec { forecasting: Some(spec), ..data }
}

/// Read a split for a trained model.
pub(super) fn read_split(
    data: &DataSpec,
    split: Option<Split>,
    schema: &ForecastSchema,
) -> Result<(Dataset, Split)> {
    let data = completed(data.clone(), schema);
    let corpus = data.time_series()?;
    check_grid(schema, &corpus)?;
    check_values(schema, &corpus)?;
    let split = split.unwrap_or_else(|| corpus.default_split());
    let stride = data.forecasting.as_ref().and_then(|spec| spec.stride);
    let splits = TableSplits::new(&data, corpus, schema);
    let found = splits.split(split, Stride::Steps(stride.unwrap_or(1)));
    match found.is_empty() {
        true => Err(splits.too_short(split)),
        false => Ok((found, split)),
    }
}

/// The windows before the steps that are to be forecast: one for each series.
pub(super) fn questions(data: &DataSpec, schema: &ForecastSchema) -> Result<SeriesWindows> {
    let data = completed(data.clone(), schema);
    let corpus = data.time_series()?;
    check_grid(schema, &corpus)?;
    check_values(schema, &corpus)?;
    let spec = data.forecasting.clone().unwrap_or_default();
    let ends = corpus.ends();
    let (splits, horizon) = (TableSplits::new(&data, corpus, schema), schema.sizes.horizon);
    let starts: Vec<Option<usize>> = match &spec.start {
        ForecastStart::End => ends.iter().map(|&end| Some(end).filter(|end| *end > 0)).collect(),
        ForecastStart::Last => ends.iter().map(|end| end.checked_sub(horizon).filter(|at| *at > 0)).collect(),
        ForecastStart::At(time) => splits.steps_of(time, &ends)?,
    };
    if starts.iter().flatten().next().is_none() {
        let problem =
            format!("no series has steps before the forecast: expected more than {horizon} of them");
        return Err(Error::file(&data.data, problem));
    }
    if !schema.known.is_empty() {
        splits.check_known(&starts)?;
    }
    Ok(SeriesWindows::before(splits.set, &starts))
}

/// Refuse data with another step than that of the model.
fn check_grid(schema: &ForecastSchema, corpus: &TimeSeriesCorpus) -> Result<()> {
    let (Some(own), Some(found)) = (&schema.grid, &corpus.table.grid) else { return Ok(()) };
    if own.same_step(found) || !corpus.table.tells_step() {
        return Ok(());
    }
    let [own, found] = [own, found].map(TimeGrid::words);
    let problem = format!("its steps are {found}, but the model was trained on steps of {own}");
    Err(Error::file(corpus.path(), problem))
}

/// Refuse values that the head does not forecast.
fn check_values(schema: &ForecastSchema, corpus: &TimeSeriesCorpus) -> Result<()> {
    match schema.head {
        Head::NegativeBinomial { .. } => counts::check(corpus),
        Head::Mean { .. } | Head::Quantiles { .. } | Head::Gaussian { .. } | Head::StudentT { .. } => Ok(()),
    }
}

/// Cuts the splits of a corpus.
struct TableSplits {
    set: Arc<SeriesSet>,
    bounds: Vec<Bounds>,
    path: String,
}

impl TableSplits {
    /// The season of the user, if one is given, is that of naive forecasts and scores alone.
    fn new(data: &DataSpec, corpus: TimeSeriesCorpus, schema: &ForecastSchema) -> Self {
        let bounds = corpus.bounds(schema.sizes.horizon, schema.rows);
        let tells_step = corpus.table.tells_step();
        let table = corpus.table;
        // A single row of each series has no step: it is that of the training data.
        let grid = table.grid.map(|grid| match &schema.grid {
            Some(own) if !tells_step => TimeGrid { step: own.step, ..grid },
            _ => grid,
        });
        let mut set = SeriesSet::new(table.series, grid, schema.sizes, schema.scales.clone());
        if let Some(season) = data.forecasting.as_ref().and_then(|spec| spec.season) {
            set.naive_season = season.max(1);
        }
        Self { set: Arc::new(set), bounds, path: data.data.clone() }
    }

    fn split(&self, split: Split, stride: Stride) -> Dataset {
        let whole = |series: &TimeSeries| Bounds { test: series.values.len(), ..Bounds::default() };
        let bounds = match split {
            Split::All => self.set.series.iter().map(whole).collect(),
            Split::Train | Split::Valid | Split::Test => self.bounds.clone(),
        };
        let (set, season) = (Arc::clone(&self.set), self.set.naive_season);
        let naive_error = |history: &[f64]| seasonal_scale(history, season);
        Dataset::Examples(Box::new(SeriesWindows::of_split(set, &bounds, split, stride, naive_error)))
    }

    /// The step of each series at a time; `None` for series that have no steps before it or end before it.
    fn steps_of(&self, time: &str, ends: &[usize]) -> Result<Vec<Option<usize>>> {
        let invalid = |problem: String| Error::invalid("forecasting.start", problem);
        let steps: Vec<Option<usize>> = match &self.set.grid {
            Some(grid) => {
                let moment = grid.form.parse(time).ok_or_else(|| {
                    let example = self.set.time(0, 0);
                    invalid(format!(
                        "{time:?} has another form than the times of the data, such as {example}"
                    ))
                })?;
                let step = |start: i64| grid.steps(start, moment).and_then(|step| usize::try_from(step).ok());
                self.set.series.iter().map(|series| step(series.start)).collect()
            }
            None => {
                let step = time.parse::<usize>().map_err(|_| {
                    invalid(format!("{time:?} is not the number of a step; the data has no times"))
                })?;
                vec![Some(step); ends.len()]
            }
        };
        let inside = |(step, end): (Option<usize>, &usize)| step.filter(|step| *step > 0 && step <= end);
        let found: Vec<Option<usize>> = steps.into_iter().zip(ends).map(inside).collect();
        if found.iter().flatten().next().is_some() {
            return Ok(found);
        }
        let (first, last) = (self.set.time(0, 1), self.set.time(0, ends[0]));
        let name = &self.set.series[0].name;
        Err(invalid(format!(
            "no series has a forecast from {time} on: known steps must come before it; expected {first} to {last} in {name}"
        )))
    }

    /// Refuse forecasts of steps whose known features are not in the data.
    fn check_known(&self, starts: &[Option<usize>]) -> Result<()> {
        let horizon = self.set.sizes.horizon;
        for (series, at) in
            self.set.series.iter().zip(starts).filter_map(|(series, at)| Some((series, (*at)?)))
        {
            let rows = series.covariates.len();
            if rows < at + horizon {
                let problem = format!(
                    "series {:?} has features for {} of the {horizon} steps to forecast; add rows with the features \
                     that are known in advance, and without a value",
                    series.name,
                    rows.saturating_sub(at)
                );
                return Err(Error::file(&self.path, problem));
            }
        }
        Ok(())
    }

    fn too_short(&self, split: Split) -> Error {
        let horizon = self.set.sizes.horizon;
        let problem = match split {
            Split::All => format!("has no series with more than {horizon} steps, those of a forecast"),
            _ => format!(
                "has no {split} split: no series has {horizon} steps in it, those of a forecast; use option \
                 `split = all`, longer series, or a larger fraction"
            ),
        };
        Error::file(&self.path, problem)
    }
}
