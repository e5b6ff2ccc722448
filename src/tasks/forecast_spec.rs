//! The settings of a forecaster that its data determines together with the user.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data::time_series::{Centre, Scaling};
use crate::{Error, Result};

/// The columns of time series, the steps of a forecast, and its head. Those that are absent have defaults, which depend
/// on the data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ForecastSpec {
    /// Whether each row of the table is a series.
    pub wide: bool,
    /// The column of the timestamps.
    pub time: Option<String>,
    /// The columns to forecast; all that hold numbers if there are none.
    pub targets: Vec<String>,
    /// Features that are known only up to the forecast.
    pub features: Vec<String>,
    /// Features that are known in advance.
    pub known: Vec<String>,
    /// Whether a trained model reads these columns, so that no others can be named.
    #[serde(skip)]
    pub of_model: bool,
    /// Steps of a forecast.
    pub horizon: Option<usize>,
    /// Steps before a forecast that the network reads.
    pub window: Option<usize>,
    /// Steps of a segment; 1 reads step by step.
    pub segment: Option<usize>,
    /// Whether a linear layer from the window is added.
    pub linear: Option<bool>,
    /// Steps of a season.
    pub season: Option<usize>,
    /// Steps between successive windows.
    pub stride: Option<usize>,
    /// Steps of each series that are divided into splits; all if absent.
    pub rows: Option<usize>,
    /// The loss.
    pub loss: Option<ForecastLoss>,
    /// Levels of quantiles.
    pub quantiles: Vec<f64>,
    /// The scale of windows.
    pub scaling: Option<Scaling>,
    /// The centre of windows.
    pub centre: Option<Centre>,
    /// Whether logarithms are forecast.
    pub log: Option<bool>,
    /// Whether there are features of the calendar.
    pub calendar: bool,
    /// The first step of forecasts that are asked for.
    pub start: ForecastStart,
}

/// The first step of forecasts that are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForecastStart {
    /// The step after the last known one.
    #[default]
    End,
    /// The last steps that are known, so that the forecast can be compared.
    Last,
    /// The step of this time; the number of a step if there are no times.
    At(String),
}

/// The loss of a forecaster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForecastLoss {
    /// Squared error.
    Mse,
    /// Absolute error.
    Mae,
    /// Symmetric percentage error.
    Smape,
    /// Pinball loss of quantiles.
    Pinball,
    /// Likelihood of a normal distribution.
    Gaussian,
    /// Likelihood of Student's t distribution.
    StudentT,
    /// Likelihood of a negative binomial distribution, of counts.
    NegativeBinomial,
}

impl ForecastLoss {
    /// All losses with their names.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Mse, "mse"),
        (Self::Mae, "mae"),
        (Self::Smape, "smape"),
        (Self::Pinball, "pinball"),
        (Self::Gaussian, "gaussian"),
        (Self::StudentT, "student-t"),
        (Self::NegativeBinomial, "negative-binomial"),
    ];
}

impl FromStr for ForecastLoss {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name).map(|(loss, _)| *loss);
        found.ok_or_else(|| {
            let names = Self::ALL.map(|(_, name)| name).join(", ");
            Error::invalid("forecasting.loss", format!("{name:?} is none of {names}"))
        })
    }
}
