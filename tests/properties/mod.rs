//! Properties of every recurrent layer, for random cells, sizes and options. They run in f64, with a tolerance of
//! 1e-12: two sums of the same numbers in different orders may differ by that.

mod case;
mod directions;
mod noise;
mod padding;
mod readout;
mod sequences;
