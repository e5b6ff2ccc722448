//! The metrics that can choose the best checkpoint of a run.

use super::figures::Figures;

/// A metric that can choose the best checkpoint of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Criterion {
    /// The name of the metric in options.
    pub name: &'static str,
    /// The name of the figure; `None` for the loss.
    pub figure: Option<&'static str>,
    /// The values that are better.
    pub better: Better,
}

/// The values of a metric that are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Lower values, such as those of an error.
    Lower,
    /// Higher values, such as those of an accuracy.
    Higher,
}

impl Criterion {
    /// The loss, which every task has.
    pub const LOSS: Self = Self { name: "loss", figure: None, better: Better::Lower };

    /// A figure of which higher values are better.
    pub const fn higher(name: &'static str, figure: &'static str) -> Self {
        Self { name, figure: Some(figure), better: Better::Higher }
    }

    /// A figure of which lower values are better.
    pub const fn lower(name: &'static str, figure: &'static str) -> Self {
        Self { name, figure: Some(figure), better: Better::Lower }
    }

    /// The value of the metric in an evaluation; NaN if the evaluation does not have it.
    pub fn value(&self, loss: f64, figures: &Figures) -> f64 {
        self.figure.map_or(loss, |name| figures.get(name).unwrap_or(f64::NAN))
    }

    /// Whether `value` is better than `best`. NaN is not better than anything.
    pub fn is_better(&self, value: f64, best: f64) -> bool {
        match self.better {
            Better::Lower => value < best,
            Better::Higher => value > best,
        }
    }
}
