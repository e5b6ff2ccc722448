//! The horizontal axis of a picture.

use std::str::FromStr;

use super::history::{History, Point};
use super::run::PlottedRun;
use super::scale::{Scale, ticks};
use crate::{Error, Result};

/// The horizontal axis of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Axis {
    /// Optimizer steps.
    #[default]
    Step,
    /// Epochs, in fractions.
    Epoch,
    /// Seconds since the start of the run.
    Seconds,
}

impl Axis {
    /// All axes.
    pub const ALL: [Self; 3] = [Self::Step, Self::Epoch, Self::Seconds];

    /// Return the name that [`Axis::from_str`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Epoch => "epoch",
            Self::Seconds => "seconds",
        }
    }

    /// Return the position of a point, if it is known.
    pub(super) fn of(self, history: &History, point: &Point) -> Option<f64> {
        match self {
            Self::Step => Some(point.step as f64),
            Self::Epoch => Some(point.step as f64 / history.epoch_steps()?),
            Self::Seconds => point.seconds.filter(|seconds| seconds.is_finite()),
        }
    }

    /// Return the largest position in any run: all panels of a picture have the same range.
    pub(super) fn end(self, runs: &[PlottedRun]) -> f64 {
        let positions = runs.iter().flat_map(|run| {
            let points = run.history.train.points().chain(run.history.valid.points());
            points.filter_map(|point| self.of(&run.history, point))
        });
        positions.fold(0., f64::max)
    }

    /// Return the scale from 0 to `end`, with numbers if `labelled`, and its title.
    pub(super) fn scale(self, end: f64, labelled: bool) -> (Scale, &'static str) {
        let (unit, title) = match self {
            Self::Step => (1., "optimizer step"),
            Self::Epoch => (1., "epoch"),
            Self::Seconds if end >= 7200. => (3600., "hours"),
            Self::Seconds if end >= 120. => (60., "minutes"),
            Self::Seconds => (1., "seconds"),
        };
        let range = 0. ..if end > 0. { end } else { 1. };
        let ticks = ticks(&(0. ..range.end / unit), 8).into_iter().map(|tick| tick * unit).collect();
        (Scale { range, ticks, logarithmic: false, unit: if labelled { unit } else { f64::NAN } }, title)
    }
}

impl FromStr for Axis {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|axis| axis.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Message(format!("unknown axis {name:?}; choose from {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed() {
        for axis in Axis::ALL {
            assert_eq!(axis.name().parse::<Axis>().unwrap(), axis);
        }
        assert!("week".parse::<Axis>().unwrap_err().to_string().contains("step, epoch, seconds"));
    }
}
