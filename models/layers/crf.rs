//! A linear-chain conditional random field: the probability of a whole sequence of tags (Lafferty et al. 2001).
//!
//! ```text
//! s(y) = start[y_1] + sum over t of emission[t][y_t] + sum over t > 1 of transition[y_{t-1}][y_t] + end[y_n]
//! p(y) = exp(s(y)) / sum over all y' of exp(s(y'))
//! ```
//!
//! | parameter | shape |
//! |---|---|
//! | `start_transitions` | (tags) |
//! | `transitions` | (tags, tags), from the first to the second |
//! | `end_transitions` | (tags) |

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use rand::Rng;

use crate::layers::init::{Distribution, parameter};
use crate::ops::crf::ChainScores;

/// Distribution of all parameters' initial values.
const DISTRIBUTION: Distribution = Distribution::Uniform(0.1);

/// The quantity that a loss over a batch returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// The sum over the sequences.
    Sum,
    /// The sum divided by the number of sequences.
    #[default]
    Mean,
    /// The sum divided by the number of steps, without padding.
    TokenMean,
}

/// A linear-chain conditional random field over the scores of tags that a network computes for each step.
///
/// To forbid a transition, set its score to -1e4: its probability and its gradient are then 0.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{VarBuilder, VarMap};
/// use rnn_zoo_models::{Crf, Reduction};
///
/// let parameters = VarMap::new();
/// let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
/// let crf = Crf::new(3, vb)?;
/// let emissions = Tensor::zeros((2, 4, 3), DType::F32, &Device::Cpu)?; // (batch, time, tags)
/// let tags = Tensor::zeros((2, 4), DType::U32, &Device::Cpu)?;
/// let loss = crf.loss(&emissions, &tags, Some(&[4, 2]), Reduction::Mean)?; // a scalar with a gradient
/// assert!(loss.to_scalar::<f32>()? > 0.);
/// let best = crf.decode(&emissions, Some(&[4, 2]))?;
/// assert_eq!((best[0].len(), best[1].len()), (4, 2));
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Crf {
    start_transitions: Tensor,
    transitions: Tensor,
    end_transitions: Tensor,
}

impl Crf {
    /// Make a field of `tags` tags with parameters from `vb`, whose names are those of pytorch-crf. Parameters that
    /// `vb` creates are uniform in ±0.1.
    ///
    /// # Errors
    /// If there are no tags, or a parameter is missing or has another shape.
    #[allow(clippy::needless_pass_by_value)] // as candle's own constructors take it
    pub fn new(tags: usize, vb: VarBuilder<'_>) -> Result<Self> {
        if tags == 0 {
            bail!("tags is 0; expected at least 1");
        }
        Ok(Self {
            start_transitions: parameter(&vb, tags, "start_transitions", DISTRIBUTION)?,
            transitions: parameter(&vb, (tags, tags), "transitions", DISTRIBUTION)?,
            end_transitions: parameter(&vb, tags, "end_transitions", DISTRIBUTION)?,
        })
    }

    /// Return the scores of the first tag, (tags).
    pub fn start_transitions(&self) -> &Tensor {
        &self.start_transitions
    }

    /// Return the scores of a tag after another, (tags, tags): row `i`, column `j` holds that of `j` after `i`.
    pub fn transitions(&self) -> &Tensor {
        &self.transitions
    }

    /// Return the scores of the last tag, (tags).
    pub fn end_transitions(&self) -> &Tensor {
        &self.end_transitions
    }

    /// Compute `-log p(tags)` in nats over the sequences of a batch: a scalar with a gradient.
    ///
    /// `emissions` is (batch, time, tags), `tags` (batch, time) in u32. `lengths` holds the steps of each sequence; all
    /// have `time` steps if `None`. The padding may hold any numbers. A sequence of length 0 has a loss of 0. Sums are
    /// in f64 on a processor.
    ///
    /// # Errors
    /// If the shapes disagree, a length is above `time`, or a tag within a sequence is not below the number of tags.
    pub fn loss(
        &self,
        emissions: &Tensor,
        tags: &Tensor,
        lengths: Option<&[usize]>,
        reduction: Reduction,
    ) -> Result<Tensor> {
        let (batch, time, _) = emissions.dims3()?;
        let sum = ChainScores { emissions, potentials: &self.potentials()?, lengths }.loss(tags)?;
        let count = match reduction {
            Reduction::Sum => return Ok(sum),
            Reduction::Mean => batch,
            Reduction::TokenMean => lengths.map_or(batch * time, |lengths| lengths.iter().sum()),
        };
        sum / count.max(1) as f64
    }

    /// Compute `-log p(tags)` of each sequence in nats, without a gradient. Shapes are those of [`Crf::loss`].
    ///
    /// # Errors
    /// As [`Crf::loss`].
    pub fn losses(&self, emissions: &Tensor, tags: &Tensor, lengths: Option<&[usize]>) -> Result<Vec<f64>> {
        ChainScores { emissions, potentials: &self.potentials()?, lengths }.losses(tags)
    }

    /// Find the most probable tags of each sequence with the Viterbi algorithm. `emissions` is (batch, time, tags). Of
    /// equally probable tags the lowest wins.
    ///
    /// # Errors
    /// If the shapes disagree, or a length is above `time`.
    pub fn decode(&self, emissions: &Tensor, lengths: Option<&[usize]>) -> Result<Vec<Vec<u32>>> {
        ChainScores { emissions, potentials: &self.potentials()?, lengths }.best()
    }

    /// Draw all parameters anew.
    ///
    /// # Errors
    /// If a parameter is not a variable.
    pub fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()> {
        [&self.start_transitions, &self.transitions, &self.end_transitions]
            .into_iter()
            .try_for_each(|parameter| DISTRIBUTION.draw(parameter, rng))
    }

    /// Concatenate the parameters: (tags + 2, tags), the transitions, the starts, the ends.
    fn potentials(&self) -> Result<Tensor> {
        let [start, end] = [&self.start_transitions, &self.end_transitions].map(|ends| ends.unsqueeze(0));
        Tensor::cat(&[&self.transitions, &start?, &end?], 0)
    }
}
