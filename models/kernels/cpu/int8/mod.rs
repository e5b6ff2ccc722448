//! Products whose operands are int8 and whose sums are i32, for inference.
//!
//! A row of weights has one scale, and so has a row of left operands: the largest magnitude of the row divided by 127,
//! rounded up to 17 binary digits. An operand is its number divided by the scale, rounded to the nearest integer, of
//! two equally near to the even one; it lies in -127..=127. A product is the exact sum of products of integers,
//! converted to f32 and multiplied by both scales. The scale of a hidden state that lies in [-1, 1] is that of a
//! largest magnitude of 1, whatever the row holds.
//!
//! Two rules follow. A row with a NaN or an infinity has a scale of NaN, and with it all its products. A row whose
//! magnitudes are all below 2^-100 has a scale of zero.
//!
//! Sums of integers do not depend on their order, so all implementations have the same results to the bit:
//!
//! | instruction set | product |
//! |---|---|
//! | `amx` | tiles, `tdpbusd`; `vpdpbusd` for few rows |
//! | `avx512vnni`, `avxvnni` | `vpdpbusd` |
//! | `avx512`, `avx2` | `vpmaddubsw` of magnitudes and numbers with their signs: two products are at most 2 * 127^2, which does not saturate |
//! | every other | Rust that compilers vectorize |
//!
//! Left operands are stored with 128 added, as unsigned bytes, which is what `vpdpbusd` takes. The sum of a column's
//! weights, times 128, is subtracted afterwards.
//!
//! | file | content |
//! |---|---|
//! | `scale.rs` | the rule of the scales |
//! | `byte.rs` | the operand: its layout and rounding |
//! | `unit.rs` | the instructions that a thread uses |
//! | `layout.rs` | a product of a tile in that layout |
//! | `instructions.rs` | the instructions that the product of a tile needs |
//! | `dot.rs` | the product of a tile in registers, for any of them |
//! | `x86.rs`, `portable.rs` | the instructions |
//! | `tiles.rs` | the product with AMX |

mod byte;
mod layout;
mod portable;
mod scale;
mod unit;

#[cfg(target_arch = "x86_64")]
mod dot;
#[cfg(target_arch = "x86_64")]
mod instructions;
#[cfg(target_arch = "x86_64")]
mod tiles;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;

pub(crate) use byte::Int8;
pub(crate) use scale::{MAX_DEPTH, inverse, scale_of};
pub(crate) use unit::{has_dot, int8_isa};
