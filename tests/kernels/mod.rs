//! The fused kernels against the reference in plain candle ops: every option, for every instruction set that this
//! machine has, in f32 and f64, forward and backward.

mod attention;
mod bf16;
mod case;
mod cells;
mod crf;
mod int8;
mod language_model;
mod layers;
mod loss;
mod streams;
mod workers;
