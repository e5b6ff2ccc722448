//! The recurrence in plain candle ops: any cell, any device, any dtype. Slow, and the oracle that
//! every faster path is held to.

use std::cell;

use candle_core::{D, DType, Result, Tensor, bail};

use crate::layers::cell::Cell;
use crate::layers::dropout::{self, Noise};
use crate::layers::state::State;
use crate::layers::weights::zeros;

thread_local! {
    static ALONE: cell::Cell<bool> = const { cell::Cell::new(false) };
}

/// Runs `work` without fused kernels on this thread: to compare, and to find out which of the two is wrong.
pub fn alone<T>(work: impl FnOnce() -> T) -> T {
    /// Ends it however `work` ends.
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            ALONE.set(self.0);
        }
    }
    let _before = Before(ALONE.replace(true));
    work()
}

/// Whether fused kernels are for this tensor: on the processor, in f32 or f64, and not within [`alone`].
pub(crate) fn gives_way(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && matches!(tensor.dtype(), DType::F32 | DType::F64) && !ALONE.get()
}

/// What shapes one run over a sequence, beside the cell and its input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run<'a> {
    /// Steps of each sequence of the batch; all of them where `None`.
    pub lengths: Option<&'a [usize]>,
    /// From the last step to the first.
    pub reverse: bool,
    /// Chance that a unit keeps its old state.
    pub zoneout: f64,
    /// Dropout on the hidden state where it enters the recurrent product.
    pub recurrent_dropout: f64,
    /// Dropout on the recurrent weights.
    pub weight_drop: f64,
}

/// Runs `cell` over a sequence.
///
/// `gates_x` is the input's part of the gates, (batch, time, gates * hidden), and `initial` is (batch,
/// hidden). Returns the outputs (batch, time, output), zero past a sequence's length, and the state
/// after each sequence's own last step.
///
/// # Errors
/// Only those of the tensor library.
pub fn scan<C: Cell>(
    cell: &C,
    gates_x: &Tensor,
    initial: &State,
    run: Run<'_>,
    mut noise: Noise<'_>,
) -> Result<(Tensor, State)> {
    let (batch, time, _) = gates_x.dims3()?;
    let mut cell = cell.clone();
    let mut thin = None;
    if let Some(rng) = noise.as_deref_mut() {
        if run.weight_drop > 0. {
            cell.weights_mut().drop_hidden(run.weight_drop, rng)?;
        }
        if run.recurrent_dropout > 0. {
            thin = Some(dropout::mask(initial.h.dims(), run.recurrent_dropout, &initial.h, rng)?);
        }
    }
    let steps = unstack_time(gates_x)?;
    let mut ys = vec![None; time];
    let mut state = initial.clone();
    for step in 0..time {
        let t = if run.reverse { time - 1 - step } else { step };
        let h = match &thin {
            Some(mask) => (&state.h * mask)?,
            None => state.h.clone(),
        };
        let mut next = cell.step(&steps[t], &h, &state)?;
        if run.zoneout > 0. {
            next = zoneout(&state, &next, run.zoneout, noise.as_deref_mut())?;
        }
        let y = match within(t, run.lengths, &next.h)? {
            None => next.h.clone(),
            Some(mask) => {
                next = merge(&next, &state, |new, old| select(&mask, new, old))?;
                select(&mask, &next.h, &zeros(next.h.dims(), &next.h)?)?
            }
        };
        ys[t] = Some(y);
        state = next;
    }
    let ys: Vec<Tensor> = ys.into_iter().flatten().collect();
    let ys = match ys.is_empty() {
        true => zeros((batch, 0, cell.weights().output_size()), gates_x)?,
        false => Tensor::stack(&ys, 1)?,
    };
    Ok((ys, state))
}

/// Normalises the last dimension to mean 0 and variance 1, then scales and shifts it (Ba et al. 2016).
/// Candle's own fused version has no gradient.
///
/// # Errors
/// Only those of the tensor library.
pub fn layer_norm(xs: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let centred = xs.broadcast_sub(&xs.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = centred.broadcast_div(&(variance + 1e-5)?.sqrt()?)?;
    normal.broadcast_mul(weight)?.broadcast_add(bias)
}

/// Summed `-log softmax(outputs)[target]`; (rows, classes) against (rows). `smoothing` of a target's
/// probability is spread evenly over all classes.
///
/// # Errors
/// Where the shapes disagree or a target is no class.
pub fn cross_entropy(outputs: &Tensor, targets: &Tensor, smoothing: f64) -> Result<Tensor> {
    losses(outputs, targets, smoothing)?.sum_all()
}

/// `-log softmax(outputs)[target]` of each row, (rows); (rows, classes) against (rows).
///
/// # Errors
/// As [`cross_entropy`].
pub fn losses(outputs: &Tensor, targets: &Tensor, smoothing: f64) -> Result<Tensor> {
    let highest = outputs.detach().max_keepdim(D::Minus1)?; // keeps exp from overflowing
    let outputs = outputs.broadcast_sub(&highest)?;
    let log_sum = outputs.exp()?.sum(D::Minus1)?.log()?; // (rows)
    let own = outputs.gather(&targets.unsqueeze(1)?, 1)?.squeeze(1)?; // (rows)
    let wanted = match smoothing {
        0. => own,
        _ => ((own * (1. - smoothing))? + (outputs.mean(D::Minus1)? * smoothing)?)?,
    };
    log_sum - wanted
}

/// Replaces what lies past each sequence's length by zeros, so that even an infinity there reaches
/// neither a result nor a gradient. `xs` is (batch, time, features).
///
/// # Errors
/// Where there are not `batch` lengths, or one is beyond `time`.
pub fn clear_padding(xs: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    let (batch, time, _) = xs.dims3()?;
    if lengths.len() != batch {
        bail!("{} lengths for a batch of {batch}; expected one a sequence", lengths.len());
    }
    if let Some((row, length)) = lengths.iter().enumerate().find(|&(_, &length)| length > time) {
        bail!("sequence {row} has length {length} in a batch of {time} steps");
    }
    let mask: Vec<u8> =
        lengths.iter().flat_map(|&length| (0..time).map(move |t| u8::from(t < length))).collect();
    let mask = Tensor::from_vec(mask, (batch, time, 1), xs.device())?;
    select(&mask, xs, &xs.zeros_like()?)
}

/// The steps of (batch, time, features), each (batch, features).
///
/// Taken by halves: the gradient of a slice is a tensor as large as what it was cut from, so cutting
/// each step from the whole would cost time squared; this way it is time * log(time).
fn unstack_time(xs: &Tensor) -> Result<Vec<Tensor>> {
    match xs.dim(1)? {
        0 => Ok(vec![]),
        1 => Ok(vec![xs.squeeze(1)?]),
        time => {
            let half = time / 2;
            let mut steps = unstack_time(&xs.narrow(1, 0, half)?)?;
            steps.extend(unstack_time(&xs.narrow(1, half, time - half)?)?);
            Ok(steps)
        }
    }
}

/// Which sequences still run at step `t`, (batch, 1); `None` where all do.
fn within(t: usize, lengths: Option<&[usize]>, like: &Tensor) -> Result<Option<Tensor>> {
    match lengths {
        Some(lengths) if lengths.iter().any(|&length| t >= length) => {
            let mask: Vec<u8> = lengths.iter().map(|&length| u8::from(t < length)).collect();
            Ok(Some(Tensor::from_vec(mask, (lengths.len(), 1), like.device())?))
        }
        _ => Ok(None),
    }
}

/// In training each unit keeps its old state with chance `p`; outside it, old and new are mixed so.
fn zoneout(old: &State, new: &State, p: f64, noise: Noise<'_>) -> Result<State> {
    match noise {
        Some(rng) => {
            merge(new, old, |new, old| select(&dropout::chosen(new.dims(), p, new, &mut *rng)?, old, new))
        }
        None => merge(new, old, |new, old| (new * (1. - p))? + (old * p)?),
    }
}

/// Combines two states, tensor by tensor.
fn merge(
    new: &State,
    old: &State,
    mut with: impl FnMut(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<State> {
    let h = with(&new.h, &old.h)?;
    let c = match (&new.c, &old.c) {
        (Some(new), Some(old)) => Some(with(new, old)?),
        _ => None,
    };
    Ok(State { h, c })
}

/// `yes` where `mask` is one, else `no`; the mask is broadcast.
fn select(mask: &Tensor, yes: &Tensor, no: &Tensor) -> Result<Tensor> {
    mask.broadcast_as(yes.shape())?.contiguous()?.where_cond(yes, no)
}
