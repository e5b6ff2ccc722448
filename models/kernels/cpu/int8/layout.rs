//! The layout of operands, and a product of a tile in it.

/// The number that is added to left operands to make them unsigned.
pub(super) const OFFSET: u8 = 128;

/// Depth of a tile of AMX.
pub(super) const TILE_DEPTH: usize = 64;

/// A product of a tile: pointers to bytes, and what depends on the layout.
#[derive(Clone, Copy)]
pub(super) struct ByteProduct {
    pub(super) rows: usize,
    pub(super) vectors: usize,
    pub(super) depth: usize,
    pub(super) left: *const u8,
    pub(super) left_stride: usize,
    pub(super) panel: *const i8,
    pub(super) tile: *mut f32,
}

impl ByteProduct {
    /// Return the scale of a left row.
    ///
    /// # Safety
    /// The row must exist.
    #[inline(always)]
    pub(super) unsafe fn left_scale(&self, row: usize) -> f32 {
        let offset = row * self.left_stride + self.depth.next_multiple_of(TILE_DEPTH);
        // SAFETY: the caller's promise; the scale follows the row.
        unsafe { self.left.add(offset).cast::<f32>().read_unaligned() }
    }

    /// Return the addresses of the scales and of the offsets of the columns, for vectors of `lanes`.
    ///
    /// # Safety
    /// The panel must be complete.
    #[inline(always)]
    pub(super) unsafe fn columns(&self, lanes: usize) -> (*const f32, *const i32) {
        let width = self.vectors * lanes;
        // SAFETY: the caller's promise; both follow the rows of the panel.
        unsafe {
            let scales = self.panel.add(self.depth.next_multiple_of(TILE_DEPTH) * width);
            (scales.cast(), scales.add(4 * width).cast())
        }
    }
}
