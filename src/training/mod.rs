//! Training: the loop, runs and their checkpoints, optimizers, schedules, reports and pictures.
//!
//! | file | content |
//! |---|---|
//! | `train.rs` | the loop |
//! | `step.rs`, `gradients.rs`, `loss.rs` | one optimizer step |
//! | `share_pass.rs`, `rank_sum.rs` | sums of losses and gradients over the processes of a run |
//! | `gathered.rs`, `facts.rs` | states of the processes, and what must be the same on all |
//! | `validate.rs` | evaluation, and the choice of the parameters to keep |
//! | `trainer.rs`, `progress.rs` | the state of the loop |
//! | `prepare.rs`, `splits.rs` | the data of a run |
//! | `optim/`, `schedule.rs` | optimizers, averages of parameters, learning rates |
//! | `observer.rs` | events of the loop |
//! | `report.rs`, `tensorboard.rs` | an observer: terminal, `metrics.jsonl`, TensorBoard |
//! | `run.rs`, `checkpoint.rs`, `card.rs` | a run in its bundle: start, save, resume, model card |
//! | `embedding.rs` | word vectors as initial embeddings |
//! | `plot/` | pictures of runs |

mod card;
mod checkpoint;
mod clock;
mod divergence;
mod embedding;
mod facts;
mod gathered;
pub mod gradients;
pub mod loss;
mod loss_unit;
mod metric;
mod objective;
mod observer;
pub mod optim;
mod options;
pub mod plot;
mod prepare;
mod progress;
mod rank_sum;
mod record;
pub mod report;
mod run;
mod running_loss;
mod sampler;
pub mod schedule;
mod share_pass;
mod splits;
mod step;
pub mod tensorboard;
mod train;
mod trainer;
mod valid_rows;
mod validate;

pub use card::CardCommands;
pub use checkpoint::Checkpoint;
pub use embedding::Filled;
pub use loss_unit::LossUnit;
pub use metric::MetricsLine;
pub use objective::Objective;
pub use observer::{Evaluation, Observer, StepTaken};
pub use options::Options;
pub use prepare::prepare;
pub use progress::{Best, Progress};
pub use run::Run;
pub use running_loss::RunningLoss;
pub use sampler::Sampler;
pub use splits::Splits;
pub use step::StepLoss;
pub use train::Ending;
pub use trainer::Trainer;
