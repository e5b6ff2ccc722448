//! The metrics that a picture can show.

use std::fmt;
use std::str::FromStr;

use super::history::Point;
use crate::tasks::figures::{
    ACCURACY, BITS, BLEU, CHRF, EXACT, F1, MACRO_F1, MAE, MASE, MSE, PERPLEXITY, RMSE, SMAPE,
};
use crate::{Error, Result};

/// A metric is shown on a logarithmic scale if its values differ by more than this factor.
const LOGARITHMIC: f64 = 20.;

/// A metric that a picture can show, one panel each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Mean loss.
    Loss,
    /// Perplexity.
    Perplexity,
    /// Bits per token.
    Bits,
    /// Fraction of correct answers.
    Accuracy,
    /// Mean F1 over classes.
    MacroF1,
    /// F1 of tags.
    F1,
    /// Mean absolute error.
    Mae,
    /// Root of the mean squared error.
    Rmse,
    /// Mean squared error.
    Mse,
    /// Symmetric mean absolute percentage error.
    Smape,
    /// Mean absolute scaled error.
    Mase,
    /// BLEU of translations.
    Bleu,
    /// Character F-score of translations.
    Chrf,
    /// Fraction of translations that are right word for word.
    Exact,
    /// Learning rate.
    Lr,
    /// Targets per second.
    TokensPerSecond,
}

impl Quantity {
    /// All quantities.
    pub const ALL: [Self; 16] = [
        Self::Loss,
        Self::Perplexity,
        Self::Bits,
        Self::Accuracy,
        Self::MacroF1,
        Self::F1,
        Self::Mae,
        Self::Rmse,
        Self::Mse,
        Self::Smape,
        Self::Mase,
        Self::Bleu,
        Self::Chrf,
        Self::Exact,
        Self::Lr,
        Self::TokensPerSecond,
    ];

    /// The quantities of a default picture, without the accuracy if there is a perplexity.
    pub const USUAL: [Self; 7] =
        [Self::Loss, Self::Perplexity, Self::Accuracy, Self::MacroF1, Self::F1, Self::Bleu, Self::Lr];

    /// Return the name that [`Quantity::from_str`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Perplexity => "perplexity",
            Self::Bits => "bits",
            Self::Accuracy => "accuracy",
            Self::MacroF1 => "macro-f1",
            Self::F1 => "f1",
            Self::Mae => "mae",
            Self::Rmse => "rmse",
            Self::Mse => "mse",
            Self::Smape => "smape",
            Self::Mase => "mase",
            Self::Bleu => "bleu",
            Self::Chrf => "chrf",
            Self::Exact => "exact",
            Self::Lr => "lr",
            Self::TokensPerSecond => "tokens-per-second",
        }
    }

    /// Return the value at a point, if it is finite.
    pub(super) fn of(self, point: &Point) -> Option<f64> {
        let value = match self {
            Self::Loss => point.loss,
            Self::Perplexity => point.figures.get(PERPLEXITY),
            Self::Bits => point.figures.get(BITS),
            Self::Accuracy => point.figures.get(ACCURACY),
            Self::MacroF1 => point.figures.get(MACRO_F1),
            Self::F1 => point.figures.get(F1),
            Self::Mae => point.figures.get(MAE),
            Self::Rmse => point.figures.get(RMSE),
            Self::Mse => point.figures.get(MSE),
            Self::Smape => point.figures.get(SMAPE),
            Self::Mase => point.figures.get(MASE),
            Self::Bleu => point.figures.get(BLEU),
            Self::Chrf => point.figures.get(CHRF),
            Self::Exact => point.figures.get(EXACT),
            Self::Lr => point.lr,
            Self::TokensPerSecond => point.tokens_per_second,
        };
        value.filter(|value| value.is_finite())
    }

    /// Return whether validation has its own values. Learning rate and speed are those of training.
    pub(super) fn is_validated(self) -> bool {
        !matches!(self, Self::Lr | Self::TokensPerSecond)
    }

    /// Return whether the values need a logarithmic scale. A learning rate that falls to almost nothing at the end, as
    /// with a cosine schedule, does not: at least half of its values must be small.
    pub(super) fn is_logarithmic(self, values: &[f64]) -> bool {
        let most = values.iter().copied().fold(0., f64::max);
        let small = values.iter().filter(|value| **value < most / LOGARITHMIC).count();
        let positive = values.iter().all(|value| *value > 0.);
        match self {
            Self::Perplexity => positive && small > 0,
            Self::Lr => positive && 2 * small > values.len(),
            _ => false,
        }
    }
}

impl FromStr for Quantity {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|quantity| quantity.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Message(format!("unknown metric {name:?}; choose from {names}"))
        })
    }
}

/// The title of a panel.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loss => "loss",
            Self::Perplexity => "perplexity",
            Self::Bits => "bits per token",
            Self::Accuracy => "accuracy",
            Self::MacroF1 => "macro F1",
            Self::F1 => "F1",
            Self::Mae => "MAE",
            Self::Rmse => "RMSE",
            Self::Mse => "MSE",
            Self::Smape => "sMAPE",
            Self::Mase => "MASE",
            Self::Bleu => "BLEU",
            Self::Chrf => "chrF",
            Self::Exact => "exact match",
            Self::Lr => "learning rate",
            Self::TokensPerSecond => "tokens per second",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed() {
        for quantity in Quantity::ALL {
            assert_eq!(quantity.name().parse::<Quantity>().unwrap(), quantity);
        }
        let error = "speed".parse::<Quantity>().unwrap_err().to_string();
        assert!(error.contains("\"speed\"") && error.contains("tokens-per-second"), "{error}");
    }

    #[test]
    fn logarithmic_scale_needs_many_small_values() {
        let cosine: Vec<f64> =
            (0..100).map(|n| 1e-6 + 0.5 + 0.5 * (f64::from(n) / 100. * std::f64::consts::PI).cos()).collect();
        assert!(!Quantity::Lr.is_logarithmic(&cosine));
        assert!(Quantity::Lr.is_logarithmic(&[20., 5., 0.9, 0.1, 0.01]));
        assert!(!Quantity::Lr.is_logarithmic(&[20., 5., 0., 0., 0.]), "zero has no logarithm");
        assert!(Quantity::Perplexity.is_logarithmic(&[9000., 200., 100.]));
        assert!(
            !Quantity::Perplexity.is_logarithmic(&[9., 5.]) && !Quantity::Loss.is_logarithmic(&[9., 0.1])
        );
    }
}
