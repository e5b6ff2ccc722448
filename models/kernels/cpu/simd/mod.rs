//! Vectors of `f32` and `f64` for every instruction set: AVX-512, AVX2, NEON, and portable Rust.
//!
//! | file | content |
//! |---|---|
//! | `isa.rs` | the instruction sets of this processor, and the choice among them |
//! | `mul_add.rs`, `math.rs` | fused multiply-add; exp, tanh and sigmoid |
//! | `float.rs` | the element types, as operations on registers |
//! | `vector.rs` | a register with operators |

mod float;
mod isa;
mod math;
mod mul_add;
mod vector;

pub(crate) use float::Float;
pub use isa::Isa;
pub(crate) use vector::Vector;
