//! Conversions between plain matrices and rows padded to whole vectors.
//!
//! Hidden and cell states are padded with zeros to whole vectors. Gates are stored in the order (vectors of
//! units, gates, lanes): all gates of one vector of units are neighbours, as a tile of the product leaves them
//! and as the pointwise part reads them.

use super::memory::Buffer;
use super::simd::Float;

/// Round `size` up to whole vectors.
pub(crate) fn padded(size: usize, lanes: usize) -> usize {
    size.div_ceil(lanes) * lanes
}

/// Return the row of a (gates * hidden, ..) matrix that belongs to column `column` of the order (vectors of units,
/// gates, lanes); `None` for padding.
pub(crate) fn weight_row(column: usize, gates: usize, hidden: usize, lanes: usize) -> Option<usize> {
    let (vector, lane) = (column / lanes, column % lanes);
    let (unit, gate) = (vector / gates * lanes + lane, vector % gates);
    (unit < hidden).then_some(gate * hidden + unit)
}

/// Bring `values`, (gates * hidden), into the order (vectors of units, gates, lanes). Without values, return zeros.
pub(crate) fn gate_order<E: Float>(
    values: Option<&[E]>,
    gates: usize,
    hidden: usize,
    lanes: usize,
) -> Buffer<E> {
    let width = padded(hidden, lanes) * gates;
    let ordered = Buffer::zeros(width);
    let Some(values) = values else { return ordered };
    for column in 0..width {
        if let Some(row) = weight_row(column, gates, hidden, lanes) {
            // SAFETY: `column` is within the buffer, to which there is no other reference.
            unsafe { *ordered.at(column) = values[row] };
        }
    }
    ordered
}

/// Take `rows` of `values`, of `columns` each, and pad them with zeros to `width`. Without values, return zeros.
///
/// # Panics
/// If there are fewer values, or `columns` exceeds `width`.
pub(crate) fn padded_rows<E: Float>(
    values: Option<&[E]>,
    (rows, columns): (&[usize], usize),
    width: usize,
) -> Buffer<E> {
    assert!(columns <= width, "{columns} columns in rows of {width}");
    let buffer = Buffer::<E>::zeros(rows.len() * width);
    let Some(values) = values else { return buffer };
    for (row, &from) in rows.iter().enumerate() {
        let values = &values[from * columns..][..columns];
        // SAFETY: a row of the buffer has at least `columns` elements, and there is no other reference to it.
        unsafe { buffer.at(row * width).copy_from_nonoverlapping(values.as_ptr(), columns) };
    }
    buffer
}

/// Copy `rows` of `buffer`, which are `width` wide, of `columns` each.
///
/// # Safety
/// The rows must be within the buffer and written, and `columns` at most `width`.
pub(crate) unsafe fn unpadded_rows<E: Float>(
    buffer: &Buffer<E>,
    (rows, columns): (&[usize], usize),
    width: usize,
) -> Vec<E> {
    let mut values = Vec::with_capacity(rows.len() * columns);
    for &row in rows {
        // SAFETY: the caller's promise; a row of the buffer has at least `columns` elements.
        values.extend_from_slice(unsafe { std::slice::from_raw_parts(buffer.at(row * width), columns) });
    }
    values
}
