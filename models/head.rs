//! Heads of a forecaster: the numbers that it outputs for a step.
//!
//! | head | outputs of a step |
//! |---|---|
//! | mean | the forecast |
//! | quantiles | one number for each level |
//! | gaussian | mean, and the standard deviation before softplus |
//! | student-t | location, and scale and degrees of freedom before softplus |
//! | negative-binomial | mean and shape before softplus |

use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};

/// The numbers that a forecaster outputs for a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Head {
    /// The forecast alone.
    Mean {
        /// The loss that it is trained with.
        loss: PointLoss,
    },
    /// Quantiles, trained with the pinball loss.
    Quantiles {
        /// The levels, ascending, in (0, 1).
        levels: Vec<f64>,
    },
    /// A normal distribution, trained by its likelihood.
    Gaussian {
        /// The levels of the quantiles that are reported.
        levels: Vec<f64>,
    },
    /// Student's t distribution, trained by its likelihood.
    StudentT {
        /// The levels of the quantiles that are reported.
        levels: Vec<f64>,
    },
    /// A negative binomial distribution of counts, trained by its likelihood.
    NegativeBinomial {
        /// The levels of the quantiles that are reported.
        levels: Vec<f64>,
    },
}

/// The loss of a single number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PointLoss {
    /// Squared error.
    Mse,
    /// Absolute error.
    Mae,
    /// Symmetric percentage error.
    Smape,
}

impl Head {
    /// Return the number of outputs of a step.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Mean { .. } => 1,
            Self::Quantiles { levels } => levels.len(),
            Self::Gaussian { .. } | Self::NegativeBinomial { .. } => 2,
            Self::StudentT { .. } => 3,
        }
    }

    /// Return the number of outputs that shift with the level of the series: its locations. They come first.
    pub fn locations(&self) -> usize {
        match self {
            Self::Quantiles { levels } => levels.len(),
            Self::Mean { .. }
            | Self::Gaussian { .. }
            | Self::StudentT { .. }
            | Self::NegativeBinomial { .. } => 1,
        }
    }

    /// Return the levels of the quantiles that are reported, ascending.
    pub fn levels(&self) -> &[f64] {
        match self {
            Self::Mean { .. } => &[],
            Self::Quantiles { levels }
            | Self::Gaussian { levels }
            | Self::StudentT { levels }
            | Self::NegativeBinomial { levels } => levels,
        }
    }

    /// Refuse levels that are not quantiles.
    ///
    /// # Errors
    /// If a level is outside (0, 1), they do not ascend, or quantiles have none.
    pub fn check(&self) -> Result<()> {
        let levels = self.levels();
        if matches!(self, Self::Quantiles { .. }) && levels.is_empty() {
            bail!("a head of quantiles has no levels");
        }
        let valid = levels.iter().all(|level| *level > 0. && *level < 1.);
        match valid && levels.windows(2).all(|pair| pair[0] < pair[1]) {
            true => Ok(()),
            false => {
                bail!("the levels of quantiles are {levels:?}; expected ascending numbers between 0 and 1")
            }
        }
    }
}
