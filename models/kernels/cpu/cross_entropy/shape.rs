//! Sizes, and how the work is cut.

use std::ops::Range;

use super::super::padding::padded;
use super::super::tuning::{CLASS_BLOCK_MAX, CLASS_BLOCK_MIN, CLASS_BLOCKS, SCORE_ROW_VECTORS, SCORES};

/// Sizes of a cross-entropy, and how its work is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct LossShape {
    pub(super) rows: usize,
    pub(super) features: usize,
    pub(super) classes: usize,
    pub(super) lanes: usize,
    /// Batch rows of a set, whole vectors.
    pub(super) set_rows: usize,
    /// Classes of a block.
    block_classes: usize,
}

impl LossShape {
    pub(super) fn new(rows: usize, features: usize, classes: usize, lanes: usize) -> Self {
        let max_rows = (SCORES / classes.max(1) / lanes).clamp(1, SCORE_ROW_VECTORS) * lanes;
        let sets = rows.div_ceil(max_rows).max(1);
        let set_rows = padded(rows.div_ceil(sets), lanes).max(lanes);
        let block_classes = classes / CLASS_BLOCKS;
        let block_classes =
            block_classes.next_multiple_of(CLASS_BLOCK_MIN).clamp(CLASS_BLOCK_MIN, CLASS_BLOCK_MAX);
        Self { rows, features, classes, lanes, set_rows, block_classes }
    }

    /// Return the batch rows of each set.
    pub(super) fn sets(self) -> impl Iterator<Item = Range<usize>> {
        let Self { rows, set_rows, .. } = self;
        (0..rows).step_by(set_rows).map(move |from| from..(from + set_rows).min(rows))
    }

    /// Return the number of blocks.
    pub(super) fn blocks(self) -> usize {
        self.classes.div_ceil(self.block_classes)
    }

    /// Return the classes of a block.
    pub(super) fn classes_of(self, block: usize) -> Range<usize> {
        block * self.block_classes..((block + 1) * self.block_classes).min(self.classes)
    }

    /// Return the block of a class.
    pub(super) fn block_of(self, class: usize) -> usize {
        class / self.block_classes
    }
}
