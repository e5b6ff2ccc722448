//! The options of a pass in the layout of the kernels.

use crate::kernels::cpu::{self, Real};
use crate::ops::sequence::{SequenceOptions, ZoneoutMode};

/// Lay out the noise of a pass for vectors of `lanes` elements.
pub(super) fn kernel_sequence<E: Real>(
    shape: cpu::SequenceShape,
    lanes: usize,
    options: &SequenceOptions<'_>,
) -> cpu::Sequence<E> {
    cpu::Sequence {
        shape,
        lengths: options.lengths.map(<[usize]>::to_vec),
        reverse: options.reverse,
        zoneout: zoneout(shape, lanes, options),
        recurrent_mask: options
            .noise
            .dropout
            .as_ref()
            .map(|factors| padded_factors(factors, shape.output, cpu::padded(shape.output, lanes))),
    }
}

/// Copy factors of rows of `width`, each padded with zeros to `padded_width`.
fn padded_factors<E: Real>(factors: &[f32], width: usize, padded_width: usize) -> Vec<E> {
    let mut padded = vec![E::zero(); factors.len() / width * padded_width];
    for (to, from) in padded.chunks_exact_mut(padded_width).zip(factors.chunks_exact(width)) {
        to.iter_mut().zip(from).for_each(|(to, &factor)| *to = E::from_f64(factor.into()));
    }
    padded
}

fn zoneout<E: Real>(
    shape: cpu::SequenceShape,
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
            let (row, unit) = (index / width, index % width);
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
