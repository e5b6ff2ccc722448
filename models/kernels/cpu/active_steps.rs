//! The steps of a padded batch that are within the lengths of its sequences. The kernels compute no others.
//!
//! Kernels take the sequences of a batch in the order of decreasing length, so that those with a step are always the
//! first ones. A "row" of a kernel is a place in this order; a "sequence" is a row of the caller's tensors.

use std::cmp::Reverse;
use std::ops::Range;

use super::workers::Worker;

/// The steps of a padded batch that are within the lengths of its sequences.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ActiveSteps {
    /// The sequence of each row.
    sequences: Vec<usize>,
    /// The row of each sequence.
    rows: Vec<usize>,
    /// Rows with each step.
    counts: Vec<usize>,
}

impl ActiveSteps {
    /// Make the steps of `batch` sequences of these lengths, each at most `time`; `None` means `time` steps each.
    ///
    /// # Panics
    /// If there are not `batch` lengths, or one exceeds `time`.
    pub(crate) fn new(lengths: Option<&[usize]>, (batch, time): (usize, usize)) -> Self {
        let in_order = || (0..batch).collect::<Vec<usize>>();
        let Some(lengths) = lengths else {
            return Self { sequences: in_order(), rows: in_order(), counts: vec![batch; time] };
        };
        assert_eq!(lengths.len(), batch, "lengths of a batch");
        assert!(lengths.iter().all(|&length| length <= time), "lengths of {time} steps at most");
        let mut sequences = in_order();
        sequences.sort_by_key(|&sequence| Reverse(lengths[sequence])); // stable
        let mut rows = vec![0; batch];
        for (row, &sequence) in sequences.iter().enumerate() {
            rows[sequence] = row;
        }
        let counts =
            (0..time).map(|t| sequences.partition_point(|&sequence| lengths[sequence] > t)).collect();
        Self { sequences, rows, counts }
    }

    /// Return the sizes (batch, time).
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.rows.len(), self.counts.len())
    }

    /// Return the sequence of a row.
    pub(crate) fn sequence(&self, row: usize) -> usize {
        self.sequences[row]
    }

    /// Return the sequences in the order of their rows.
    pub(crate) fn sequences(&self) -> &[usize] {
        &self.sequences
    }

    /// Return the rows in the order of their sequences.
    pub(crate) fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Return whether all sequences have all steps, so that rows and sequences are the same.
    pub(crate) fn is_full(&self) -> bool {
        self.counts.iter().all(|&count| count == self.rows.len())
    }

    /// Return the number of rows with step `t`.
    pub(crate) fn count(&self, t: usize) -> usize {
        self.counts[t]
    }

    /// Return the number of steps of `row`.
    pub(crate) fn steps(&self, row: usize) -> usize {
        self.counts.partition_point(|&count| count > row)
    }

    /// Return the number of steps of all rows.
    pub(crate) fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Return one worker's rows of the batch. The steps of all rows are divided evenly; a row goes to the worker in
    /// whose share its first step lies.
    pub(crate) fn share(&self, worker: Worker<'_>) -> Range<usize> {
        let steps = worker.share(self.len());
        let [mut from, mut to, mut before] = [0; 3];
        for row in 0..self.rows.len() {
            from += usize::from(before < steps.start);
            to += usize::from(before < steps.end);
            before += self.steps(row);
        }
        // The last worker also has the rows without steps.
        from..if worker.index + 1 == worker.count { self.rows.len() } else { to }
    }

    /// Return time step and row of each active step: one time step after another, each in the order of the sequences.
    /// Sums over steps are taken in this order.
    pub(crate) fn in_batch_order(&self) -> Vec<(usize, usize)> {
        let of_step = |t| self.rows.iter().filter(move |&&row| row < self.count(t)).map(move |&row| (t, row));
        (0..self.counts.len()).flat_map(of_step).collect()
    }

    /// Return the active steps in the order of a product: step by step with all rows each, or row by row.
    pub(crate) fn order(&self, by_step: bool) -> StepOrder {
        let (batch, time) = self.size();
        let counts: Vec<usize> = match by_step {
            true => self.counts.clone(),
            false => (0..batch).map(|row| self.steps(row)).collect(),
        };
        let mut places = Vec::with_capacity(self.len());
        let mut ends = Vec::with_capacity(if by_step { time } else { batch });
        for (outer, &count) in counts.iter().enumerate() {
            places.extend((0..count).map(|inner| if by_step { (outer, inner) } else { (inner, outer) }));
            ends.push(places.len());
        }
        StepOrder { places, by_step, ends }
    }
}

/// Steps in the order in which a product takes them.
pub(crate) struct StepOrder {
    /// Step and row of each.
    places: Vec<(usize, usize)>,
    by_step: bool,
    /// The end of each step, or of each row, in `places`.
    ends: Vec<usize>,
}

impl StepOrder {
    /// Return the number of steps of all rows.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Return the rows of a matrix (batch, time) that hold the steps of `active`, in this order.
    pub(crate) fn rows_of(&self, active: &ActiveSteps) -> Vec<usize> {
        let time = active.counts.len();
        self.places.iter().map(|&(t, row)| active.sequence(row) * time + t).collect()
    }

    /// Return the step and the row at `index`.
    pub(crate) fn step_and_row(&self, index: usize) -> (usize, usize) {
        self.places[index]
    }

    /// Return the end of the neighbours of `index` that are of the same step, or of the same row.
    pub(crate) fn run_end(&self, index: usize) -> usize {
        let (t, row) = self.places[index];
        self.ends[if self.by_step { t } else { row }]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::workers::run;
    use super::*;

    fn steps(lengths: &[usize], time: usize) -> ActiveSteps {
        ActiveSteps::new(Some(lengths), (lengths.len(), time))
    }

    #[test]
    fn rows_and_steps_are_those_within_the_lengths() {
        let steps = steps(&[2, 3, 0, 2], 4);
        assert_eq!((steps.sequences(), steps.rows()), (&[1, 0, 3, 2][..], &[1, 0, 3, 2][..]));
        assert_eq!((0..4).map(|t| steps.count(t)).collect::<Vec<_>>(), [3, 3, 1, 0]);
        assert_eq!((0..4).map(|row| steps.steps(row)).collect::<Vec<_>>(), [3, 2, 2, 0]);
        assert_eq!((steps.len(), steps.is_full()), (7, false));
        assert_eq!(steps.in_batch_order(), [(0, 1), (0, 0), (0, 2), (1, 1), (1, 0), (1, 2), (2, 0)]);
    }

    #[test]
    fn orders_have_every_step_once_and_end_runs_where_step_or_row_changes() {
        for steps in [steps(&[2, 3, 0, 2], 4), steps(&[0], 3), ActiveSteps::new(None, (3, 2))] {
            let mut found = vec![];
            for by_step in [true, false] {
                let order = steps.order(by_step);
                let run = |index| {
                    let (t, row) = order.step_and_row(index);
                    if by_step { t } else { row }
                };
                for index in 0..order.len() {
                    let end = order.run_end(index);
                    assert!((index..end).all(|other| run(other) == run(index)));
                    assert!(end == order.len() || run(end) != run(index));
                }
                let mut places: Vec<_> = (0..order.len()).map(|index| order.step_and_row(index)).collect();
                places.sort_unstable();
                found.push(places);
            }
            assert_eq!(found[0], found[1]);
            let (batch, time) = steps.size();
            let all = (0..time).flat_map(|t| (0..batch).map(move |row| (t, row)));
            assert_eq!(found[0], all.filter(|&(t, row)| row < steps.count(t)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn shares_have_every_row_once_and_similar_numbers_of_steps() {
        let lengths: Vec<usize> = (0..40).rev().collect();
        let steps = steps(&lengths, 40);
        let shares = Mutex::new(vec![]);
        run(3, &|worker| shares.lock().unwrap().push((worker.count, steps.share(worker))));
        let mut shares = shares.into_inner().unwrap();
        shares.sort_unstable_by_key(|(_, share)| share.start);
        assert_eq!(
            shares.iter().flat_map(|(_, share)| share.clone()).collect::<Vec<_>>(),
            (0..40).collect::<Vec<_>>()
        );
        for (count, share) in shares {
            let found: usize = lengths[share].iter().sum();
            assert!(
                found.abs_diff(steps.len() / count) < 40,
                "{found} of {} steps for one of {count}",
                steps.len()
            );
        }
    }
}
