//! Forecasts as answers, and as curves to draw.

use candle_core::{DType, Device};
use rnn_zoo_models::{Head, Network};
use serde_json::{Map, Value, json};

use super::distribution::forecast;
use super::schema::ForecastSchema;
use super::series_meter::of_batch;
use super::tables;
use crate::data::batch::{Examples, Targets};
use crate::data::cut::Cut;
use crate::data::dataset::Dataset;
use crate::data::time_series::TargetWindow;
use crate::inference::BATCH;
use crate::tasks::answer::Answer;
use crate::tasks::data_spec::DataSpec;
use crate::tasks::names::Names;
use crate::tasks::task::{Questions, overflowing};
use crate::{Error, Result};

/// A forecast of a series beside its values.
#[derive(Clone, Debug, PartialEq)]
pub struct ForecastCurve {
    /// The name of the series.
    pub name: String,
    /// The time of the first step of the forecast.
    pub start: String,
    /// The values before the forecast.
    pub history: Vec<f64>,
    /// The values of its steps; NaN where one is not known.
    pub values: Vec<f64>,
    /// The forecast.
    pub mean: Vec<f64>,
    /// Levels of quantiles with their steps.
    pub quantiles: Vec<(f64, Vec<f64>)>,
}

/// The forecast of a window: its mean, and the quantiles of each level.
fn of_window(head: &Head, outputs: &[Vec<f64>], window: &TargetWindow) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut mean = vec![];
    let mut quantiles = vec![vec![]; head.levels().len()];
    for outputs in outputs {
        let step = forecast(head, outputs, window);
        mean.push(step.mean);
        for (level, quantile) in quantiles.iter_mut().zip(step.quantiles) {
            level.push(quantile);
        }
    }
    (mean, quantiles)
}

/// A window with its mean and the quantiles of each level.
type WindowForecast<'a> = (&'a TargetWindow, Vec<f64>, Vec<Vec<f64>>);

/// Forecast the windows of a batch.
fn forecasts<'a>(network: &'a dyn Network, questions: &'a Questions) -> Result<Vec<WindowForecast<'a>>> {
    let (head, targets) = of_batch(network, &questions.batch)?;
    let (hidden, _) = network.encode(&questions.batch.inputs, None, None)?;
    let outputs = network.outputs(&hidden)?.to_dtype(DType::F64)?.to_vec3::<f64>()?; // (batch, horizon, outputs)
    let found = targets.windows.iter().zip(&outputs).map(|(window, outputs)| {
        let (mean, quantiles) = of_window(head, outputs, window);
        match mean.iter().chain(quantiles.iter().flatten()).all(|number| number.is_finite()) {
            true => Ok((window, mean, quantiles)),
            false => Err(overflowing()),
        }
    });
    found.collect()
}

/// Forecast each series of a batch.
pub(super) fn answer(network: &dyn Network, questions: &Questions, names: Names<'_>) -> Result<Vec<Answer>> {
    let targets = ForecastSchema::read(names.schema)?.map_or_else(Vec::new, |schema| schema.targets);
    let levels = network.head().map_or(&[][..], Head::levels);
    let found = forecasts(network, questions)?;
    Ok(found
        .into_iter()
        .map(|(window, mean, quantiles)| described(window, &targets, &mean, levels, quantiles))
        .collect())
}

/// The answer of a window. `targets` are the names of the columns that are forecast.
fn described(
    window: &TargetWindow,
    targets: &[String],
    mean: &[f64],
    levels: &[f64],
    quantiles: Vec<Vec<f64>>,
) -> Answer {
    let set = &window.set;
    let times: Vec<String> =
        (window.at..window.at + mean.len()).map(|step| set.time(window.series, step)).collect();
    let start = match set.grid {
        Some(_) => Value::from(times[0].clone()),
        None => Value::from(window.at),
    };
    let quantiles: Map<String, Value> =
        levels.iter().zip(quantiles).map(|(level, steps)| (level.to_string(), json!(steps))).collect();
    let mut json = json!({ "series": window.name(), "start": start, "mean": mean, "quantiles": quantiles });
    let column = set.series[window.series].column;
    let target = target_of(window, targets);
    if let Some(object) = json.as_object_mut() {
        if let Some(target) = target {
            object.insert("column".into(), json!(column));
            object.insert("target".into(), json!(target));
        }
        object.insert("times".into(), json!(times));
    }
    let words: Vec<String> = mean.iter().map(|value| format!("{value:.6}")).collect();
    let name = full_name(window, targets);
    Answer { text: format!("{name}  {}  {}", times[0], words.join(" ")), json }
}

/// The column of a window, if the model forecasts several of a series.
fn target_of<'a>(window: &TargetWindow, targets: &'a [String]) -> Option<&'a String> {
    targets.get(window.set.series[window.series].column).filter(|_| targets.len() > 1)
}

/// The name of a window's series, and of its column if there are several.
fn full_name(window: &TargetWindow, targets: &[String]) -> String {
    match target_of(window, targets) {
        Some(target) if target != window.name() => format!("{}  {target}", window.name()),
        _ => window.name().to_string(),
    }
}

/// The values before each forecast of `data`, in the order of its answers and in the units of the data: at most `most`
/// times as many as the forecast has steps, NaN where one is missing. Data without series of tables has none.
///
/// # Errors
/// Errors from candle.
pub fn histories(data: &Dataset, most: usize) -> Result<Vec<Vec<f64>>> {
    let mut found = vec![];
    let epoch = data.epoch(Cut { batch_size: BATCH, window: 1, trim: false, vary: false }, None)?;
    for index in 0..epoch.len() {
        let Targets::Windows(targets) = epoch.batch(index, &Device::Cpu)?.targets else { return Ok(vec![]) };
        for window in &targets.windows {
            let history = window.history();
            let steps = most * window.set.sizes.horizon;
            found.push(history[history.len().saturating_sub(steps)..].to_vec());
        }
    }
    Ok(found)
}

/// The forecasts of the first `most` series of a table, or of the one called `name`, beside their values.
///
/// # Errors
/// If the data cannot be read or does not suit the model, there is no such series, or a forecast is NaN or infinite,
/// and errors from candle.
pub fn curves(
    network: &dyn Network,
    names: Names<'_>,
    data: &DataSpec,
    name: Option<&str>,
    most: usize,
    device: &Device,
) -> Result<Vec<ForecastCurve>> {
    let Some(schema) = ForecastSchema::read(names.schema)? else {
        return Err(Error::Message("only a forecaster of tables has series to draw".into()));
    };
    let windows = tables::questions(data, &schema)?;
    let rows: Vec<usize> = (0..windows.len())
        .filter(|&row| name.is_none_or(|name| windows.name(row) == name))
        .take(most)
        .collect();
    if rows.is_empty() {
        let problem = format!("has no series {:?}", name.unwrap_or_default());
        return Err(Error::file(&data.data, problem));
    }
    let questions = Questions { batch: windows.batch(&rows, device)?, before: 0, parts: vec![] };
    let levels = network.head().map_or(&[][..], Head::levels);
    let curve = |(window, mean, quantiles): WindowForecast<'_>| ForecastCurve {
        name: full_name(window, &schema.targets),
        start: window.set.time(window.series, window.at),
        history: window.history().to_vec(),
        values: window.values(),
        mean,
        quantiles: levels.iter().copied().zip(quantiles).collect(),
    };
    Ok(forecasts(network, &questions)?.into_iter().map(curve).collect())
}
