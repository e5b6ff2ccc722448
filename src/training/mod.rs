//! Training: the loop, the run and its checkpoints, optimizers, schedules, averages, and reports.

pub mod card;
pub mod gradients;
pub mod loss;
pub mod optim;
mod options;
pub mod plot;
pub mod report;
pub mod run;
pub mod schedule;
pub mod tensorboard;
pub mod train;

pub use options::Options;
pub use train::{Ending, Progress, Splits, Stopped, Trainer};
