//! Options of one pass of a layer over a batch of sequences, in one direction.

use crate::kernels::time_step;

/// Lengths, direction and noise of a pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct SequenceOptions<'a> {
    /// Steps of each sequence; `None` means all.
    pub lengths: Option<&'a [usize]>,
    /// Whether the pass runs from the last step to the first.
    pub reverse: bool,
    pub noise: RecurrentNoise,
}

impl SequenceOptions<'_> {
    /// Return the time step at `position` in the order of the recurrence.
    pub(crate) fn time_step(&self, position: usize, time: usize) -> usize {
        time_step(position, time, self.reverse)
    }
}

/// Recurrent dropout and zoneout of a pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecurrentNoise {
    /// Recurrent dropout: factors of the hidden state as operand of the recurrent product, (batch, output).
    pub dropout: Option<Vec<f32>>,
    pub zoneout: ZoneoutMode,
}

/// Zoneout: the share of the old state in the new one.
#[derive(Clone, Debug, Default)]
pub(crate) enum ZoneoutMode {
    /// No zoneout.
    #[default]
    Off,
    /// The same share for all units, as outside training.
    Mix(f64),
    /// One mask per step, in the order of the recurrence, as in training.
    Masks(Vec<ZoneoutMask>),
}

/// The units that keep their old state at one step.
#[derive(Clone, Debug)]
pub(crate) struct ZoneoutMask {
    /// Units of the hidden state, (batch, output).
    pub h: Vec<bool>,
    /// Units of the cell state, (batch, hidden), if the cell has one.
    pub c: Option<Vec<bool>>,
}
