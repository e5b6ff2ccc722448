//! Intel's Advanced Matrix Extensions: products of matrices of bf16 or int8 in eight tile registers.
//!
//! A tile has up to 16 rows of 64 bytes. `tdpbf16ps` multiplies a tile of 16 rows by 32 bf16 with one of 32 rows by 16
//! columns, whose rows are interleaved in pairs, and adds the product to a tile of 16 by 16 sums in f32. `tdpbusd` does
//! the same with 64 unsigned bytes, 64 rows of signed bytes that are interleaved in fours, and sums in i32. Source:
//! Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.
//!
//! Rust has no stable intrinsics for them, so the instructions are in `asm!`.
//!
//! | file | content |
//! |---|---|
//! | `permission.rs` | whether the processor has tiles, and the system's permission to use them |
//! | `session.rs` | the configuration of a thread's tiles, released when a kernel ends |
//! | `product.rs` | the product of some rows and a packed panel |

mod permission;
mod product;
mod session;

pub(crate) use permission::Amx;
pub(crate) use product::{Tiles, bytes, pairs};
pub(crate) use session::TileSession;
#[cfg(test)]
pub(crate) use session::stored_configuration;
