//! The flags of forecasters: columns of time series, sizes, loss.

use rnn_zoo::data::time_series::{Centre, Scaling};
use rnn_zoo::tasks::{DataSpec, ForecastLoss, ForecastSpec, ForecastStart};

use super::{flags, number};

/// The form of tables of time series.
#[derive(Debug, clap::Args)]
pub struct TimeArgs {
    /// Column of the times of a table of time series [default: the first column of dates, or else the order of the
    /// rows]
    #[arg(long, value_name = "NAME", value_parser = flags::column)]
    time_column: Option<String>,

    /// Read a table whose rows are time series: a name, then the values
    #[arg(long)]
    wide: bool,
}

impl TimeArgs {
    /// Set what the user gave in the settings of a forecaster; none if the user gave nothing.
    pub fn apply(&self, mut spec: DataSpec) -> DataSpec {
        if self.given().is_some() {
            let forecasting = spec.forecasting.get_or_insert_default();
            forecasting.time.clone_from(&self.time_column);
            forecasting.wide = self.wide;
        }
        spec
    }

    /// The first flag that the user gave.
    pub fn given(&self) -> Option<&'static str> {
        match self {
            Self { time_column: Some(_), .. } => Some("--time-column"),
            Self { wide: true, .. } => Some("--wide"),
            Self { time_column: None, wide: false } => None,
        }
    }
}

/// Settings of a new forecaster.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Forecasting")]
#[group(id = "forecast-flags")]
pub struct ForecastArgs {
    /// Columns to forecast, with commas between them, or all [default: all that hold numbers]
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', value_parser = flags::column)]
    target: Vec<String>,

    /// Past covariates: columns that are known only up to the start of the forecast
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', value_parser = flags::column)]
    features: Vec<String>,

    /// Future covariates: columns that are known in advance, such as holidays; the data has rows for the steps of a
    /// forecast
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', value_parser = flags::column)]
    known_features: Vec<String>,

    /// Add the time of the day (steps of less than a day), the time of the week (less than a week) and the day of the
    /// year as features
    #[arg(long)]
    calendar: bool,

    /// Steps of a forecast [default: 48 hours, 14 days, 13 weeks, 18 months, 8 quarters or 6 years; less for short
    /// series]
    #[arg(long, value_name = "N", value_parser = number::size)]
    horizon: Option<usize>,

    /// Steps before a forecast that the network reads [default: 14 seasons of 24 steps or more, else 3 seasons or
    /// 4 horizons, the longer, or 8 horizons without seasons; less for short series]
    #[arg(long, value_name = "N", value_parser = number::size)]
    window: Option<usize>,

    /// Cut the window into segments of N steps, each a step of the network; 1 reads step by step [default: a season of
    /// 24 steps or more, if a forecast has two of them, else 1]
    #[arg(long, value_name = "N", value_parser = number::size)]
    segment: Option<usize>,

    /// Add a linear layer from the window to the forecast [default: true; false for a table without
    /// --series-column and --wide that is read in segments]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          hide_possible_values = true)]
    linear: Option<bool>,

    /// Steps of a season [default: that of the times: 24 hours, 7 days, 12 months, 4 quarters]
    #[arg(long, value_name = "N", value_parser = number::size)]
    season: Option<usize>,

    /// Steps between the windows of training [default: 1; more for very many windows]
    #[arg(long, value_name = "N", value_parser = number::size)]
    stride: Option<usize>,

    /// Use only the first N rows of each series
    #[arg(long, value_name = "N", value_parser = number::size)]
    rows: Option<usize>,

    /// mse, mae, smape, pinball (quantiles), gaussian, student-t or, for counts, negative-binomial (distributions)
    /// [default: mae; pinball with --quantiles]
    #[arg(long, value_name = "NAME", value_parser = flags::parsed::<ForecastLoss>)]
    loss: Option<ForecastLoss>,

    /// Levels of quantiles, with commas between them [default: 0.1,0.5,0.9 of a loss that has quantiles]
    #[arg(long, value_name = "LEVELS", value_delimiter = ',', value_parser = number::level)]
    quantiles: Vec<f64>,

    /// Scale of a window: standard (deviation of the column), season (mean seasonal difference in the window), level
    /// (mean size), deviation or none [default: season with --series-column or --wide, else standard]
    #[arg(long, value_name = "NAME", hide_possible_values = true,
          value_parser = flags::named::<Scaling>(&["standard", "season", "level", "deviation", "none"]))]
    scaling: Option<Scaling>,

    /// Value that is subtracted from a window: its last value, its mean or zero [default: last; with --series-column or
    /// --wide and seasons of 24 steps or more mean]
    #[arg(long, value_name = "NAME", hide_possible_values = true,
          value_parser = flags::named::<Centre>(&["last", "mean", "zero"]))]
    centre: Option<Centre>,

    /// Forecast logarithms [default: true with --series-column or --wide, if all values in training are positive]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          hide_possible_values = true)]
    log_values: Option<bool>,
}

impl ForecastArgs {
    /// Set what the user gave in the settings of a forecaster; none if the user gave nothing.
    pub fn apply(&self, mut spec: DataSpec) -> DataSpec {
        if self.given().is_none() {
            return spec;
        }
        let before = spec.forecasting.take().unwrap_or_default();
        let all = self.names_all_targets();
        spec.forecasting = Some(ForecastSpec {
            targets: if all { vec![] } else { self.target.clone() },
            features: self.features.clone(),
            known: self.known_features.clone(),
            calendar: self.calendar,
            horizon: self.horizon,
            window: self.window,
            segment: self.segment,
            linear: self.linear,
            season: self.season,
            stride: self.stride,
            rows: self.rows,
            loss: self.loss,
            quantiles: self.quantiles.clone(),
            scaling: self.scaling,
            centre: self.centre,
            log: self.log_values,
            ..before
        });
        spec
    }

    /// Whether the user asked for all columns by `--target all`.
    pub fn names_all_targets(&self) -> bool {
        self.target == ["all"]
    }

    /// The first flag that the user gave.
    pub fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--target", !self.target.is_empty()),
            ("--features", !self.features.is_empty()),
            ("--known-features", !self.known_features.is_empty()),
            ("--calendar", self.calendar),
            ("--horizon", self.horizon.is_some()),
            ("--window", self.window.is_some()),
            ("--segment", self.segment.is_some()),
            ("--linear", self.linear.is_some()),
            ("--season", self.season.is_some()),
            ("--stride", self.stride.is_some()),
            ("--rows", self.rows.is_some()),
            ("--loss", self.loss.is_some()),
            ("--quantiles", !self.quantiles.is_empty()),
            ("--scaling", self.scaling.is_some()),
            ("--centre", self.centre.is_some()),
            ("--log-values", self.log_values.is_some()),
        ];
        flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}

/// The flags of the evaluation of a forecaster.
#[derive(Debug, clap::Args)]
pub struct ForecastEvalArgs {
    /// Steps between successive forecasts of a series, for a forecaster [default: 1]
    #[arg(long, value_name = "N", value_parser = number::size)]
    stride: Option<usize>,

    /// Steps of a season, for the seasonal naive forecast and MASE [default: that of the training]
    #[arg(long, value_name = "N", value_parser = number::size)]
    season: Option<usize>,
}

impl ForecastEvalArgs {
    /// Set what the user gave in the settings of a forecaster.
    pub fn apply(&self, mut spec: DataSpec) -> DataSpec {
        if let Some(forecasting) = &mut spec.forecasting {
            forecasting.stride = self.stride;
            forecasting.season = self.season;
        }
        spec
    }

    /// The first flag that the user gave.
    pub fn given(&self) -> Option<&'static str> {
        self.stride.map(|_| "--stride").or(self.season.map(|_| "--season"))
    }
}

/// Set the first step of the forecasts.
pub fn starting(mut spec: DataSpec, start: ForecastStart) -> DataSpec {
    if let Some(forecasting) = &mut spec.forecasting {
        forecasting.start = start;
    }
    spec
}
