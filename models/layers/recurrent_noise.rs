//! Drawing the noise of one layer and direction: recurrent dropout and zoneout.

use crate::layers::config::StackOptions;
use crate::layers::dropout::{Noise, draw, factors};
use crate::ops::sequence::{RecurrentNoise, ZoneoutMask, ZoneoutMode};

/// Sizes of a pass over a batch of sequences.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PassShape {
    pub batch: usize,
    pub time: usize,
    pub output: usize,
    /// Units of the cell state, if the cell has one.
    pub cell_state: Option<usize>,
}

/// Draw the noise of a pass: first recurrent dropout, then zoneout in the order of the recurrence, for the hidden
/// state before the cell state. Without a generator there is no dropout, and zoneout mixes states.
pub(crate) fn draw_noise(options: &StackOptions, shape: PassShape, mut rng: Noise<'_>) -> RecurrentNoise {
    let PassShape { batch, time, output, cell_state } = shape;
    let dropout = match &mut rng {
        Some(rng) if options.recurrent_dropout > 0. => {
            Some(factors(batch * output, options.recurrent_dropout, *rng))
        }
        _ => None,
    };
    let zoneout = match rng {
        _ if options.zoneout == 0. => ZoneoutMode::Off,
        None => ZoneoutMode::Mix(options.zoneout),
        Some(rng) => {
            let mut mask = |units| draw(batch * units, options.zoneout, rng, [true, false]);
            let step = |_| ZoneoutMask { h: mask(output), c: cell_state.map(&mut mask) };
            ZoneoutMode::Masks((0..time).map(step).collect())
        }
    };
    RecurrentNoise { dropout, zoneout }
}
