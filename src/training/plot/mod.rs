//! Pictures of training: loss, perplexity and learning rate of one run or several, as SVG or PNG.
//!
//! Each quantity has a panel. A picture of one run shows training and validation in two colours. A picture of
//! several runs has one colour for each, pale for training and strong for validation. Perplexity and learning rate
//! are on a logarithmic scale if their values differ widely.

mod attention;
mod axis;
mod chart;
mod forecast;
mod grid;
mod history;
mod legend;
mod matrix;
mod panel;
mod picture;
mod png;
mod quantity;
mod run;
mod scale;
mod style;

pub use attention::{AttentionMap, MOST_ATTENDED};
pub use axis::Axis;
pub use forecast::ForecastPicture;
pub use history::{History, Point, SplitReports};
pub use matrix::{MOST_CLASSES, Matrix};
pub use picture::Picture;
pub use quantity::Quantity;
pub use run::PlottedRun;
pub use style::MOST_RUNS;
