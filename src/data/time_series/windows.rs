//! Windows of series as examples of a network.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use rnn_zoo_models::{Inputs, Series};

use super::bounds::Bounds;
use super::set::{ScaledWindow, SeriesSet};
use super::target::{TargetWindow, WindowTargets};
use crate::Result;
use crate::data::batch::{Batch, Examples, Targets};
use crate::data::source::Split;
use crate::listing::thousands;

/// The distance between the beginnings of successive forecasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stride {
    /// A fixed number of steps.
    Steps(usize),
    /// As few steps as leave at most so many windows. It has no divisor in common with a season, so that forecasts
    /// begin at all of its steps.
    Most(usize),
}

/// Windows of series, each with the steps after it.
#[derive(Debug)]
pub struct SeriesWindows {
    set: Arc<SeriesSet>,
    /// The series and the first step of the forecast of each window.
    places: Vec<(u32, u32)>,
    /// The divisor of MASE of each series.
    naive_errors: Vec<Option<f64>>,
    notes: Vec<String>,
}

impl SeriesWindows {
    /// The windows whose forecasts lie within a split. `bounds` are those of the series. The steps before may lie in
    /// another split. In training and in the split of everything they begin with a whole window of steps, or with the
    /// last forecast of a series that is too short for it. `naive_error` computes the divisor of MASE from a history.
    pub fn of_split(
        set: Arc<SeriesSet>,
        bounds: &[Bounds],
        split: Split,
        stride: Stride,
        naive_error: impl Fn(&[f64]) -> Option<f64>,
    ) -> Self {
        let sizes = set.sizes;
        let ranges: Vec<_> = bounds.iter().map(|bounds| bounds.of(split)).collect();
        let starts = ranges.iter().map(|range| {
            let last = range.end.checked_sub(sizes.horizon).filter(|last| *last >= range.start.max(1))?;
            let first = if range.start == 0 { sizes.window.min(last) } else { range.start };
            Some((first, last))
        });
        let starts: Vec<Option<(usize, usize)>> = starts.collect();
        let count = starts.iter().flatten().map(|(first, last)| last - first + 1).sum::<usize>();
        let stride = stride.steps(count, sizes.season);
        let mut places = vec![];
        let mut naive_errors = vec![None; set.series.len()];
        for (series, start) in starts.iter().enumerate() {
            let Some((first, last)) = *start else { continue };
            let values = &set.series[series].values;
            let known = |at: &usize| values[*at..*at + sizes.horizon].iter().any(|value| !value.is_nan());
            let own = (first..=last).step_by(stride).filter(known);
            places.extend(own.map(|at| (series as u32, at as u32)));
            naive_errors[series] = naive_error(&values[..first]);
        }
        let notes = note_of_short(&starts, split, sizes.horizon).into_iter().collect();
        Self { set, places, naive_errors, notes }
    }

    /// One window before each of these steps, of the series of the same number.
    pub fn before(set: Arc<SeriesSet>, steps: &[Option<usize>]) -> Self {
        let places = steps.iter().enumerate().filter_map(|(series, at)| Some((series as u32, (*at)? as u32)));
        let (places, count) = (places.collect(), set.series.len());
        Self { set, places, naive_errors: vec![None; count], notes: vec![] }
    }

    /// The name of the series of a window.
    pub fn name(&self, row: usize) -> &str {
        &self.set.series[self.places[row].0 as usize].name
    }
}

/// A note of the series that are too short for a forecast in a split that is scored.
fn note_of_short(starts: &[Option<(usize, usize)>], split: Split, horizon: usize) -> Option<String> {
    let short = starts.iter().filter(|start| start.is_none()).count();
    (short > 0 && matches!(split, Split::Valid | Split::Test)).then(|| {
        format!(
            "{} of {} series left out: fewer than {horizon} steps, those of a forecast, in their {split} split",
            thousands(short as u64),
            thousands(starts.len() as u64)
        )
    })
}

impl Stride {
    fn steps(self, windows: usize, season: usize) -> usize {
        match self {
            Self::Steps(steps) => steps.max(1),
            Self::Most(most) => {
                let mut steps = windows.div_ceil(most.max(1)).max(1);
                while season > 1 && greatest_common_divisor(steps, season) > 1 {
                    steps += 1;
                }
                steps
            }
        }
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl Examples for SeriesWindows {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch> {
        let set = &self.set;
        let (window, horizon) = (set.sizes.window, set.sizes.horizon);
        let (mut past, mut future, mut values, mut ids, mut windows) =
            (vec![], vec![], vec![], vec![], vec![]);
        for &row in rows {
            let (series, at) = (self.places[row].0 as usize, self.places[row].1 as usize);
            let cut = set.cut(series, at);
            past.extend_from_slice(&cut.past);
            future.extend_from_slice(&cut.future);
            values.extend((at..at + horizon).map(|step| set.target(series, step, &cut)));
            ids.push(set.series[series].column as u32);
            let ScaledWindow { centre, scale, range, .. } = cut;
            let (set, naive_error) = (Arc::clone(set), self.naive_errors[series]);
            windows.push(TargetWindow { set, series, at, centre, scale, range, naive_error });
        }
        let (batch, known) = (rows.len(), set.known());
        let future = match known {
            0 => None,
            _ => Some(Tensor::from_vec(future, (batch, horizon, known), device)?),
        };
        let past = Tensor::from_vec(past, (batch, window, set.channels()), device)?;
        let ids = Tensor::from_vec(ids, batch, device)?;
        let values = Tensor::from_vec(values, (batch, horizon), device)?;
        Ok(Batch {
            inputs: Inputs::Series(Series { past, future, ids }),
            targets: Targets::Windows(WindowTargets { values, windows }),
            lengths: None,
            fresh: true,
        })
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn hash(&self, add: &mut dyn FnMut(u32)) {
        let mut add_number = |number: f64| {
            let bits = number.to_bits();
            add(bits as u32);
            add((bits >> 32) as u32);
        };
        for series in &self.set.series {
            series.values.iter().chain(&series.covariates.values).for_each(|&value| add_number(value));
        }
        for &(series, at) in &self.places {
            add(series);
            add(at);
        }
    }
}
