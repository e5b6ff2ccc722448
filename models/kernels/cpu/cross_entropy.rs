//! A linear layer and the cross-entropy of its softmax, in one: the scores of all classes for all rows never
//! exist at once, and the gradients come with the loss.
//!
//! Some rows at a time, with `s = W h + b` the scores of a row:
//!
//! ```text
//! loss = log sum exp s - (1 - e) s[target] - e mean s         e is the smoothing
//! d s  = softmax(s) - (1 - e) at the target - e / classes     times the weight of a row in the mean
//! d W += d s h^T        d b += d s        d h = W^T d s
//! ```
//!
//! The product is turned round: classes are its rows and rows of the batch its columns. So the weights need
//! no packing, and a softmax is a sum of vectors. Workers of the team share the classes out in blocks whose
//! size depends on nothing but the number of classes, so that every sum is taken in the same order whatever
//! the team.

use std::ops::Range;

use pulp::Simd;

use super::Isa;
use super::memory::{Buffer, Shared, filled};
use super::panels::{Panel, Panels};
use super::product::{Rows, WIDEST, dense, most_rows, multiply, tiles};
use super::simd::{Real, Vector};
use super::workers::{self, Kernel, Worker};

/// Numbers of the scores that exist at once, about: some rows, a vector of them at least, by all classes.
const SCORES: usize = 1 << 22;

/// Depth of a block of weights that is packed for the gradient of the rows.
const DEPTH: usize = 512;

/// The lowest number that is finite.
fn lowest<E: Real>() -> E {
    E::from_f64(if size_of::<E>() == 4 { f32::MIN.into() } else { f64::MIN })
}

/// What goes in.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a, E> {
    /// (rows, features).
    pub rows: &'a [E],
    /// (classes, features).
    pub weight: &'a [E],
    /// (classes).
    pub bias: &'a [E],
    /// (rows), each below the number of classes.
    pub targets: &'a [u32],
    /// Share of a target's probability that is spread over all classes.
    pub smoothing: f64,
}

/// Gradients of the mean loss.
pub(crate) struct Gradients<E> {
    pub rows: Vec<E>,
    pub weight: Vec<E>,
    pub bias: Vec<E>,
}

/// What comes out.
pub(crate) struct Found<E> {
    /// `-log p(target)` of each row.
    pub losses: Vec<E>,
    /// Rows whose target has the highest score, the first of several; with gradients any of several.
    pub correct: usize,
    /// Of the mean, where they were asked for.
    pub gradients: Option<Gradients<E>>,
}

impl<E: Real> Found<E> {
    /// The losses of all rows in f64, and in the order of the rows.
    pub(crate) fn sum(&self) -> f64 {
        self.losses.iter().map(|loss| loss.to_f64()).sum()
    }
}

/// Sizes, and how the work is cut.
#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: usize,
    features: usize,
    classes: usize,
    lanes: usize,
    /// Rows of the batch at a time.
    some: usize,
    /// Classes of a block.
    block: usize,
}

struct Outputs<E> {
    rows: Shared<E>,
    weight: Shared<E>,
    bias: Shared<E>,
}

struct Work<'a, E> {
    shape: Shape,
    inputs: Inputs<'a, E>,
    workers: usize,
    /// (classes, rows).
    scores: &'a Buffer<E>,
    /// The highest score of a block in each row, and the sum of `exp(score - highest)`, (blocks, rows).
    highest: &'a Buffer<E>,
    sums: &'a Buffer<E>,
    /// With smoothing: the sum of a block's scores in each row, (blocks, rows).
    totals: &'a Buffer<E>,
    /// The target's score, and the loss, (rows).
    own: &'a Buffer<E>,
    losses: &'a Buffer<E>,
    /// Whether the target's score is the highest, (rows).
    correct: &'a Buffer<E>,
    /// For each set of rows: its panels, as columns of the first product and as rows of the gradients'.
    columns: &'a [Panels<E>],
    operands: &'a [Panels<E>],
    outputs: Option<Outputs<E>>,
}

/// Loss and gradients of all rows.
pub(crate) fn cross_entropy<E: Real>(isa: Isa, inputs: &Inputs<'_, E>, wants_gradients: bool) -> Found<E> {
    let (rows, classes) = (inputs.targets.len(), inputs.bias.len());
    let features = inputs.weight.len() / classes.max(1);
    assert_eq!((inputs.rows.len(), inputs.weight.len()), (rows * features, classes * features));
    assert!(inputs.targets.iter().all(|&target| (target as usize) < classes), "a target is no class");
    let lanes = isa.lanes::<E>();
    let most = (SCORES / classes.max(1) / lanes).clamp(1, 32) * lanes;
    let sets = rows.div_ceil(most).max(1);
    let shape = Shape {
        rows,
        features,
        classes,
        lanes,
        some: super::padded(rows.div_ceil(sets), lanes).max(lanes),
        block: (classes / 8).next_multiple_of(16).clamp(16, 256),
    };
    let workers = super::project::workers(rows * features * classes);
    let buffer = Buffer::<E>::new;
    let blocks = classes.div_ceil(shape.block);
    let sets = || (0..rows).step_by(shape.some).map(|from| shape.some.min(rows - from));
    let columns: Vec<_> =
        sets().map(|some| Panels::new(features, some.div_ceil(lanes), 1, lanes, workers)).collect();
    let operands: Vec<_> = sets()
        .filter(|_| wants_gradients)
        .map(|some| Panels::new(some, features.div_ceil(lanes), 1, lanes, workers))
        .collect();
    let scores = buffer(shape.some * classes);
    let [highest, sums, totals] = [blocks * shape.some; 3].map(buffer);
    let [own, losses, correct] = [rows, rows, rows].map(buffer);
    let run = |outputs| {
        let work = Work {
            shape,
            inputs: *inputs,
            workers,
            scores: &scores,
            highest: &highest,
            sums: &sums,
            totals: &totals,
            own: &own,
            losses: &losses,
            correct: &correct,
            columns: &columns,
            operands: &operands,
            outputs,
        };
        // SAFETY: all sizes are those of the comments in `Work`, and targets were checked.
        unsafe { workers::run_kernel(isa, workers, &work) };
    };
    let gradients = if wants_gradients {
        let (mut d_weight, mut d_bias) = (vec![], vec![]);
        // SAFETY: the kernel writes every gradient of every row and class.
        let d_rows = unsafe {
            filled(rows * features, |rows| {
                d_weight = filled(classes * features, |weight| {
                    d_bias = filled(classes, |bias| run(Some(Outputs { rows, weight, bias })));
                });
            })
        };
        Some(Gradients { rows: d_rows, weight: d_weight, bias: d_bias })
    } else {
        run(None);
        None
    };
    // SAFETY: the kernel has written all rows of both.
    let [losses, correct] =
        unsafe { [&losses, &correct].map(|buffer| std::slice::from_raw_parts(buffer.at(0), rows)) };
    Found {
        losses: losses.to_vec(),
        correct: correct.iter().filter(|&&correct| correct > E::zero()).count(),
        gradients,
    }
}

impl<E: Real> Kernel for Work<'_, E> {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let Shape { rows, classes, some, block, .. } = self.shape;
        // Whole blocks, so that a block is one worker's.
        let blocks = worker.share(classes.div_ceil(block));
        // SAFETY: sizes are those that the caller promises. Workers write their own classes of scores,
        // weights and bias, and their own columns of the rows' gradients; barriers stand between.
        unsafe {
            if self.outputs.is_some() && rows == 0 {
                self.without_rows(blocks.start * block..(blocks.end * block).min(classes));
                return;
            }
            for (set, from) in (0..rows).step_by(some).enumerate() {
                let batch = from..(from + some).min(rows);
                self.pack(simd, set, batch.clone(), worker);
                worker.wait();
                // Block by block, while its scores are still in the cache.
                for block in blocks.clone() {
                    self.score(simd, set, self.classes_of(block));
                    self.find_own(batch.clone(), self.classes_of(block));
                    self.exponentials(simd, batch.clone(), block);
                }
                worker.wait();
                if worker.index == 0 {
                    self.losses(batch.clone());
                }
                if let Some(outputs) = &self.outputs {
                    worker.wait();
                    for block in blocks.clone() {
                        self.gradient_of_scores(simd, batch.clone(), block, outputs);
                        self.gradient_of_weights(simd, set, self.classes_of(block), outputs);
                    }
                    worker.wait();
                    self.gradient_of_rows(simd, batch, worker, outputs);
                }
                worker.wait();
            }
        }
    }
}

/// The steps of [`Work`], in their order. All are unsafe for the same reason: sizes must be those of `Shape`.
impl<E: Real> Work<'_, E> {
    /// Where the scores of one class begin.
    fn scores(&self, class: usize) -> *mut E {
        self.scores.at(class * self.shape.some)
    }

    /// Without rows all gradients are zero.
    unsafe fn without_rows(&self, classes: Range<usize>) {
        let features = self.shape.features;
        if let Some(outputs) = &self.outputs {
            // SAFETY: the classes are within the sizes of `Outputs`.
            unsafe {
                outputs.weight.at(classes.start * features).write_bytes(0, classes.len() * features);
                outputs.bias.at(classes.start).write_bytes(0, classes.len());
            }
        }
    }

    #[inline(always)]
    unsafe fn pack<S: Simd>(&self, simd: S, set: usize, batch: Range<usize>, worker: Worker<'_>) {
        let features = self.shape.features;
        let row = |row: usize| {
            let row = batch.start + row;
            (row < batch.end).then(|| self.inputs.rows[row * features..][..features].as_ptr())
        };
        // SAFETY: rows were cut to the panels' depth or width.
        unsafe {
            let columns = &self.columns[set];
            columns.of(worker).for_each(|panel| columns.pack_transposed(simd, panel, row));
            if let Some(operands) = self.operands.get(set) {
                operands
                    .of(worker)
                    .for_each(|panel| operands.pack_rows(panel, 0..batch.len(), features, row));
            }
        }
    }

    /// `W h + b`.
    #[inline(always)]
    unsafe fn score<S: Simd>(&self, simd: S, set: usize, classes: Range<usize>) {
        let Shape { features, lanes, .. } = self.shape;
        let columns = &self.columns[set];
        // SAFETY: classes and panels are within the sizes.
        unsafe {
            dense(
                simd,
                classes,
                (|class| Rows::new(self.inputs.weight.as_ptr().add(class * features), features), usize::MAX),
                columns,
                columns.all(),
                |class, panel, tile| {
                    let bias = Vector::splat(simd, self.inputs.bias[class]);
                    (0..panel.groups).for_each(|at| bias.store(tile.add(at * lanes)));
                },
                |class, panel, tile| {
                    let to = self.scores(class).add(panel.first * lanes);
                    Vector::<S, E>::copy(simd, tile, to, panel.groups * lanes);
                },
            );
        }
    }

    /// Remembers the targets' scores before they become exponentials.
    unsafe fn find_own(&self, batch: Range<usize>, classes: Range<usize>) {
        for (column, row) in batch.enumerate() {
            let target = self.inputs.targets[row] as usize;
            if classes.contains(&target) {
                // SAFETY: row, column and class are within the sizes.
                unsafe { *self.own.at(row) = *self.scores(target).add(column) };
            }
        }
    }

    /// Turns the scores of a block into `exp(score - highest)`.
    #[inline(always)]
    unsafe fn exponentials<S: Simd>(&self, simd: S, batch: Range<usize>, block: usize) {
        let Shape { lanes, some, .. } = self.shape;
        let range = self.classes_of(block);
        for column in (0..batch.len()).step_by(lanes) {
            // SAFETY: block and column are within the sizes.
            unsafe {
                let at = |class| self.scores(class).add(column);
                // Not minus infinity: a block of nothing else would be no number.
                let mut highest: Vector<S, E> = Vector::splat(simd, lowest());
                for class in range.clone() {
                    let score = Vector::load(simd, at(class));
                    highest = score.if_greater(highest, score, highest);
                }
                if self.inputs.smoothing > 0. {
                    let mut total: Vector<S, E> = Vector::zero(simd);
                    for class in range.clone() {
                        total = total + Vector::load(simd, at(class));
                    }
                    total.store(self.totals.at(block * some + column));
                }
                let mut sum = Vector::zero(simd);
                for class in range.clone() {
                    let share = (Vector::load(simd, at(class)) - highest).exp();
                    share.store(at(class));
                    sum = sum + share;
                }
                highest.store(self.highest.at(block * some + column));
                sum.store(self.sums.at(block * some + column));
            }
        }
    }

    /// Whether no class before the target has the same, highest, score, to rounding: of several the first counts.
    /// To be asked while the scores are exponentials, which are one where a score is its block's highest.
    unsafe fn is_first(&self, row: usize, column: usize, most: E) -> bool {
        let Shape { some, block: size, .. } = self.shape;
        let target = self.inputs.targets[row] as usize;
        (0..=target / size).all(|block| {
            // SAFETY: block, class and column are within the sizes.
            unsafe {
                *self.highest.at(block * some + column) != most
                    || self
                        .classes_of(block)
                        .take_while(|&class| class < target)
                        .all(|class| *self.scores(class).add(column) != E::one())
            }
        })
    }

    /// The classes of a block.
    fn classes_of(&self, block: usize) -> Range<usize> {
        let Shape { classes, block: size, .. } = self.shape;
        block * size..((block + 1) * size).min(classes)
    }

    /// From the blocks' sums to the losses, and to what turns a block's exponentials into probabilities,
    /// which takes the place of the sums.
    unsafe fn losses(&self, batch: Range<usize>) {
        let Shape { rows, classes, some, block, .. } = self.shape;
        let blocks = classes.div_ceil(block);
        for (column, row) in batch.enumerate() {
            // SAFETY: row and column are within the sizes.
            unsafe {
                let highest = (0..blocks).map(|block| *self.highest.at(block * some + column));
                let most = highest.clone().fold(*self.highest.at(column), |a, b| if a > b { a } else { b });
                let share = |block: usize, highest: E| {
                    self.sums.at(block * some + column).read().to_f64() * (highest - most).to_f64().exp()
                };
                let total: f64 = highest.clone().enumerate().map(|(at, highest)| share(at, highest)).sum();
                let own = *self.own.at(row);
                let loss = total.ln() + (most - own).to_f64();
                let smooth = match self.inputs.smoothing {
                    0. => 0.,
                    smoothing => {
                        let totals =
                            (0..blocks).map(|block| (*self.totals.at(block * some + column)).to_f64());
                        smoothing * (own.to_f64() - totals.sum::<f64>() / classes as f64)
                    }
                };
                *self.losses.at(row) = E::from_f64(loss + smooth);
                let is_first = || self.outputs.is_some() || self.is_first(row, column, most);
                *self.correct.at(row) = if own >= most && is_first() { E::one() } else { E::zero() };
                for (block, highest) in highest.enumerate() {
                    let factor = (highest - most).to_f64().exp() / (total * rows as f64);
                    *self.sums.at(block * some + column) = E::from_f64(factor);
                }
            }
        }
    }

    /// The gradient of a block's scores, in their place, and of its bias.
    #[inline(always)]
    unsafe fn gradient_of_scores<S: Simd>(
        &self,
        simd: S,
        batch: Range<usize>,
        block: usize,
        outputs: &Outputs<E>,
    ) {
        let Shape { rows, lanes, some, .. } = self.shape;
        let range = self.classes_of(block);
        let smoothing = self.inputs.smoothing;
        let evenly = [E::from_f64(smoothing / (self.shape.classes * rows) as f64); 16];
        // SAFETY: block, rows and columns are within the sizes.
        unsafe {
            for column in (0..batch.len()).step_by(lanes) {
                // No row, no gradient: what is left of the last vector becomes zero.
                let there = batch.len() - column;
                let factor: Vector<S, E> =
                    Vector::load_first(simd, self.sums.at(block * some + column), there);
                let evenly = Vector::load_first(simd, evenly.as_ptr(), there);
                for class in range.clone() {
                    let at = self.scores(class).add(column);
                    (Vector::load(simd, at) * factor - evenly).store(at);
                }
            }
            let weight = E::from_f64((1. - smoothing) / rows as f64);
            for (column, row) in batch.clone().enumerate() {
                let target = self.inputs.targets[row] as usize;
                if range.contains(&target) {
                    let score = self.scores(target).add(column);
                    *score -= weight;
                }
            }
            for class in range {
                let mut sum: Vector<S, E> = Vector::zero(simd);
                for column in (0..batch.len()).step_by(lanes) {
                    sum = sum + Vector::load(simd, self.scores(class).add(column));
                }
                let mut parts = [E::zero(); 16];
                sum.store(parts.as_mut_ptr());
                let sum = parts[..lanes].iter().fold(E::zero(), |a, &b| a + b);
                let to = outputs.bias.at(class);
                *to = if batch.start == 0 { sum } else { *to + sum };
            }
        }
    }

    /// `d W += d s h^T` for some classes.
    #[inline(always)]
    unsafe fn gradient_of_weights<S: Simd>(
        &self,
        simd: S,
        set: usize,
        mine: Range<usize>,
        outputs: &Outputs<E>,
    ) {
        let Shape { features, lanes, some, .. } = self.shape;
        let operands = &self.operands[set];
        let scores = self.scores(0).cast_const();
        // SAFETY: classes, panels and rows are within the sizes.
        unsafe {
            let to = |class: usize, panel: Panel| {
                let first = panel.first * lanes;
                (outputs.weight.at(class * features + first), operands.width(panel).min(features - first))
            };
            dense(
                simd,
                mine,
                (|class| Rows::new(scores.add(class * some), some), usize::MAX),
                operands,
                operands.all(),
                |class, panel, tile| {
                    Vector::<S, E>::clear(simd, tile, operands.width(panel));
                    if set > 0 {
                        let (from, there) = to(class, panel);
                        Vector::<S, E>::copy(simd, from, tile, there);
                    }
                },
                |class, panel, tile| {
                    let (to, there) = to(class, panel);
                    Vector::<S, E>::copy(simd, tile, to, there);
                },
            );
        }
    }

    /// `d h = W^T d s`, for one worker's share of the features.
    #[inline(always)]
    unsafe fn gradient_of_rows<S: Simd>(
        &self,
        simd: S,
        batch: Range<usize>,
        worker: Worker<'_>,
        outputs: &Outputs<E>,
    ) {
        let Shape { features, classes, lanes, some, .. } = self.shape;
        let weights = Panels::new(DEPTH.min(classes), features.div_ceil(lanes), 1, lanes, self.workers);
        let sums = Buffer::<E>::new(some * WIDEST * lanes);
        let sums = sums.at(0);
        for panel in weights.of(worker) {
            let (vectors, width, first) = (weights.vectors(panel), weights.width(panel), panel.first * lanes);
            let there = width.min(features - first);
            // SAFETY: classes, panels and rows are within the sizes; the panels are this worker's own.
            unsafe {
                Vector::<S, E>::clear(simd, sums, batch.len() * width);
                for from in (0..classes).step_by(DEPTH) {
                    let depth = DEPTH.min(classes - from);
                    let row = |k: usize| Some(self.inputs.weight.as_ptr().add((from + k) * features));
                    weights.pack_rows(panel, 0..depth, features, row);
                    for rows in tiles(0..batch.len(), most_rows::<S>(vectors)) {
                        let left = Rows::transposed(self.scores(from).add(rows.start).cast_const(), some);
                        let (right, tile) = (weights.row(panel, 0), sums.add(rows.start * width));
                        multiply(simd, (rows.len(), vectors), depth, left, right, tile, std::ptr::null());
                    }
                }
                for (at, row) in batch.clone().enumerate() {
                    let to = outputs.rows.at(row * features + first);
                    Vector::<S, E>::copy(simd, sums.add(at * width), to, there);
                }
            }
        }
    }
}
