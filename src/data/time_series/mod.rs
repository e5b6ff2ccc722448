//! Time series to forecast.
//!
//! | file | content |
//! |---|---|
//! | `series.rs` | a series, its columns, and the rule for missing values |
//! | `form.rs`, `date_text.rs` | forms of timestamps, and dates in one of them |
//! | `grid.rs` | the step between timestamps, seasons, calendar features |
//! | `columns.rs` | the columns of a table, and what they hold |
//! | `long_columns.rs` | the places of time, series, targets and features in a long table |
//! | `long_table.rs`, `wide_table.rs` | tables with a row for each step, and with a row for each series |
//! | `corpus.rs`, `append.rs`, `bounds.rs` | files and folders, and their division into splits along time |
//! | `scaling.rs`, `set.rs` | the scale of a window, and the series that windows are cut from |
//! | `windows.rs`, `target.rs` | windows as examples of a network, and what they are compared with |
//!
//! A file is held in memory.

mod append;
mod bounds;
mod columns;
mod corpus;
mod date_text;
mod form;
mod grid;
mod long_columns;
mod long_table;
mod scaling;
mod series;
mod set;
mod target;
mod wide_table;
mod windows;

pub use bounds::Bounds;
pub use columns::TimeColumns;
pub use corpus::TimeSeriesCorpus;
pub use form::TimeFormat;
pub use grid::{Frequency, Interval, TimeGrid};
pub use scaling::{Centre, CovariateScale, Scaling};
pub use series::{Covariates, TimeSeries, TimeTable};
pub use set::{ScaledWindow, Scales, SeriesSet, WindowSizes};
pub use target::{TargetWindow, WindowTargets};
pub use windows::{SeriesWindows, Stride};
