//! Reading of a run's data, on one process or several.

use super::facts::agree_on_data;
use crate::Result;
use crate::distributed::Communicator;
use crate::tasks::{DataSpec, Origin, Prepared, Task};

/// Read the data of a run. Each of several processes does so, with the same arguments but for the place of the data;
/// of running text each keeps a part.
///
/// # Errors
/// If the arguments or the texts of the processes differ, on every process; and as [`Task::prepare`].
pub fn prepare(
    task: &dyn Task,
    data: &DataSpec,
    origin: Origin,
    ranks: &dyn Communicator,
) -> Result<Prepared> {
    agree_on_data(ranks, task, data, &origin)?;
    task.prepare_share(data, origin, ranks)
}
