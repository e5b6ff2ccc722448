//! A layer in one direction as two nodes of candle's graph: [`Project`], the input's part of the gates for
//! all steps, and [`Recur`], the recurrence over them.
//!
//! Candle's ops take three tensors and return one, so what is small travels together: the initial state,
//! the recurrent bias and the projection enter [`Recur`] as one row of numbers, and outputs and final state
//! leave it as one.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, DType, Device, Layout, Result, Shape, Storage, Tensor, bail};

use super::Unit;
use super::cpu::{self, Level, Real};
use super::reference::Run;
use crate::dropout::{self, Noise};
use crate::recurrent::State;
use crate::weights::{Weights, zeros};

/// Runs a layer in one direction over `xs`, (batch, time, input), from `initial`, whose tensors are (batch,
/// hidden). Returns what [`scan`](super::reference::scan) does, or nothing where there are no kernels: on
/// other devices than the processor, for other numbers than f32 and f64, and with layer normalisation.
///
/// # Errors
/// Where `RNN_ZOO_SIMD` names what the processor does not have.
pub(crate) fn layer(
    unit: Unit,
    weights: &Weights,
    xs: &Tensor,
    initial: &State,
    run: Run<'_>,
    noise: Noise<'_>,
) -> Result<Option<(Tensor, State)>> {
    match (xs.device(), xs.dtype()) {
        _ if weights.norms.is_some() => Ok(None),
        (Device::Cpu, DType::F32) => layer_in::<f32>(unit, weights, xs, initial, run, noise).map(Some),
        (Device::Cpu, DType::F64) => layer_in::<f64>(unit, weights, xs, initial, run, noise).map(Some),
        _ => Ok(None),
    }
}

fn layer_in<E: Real>(
    unit: Unit,
    weights: &Weights,
    xs: &Tensor,
    initial: &State,
    run: Run<'_>,
    noise: Noise<'_>,
) -> Result<(Tensor, State)> {
    let level = Level::current()?;
    let (batch, time, input) = xs.dims3()?;
    let (hidden, output, gates) = (weights.hidden_size(), weights.output_size(), unit.gates());
    let shape = cpu::Shape { batch, time, hidden, output, gates };
    let mut weights = weights.clone();
    let sequence = sequence::<E>(shape, level, run, &mut weights, initial.c.is_some(), noise)?;

    // Only what takes no part in training stays as it is, and can be packed once for all calls.
    let constant = match weights.ih.track_op() || weights.hh.track_op() {
        true => None,
        false => weights.constant.of::<E>(level, shape, &weights)?,
    };
    let bias = match (&weights.b_ih, &weights.b_hh) {
        (Some(ih), Some(hh)) if unit.folds_bias() => (ih + hh)?,
        (Some(ih), _) => ih.clone(),
        (None, _) => zeros(gates * hidden, xs)?,
    };
    let project = Project::<E> {
        shape: cpu::InputShape { rows: batch * time, input, hidden, gates },
        level,
        constant: constant.clone(),
        numbers: PhantomData,
    };
    let projected = xs.contiguous()?.apply_op3(&weights.ih.contiguous()?, &bias.contiguous()?, project)?;

    let own_bias = weights.b_hh.as_ref().filter(|_| !unit.folds_bias());
    let extras = [Some(&initial.h), initial.c.as_ref(), own_bias, weights.hr.as_ref()];
    let extras = extras.into_iter().flatten().map(Tensor::flatten_all).collect::<Result<Vec<_>>>()?;
    let extras = Tensor::cat(&extras, 0)?;
    let hh = weights.hh.contiguous()?;
    let recur = Recur::<E> {
        unit,
        sequence,
        level,
        constant,
        has_cell_state: initial.c.is_some(),
        has_bias: own_bias.is_some(),
        keep: [&projected, &hh, &extras].into_iter().any(Tensor::track_op),
        saved: OnceLock::new(),
    };
    let all = projected.apply_op3(&hh, &extras, recur)?;
    let part = |from, rows, columns| all.narrow(0, from, rows * columns)?.reshape((rows, columns));
    let ys = part(0, batch * time, output)?.reshape((batch, time, output))?;
    let h = part(batch * time * output, batch, output)?;
    let c = match initial.c {
        Some(_) => Some(part(batch * (time + 1) * output, batch, hidden)?),
        None => None,
    };
    Ok((ys, State { h, c }))
}

/// What the sequence is run with. Noise is drawn in the order in which the reference draws it; dropped
/// weights replace those in `weights`.
fn sequence<E: Real>(
    shape: cpu::Shape,
    level: Level,
    run: Run<'_>,
    weights: &mut Weights,
    has_cell_state: bool,
    mut noise: Noise<'_>,
) -> Result<cpu::Sequence<E>> {
    let cpu::Shape { batch, time, hidden, output, .. } = shape;
    let wide = |size| cpu::padded(size, level.lanes::<E>());
    let mut thin = None;
    if let Some(rng) = noise.as_deref_mut() {
        if run.weight_drop > 0. {
            weights.drop_hidden(run.weight_drop, rng)?;
        }
        if run.recurrent_dropout > 0. {
            let mut factors = dropout::factors(batch * output, run.recurrent_dropout, rng);
            let mut mask = vec![E::zero(); batch * wide(output)];
            for row in mask.chunks_exact_mut(wide(output)) {
                row[..output].iter_mut().zip(&mut factors).for_each(|(to, f)| *to = E::from_f64(f.into()));
            }
            thin = Some(mask);
        }
    }
    let zoneout = match noise {
        _ if run.zoneout == 0. => cpu::Zoneout::Off,
        None => cpu::Zoneout::Share(E::from_f64(run.zoneout)),
        Some(rng) => {
            let [mut h, mut c] = [output, hidden].map(|size| vec![E::zero(); batch * time * wide(size)]);
            let mut draw = |masks: &mut [E], size: usize, t: usize| {
                let mut coins = dropout::coins(batch * size, run.zoneout, rng);
                for row in 0..batch {
                    let to = &mut masks[(row * time + t) * wide(size)..][..size];
                    to.iter_mut()
                        .zip(&mut coins)
                        .for_each(|(to, stays)| *to = E::from_f64(f64::from(u8::from(stays))));
                }
            };
            for position in 0..time {
                let t = if run.reverse { time - 1 - position } else { position };
                draw(&mut h, output, t);
                if has_cell_state {
                    draw(&mut c, hidden, t);
                }
            }
            cpu::Zoneout::Masks(h, c)
        }
    };
    let lengths = run.lengths.map(<[usize]>::to_vec);
    Ok(cpu::Sequence { shape, lengths, reverse: run.reverse, zoneout, thin })
}

/// Weights that do not change, packed for the kernels when they are first used.
#[derive(Clone, Default)]
pub(crate) struct Constant(Arc<OnceLock<Box<dyn Any + Send + Sync>>>);

impl std::fmt::Debug for Constant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.get().is_some() { "Constant(packed)" } else { "Constant" })
    }
}

/// Weights of a layer, packed for one level.
struct PackedLayer<E> {
    lanes: usize,
    input: cpu::PackedInput<E>,
    recurrent: cpu::Packed<E>,
}

impl Constant {
    /// The packed weights; none where they were packed for another level.
    fn of<E: Real>(
        &self,
        level: Level,
        shape: cpu::Shape,
        weights: &Weights,
    ) -> Result<Option<Arc<PackedLayer<E>>>> {
        let lanes = level.lanes::<E>();
        if self.0.get().is_none() {
            let cpu::Shape { hidden, gates, .. } = shape;
            let input = cpu::InputShape { rows: 0, input: weights.ih.dim(1)?, hidden, gates };
            let hr = weights.hr.as_ref().map(Tensor::contiguous).transpose()?;
            let views = [Some(&weights.ih.contiguous()?), Some(&weights.hh.contiguous()?), hr.as_ref()];
            let packed = read::<E, _, _>(views, |[ih, hh, hr]| PackedLayer {
                lanes,
                input: cpu::PackedInput::new(level, input, ih),
                recurrent: cpu::Packed::new(level, shape, hh, (!hr.is_empty()).then_some(hr)),
            })?;
            let _ = self.0.set(Box::new(Arc::new(packed))); // another thread's is as good
        }
        let packed = self.0.get().and_then(|packed| packed.downcast_ref::<Arc<PackedLayer<E>>>());
        Ok(packed.filter(|packed| packed.lanes == lanes).cloned())
    }
}

/// Calls `f` with the numbers of contiguous tensors on the processor; none for those that are not there.
fn read<E: Real, T, const N: usize>(
    tensors: [Option<&Tensor>; N],
    f: impl FnOnce([&[E]; N]) -> T,
) -> Result<T> {
    let guards = tensors.map(|tensor| tensor.map(Tensor::storage_and_layout));
    let mut slices: [&[E]; N] = [&[]; N];
    for (slice, guard) in slices.iter_mut().zip(&guards) {
        let Some((storage, layout)) = guard else { continue };
        match &**storage {
            Storage::Cpu(storage) => *slice = numbers(storage, layout)?,
            _ => bail!("a tensor of a fused layer is not on the processor"),
        }
    }
    Ok(f(slices))
}

/// The numbers of a contiguous layout.
fn numbers<'a, E: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [E]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&E::cpu_storage_as_slice(storage)?[from..to]),
        None => bail!("a fused layer needs contiguous tensors, not {layout:?}"),
    }
}

/// A tensor of new numbers.
fn tensor<E: Real>(numbers: Vec<E>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(numbers, like.shape(), like.device())
}

/// `xs W^T + b` in the order that [`Recur`] reads: of the input (batch, time, input), the weights (gates *
/// hidden, input) and the bias (gates * hidden), the gates (batch, time, units * gates * lanes).
struct Project<E> {
    shape: cpu::InputShape,
    level: Level,
    constant: Option<Arc<PackedLayer<E>>>,
    numbers: PhantomData<E>,
}

impl<E: Real> CustomOp3 for Project<E> {
    fn name(&self) -> &'static str {
        "project"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xs_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let xs = numbers::<E>(xs, xs_layout)?;
        let weight = numbers::<E>(weight, weight_layout)?;
        let bias = numbers::<E>(bias, bias_layout)?;
        let packed = self.constant.as_ref().map(|packed| &packed.input);
        let gates = cpu::project(self.level, self.shape, xs, weight, Some(bias), packed);
        let (batch, time, _) = xs_layout.shape().dims3()?;
        let wide = self.shape.wide(self.level.lanes::<E>());
        Ok((E::to_cpu_storage_owned(gates), (batch, time, wide).into()))
    }

    fn bwd(
        &self,
        xs: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _gates: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let tensors = [Some(xs), Some(weight), Some(&gradient)];
        let wants_xs = xs.track_op();
        let (d_xs, d_weight, d_bias) = read::<E, _, 3>(tensors, |[xs, weight, gradient]| {
            cpu::project_backward(self.level, self.shape, xs, weight, gradient, wants_xs)
        })?;
        let d_xs = d_xs.map(|d_xs| tensor(d_xs, xs)).transpose()?;
        Ok((d_xs, Some(tensor(d_weight, weight)?), Some(tensor(d_bias, bias)?)))
    }
}

/// The recurrence. Of the gates that [`Project`] gives, the recurrent weights (gates * hidden, output) and
/// the extras (the initial state, then the recurrent bias and the projection if there are), all in one: the
/// outputs (batch * time * output) and the final state, (batch * output) and (batch * hidden).
struct Recur<E> {
    unit: Unit,
    sequence: cpu::Sequence<E>,
    level: Level,
    constant: Option<Arc<PackedLayer<E>>>,
    has_cell_state: bool,
    has_bias: bool,
    /// Whether there will be a backward pass.
    keep: bool,
    saved: OnceLock<cpu::Saved<E>>,
}

impl<E: Real> Recur<E> {
    fn inputs<'a>(&self, gates: &'a [E], weight: &'a [E], extras: &'a [E]) -> cpu::Inputs<'a, E> {
        let cpu::Shape { batch, hidden, output, gates: count, .. } = self.sequence.shape;
        let (h, rest) = extras.split_at(batch * output);
        let (c, rest) = rest.split_at(if self.has_cell_state { batch * hidden } else { 0 });
        let (bias, projection) = rest.split_at(if self.has_bias { count * hidden } else { 0 });
        let some = |there: bool, part: &'a [E]| there.then_some(part);
        cpu::Inputs {
            gates,
            weight,
            h,
            c: some(self.has_cell_state, c),
            bias: some(self.has_bias, bias),
            projection: some(!projection.is_empty(), projection),
        }
    }
}

impl<E: Real> CustomOp3 for Recur<E> {
    fn name(&self) -> &'static str {
        "recur"
    }

    fn cpu_fwd(
        &self,
        gates: &CpuStorage,
        gates_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        extras: &CpuStorage,
        extras_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let gates = numbers::<E>(gates, gates_layout)?;
        let weight = numbers::<E>(weight, weight_layout)?;
        let inputs = self.inputs(gates, weight, numbers::<E>(extras, extras_layout)?);
        let packed = self.constant.as_ref().map(|packed| &packed.recurrent);
        let (all, saved) = cpu::forward(self.level, self.unit, &self.sequence, &inputs, packed, self.keep);
        if let Some(saved) = saved {
            let _ = self.saved.set(saved); // an op runs forward once
        }
        let count = all.len();
        Ok((E::to_cpu_storage_owned(all), count.into()))
    }

    fn bwd(
        &self,
        gates: &Tensor,
        weight: &Tensor,
        extras: &Tensor,
        _all: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(saved) = self.saved.get() else { bail!("a recurrence kept nothing for its backward pass") };
        let gradient = gradient.contiguous()?;
        let tensors = [Some(gates), Some(weight), Some(extras), Some(&gradient)];
        let found = read::<E, _, 4>(tensors, |[gates, weight, extras, gradient]| {
            let inputs = self.inputs(gates, weight, extras);
            cpu::backward(self.level, self.unit, &self.sequence, &inputs, saved, gradient)
        })?;
        let cpu::Gradients { gates: d_gates, weight: d_weight, h, c, bias, projection } = found;
        let d_extras = [Some(h), c, bias, projection].into_iter().flatten().flatten().collect();
        Ok((
            Some(tensor(d_gates, gates)?),
            Some(tensor(d_weight, weight)?),
            Some(tensor::<E>(d_extras, extras)?),
        ))
    }
}
