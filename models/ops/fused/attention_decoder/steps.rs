//! Arrays (batch, steps, features), read and written one step at a time, and divided among workers by rows of the
//! batch.

use std::ops::Range;

/// The sizes of an array of (rows, steps, features), without its rows.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    pub(super) steps: usize,
    pub(super) features: usize,
}

impl Steps {
    /// Copy step `t` of all rows, (rows, features), in place of what `to` holds.
    pub(super) fn read<E: Copy>(self, t: usize, from: &[E], to: &mut Vec<E>) {
        let Self { steps, features } = self;
        to.clear();
        for row in from.chunks_exact((steps * features).max(1)) {
            to.extend_from_slice(&row[t * features..][..features]);
        }
    }

    /// Copy (rows, features) to step `t` of all rows.
    pub(super) fn write<E: Copy>(self, t: usize, from: &[E], to: &mut [E]) {
        let Self { steps, features } = self;
        let rows = to.chunks_exact_mut((steps * features).max(1));
        for (row, from) in rows.zip(from.chunks_exact(features.max(1))) {
            row[t * features..][..features].copy_from_slice(from);
        }
    }
}

/// Return some rows of the batch of an array (batch, ..).
pub(super) fn rows_of<'a, E>(elements: &'a [E], batch: usize, rows: &Range<usize>) -> &'a [E] {
    let len = elements.len() / batch;
    &elements[rows.start * len..rows.end * len]
}

/// Divide an array of whole rows into parts of `rows` rows, the last of which may have fewer; an empty array into empty
/// parts.
pub(super) struct RowParts<'a, E> {
    rest: &'a mut [E],
    len: usize,
}

impl<'a, E> RowParts<'a, E> {
    /// `batch` is the number of rows of `elements`.
    pub(super) fn new(elements: &'a mut [E], batch: usize, rows: usize) -> Self {
        let len = elements.len() / batch.max(1) * rows;
        Self { rest: elements, len }
    }

    /// Return the next part.
    pub(super) fn take(&mut self) -> &'a mut [E] {
        let rest = std::mem::take(&mut self.rest);
        let (part, rest) = rest.split_at_mut(self.len.min(rest.len()));
        self.rest = rest;
        part
    }
}
