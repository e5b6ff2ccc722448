//! The recurrence as a loop over a cell's own step, in plain candle ops, for any cell, device and float type. It is the
//! reference of the fused layers.

use candle_core::{Result, Tensor, bail};

use crate::layers::cell::Cell;
use crate::layers::state::State;
use crate::layers::weights::zeros;
use crate::ops::reference::select;
use crate::ops::sequence::{SequenceOptions, ZoneoutMode};

/// Run `cell` over a sequence.
///
/// `gates_x` is the input's part of the gates, (batch, time, gates * hidden), and the tensors of `initial` are
/// (batch, hidden). Returns the outputs (batch, time, output), zero past a sequence's length, and the state after
/// each sequence's own last step.
///
/// # Errors
/// Errors from the cell and from candle.
pub(crate) fn scan<C: Cell>(
    cell: &C,
    gates_x: &Tensor,
    initial: &State,
    options: &SequenceOptions<'_>,
) -> Result<(Tensor, State)> {
    let (batch, time, _) = gates_x.dims3()?;
    if batch == 0 || time == 0 {
        let ys = zeros((batch, time, cell.weights().output_size()), gates_x)?;
        return Ok((ys, initial.clone()));
    }
    let recurrent_mask = match &options.noise.dropout {
        Some(factors) => Some(tensor_of(factors.clone(), &initial.h)?),
        None => None,
    };
    let steps = unstack_time(gates_x)?;
    let mut ys = vec![None; time];
    let mut state = initial.clone();
    for position in 0..time {
        let t = options.time_step(position, time);
        let h = match &recurrent_mask {
            Some(mask) => (&state.h * mask)?,
            None => state.h.clone(),
        };
        let mut next = cell.step(&steps[t], &h, &state)?;
        next = zoneout(&state, next, &options.noise.zoneout, position)?;
        let y = match running(t, options.lengths, &next.h)? {
            None => next.h.clone(),
            Some(mask) => {
                next = combine(&next, &state, |new, old| select(&mask, new, old))?;
                select(&mask, &next.h, &zeros(next.h.dims(), &next.h)?)?
            }
        };
        ys[t] = Some(y);
        state = next;
    }
    let ys: Vec<Tensor> = ys.into_iter().flatten().collect();
    Ok((Tensor::stack(&ys, 1)?, state))
}

/// Compute the gates of `cell` at every step, and an LSTM's cell state after it, with `gates_x` and `initial` as in
/// [`scan`]. Return their names and values, each (batch, time, hidden).
///
/// # Errors
/// Errors from the cell and from candle.
pub(crate) fn scan_gates<C: Cell>(
    cell: &C,
    gates_x: &Tensor,
    initial: &State,
    mode: &ZoneoutMode,
) -> Result<Vec<(&'static str, Tensor)>> {
    let mut state = initial.clone();
    let mut found: Vec<(&'static str, Vec<Tensor>)> = vec![];
    for (position, gates_x) in unstack_time(gates_x)?.into_iter().enumerate() {
        let mut gates = cell.gates(&gates_x, &state.h)?;
        if gates.is_empty() {
            break;
        }
        state = zoneout(&state, cell.step(&gates_x, &state.h, &state)?, mode, position)?;
        gates.extend(state.c.clone().map(|c| ("cell", c)));
        found.resize_with(gates.len(), Default::default);
        for ((name, steps), (gate, value)) in found.iter_mut().zip(gates) {
            *name = gate;
            steps.push(value);
        }
    }
    found.into_iter().map(|(name, steps)| Ok((name, Tensor::stack(&steps, 1)?))).collect()
}

/// Return the steps of (batch, time, features), each (batch, features).
///
/// The sequence is halved recursively. The gradient of a slice is a tensor of the size of the sliced tensor, so slicing
/// each step from the whole takes O(time^2). Halving takes O(time log time).
pub(crate) fn unstack_time(xs: &Tensor) -> Result<Vec<Tensor>> {
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

/// Make a mask, (batch, 1), of 1 for each sequence that is longer than `t`, else 0. Return `None` if all are.
fn running(t: usize, lengths: Option<&[usize]>, like: &Tensor) -> Result<Option<Tensor>> {
    match lengths {
        Some(lengths) if lengths.iter().any(|&length| t >= length) => {
            let mask: Vec<u8> = lengths.iter().map(|&length| u8::from(t < length)).collect();
            Ok(Some(Tensor::from_vec(mask, (lengths.len(), 1), like.device())?))
        }
        _ => Ok(None),
    }
}

/// Apply zoneout at the step at `position` in the order of the recurrence.
fn zoneout(old: &State, new: State, mode: &ZoneoutMode, position: usize) -> Result<State> {
    match mode {
        ZoneoutMode::Off => Ok(new),
        ZoneoutMode::Mix(share) => combine(&new, old, |new, old| (new * (1. - share))? + (old * *share)?),
        ZoneoutMode::Masks(masks) => {
            let mask = &masks[position];
            let mut masks = [Some(&mask.h), mask.c.as_ref()].into_iter().flatten();
            combine(&new, old, |new, old| {
                let Some(mask) = masks.next() else {
                    bail!("a state has a c that its cell does not declare")
                };
                let mask = mask.iter().map(|&keeps| u8::from(keeps)).collect();
                select(&Tensor::from_vec(mask, new.dims(), new.device())?, old, new)
            })
        }
    }
}

/// Combine two states, tensor by tensor: first the hidden states, then the cell states.
fn combine(
    new: &State,
    old: &State,
    mut combine: impl FnMut(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<State> {
    let h = combine(&new.h, &old.h)?;
    let c = match (&new.c, &old.c) {
        (Some(new), Some(old)) => Some(combine(new, old)?),
        _ => None,
    };
    Ok(State { h, c })
}

/// Make a tensor of the factors, of the shape, type and device of `like`.
fn tensor_of(factors: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(factors, like.dims(), like.device())?.to_dtype(like.dtype())
}
