//! Metrics of forecasts of time series, beside those of naive forecasts.

use std::ops::AddAssign;

use candle_core::DType;
use rnn_zoo_models::{Head, Network};
use serde::{Deserialize, Serialize};

use super::distribution::forecast;
use super::loss::summed;
use crate::data::batch::{Batch, Targets};
use crate::data::time_series::{TargetWindow, WindowTargets};
use crate::inference::carry::Carried;
use crate::tasks::figures::{Figures, MAE, MASE, MSE, RMSE, SMAPE};
use crate::tasks::meter::{Baselines, Measured, Meter};
use crate::tasks::series_scores::{SeriesScores, naive, seasonal_naive};
use crate::tasks::sums;
use crate::training::loss::scalar;
use crate::{Error, Result, float_bits};

/// Errors of forecasts, and of naive forecasts of the same values. The loss is the mean over values.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct SeriesMeter {
    #[serde(with = "float_bits")]
    loss: f64,
    values: usize,
    windows: usize,
    model: SeriesErrors,
    naive: SeriesErrors,
    seasonal: SeriesErrors,
}

/// Errors in the units of the series, and in standardised units.
#[derive(Default, Serialize, Deserialize)]
struct SeriesErrors {
    own: SeriesScores,
    standardised: SeriesScores,
}

impl AddAssign for SeriesErrors {
    fn add_assign(&mut self, other: Self) {
        self.own += other.own;
        self.standardised += other.standardised;
    }
}

impl SeriesErrors {
    fn add(&mut self, window: &TargetWindow, values: &[f64], forecast: &[f64]) {
        self.own.add(values, forecast, window.naive_error);
        let unit = window.set.unit(window.series);
        let scaled = |numbers: &[f64]| numbers.iter().map(|number| number / unit).collect::<Vec<f64>>();
        self.standardised.add(&scaled(values), &scaled(forecast), None);
    }

    fn figures(&self) -> Figures {
        let Self { own, standardised } = self;
        Figures::present([
            (MAE, standardised.mae()),
            (RMSE, standardised.rmse()),
            (MSE, standardised.mse()),
            (SMAPE, own.smape()),
            (MASE, own.mase()),
        ])
    }
}

/// The forecasts of a batch, in the units of the series: for each window its steps.
///
/// # Errors
/// If the batch does not fit the network, and errors from candle.
pub(super) fn means(
    head: &Head,
    outputs: &candle_core::Tensor,
    windows: &[TargetWindow],
) -> Result<Vec<Vec<f64>>> {
    let outputs = outputs.to_dtype(DType::F64)?.to_vec3::<f64>()?; // (batch, horizon, outputs)
    let of_window = |(steps, window): (&Vec<Vec<f64>>, &TargetWindow)| {
        steps.iter().map(|outputs| forecast(head, outputs, window).mean).collect()
    };
    Ok(outputs.iter().zip(windows).map(of_window).collect())
}

/// The windows of a batch of time series, and the head of its network.
///
/// # Errors
/// If the batch or the network is another.
pub(super) fn of_batch<'a>(
    network: &'a dyn Network,
    batch: &'a Batch,
) -> Result<(&'a Head, &'a WindowTargets)> {
    match (&batch.targets, network.head()) {
        (Targets::Windows(targets), Some(head)) => Ok((head, targets)),
        _ => Err(Error::Message("a forecaster expects windows of time series".into())),
    }
}

impl Meter for SeriesMeter {
    fn add(&mut self, network: &dyn Network, batch: &Batch, carried: &mut Carried) -> Result<()> {
        let (head, targets) = of_batch(network, batch)?;
        let outputs = network.outputs(&carried.encode(network, batch)?.detach())?;
        let (loss, values) = summed(head, &outputs, targets)?;
        self.loss += scalar(&loss)?;
        self.values += values;
        self.windows += targets.windows.len();
        for (window, forecast) in targets.windows.iter().zip(means(head, &outputs, &targets.windows)?) {
            let values = window.values();
            let (season, horizon) = (window.set.naive_season, window.set.sizes.horizon);
            self.model.add(window, &values, &forecast);
            self.naive.add(window, &values, &naive(window.history(), horizon));
            let seasonal = seasonal_naive(window.history(), season, horizon);
            self.seasonal.add(window, &values, &seasonal);
        }
        Ok(())
    }

    fn sums(&self) -> Result<Vec<u8>> {
        sums::encode(self)
    }

    fn combine(&mut self, parts: &[Vec<u8>]) -> Result<()> {
        *self = Self::default();
        for part in parts {
            let Self { loss, values, windows, model, naive, seasonal } = sums::decode(part)?;
            self.loss += loss;
            self.values += values;
            self.windows += windows;
            self.model += model;
            self.naive += naive;
            self.seasonal += seasonal;
        }
        Ok(())
    }

    fn measured(&self) -> Measured {
        Measured {
            targets: self.windows,
            loss: self.loss / self.values.max(1) as f64,
            figures: self.model.figures(),
            classes: None,
            baselines: Some(Baselines {
                naive: self.naive.figures(),
                seasonal_naive: self.seasonal.figures(),
            }),
        }
    }
}
