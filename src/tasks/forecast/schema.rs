//! The description of a forecaster's data in its bundle.

use rnn_zoo_models::Head;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::time_series::{Scales, TimeGrid, WindowSizes};
use crate::tasks::forecast_spec::ForecastSpec;
use crate::{Error, Result};

/// The columns that a forecaster reads, and how their numbers are scaled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ForecastSchema {
    /// Whether each row of a table is a series.
    pub(super) wide: bool,
    /// The column of the timestamps.
    pub(super) time: Option<String>,
    /// The columns to forecast.
    pub(super) targets: Vec<String>,
    /// Features that are known only up to the forecast.
    pub(super) features: Vec<String>,
    /// Features that are known in advance.
    pub(super) known: Vec<String>,
    /// The timestamps of the training data; null without any. `clock` is its name in bundles.
    #[serde(rename = "clock")]
    pub(super) grid: Option<TimeGrid>,
    /// Steps of each series of the training data that were divided into splits; null for all.
    pub(super) rows: Option<usize>,
    /// Steps of windows, forecasts and seasons.
    #[serde(flatten)]
    pub(super) sizes: WindowSizes,
    /// The scales.
    #[serde(flatten)]
    pub(super) scales: Scales,
    /// Steps of a segment; null without segments.
    pub(super) segment: Option<usize>,
    /// Whether a linear layer from the window is added.
    pub(super) linear: bool,
    /// The numbers of a step.
    pub(super) head: Head,
}

impl ForecastSchema {
    /// The schema of a model; `None` for one of the adding problem.
    ///
    /// # Errors
    /// If the schema is not one of a forecaster.
    pub(super) fn read(schema: &Value) -> Result<Option<Self>> {
        if schema.is_null() {
            return Ok(None);
        }
        let schema = Self::deserialize(schema)
            .map_err(|error| Error::schema(format!("is not one of a forecaster: {error}")))?;
        let Scales { units, covariates, past_features, .. } = &schema.scales;
        let names = schema.features.len() + schema.known.len();
        let counts = units.len() == schema.targets.len()
            && covariates.len() == names
            && *past_features == schema.features.len();
        let positive = |scale: f64| scale > 0. && scale.is_finite();
        let scales = units.iter().all(|unit| positive(*unit))
            && covariates.iter().all(|covariate| positive(covariate.scale) && covariate.mean.is_finite());
        let sizes = [schema.sizes.window, schema.sizes.horizon, schema.sizes.season];
        let goes_forward = schema.grid.as_ref().is_none_or(|grid| grid.step.is_positive());
        match counts && scales && goes_forward && sizes.iter().all(|size| (1..1 << 24).contains(size)) {
            true => Ok(Some(schema)),
            false => {
                Err(Error::schema("has no positive scale for each column, or a size or a step out of range"))
            }
        }
    }

    /// The value for `config.json`.
    ///
    /// # Errors
    /// If a number is NaN or infinite.
    pub(super) fn to_value(&self) -> Result<Value> {
        serde_json::to_value(self).map_err(|error| Error::Message(error.to_string()))
    }

    /// The settings with the columns of the model where the user names none.
    pub(super) fn complete(&self, spec: ForecastSpec) -> ForecastSpec {
        let or = |given: Vec<String>, own: &Vec<String>| if given.is_empty() { own.clone() } else { given };
        ForecastSpec {
            wide: spec.wide || self.wide,
            time: spec.time.or_else(|| self.time.clone()),
            targets: if self.wide { vec![] } else { or(spec.targets, &self.targets) },
            features: or(spec.features, &self.features),
            known: or(spec.known, &self.known),
            of_model: true,
            rows: spec.rows.or(self.rows),
            ..spec
        }
    }
}
