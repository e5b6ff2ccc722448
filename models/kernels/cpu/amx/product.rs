//! The product of some rows and a packed panel, tile by tile.

use std::arch::asm;

use super::session::configure;

/// Rows of a tile.
const TILE_HEIGHT: usize = 16;

/// Bytes of a row of a tile.
const ROW_BYTES: usize = 64;

/// Bytes of a tile, and of a vector of a panel over the depth of a tile.
const TILE_BYTES: usize = 1024;

/// A product of up to 32 rows with a panel: `sums += left * panel` of pairs of bf16, or `sums = left * panel` of
/// unsigned by signed bytes. All elements are addressed as bytes.
#[derive(Clone, Copy)]
pub(crate) struct Tiles {
    /// Rows, 1 to 32.
    pub(crate) rows: usize,
    /// Vectors of 16 columns in a row of the panel and of the sums, 1 to 4.
    pub(crate) vectors: usize,
    /// The left rows, and the bytes from one to the next.
    pub(crate) left: *const u8,
    pub(crate) left_bytes: usize,
    /// The depth in tiles of 64 bytes, without the tail.
    pub(crate) tiles: usize,
    /// The rest of the left rows as a block of 32 rows of 64 bytes, filled up with zeros; or null.
    pub(crate) tail: *const u8,
    /// The panel: two rows of bf16 or four of bytes side by side, filled up with zeros to whole tiles.
    pub(crate) panel: *const u8,
    /// The sums, rows of `16 * vectors` elements of four bytes side by side.
    pub(crate) sums: *mut u8,
}

/// The initial value of a tile of sums: from memory, or zero.
macro_rules! initial {
    (loaded $tile:literal $address:literal) => {
        concat!("tileloadd tmm", $tile, ", [", $address, "]")
    };
    (zero $tile:literal $address:literal) => {
        concat!("tilezero tmm", $tile)
    };
}

/// An instruction of the loop: the load of a tile, or a product.
macro_rules! instruction {
    ($dot:literal load $tile:literal $address:literal) => {
        concat!("tileloadd tmm", $tile, ", [", $address, "]")
    };
    ($dot:literal dot $sums:literal $left:literal $right:literal) => {
        concat!($dot, " tmm", $sums, ", tmm", $left, ", tmm", $right)
    };
}

/// Define a function that computes a product for one or two tiles of rows by some vectors from `first` on.
///
/// The sums are loaded into tiles 0 to 3 or cleared, one tile of the depth after another is multiplied, and the tail,
/// if there is one, in a last round of the same loop.
macro_rules! product {
    (
        $name:ident, $dot:literal, $initial:ident,
        sums: [$($tile:literal $address:literal),*],
        step: [$($kind:ident $first:literal $($other:literal)*),*]
    ) => {
        /// # Safety
        /// As [`pairs::multiply`], with tiles configured for the rows.
        unsafe fn $name(product: Tiles, first: usize) {
            let Tiles { vectors, left, left_bytes, tiles, tail, panel, sums, .. } = product;
            let row_bytes = vectors * ROW_BYTES;
            // SAFETY: the caller's promise: all addresses that the instructions form are within the memory that the
            // product states. The lower rows' addresses are formed, but not read, if there are none.
            unsafe {
                asm!(
                    $(initial!($initial $tile $address),)*
                    "/* {lower_sums} */",
                    "test {tiles}, {tiles}",
                    "jz 3f",
                    "2:",
                    $(instruction!($dot $kind $first $($other)*),)*
                    "add {upper}, 64",
                    "add {lower}, 64",
                    "add {panel}, {panel_bytes}",
                    "dec {tiles}",
                    "jnz 2b",
                    "3:",
                    "test {tail}, {tail}",
                    "jz 4f",
                    "mov {upper}, {tail}",
                    "lea {lower}, [{tail} + 1024]",
                    "mov {left_bytes}, 64",
                    "mov {tiles}, 1",
                    "xor {tail}, {tail}",
                    "jmp 2b",
                    "4:",
                    $(concat!("tilestored [", $address, "], tmm", $tile),)*
                    upper = inout(reg) left => _,
                    lower = inout(reg) left.wrapping_add(TILE_HEIGHT * left_bytes) => _,
                    left_bytes = inout(reg) left_bytes => _,
                    tail = inout(reg) tail => _,
                    tiles = inout(reg) tiles => _,
                    panel = inout(reg) panel.wrapping_add(first * ROW_BYTES) => _,
                    panel_bytes = in(reg) vectors * TILE_BYTES,
                    row_bytes = in(reg) row_bytes,
                    sums = in(reg) sums.wrapping_add(first * ROW_BYTES),
                    lower_sums = in(reg) sums.wrapping_add(first * ROW_BYTES + TILE_HEIGHT * row_bytes),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

/// Define the products of one kind of elements, in a module.
macro_rules! products {
    ($module:ident, $dot:literal, $initial:ident) => {
        pub(crate) mod $module {
            use super::*;

            /// Compute a product. Each element is one sum in ascending order of depth, whatever the number of rows and
            /// vectors.
            ///
            /// # Safety
            /// A [`TileSession`](super::super::TileSession) must be in progress on this thread, of a processor with the
            /// instruction. All memory must have the size that the fields state; `rows` and `vectors` must be within
            /// their bounds.
            pub(crate) unsafe fn multiply(product: Tiles) {
                let Tiles { rows, vectors, .. } = product;
                debug_assert!((1..=2 * TILE_HEIGHT).contains(&rows) && (1..=4).contains(&vectors));
                let upper = rows.min(TILE_HEIGHT);
                // SAFETY: the caller's promise. Columns are skipped by whole vectors.
                unsafe {
                    if rows <= TILE_HEIGHT {
                        configure(upper as u8, upper as u8);
                        match vectors {
                            1 => one_by_one(product, 0),
                            2 => one_by_two(product, 0),
                            3 => one_by_three(product, 0),
                            _ => one_by_four(product, 0),
                        }
                        return;
                    }
                    configure(upper as u8, (rows - upper) as u8);
                    for vector in (0..vectors).step_by(2) {
                        match vectors - vector {
                            1 => two_by_one(product, vector),
                            _ => two_by_two(product, vector),
                        }
                    }
                }
            }

            product!(one_by_one, $dot, $initial,
                sums: [0 "{sums} + {row_bytes}*1"],
                step: [
                    load 4 "{upper} + {left_bytes}*1",
                    load 6 "{panel} + {row_bytes}*1",
                    dot 0 4 6
                ]
            );
            product!(one_by_two, $dot, $initial,
                sums: [0 "{sums} + {row_bytes}*1", 1 "{sums} + {row_bytes}*1 + 64"],
                step: [
                    load 4 "{upper} + {left_bytes}*1",
                    load 6 "{panel} + {row_bytes}*1",
                    load 7 "{panel} + {row_bytes}*1 + 64",
                    dot 0 4 6,
                    dot 1 4 7
                ]
            );
            product!(one_by_three, $dot, $initial,
                sums: [
                    0 "{sums} + {row_bytes}*1",
                    1 "{sums} + {row_bytes}*1 + 64",
                    2 "{sums} + {row_bytes}*1 + 128"
                ],
                step: [
                    load 4 "{upper} + {left_bytes}*1",
                    load 6 "{panel} + {row_bytes}*1",
                    load 7 "{panel} + {row_bytes}*1 + 64",
                    dot 0 4 6,
                    dot 1 4 7,
                    load 6 "{panel} + {row_bytes}*1 + 128",
                    dot 2 4 6
                ]
            );
            product!(one_by_four, $dot, $initial,
                sums: [
                    0 "{sums} + {row_bytes}*1",
                    1 "{sums} + {row_bytes}*1 + 64",
                    2 "{sums} + {row_bytes}*1 + 128",
                    3 "{sums} + {row_bytes}*1 + 192"
                ],
                step: [
                    load 4 "{upper} + {left_bytes}*1",
                    load 6 "{panel} + {row_bytes}*1",
                    load 7 "{panel} + {row_bytes}*1 + 64",
                    dot 0 4 6,
                    dot 1 4 7,
                    load 6 "{panel} + {row_bytes}*1 + 128",
                    load 7 "{panel} + {row_bytes}*1 + 192",
                    dot 2 4 6,
                    dot 3 4 7
                ]
            );
            product!(two_by_one, $dot, $initial,
                sums: [0 "{sums} + {row_bytes}*1", 2 "{lower_sums} + {row_bytes}*1"],
                step: [
                    load 4 "{upper} + {left_bytes}*1",
                    load 6 "{panel} + {row_bytes}*1",
                    dot 0 4 6,
                    load 5 "{lower} + {left_bytes}*1",
                    dot 2 5 6
                ]
            );
            product!(two_by_two, $dot, $initial,
                sums: [
                    0 "{sums} + {row_bytes}*1",
                    1 "{sums} + {row_bytes}*1 + 64",
                    2 "{lower_sums} + {row_bytes}*1",
                    3 "{lower_sums} + {row_bytes}*1 + 64"
                ],
                step: [
                    load 4 "{upper} + {left_bytes}*1",
                    load 6 "{panel} + {row_bytes}*1",
                    load 7 "{panel} + {row_bytes}*1 + 64",
                    dot 0 4 6,
                    load 5 "{lower} + {left_bytes}*1",
                    dot 1 4 7,
                    dot 2 5 6,
                    dot 3 5 7
                ]
            );
        }
    };
}

products!(pairs, "tdpbf16ps", loaded);
products!(bytes, "tdpbusd", zero);
