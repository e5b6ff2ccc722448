//! `forecast`: numbers predicted from a series.
//!
//! | file | content |
//! |---|---|
//! | `task.rs` | the task: tables of time series, or `builtin:adding` |
//! | `adding.rs` | the adding problem |
//! | `settings.rs` | sizes, scales and head of a forecaster where the user gives none |
//! | `schema.rs` | what a bundle keeps of them |
//! | `tables.rs` | windows of tables as training data, splits and questions |
//! | `likelihood.rs`, `loss.rs` | losses of the heads |
//! | `distribution.rs` | mean and quantiles of the outputs |
//! | `counts.rs` | counts: their likelihood, mean and quantiles |
//! | `series_meter.rs` | metrics, beside those of naive forecasts |
//! | `answers.rs` | forecasts as answers and as curves |

mod adding;
mod answers;
mod counts;
mod distribution;
mod likelihood;
pub mod loss;
mod schema;
mod series_meter;
mod settings;
mod tables;
mod task;

pub use answers::{ForecastCurve, curves, histories};
pub use task::Forecast;
