//! The product of some rows and a packed panel, tile by tile.

use std::arch::asm;

use super::session::configure;

/// Rows of a tile.
const TILE_HEIGHT: usize = 16;

/// Bytes of a tile, and of a vector of a panel over the depth of a tile.
const TILE_BYTES: usize = 1024;

/// The product `tile += left * panel` of up to 32 rows. bf16 are stored as `u16`.
#[derive(Clone, Copy)]
pub(crate) struct PairProduct {
    /// Rows, 1 to 32.
    pub(crate) rows: usize,
    /// Vectors of 16 columns in a row of the panel and of the tile, 1 to 4.
    pub(crate) vectors: usize,
    /// The left rows, and the bytes from one to the next.
    pub(crate) left: *const u16,
    pub(crate) left_bytes: usize,
    /// The depth in tiles of 32 elements, without the tail.
    pub(crate) tiles: usize,
    /// The rest of the left rows as a block of 32 rows of 32 elements, filled up with zeros; or null.
    pub(crate) tail: *const u16,
    /// The panel: pairs of rows, filled up with zeros to whole tiles.
    pub(crate) panel: *const u16,
    /// The sums, rows of `16 * vectors` side by side.
    pub(crate) tile: *mut f32,
}

/// Compute a product. Each element is one sum in ascending order of depth, whatever the number of rows and vectors.
///
/// # Safety
/// A [`TileSession`](super::TileSession) must be in progress on this thread. All memory must have the size that the
/// fields state; `rows` and `vectors` must be within their bounds.
pub(crate) unsafe fn multiply(product: PairProduct) {
    let PairProduct { rows, vectors, .. } = product;
    debug_assert!((1..=2 * TILE_HEIGHT).contains(&rows) && (1..=4).contains(&vectors));
    let upper = rows.min(TILE_HEIGHT);
    // SAFETY: the caller's promise. Columns are skipped by whole vectors: 32 bf16 of the panel, 16 sums.
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

/// Define a function that computes a product for one or two tiles of rows by some vectors from `first` on.
///
/// The sums are loaded into tiles 0 to 3, one tile of the depth after another is multiplied, and the tail, if there is
/// one, in a last round of the same loop.
macro_rules! product {
    ($name:ident, load: [$($load:literal)*], step: [$($step:literal)*], store: [$($store:literal)*]) => {
        /// # Safety
        /// As [`multiply`], with tiles configured for the rows.
        unsafe fn $name(product: PairProduct, first: usize) {
            let PairProduct { vectors, left, left_bytes, tiles, tail, panel, tile, .. } = product;
            let row_bytes = vectors * 64;
            // SAFETY: the caller's promise: all addresses that the instructions form are within the memory that the
            // product states. The lower rows' addresses are formed, but not read, if there are none.
            unsafe {
                asm!(
                    $($load,)*
                    "test {tiles}, {tiles}",
                    "jz 3f",
                    "2:",
                    $($step,)*
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
                    $($store,)*
                    upper = inout(reg) left => _,
                    lower = inout(reg) left.wrapping_byte_add(TILE_HEIGHT * left_bytes) => _,
                    left_bytes = inout(reg) left_bytes => _,
                    tail = inout(reg) tail => _,
                    tiles = inout(reg) tiles => _,
                    panel = inout(reg) panel.wrapping_byte_add(first * 64) => _,
                    panel_bytes = in(reg) vectors * TILE_BYTES,
                    row_bytes = in(reg) row_bytes,
                    sums = in(reg) tile.wrapping_byte_add(first * 64),
                    lower_sums = in(reg) tile.wrapping_byte_add(first * 64 + TILE_HEIGHT * row_bytes),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

product!(one_by_one,
    load: [
        "tileloadd tmm0, [{sums} + {row_bytes}*1]"
        "/* {lower_sums} */"
    ],
    step: [
        "tileloadd tmm4, [{upper} + {left_bytes}*1]"
        "tileloadd tmm6, [{panel} + {row_bytes}*1]"
        "tdpbf16ps tmm0, tmm4, tmm6"
    ],
    store: ["tilestored [{sums} + {row_bytes}*1], tmm0"]
);
product!(one_by_two,
    load: [
        "tileloadd tmm0, [{sums} + {row_bytes}*1]"
        "tileloadd tmm1, [{sums} + {row_bytes}*1 + 64]"
        "/* {lower_sums} */"
    ],
    step: [
        "tileloadd tmm4, [{upper} + {left_bytes}*1]"
        "tileloadd tmm6, [{panel} + {row_bytes}*1]"
        "tileloadd tmm7, [{panel} + {row_bytes}*1 + 64]"
        "tdpbf16ps tmm0, tmm4, tmm6"
        "tdpbf16ps tmm1, tmm4, tmm7"
    ],
    store: [
        "tilestored [{sums} + {row_bytes}*1], tmm0"
        "tilestored [{sums} + {row_bytes}*1 + 64], tmm1"
    ]
);
product!(one_by_three,
    load: [
        "tileloadd tmm0, [{sums} + {row_bytes}*1]"
        "tileloadd tmm1, [{sums} + {row_bytes}*1 + 64]"
        "tileloadd tmm2, [{sums} + {row_bytes}*1 + 128]"
        "/* {lower_sums} */"
    ],
    step: [
        "tileloadd tmm4, [{upper} + {left_bytes}*1]"
        "tileloadd tmm6, [{panel} + {row_bytes}*1]"
        "tileloadd tmm7, [{panel} + {row_bytes}*1 + 64]"
        "tdpbf16ps tmm0, tmm4, tmm6"
        "tdpbf16ps tmm1, tmm4, tmm7"
        "tileloadd tmm6, [{panel} + {row_bytes}*1 + 128]"
        "tdpbf16ps tmm2, tmm4, tmm6"
    ],
    store: [
        "tilestored [{sums} + {row_bytes}*1], tmm0"
        "tilestored [{sums} + {row_bytes}*1 + 64], tmm1"
        "tilestored [{sums} + {row_bytes}*1 + 128], tmm2"
    ]
);
product!(one_by_four,
    load: [
        "tileloadd tmm0, [{sums} + {row_bytes}*1]"
        "tileloadd tmm1, [{sums} + {row_bytes}*1 + 64]"
        "tileloadd tmm2, [{sums} + {row_bytes}*1 + 128]"
        "tileloadd tmm3, [{sums} + {row_bytes}*1 + 192]"
        "/* {lower_sums} */"
    ],
    step: [
        "tileloadd tmm4, [{upper} + {left_bytes}*1]"
        "tileloadd tmm6, [{panel} + {row_bytes}*1]"
        "tileloadd tmm7, [{panel} + {row_bytes}*1 + 64]"
        "tdpbf16ps tmm0, tmm4, tmm6"
        "tdpbf16ps tmm1, tmm4, tmm7"
        "tileloadd tmm6, [{panel} + {row_bytes}*1 + 128]"
        "tileloadd tmm7, [{panel} + {row_bytes}*1 + 192]"
        "tdpbf16ps tmm2, tmm4, tmm6"
        "tdpbf16ps tmm3, tmm4, tmm7"
    ],
    store: [
        "tilestored [{sums} + {row_bytes}*1], tmm0"
        "tilestored [{sums} + {row_bytes}*1 + 64], tmm1"
        "tilestored [{sums} + {row_bytes}*1 + 128], tmm2"
        "tilestored [{sums} + {row_bytes}*1 + 192], tmm3"
    ]
);
product!(two_by_one,
    load: [
        "tileloadd tmm0, [{sums} + {row_bytes}*1]"
        "tileloadd tmm2, [{lower_sums} + {row_bytes}*1]"
    ],
    step: [
        "tileloadd tmm4, [{upper} + {left_bytes}*1]"
        "tileloadd tmm6, [{panel} + {row_bytes}*1]"
        "tdpbf16ps tmm0, tmm4, tmm6"
        "tileloadd tmm5, [{lower} + {left_bytes}*1]"
        "tdpbf16ps tmm2, tmm5, tmm6"
    ],
    store: [
        "tilestored [{sums} + {row_bytes}*1], tmm0"
        "tilestored [{lower_sums} + {row_bytes}*1], tmm2"
    ]
);
product!(two_by_two,
    load: [
        "tileloadd tmm0, [{sums} + {row_bytes}*1]"
        "tileloadd tmm1, [{sums} + {row_bytes}*1 + 64]"
        "tileloadd tmm2, [{lower_sums} + {row_bytes}*1]"
        "tileloadd tmm3, [{lower_sums} + {row_bytes}*1 + 64]"
    ],
    step: [
        "tileloadd tmm4, [{upper} + {left_bytes}*1]"
        "tileloadd tmm6, [{panel} + {row_bytes}*1]"
        "tileloadd tmm7, [{panel} + {row_bytes}*1 + 64]"
        "tdpbf16ps tmm0, tmm4, tmm6"
        "tileloadd tmm5, [{lower} + {left_bytes}*1]"
        "tdpbf16ps tmm1, tmm4, tmm7"
        "tdpbf16ps tmm2, tmm5, tmm6"
        "tdpbf16ps tmm3, tmm5, tmm7"
    ],
    store: [
        "tilestored [{sums} + {row_bytes}*1], tmm0"
        "tilestored [{sums} + {row_bytes}*1 + 64], tmm1"
        "tilestored [{lower_sums} + {row_bytes}*1], tmm2"
        "tilestored [{lower_sums} + {row_bytes}*1 + 64], tmm3"
    ]
);
