//! Training: the loop, the run and its checkpoints, optimizers, schedules, averages, and reports.

pub mod card;
pub mod gradients;
pub mod loss;
mod loss_unit;
mod metric;
pub mod optim;
mod options;
pub mod plot;
mod progress;
pub mod report;
pub mod run;
pub mod schedule;
mod splits;
pub mod tensorboard;
pub mod train;

pub use loss_unit::LossUnit;
pub use metric::Metric;
pub use options::Options;
pub use progress::{Best, Progress};
pub use splits::Splits;
pub use train::{Ending, Stopped, Trainer};
