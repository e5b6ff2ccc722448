//! Training on several processes: each computes its part of every batch, and gradients are summed over all.
//!
//! | file | content |
//! |---|---|
//! | `communicator.rs` | the trait that training knows, and the single process |
//! | `reduce.rs`, `collect.rs` | sums in the order of the ranks, small values of all ranks, a value of the first |
//! | `agreement.rs` | refusal of processes that differ |
//! | `launch.rs`, `cores.rs` | the launcher of this process, and its threads |
//! | `processes.rs` | beginning and end |
//! | `mpi.rs` | processes that MPI connects, behind the feature `mpi` |

mod agreement;
mod collect;
mod communicator;
mod cores;
mod launch;
#[cfg(feature = "mpi")]
mod mpi;
mod processes;
mod reduce;

pub(crate) use agreement::refusal;
pub use agreement::{Fact, agree};
pub use collect::{any, broadcast, gather, gather_numbers};
pub use communicator::{Communicator, Ranks, SingleProcess};
pub use cores::Cores;
pub use launch::Launch;
pub use processes::{abort, finish, start};
pub use reduce::{Wire, all_reduce};
