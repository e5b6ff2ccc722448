//! The options of a pass in the layout of the kernels.

use crate::kernels::cpu::{self, Real};
use crate::ops::sequence::{SequenceOptions, ZoneoutMode};

/// Lay out the noise of a pass for vectors of `lanes` elements.
pub(super) fn kernel_sequence<E: Real>(
    shape: cpu::SequenceShape,
    lanes: usize,
    options: &SequenceOptions<'_>,
) -> cpu::Sequence<E> {
    let active = cpu::ActiveSteps::new(options.lengths, (shape.batch, shape.time));
    cpu::Sequence {
        shape,
        reverse: options.reverse,
        zoneout: zoneout(shape, &active, lanes, options),
        recurrent_mask: options
            .noise
            .dropout
            .as_ref()
            .map(|factors| padded_factors(factors, (active.sequences(), shape.output), lanes)),
        active: active.into(),
    }
}

/// Copy the factors of `sequences`, (batch, width), in this order, each padded with zeros to whole vectors.
fn padded_factors<E: Real>(factors: &[f32], (sequences, width): (&[usize], usize), lanes: usize) -> Vec<E> {
    let padded_width = cpu::padded(width, lanes);
    let mut padded = vec![E::zero(); sequences.len() * padded_width];
    for (to, &sequence) in padded.chunks_exact_mut(padded_width).zip(sequences) {
        let from = &factors[sequence * width..][..width];
        to.iter_mut().zip(from).for_each(|(to, &factor)| *to = E::from_f64(factor.into()));
    }
    padded
}

fn zoneout<E: Real>(
    shape: cpu::SequenceShape,
    active: &cpu::ActiveSteps,
    lanes: usize,
    options: &SequenceOptions<'_>,
) -> cpu::Zoneout<E> {
    let masks = match &options.noise.zoneout {
        ZoneoutMode::Off => return cpu::Zoneout::Off,
        ZoneoutMode::Mix(share) => return cpu::Zoneout::Mix(E::from_f64(*share)),
        ZoneoutMode::Masks(masks) => masks,
    };
    let cpu::SequenceShape { batch, time, hidden, output, .. } = shape;
    let layout = |width: usize| cpu::SequenceLayout {
        batch,
        time,
        vectors: width.div_ceil(lanes),
        width: lanes,
        by_row: false,
    };
    let [mut h, mut c] = [output, hidden].map(|width| vec![E::zero(); layout(width).len()]);
    let set = |elements: &mut [E], width: usize, t: usize, mask: &[bool]| {
        for (index, _) in mask.iter().enumerate().filter(|(_, keeps)| **keeps) {
            let (row, unit) = (active.rows()[index / width], index % width);
            elements[layout(width).at(t, unit / lanes, row) + unit % lanes] = E::one();
        }
    };
    for (position, mask) in masks.iter().enumerate() {
        let t = options.time_step(position, time);
        set(&mut h, output, t, &mask.h);
        if let Some(mask) = &mask.c {
            set(&mut c, hidden, t, mask);
        }
    }
    cpu::Zoneout::Masks(h, c)
}
