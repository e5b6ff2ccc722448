//! Vectors of `f32` and `f64` for every instruction set: AVX-512, AVX2, NEON, and portable Rust.
//!
//! | file | content |
//! |---|---|
//! | `isa.rs` | the instruction sets of this processor, and the choice among them |
//! | `mul_add.rs`, `math.rs` | fused multiply-add; exp, tanh and sigmoid |
//! | `avx512.rs` | the same functions with instructions of AVX-512 |
//! | `float.rs` | the element types, as operations on registers |
//! | `vector.rs` | a register with operators |
//! | `half.rs` | rounding to bf16 |
//! | `byte.rs` | rounding to int8 |
//! | `digits.rs` | functions with all digits, or with those of a bf16 |

#[cfg(target_arch = "x86_64")]
mod avx512;
mod byte;
mod digits;
mod float;
mod half;
mod isa;
mod math;
mod mul_add;
mod vector;

pub(crate) use digits::{AllDigits, Bf16Digits, Digits};
pub(crate) use float::Float;
pub(crate) use half::{bf16_bits, from_bf16_bits};
pub use isa::Isa;
pub(crate) use vector::{MAX_LANES, Vector};
