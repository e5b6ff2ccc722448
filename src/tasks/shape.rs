//! The input and output sizes of a network.

/// The input and output sizes of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkShape {
    /// Number of tokens in the vocabulary; `None` if the network reads features.
    pub vocabulary: Option<usize>,
    /// Features of a time step; 0 if the network reads tokens.
    pub features: usize,
    /// Number of classes, tags or values.
    pub outputs: usize,
}
