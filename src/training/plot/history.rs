//! The reports of a run, thinned to as many as a picture can show.

use serde::Deserialize;

use crate::tasks::Figures;
use crate::training::metric::MetricsLine;

/// The number of reports kept per split, and at most twice that: more than a picture has columns.
const KEPT: usize = 1000;

/// A report of a run. A number is `None` if it is missing or was NaN.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Point {
    /// Optimizer steps taken.
    pub step: usize,
    /// The epoch of that step, counted from 0.
    #[serde(default)]
    pub epoch: usize,
    /// Seconds of the run so far.
    pub seconds: Option<f64>,
    /// Mean loss.
    pub loss: Option<f64>,
    /// Whether the parameters of this evaluation were kept.
    #[serde(default)]
    pub best: bool,
    /// The other figures, without those that were NaN.
    #[serde(flatten)]
    pub figures: Figures,
    /// Learning rate.
    pub lr: Option<f64>,
    /// Targets a second.
    pub tokens_per_second: Option<f64>,
}

/// A line of `metrics.jsonl`.
#[derive(Deserialize)]
struct Line {
    split: String,
    #[serde(flatten)]
    point: Point,
}

impl From<&MetricsLine> for Point {
    fn from(metric: &MetricsLine) -> Self {
        Self {
            step: metric.step,
            epoch: metric.epoch,
            seconds: Some(metric.seconds),
            loss: Some(metric.loss),
            best: metric.best,
            figures: metric.figures.clone(),
            lr: Some(metric.lr),
            tokens_per_second: Some(metric.tokens_per_second),
        }
    }
}

/// The reports of a run, thinned out where there are many.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Reports of training.
    pub train: SplitReports,
    /// Reports of validation.
    pub valid: SplitReports,
    /// Bounds on the steps of an epoch, as far as the reports tell.
    epoch: (f64, f64),
}

impl History {
    /// Read the lines of a `metrics.jsonl`. A last line that is cut short is being written just now.
    ///
    /// # Errors
    /// If a line is not a report; the error has its number.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut history = Self::default();
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let count = text.lines().count();
        for (number, line) in lines {
            match serde_json::from_str::<Line>(line) {
                Ok(Line { split, point }) => history.push(&split, point),
                Err(_) if number + 1 == count && !text.ends_with('\n') => {}
                Err(_) => {
                    let expected =
                        "expected a JSON object with `step`, `split` and `loss`, as in metrics.jsonl";
                    return Err(format!("line {} is not a report of a run; {expected}", number + 1));
                }
            }
        }
        Ok(history)
    }

    /// Add a report of `train` or `valid`; other splits are ignored.
    pub fn push(&mut self, split: &str, point: Point) {
        let (step, epoch) = (point.step as f64, point.epoch as f64);
        let (fewest, most) = self.epoch;
        let most = if most > 0. { most } else { f64::INFINITY };
        // The epoch ends at this step or later.
        self.epoch =
            (fewest.max(step / (epoch + 1.)), most.min(if epoch > 0. { step / epoch } else { most }));
        match split {
            "train" => self.train.push(point),
            "valid" => self.valid.push(point),
            _ => {}
        }
    }

    /// Return whether there is no report at all.
    pub fn is_empty(&self) -> bool {
        self.train.is_empty() && self.valid.is_empty()
    }

    /// Steps of an epoch; `None` before the first one is known to be over.
    pub fn epoch_steps(&self) -> Option<f64> {
        let (fewest, most) = self.epoch;
        (most.is_finite() && most > 0. && fewest > 0.).then(|| fewest.ceil().min(most))
    }
}

/// The reports of one split, by step.
#[derive(Clone, Debug)]
pub struct SplitReports {
    kept: Vec<Point>,
    /// Reports that have not yet been thinned, fewer than `stride`.
    fresh: Vec<Point>,
    /// The number of reports of which the two with the extreme losses are kept.
    stride: usize,
}

impl Default for SplitReports {
    fn default() -> Self {
        Self { kept: vec![], fresh: vec![], stride: 1 }
    }
}

impl SplitReports {
    /// Add a report. One that goes back in time takes the place of those after it: the run was resumed
    /// from before them.
    pub fn push(&mut self, point: Point) {
        for points in [&mut self.fresh, &mut self.kept] {
            while points.last().is_some_and(|last| last.step >= point.step) {
                points.pop();
            }
        }
        self.fresh.push(point);
        if self.fresh.len() >= self.stride {
            self.kept.extend(extremes(&self.fresh));
            self.fresh.clear();
        }
        if self.kept.len() >= 2 * KEPT {
            self.kept = self.kept.chunks(4).flat_map(extremes).collect();
            self.stride = if self.stride == 1 { 4 } else { 2 * self.stride };
        }
    }

    /// Return the reports that are left, by step.
    pub fn points(&self) -> impl Iterator<Item = &Point> {
        self.kept.iter().chain(&self.fresh)
    }

    /// Return whether there is none.
    pub fn is_empty(&self) -> bool {
        self.points().next().is_none()
    }
}

/// Return the reports with the least and the largest loss, in their order: what a line through all of them would
/// reach.
fn extremes(points: &[Point]) -> Vec<Point> {
    let loss = |index: &usize| points[*index].loss.unwrap_or(f64::NAN);
    let finite: Vec<usize> = (0..points.len()).filter(|index| loss(index).is_finite()).collect();
    let by_loss = |a: &usize, b: &usize| loss(a).total_cmp(&loss(b));
    let least = finite.iter().copied().min_by(by_loss).unwrap_or(0);
    let most = finite.iter().copied().max_by(by_loss).unwrap_or(least);
    let mut ends = vec![least.min(most), least.max(most)];
    ends.dedup();
    ends.into_iter().filter_map(|index| points.get(index).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(step: usize, loss: f64) -> Point {
        Point { step, loss: Some(loss), ..Point::default() }
    }

    #[test]
    fn a_long_run_keeps_its_shape_in_few_points() {
        let mut series = SplitReports::default();
        let loss = |step: usize| if step == 54_321 { 9. } else { 1. + (step as f64 / 1000.).sin() };
        for step in 1..=100_000 {
            series.push(point(step, loss(step)));
        }
        let points: Vec<&Point> = series.points().collect();
        assert!(points.len() > KEPT / 2 && points.len() < 3 * KEPT, "{}", points.len());
        assert!(points.windows(2).all(|pair| pair[0].step < pair[1].step));
        assert!(points.iter().all(|point| point.loss == Some(loss(point.step))), "nothing is averaged");
        assert!(points.iter().any(|point| point.step == 54_321), "a spike is not lost");
        let gap = points.windows(2).map(|pair| pair[1].step - pair[0].step).max().unwrap();
        assert!(gap <= 100_000 / KEPT * 5, "every part of the run is there: {gap}");
        assert_eq!(points.last().unwrap().step, 100_000);
    }

    #[test]
    fn a_resumed_run_replaces_what_it_repeats() {
        let mut series = SplitReports::default();
        for (step, loss) in [(1, 5.), (2, 4.), (3, 3.), (2, 4.5), (3, 3.5)] {
            series.push(point(step, loss));
        }
        let points: Vec<_> = series.points().map(|point| (point.step, point.loss.unwrap())).collect();
        assert_eq!(points, [(1, 5.), (2, 4.5), (3, 3.5)]);
    }

    #[test]
    fn epochs_are_told_from_steps() {
        let mut history = History::default();
        for (step, epoch) in [(10, 0), (30, 0)] {
            history.push("train", Point { epoch, ..point(step, 1.) });
        }
        assert_eq!(history.epoch_steps(), None, "the first epoch may go on for ever");
        for (step, epoch) in [(35, 0), (36, 1), (70, 1), (90, 2)] {
            history.push("train", Point { epoch, ..point(step, 1.) });
        }
        assert_eq!(history.epoch_steps(), Some(35.));
    }

    #[test]
    fn lines_that_are_no_reports_are_named_and_a_torn_one_is_not_read() {
        let line = "{\"step\": 1, \"epoch\": 0, \"split\": \"train\", \"loss\": null, \"lr\": 0.1}\n";
        let history = History::read(&format!("{line}{{\"step\": 2, \"spl")).unwrap();
        assert_eq!(
            history.train.points().map(|point| (point.step, point.loss)).collect::<Vec<_>>(),
            [(1, None)]
        );
        let error = History::read(&format!("{line}\nnothing\n")).unwrap_err();
        assert!(error.starts_with("line 3 is not a report"), "{error}");
        assert!(!error.contains("column"), "{error}");
        assert!(History::read("").unwrap().is_empty());
    }
}
