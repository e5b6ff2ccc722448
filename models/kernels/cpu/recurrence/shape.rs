//! The sizes of a sequence.

/// Sizes of a sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SequenceShape {
    pub(crate) batch: usize,
    pub(crate) time: usize,
    /// Units.
    pub(crate) hidden: usize,
    /// Features of the output: those of the projection, else `hidden`.
    pub(crate) output: usize,
    /// Gates per unit.
    pub(crate) gates: usize,
}
