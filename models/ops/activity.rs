//! Penalties on the outputs of a stack (Merity, McCann and Socher 2017), as one node of candle's graph.
//!
//! With `y` the output and `d` the same after dropout, both (batch, time, features), and means over all
//! elements within the lengths of the sequences:
//!
//! ```text
//! penalty = ar * mean(d_t^2) + tar * mean((y_t - y_{t-1})^2)
//! ```
//!
//! AR, activation regularization, makes outputs small. TAR, temporal activation regularization, makes them change
//! slowly.

use std::marker::PhantomData;
use std::ops::Range;

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor};

use super::backend::{Operation, dispatch};
use super::storage::{elements, read, tensor_like};
use crate::kernels::cpu::{GradientOperand, Isa, Real};

/// Weights of the two penalties; 0 disables one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Penalties {
    /// The weight of the squared output after dropout.
    pub ar: f64,
    /// The weight of squared differences of successive outputs before dropout.
    pub tar: f64,
}

/// Compute the penalty on `ys` and `dropped`, (batch, time, features): a scalar with a gradient. Steps past a
/// sequence's length do not count.
///
/// # Errors
/// Errors from candle.
pub(crate) fn penalty(
    weights: Penalties,
    ys: &Tensor,
    dropped: &Tensor,
    lengths: Option<&[usize]>,
) -> Result<Tensor> {
    let (batch, time, features) = ys.dims3()?;
    let lengths = lengths.map_or_else(|| vec![time; batch], <[usize]>::to_vec);
    let sequences = ValidSteps { time, features, lengths };
    dispatch(Penalty { weights, ys, dropped, sequences }, ys)
}

struct Penalty<'a> {
    weights: Penalties,
    ys: &'a Tensor,
    dropped: &'a Tensor,
    sequences: ValidSteps,
}

impl Operation for Penalty<'_> {
    type Output = Tensor;

    fn cpu<O: GradientOperand<Sum: Real>>(self, _isa: Isa) -> Result<Tensor> {
        let Self { weights, ys, dropped, sequences } = self;
        let op = Activity::<O::Sum> { weights, sequences, element: PhantomData };
        ys.contiguous()?.apply_op2(&dropped.contiguous()?, op)?.reshape(())
    }

    fn reference(self) -> Result<Tensor> {
        let Self { weights, ys, dropped, sequences } = self;
        let [elements, pairs] = sequences.counts();
        let ar = dropped.sqr()?.broadcast_mul(&sequences.mask(0, ys)?)?.sum_all()?;
        let ar = (ar * (weights.ar / elements))?;
        if sequences.time < 2 {
            return Ok(ar);
        }
        let steps = sequences.time - 1;
        let differences = (ys.narrow(1, 1, steps)? - ys.narrow(1, 0, steps)?)?;
        let tar = differences.sqr()?.broadcast_mul(&sequences.mask(1, ys)?)?.sum_all()?;
        ar + (tar * (weights.tar / pairs))?
    }
}

/// The steps that count: those within each sequence's length.
struct ValidSteps {
    time: usize,
    features: usize,
    lengths: Vec<usize>,
}

impl ValidSteps {
    /// Return the range of each sequence's elements.
    fn spans(&self) -> impl Iterator<Item = Range<usize>> {
        let size = self.time * self.features;
        self.lengths
            .iter()
            .enumerate()
            .map(move |(row, &length)| row * size..row * size + length.min(self.time) * self.features)
    }

    /// Return the number of elements that `ar` is a mean over, and of pairs of elements for `tar`.
    fn counts(&self) -> [f64; 2] {
        let sum = |without: usize| -> usize {
            self.spans().map(|span| span.len().saturating_sub(without * self.features)).sum()
        };
        [sum(0).max(1) as f64, sum(1).max(1) as f64]
    }

    /// Make a mask, (batch, time - first, 1), of 1 for each step from `first` on that counts, else 0, in the type of
    /// `like`.
    fn mask(&self, first: usize, like: &Tensor) -> Result<Tensor> {
        let row = |&length: &usize| (first..self.time).map(move |t| if t < length { 1f32 } else { 0. });
        let shape = (self.lengths.len(), self.time - first, 1);
        let mask = self.lengths.iter().flat_map(row).collect();
        Tensor::from_vec(mask, shape, like.device())?.to_dtype(like.dtype())
    }
}

/// The op from the outputs before and after dropout, (batch, time, features), to the penalty.
struct Activity<E> {
    weights: Penalties,
    sequences: ValidSteps,
    element: PhantomData<E>,
}

impl<E: Real> CustomOp2 for Activity<E> {
    fn name(&self) -> &'static str {
        "activity-penalty"
    }

    fn cpu_fwd(
        &self,
        ys: &CpuStorage,
        ys_layout: &Layout,
        dropped: &CpuStorage,
        dropped_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (ys, dropped) = (elements::<E>(ys, ys_layout)?, elements::<E>(dropped, dropped_layout)?);
        let [elements, pairs] = self.sequences.counts();
        let (mut ar, mut tar) = (0., 0.);
        for span in self.sequences.spans() {
            ar += sum_of_squares(dropped[span.clone()].iter().copied());
            let ys = &ys[span];
            let later = ys.get(self.sequences.features..).unwrap_or_default();
            tar += sum_of_squares(later.iter().zip(ys).map(|(&now, &before)| now - before));
        }
        let penalty = self.weights.ar / elements * ar + self.weights.tar / pairs * tar;
        Ok((E::to_cpu_storage_owned(vec![E::from_f64(penalty)]), Shape::from(1)))
    }

    fn bwd(
        &self,
        ys: &Tensor,
        dropped: &Tensor,
        _penalty: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?[0];
        let [elements, pairs] = self.sequences.counts();
        let ar = E::from_f64(2. * gradient * self.weights.ar / elements);
        let tar = E::from_f64(2. * gradient * self.weights.tar / pairs);
        let features = self.sequences.features;
        let (d_ys, d_dropped) = read::<E, _, 2>([Some(ys), Some(dropped)], |[ys, dropped]| {
            let (mut d_ys, mut d_dropped) = (vec![E::zero(); ys.len()], vec![E::zero(); ys.len()]);
            for span in self.sequences.spans() {
                let dropped = &dropped[span.clone()];
                d_dropped[span.clone()].iter_mut().zip(dropped).for_each(|(to, &d)| *to = ar * d);
                // Each difference adds to the gradients of two steps, with opposite signs.
                let (ys, d_ys) = (&ys[span.clone()], &mut d_ys[span]);
                for at in features..ys.len() {
                    let slope = tar * (ys[at] - ys[at - features]);
                    d_ys[at] += slope;
                    d_ys[at - features] -= slope;
                }
            }
            (d_ys, d_dropped)
        })?;
        Ok((Some(tensor_like(d_ys, ys)?), Some(tensor_like(d_dropped, dropped)?)))
    }
}

/// Compute the sum of squares in f64, in eight partial sums so that the compiler can vectorise it.
fn sum_of_squares<E: Real>(elements: impl Iterator<Item = E>) -> f64 {
    let mut sums = [0f64; 8];
    for (index, element) in elements.enumerate() {
        let element = element.to_f64();
        sums[index % 8] += element * element;
    }
    sums.iter().sum()
}
