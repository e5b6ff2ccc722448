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
//! | `device_sum.rs`, `nccl.rs` | sums on the devices of the processes; NCCL, behind the feature `nccl` |

mod agreement;
mod collect;
mod communicator;
mod cores;
mod device_sum;
mod launch;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "nccl")]
mod nccl;
mod processes;
mod reduce;

pub(crate) use agreement::refusal;
pub use agreement::{Fact, agree};
pub use collect::{any, broadcast, gather, gather_numbers};
pub use communicator::{Communicator, Ranks, SingleProcess};
pub use cores::Cores;
pub use device_sum::DeviceSum;
pub use launch::Launch;
pub use processes::{abort, connect_devices, finish, start};
pub use reduce::{Wire, all_reduce};
