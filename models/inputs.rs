//! The inputs of a network for one batch.

use candle_core::{Result, Tensor, bail};

/// The inputs of a network for one batch. Sequences are padded to the longest of the batch.
#[derive(Clone, Debug)]
pub enum Inputs {
    /// Tokens (batch, time), u32, or features (batch, time, features).
    Steps(Tensor),
    /// Words with their characters.
    Words(Words),
    /// Source texts, and the target texts that the network continues.
    Pair(Pair),
    /// Windows of time series.
    Series(Series),
}

/// Words with their characters, and columns that describe the words.
#[derive(Clone, Debug)]
pub struct Words {
    /// Token of each word, u32, (batch, time).
    pub tokens: Tensor,
    /// Further columns, such as part-of-speech tags: for each of them one value a word, u32, (batch, time).
    pub columns: Vec<Tensor>,
    /// Spelling of each word, u32, (batch, time): a row of `characters`.
    pub spellings: Tensor,
    /// Characters of the distinct words of the batch, u32, (spellings, characters).
    pub characters: Tensor,
    /// Number of characters of each spelling, at least 1.
    pub character_counts: Vec<usize>,
}

/// Source texts with target texts.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Tokens of the source, u32, (batch, source).
    pub source: Tensor,
    /// Number of tokens of each source, if they differ.
    pub source_lengths: Option<Vec<usize>>,
    /// Tokens that the decoder reads, u32, (batch, target): the start token, then the target without its last token.
    pub target: Tensor,
}

/// Windows of time series.
#[derive(Clone, Debug)]
pub struct Series {
    /// Values and features before the forecast, (batch, window, channels); the first channel is the value.
    pub past: Tensor,
    /// Features that are known for the forecast's own steps, (batch, horizon, features).
    pub future: Option<Tensor>,
    /// Number of each window's series, u32, (batch).
    pub ids: Tensor,
}

impl Inputs {
    /// Return the number of time steps of the longest sequence: those of the target for a pair, and of the past for
    /// series.
    ///
    /// # Errors
    /// If the inputs have no dimension of time.
    pub fn steps(&self) -> Result<usize> {
        match self {
            Self::Steps(inputs) => inputs.dim(1),
            Self::Words(words) => words.tokens.dim(1),
            Self::Pair(pair) => pair.target.dim(1),
            Self::Series(series) => series.past.dim(1),
        }
    }

    /// Return the tokens (batch, time) or features (batch, time, features) of [`Inputs::Steps`].
    ///
    /// # Errors
    /// If the inputs are of another kind.
    pub fn as_steps(&self) -> Result<&Tensor> {
        match self {
            Self::Steps(inputs) => Ok(inputs),
            _ => bail!("expected tokens or features; found {}", self.kind()),
        }
    }

    /// Return the words of [`Inputs::Words`].
    ///
    /// # Errors
    /// If the inputs are of another kind.
    pub fn as_words(&self) -> Result<&Words> {
        match self {
            Self::Words(words) => Ok(words),
            _ => bail!("expected words with characters; found {}", self.kind()),
        }
    }

    /// Return the texts of [`Inputs::Pair`].
    ///
    /// # Errors
    /// If the inputs are of another kind.
    pub fn as_pair(&self) -> Result<&Pair> {
        match self {
            Self::Pair(pair) => Ok(pair),
            _ => bail!("expected pairs of texts; found {}", self.kind()),
        }
    }

    /// Return the windows of [`Inputs::Series`].
    ///
    /// # Errors
    /// If the inputs are of another kind.
    pub fn as_series(&self) -> Result<&Series> {
        match self {
            Self::Series(series) => Ok(series),
            _ => bail!("expected windows of time series; found {}", self.kind()),
        }
    }

    /// Return the kind of inputs, for errors.
    fn kind(&self) -> &'static str {
        match self {
            Self::Steps(_) => "tokens or features",
            Self::Words(_) => "words with characters",
            Self::Pair(_) => "pairs of texts",
            Self::Series(_) => "windows of time series",
        }
    }
}

impl From<Tensor> for Inputs {
    fn from(steps: Tensor) -> Self {
        Self::Steps(steps)
    }
}

impl From<&Tensor> for Inputs {
    fn from(steps: &Tensor) -> Self {
        Self::Steps(steps.clone())
    }
}
