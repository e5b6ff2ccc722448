//! Products whose operands are rounded to bf16 and whose sums are in f32.
//!
//! The meaning is the same on every processor. There are three implementations:
//!
//! | instruction set | operands | product |
//! |---|---|---|
//! | `amx` | [`Bf16`]: pairs of rows | tiles, `tdpbf16ps` |
//! | `avx512bf16` | [`Bf16`]: pairs of rows | `vdpbf16ps` |
//! | every other | [`RoundedF32`]: f32 with the digits of a bf16 | the micro-kernel of f32 |
//!
//! They differ in the order of rounding within a sum, and in subnormal numbers (below 1.2e-38), which the first two
//! treat as zero. The pointwise functions of the cells have the digits of a bf16 and some more
//! ([`Bf16Digits`](super::simd::Bf16Digits)); states, saved activations and gradients of states stay in f32.
//!
//! The gradient of a bias is a sum in f32. In a recurrent layer its terms are the gradients of the gates rounded to
//! bf16: they are stored once, as the operands of the other backward products, so that an f32 copy of all steps is
//! neither written nor read. In a decoder with attention, a linear layer and a cross-entropy the terms are in f32.
//!
//! | file | content |
//! |---|---|
//! | `rounded.rs` | operands for any processor |
//! | `pairs.rs` | operands for AMX and AVX512-BF16: layout and rounding |
//! | `layout.rs` | sizes of tiles |
//! | `unit.rs` | which of the two a thread uses |
//! | `left.rs` | strided left-hand sides, copied to contiguous rows |
//! | `tiles.rs`, `dot.rs` | the product of each |
//! | `transpose.rs` | blocks of 16 by 16 pairs |
//! | `choice.rs` | the instruction set that is fastest in bf16 |

mod choice;
mod rounded;

#[cfg(target_arch = "x86_64")]
mod dot;
#[cfg(target_arch = "x86_64")]
mod layout;
#[cfg(target_arch = "x86_64")]
mod left;
#[cfg(target_arch = "x86_64")]
mod pairs;
#[cfg(target_arch = "x86_64")]
mod tiles;
#[cfg(target_arch = "x86_64")]
mod transpose;
#[cfg(target_arch = "x86_64")]
mod unit;

#[cfg(all(test, target_arch = "x86_64"))]
mod tests;

pub(crate) use choice::{bf16_isa, has_pairs};
#[cfg(target_arch = "x86_64")]
pub(crate) use pairs::Bf16;
pub(crate) use rounded::RoundedF32;
