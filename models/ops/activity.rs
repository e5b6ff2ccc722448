//! Penalties on what a stack puts out (Merity, McCann and Socher 2017), as one node of candle's graph.
//!
//! With `y` the output and `d` the same after dropout, both (batch, time, features), and means over all
//! elements of steps that count:
//!
//! ```text
//! penalty = ar * mean(d_t^2) + tar * mean((y_t - y_{t-1})^2)
//! ```
//!
//! AR, activation regularization, keeps outputs small; TAR, its temporal kin, keeps them from jumping.

use std::marker::PhantomData;
use std::ops::Range;

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor};

use super::fused::{numbers, read};
use super::reference;
use crate::kernels::cpu::Real;

/// Weights of the two penalties; 0 leaves one out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Penalties {
    /// Of the squared output after dropout.
    pub ar: f64,
    /// Of squared differences of successive outputs before dropout.
    pub tar: f64,
}

/// The penalty on `ys` and `dropped`, (batch, time, features): a scalar that can be differentiated. Steps
/// past a sequence's length do not count.
///
/// # Errors
/// Only those of the tensor library.
pub(crate) fn penalty(
    weights: Penalties,
    ys: &Tensor,
    dropped: &Tensor,
    lengths: Option<&[usize]>,
) -> Result<Tensor> {
    let (batch, time, features) = ys.dims3()?;
    let lengths = lengths.map_or_else(|| vec![time; batch], <[usize]>::to_vec);
    let shape = Sequences { time, features, lengths };
    match ys.dtype() {
        DType::F32 if reference::gives_way(ys) => penalty_in::<f32>(weights, ys, dropped, shape),
        DType::F64 if reference::gives_way(ys) => penalty_in::<f64>(weights, ys, dropped, shape),
        _ => shape.reference(weights, ys, dropped),
    }
}

fn penalty_in<E: Real>(
    weights: Penalties,
    ys: &Tensor,
    dropped: &Tensor,
    shape: Sequences,
) -> Result<Tensor> {
    let op = Activity::<E> { weights, shape, numbers: PhantomData };
    ys.contiguous()?.apply_op2(&dropped.contiguous()?, op)?.reshape(())
}

/// Where the steps lie that count.
struct Sequences {
    time: usize,
    features: usize,
    lengths: Vec<usize>,
}

impl Sequences {
    /// Elements of each sequence's own steps.
    fn spans(&self) -> impl Iterator<Item = Range<usize>> {
        let size = self.time * self.features;
        self.lengths
            .iter()
            .enumerate()
            .map(move |(row, &length)| row * size..row * size + length.min(self.time) * self.features)
    }

    /// Elements that `ar` is a mean over, and pairs of elements that `tar` is.
    fn counts(&self) -> [f64; 2] {
        let sum = |without: usize| -> usize {
            self.spans().map(|span| span.len().saturating_sub(without * self.features)).sum()
        };
        [sum(0).max(1) as f64, sum(1).max(1) as f64]
    }

    /// The same in plain ops.
    fn reference(&self, weights: Penalties, ys: &Tensor, dropped: &Tensor) -> Result<Tensor> {
        let within = |skip: usize| {
            let mask = self
                .lengths
                .iter()
                .flat_map(|&length| (skip..self.time).map(move |t| if t < length { 1f32 } else { 0. }));
            let shape = (self.lengths.len(), self.time - skip, 1);
            Tensor::from_vec(mask.collect(), shape, ys.device())?.to_dtype(ys.dtype())
        };
        let [elements, pairs] = self.counts();
        let ar = (dropped.sqr()?.broadcast_mul(&within(0)?)?.sum_all()? * (weights.ar / elements))?;
        if self.time < 2 {
            return Ok(ar);
        }
        let steps = self.time - 1;
        let jumps = (ys.narrow(1, 1, steps)? - ys.narrow(1, 0, steps)?)?;
        ar + (jumps.sqr()?.broadcast_mul(&within(1)?)?.sum_all()? * (weights.tar / pairs))?
    }
}

/// Of outputs before and after dropout, (batch, time, features): the penalty.
struct Activity<E> {
    weights: Penalties,
    shape: Sequences,
    numbers: PhantomData<E>,
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
        let (ys, dropped) = (numbers::<E>(ys, ys_layout)?, numbers::<E>(dropped, dropped_layout)?);
        let [elements, pairs] = self.shape.counts();
        let (mut small, mut smooth) = (0., 0.);
        for span in self.shape.spans() {
            small += sum_of_squares(dropped[span.clone()].iter().copied());
            let ys = &ys[span];
            let later = ys.get(self.shape.features..).unwrap_or_default();
            smooth += sum_of_squares(later.iter().zip(ys).map(|(&now, &before)| now - before));
        }
        let penalty = self.weights.ar / elements * small + self.weights.tar / pairs * smooth;
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
        let [elements, pairs] = self.shape.counts();
        let small = E::from_f64(2. * gradient * self.weights.ar / elements);
        let smooth = E::from_f64(2. * gradient * self.weights.tar / pairs);
        let features = self.shape.features;
        let (d_ys, d_dropped) = read::<E, _, 2>([Some(ys), Some(dropped)], |[ys, dropped]| {
            let (mut d_ys, mut d_dropped) = (vec![E::zero(); ys.len()], vec![E::zero(); ys.len()]);
            for span in self.shape.spans() {
                let dropped = &dropped[span.clone()];
                d_dropped[span.clone()].iter_mut().zip(dropped).for_each(|(to, &d)| *to = small * d);
                // A jump pulls the later step down and the earlier one up.
                let (ys, d_ys) = (&ys[span.clone()], &mut d_ys[span]);
                for at in features..ys.len() {
                    let pull = smooth * (ys[at] - ys[at - features]);
                    d_ys[at] += pull;
                    d_ys[at - features] -= pull;
                }
            }
            (d_ys, d_dropped)
        })?;
        let tensor = |numbers: Vec<E>| Tensor::from_vec(numbers, ys.shape(), ys.device());
        Ok((Some(tensor(d_ys)?), Some(tensor(d_dropped)?)))
    }
}

/// In f64, a few sums side by side.
fn sum_of_squares<E: Real>(numbers: impl Iterator<Item = E>) -> f64 {
    let mut sums = [0f64; 8];
    for (at, number) in numbers.enumerate() {
        let number = number.to_f64();
        sums[at % 8] += number * number;
    }
    sums.iter().sum()
}
