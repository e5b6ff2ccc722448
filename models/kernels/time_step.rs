//! The order of the time steps of a recurrence.

/// Return the time step at `position` in the order of a recurrence over `time` steps. A `reverse` one runs from the
/// last step to the first.
pub(crate) fn time_step(position: usize, time: usize, reverse: bool) -> usize {
    if reverse { time - 1 - position } else { position }
}
