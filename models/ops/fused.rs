//! A layer in one direction as nodes of candle's graph: [`Project`], the input's part of the gates for all
//! steps, [`Recur`], the recurrence over them, and [`Final`], the state that it ends in.
//!
//! Candle's ops take three tensors and return one. So what is small travels together: the initial state, the
//! recurrent bias and the projection enter [`Recur`] as one row of numbers. And what goes from one of these
//! nodes to the next goes through a [`Link`], in the kernels' own layout, while candle sees a token of it:
//! that spares it copies and sums of the largest tensors there are.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use candle_core::{CpuStorage, CustomOp1, CustomOp3, DType, Layout, Result, Shape, Storage, Tensor, bail};

use super::reference::{self, Run};
use super::sink;
use crate::kernels::CellKind;
use crate::kernels::cpu::{self, Isa, Real};
use crate::layers::dropout::{self, Noise};
use crate::layers::state::State;
use crate::layers::weights::{Weights, zeros};

/// Runs a layer in one direction over `xs`, (batch, time, input), from `initial`, whose tensors are (batch,
/// hidden). Returns what [`scan`](super::reference::scan) does, or nothing where there are no kernels: on
/// other devices than the processor, for other numbers than f32 and f64, and with layer normalisation.
///
/// # Errors
/// Where `RNN_ZOO_SIMD` names what the processor does not have.
pub(crate) fn layer(
    unit: CellKind,
    weights: &Weights,
    xs: &Tensor,
    initial: &State,
    run: Run<'_>,
    noise: Noise<'_>,
) -> Result<Option<(Tensor, State)>> {
    check_unit(unit, weights)?;
    if initial.c.is_some() != (unit == CellKind::Lstm) {
        bail!("the state is not that of a fused {unit:?}; see Cell::unit");
    }
    match xs.dtype() {
        _ if weights.norms.is_some() || !reference::gives_way(xs) => Ok(None),
        DType::F32 => layer_in::<f32>(unit, weights, xs, initial, run, noise).map(Some),
        _ => layer_in::<f64>(unit, weights, xs, initial, run, noise).map(Some),
    }
}

/// Refuses weights that are not those of the unit: whoever writes a cell may call it a unit that it is not.
pub(super) fn check_unit(unit: CellKind, weights: &Weights) -> Result<()> {
    let (gates, width) = (unit.gates() * weights.hidden_size(), weights.ih.dim(0)?);
    if width != gates {
        bail!("{width} rows of weights do not make a fused {unit:?}; expected {gates}; see Cell::unit");
    }
    if weights.hr.is_some() && unit != CellKind::Lstm {
        bail!("only an LSTM has a projection, not a fused {unit:?}; see Cell::unit");
    }
    Ok(())
}

fn layer_in<E: Real>(
    unit: CellKind,
    weights: &Weights,
    xs: &Tensor,
    initial: &State,
    run: Run<'_>,
    noise: Noise<'_>,
) -> Result<(Tensor, State)> {
    let isa = Isa::current()?;
    let (batch, time, input) = xs.dims3()?;
    let (hidden, output, gates) = (weights.hidden_size(), weights.output_size(), unit.gates());
    let shape = cpu::Shape { batch, time, hidden, output, gates };
    let mut weights = weights.clone();
    let sequence = sequence::<E>(shape, isa, run, &mut weights, initial.c.is_some(), noise)?;

    // Only what takes no part in training stays as it is, and can be packed once for all calls.
    let constant = match weights.are_trained() {
        true => None,
        false => weights.constant.of::<E>(isa, unit, shape, &weights)?,
    };
    let bias = match (&weights.b_ih, &weights.b_hh) {
        (Some(ih), Some(hh)) if unit.folds_bias() => (ih + hh)?,
        (Some(ih), _) => ih.clone(),
        (None, _) => zeros(gates * hidden, xs)?,
    };
    let link = Arc::new(Link::<E>::default());
    let project = Project {
        shape: cpu::InputShape { batch, time, input, hidden, gates },
        isa,
        constant: constant.clone(),
        link: link.clone(),
    };
    let token = xs.contiguous()?.apply_op3(&weights.ih.contiguous()?, &bias.contiguous()?, project)?;

    let own_bias = weights.b_hh.as_ref().filter(|_| !unit.folds_bias());
    let extras = [Some(&initial.h), initial.c.as_ref(), own_bias, weights.hr.as_ref()];
    let extras = extras.into_iter().flatten().map(Tensor::flatten_all).collect::<Result<Vec<_>>>()?;
    let extras = Tensor::cat(&extras, 0)?;
    let hh = weights.hh.contiguous()?;
    let recur = Recur {
        unit,
        sequence,
        isa,
        constant,
        has_cell_state: initial.c.is_some(),
        has_bias: own_bias.is_some(),
        keep: [&token, &hh, &extras].into_iter().any(Tensor::track_op),
        saved: OnceLock::new(),
        link: link.clone(),
    };
    let ys = token.apply_op3(&hh, &extras, recur)?;
    let state = ys.apply_op1(Final { link })?;
    let part = |from, columns| state.narrow(0, from, batch * columns)?.reshape((batch, columns));
    let c = initial.c.is_some().then(|| part(batch * output, hidden)).transpose()?;
    Ok((ys, State { h: part(0, output)?, c }))
}

/// What the sequence is run with. Noise is drawn in the order in which the reference draws it; dropped
/// weights replace those in `weights`.
fn sequence<E: Real>(
    shape: cpu::Shape,
    isa: Isa,
    run: Run<'_>,
    weights: &mut Weights,
    has_cell_state: bool,
    mut noise: Noise<'_>,
) -> Result<cpu::Sequence<E>> {
    let cpu::Shape { batch, time, hidden, output, .. } = shape;
    let wide = |size| cpu::padded(size, isa.lanes::<E>());
    let mut recurrent_mask = None;
    if let Some(rng) = noise.as_deref_mut() {
        if run.weight_drop > 0. {
            weights.drop_hidden(run.weight_drop, rng)?;
        }
        if run.recurrent_dropout > 0. {
            let mut factors = dropout::factors(batch * output, run.recurrent_dropout, rng).into_iter();
            let mut mask = vec![E::zero(); batch * wide(output)];
            for row in mask.chunks_exact_mut(wide(output)) {
                row[..output].iter_mut().zip(&mut factors).for_each(|(to, f)| *to = E::from_f64(f.into()));
            }
            recurrent_mask = Some(mask);
        }
    }
    let zoneout = match noise {
        _ if run.zoneout == 0. => cpu::Zoneout::Off,
        None => cpu::Zoneout::Share(E::from_f64(run.zoneout)),
        Some(rng) => {
            let lanes = isa.lanes::<E>();
            let steps = |size: usize| cpu::SequenceLayout {
                batch,
                time,
                vectors: size.div_ceil(lanes),
                width: lanes,
            };
            let [mut h, mut c] = [output, hidden].map(|size| vec![E::zero(); steps(size).len()]);
            let mut draw = |masks: &mut [E], size: usize, t: usize| {
                let stays = dropout::draw(batch * size, run.zoneout, rng, [true, false]);
                for (at, _) in stays.into_iter().enumerate().filter(|(_, stays)| *stays) {
                    let (row, unit) = (at / size, at % size);
                    masks[steps(size).at(t, unit / lanes, row) + unit % lanes] = E::one();
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
    Ok(cpu::Sequence { shape, lengths, reverse: run.reverse, zoneout, recurrent_mask })
}

/// Weights that do not change, packed for the kernels when they are first used.
#[derive(Clone, Default)]
pub(crate) struct Constant(Arc<OnceLock<Box<dyn Any + Send + Sync>>>);

impl std::fmt::Debug for Constant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.get().is_some() { "Constant(packed)" } else { "Constant" })
    }
}

impl Constant {
    /// The packed weights; none where they were packed for another instruction set.
    fn of<E: Real>(
        &self,
        isa: Isa,
        unit: CellKind,
        shape: cpu::Shape,
        weights: &Weights,
    ) -> Result<Packed<E>> {
        if self.0.get().is_none() {
            let _ = self.0.set(Box::new(Arc::new(pack::<E>(isa, unit, shape, weights)?))); // another thread's is as good
        }
        let packed = self.0.get().and_then(|packed| packed.downcast_ref::<Arc<cpu::PackedLayer<E>>>());
        Ok(packed.filter(|packed| packed.lanes == isa.lanes::<E>()).cloned())
    }
}

type Packed<E> = Option<Arc<cpu::PackedLayer<E>>>;

/// The weights as they are now, packed: once for all calls where they take no part in training.
pub(super) fn packed<E: Real>(
    isa: Isa,
    unit: CellKind,
    shape: cpu::Shape,
    weights: &Weights,
) -> Result<Arc<cpu::PackedLayer<E>>> {
    let constant = match weights.are_trained() {
        true => None,
        false => weights.constant.of::<E>(isa, unit, shape, weights)?,
    };
    match constant {
        Some(packed) => Ok(packed),
        None => Ok(Arc::new(pack(isa, unit, shape, weights)?)),
    }
}

fn pack<E: Real>(
    isa: Isa,
    unit: CellKind,
    shape: cpu::Shape,
    weights: &Weights,
) -> Result<cpu::PackedLayer<E>> {
    let hr = weights.hr.as_ref().map(Tensor::contiguous).transpose()?;
    let views = [Some(&weights.ih.contiguous()?), Some(&weights.hh.contiguous()?), hr.as_ref()];
    read::<E, _, _>(views, |[ih, hh, hr]| {
        cpu::PackedLayer::new(isa, unit, shape, [ih, hh], (!hr.is_empty()).then_some(hr))
    })
}

/// Calls `f` with the numbers of contiguous tensors on the processor; none for those that are not there.
pub(super) fn read<E: Real, T, const N: usize>(
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
pub(super) fn numbers<'a, E: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [E]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&E::cpu_storage_as_slice(storage)?[from..to]),
        None => bail!("a fused layer needs contiguous tensors, not {layout:?}"),
    }
}

/// A tensor of new numbers.
fn tensor<E: Real>(numbers: Vec<E>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(numbers, like.shape(), like.device())
}

/// What goes from node to node beside candle's tensors; each is put in by one and taken out by the next.
struct Link<E> {
    /// From [`Project`] to [`Recur`].
    gates: Slot<cpu::Buffer<E>>,
    /// From [`Recur`] to [`Final`].
    state: Slot<Vec<E>>,
    /// From [`Final`] back to [`Recur`], where there is a gradient of the final state.
    d_state: Slot<Tensor>,
    /// From [`Recur`] back to [`Project`].
    d_gates: Slot<cpu::Buffer<E>>,
}

impl<E> Default for Link<E> {
    fn default() -> Self {
        Self {
            gates: Slot::default(),
            state: Slot::default(),
            d_state: Slot::default(),
            d_gates: Slot::default(),
        }
    }
}

/// Room for one thing.
struct Slot<T>(Mutex<Option<T>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, thing: T) {
        *self.lock() = Some(thing);
    }

    fn take(&self) -> Option<T> {
        self.lock().take()
    }

    fn expect(&self, what: &str) -> Result<T> {
        match self.take() {
            Some(thing) => Ok(thing),
            None => bail!("a fused layer's nodes ran out of order: there is no {what}"),
        }
    }
}

/// `xs W^T + b`: of the input (batch, time, input), the weights (gates * hidden, input) and the bias (gates *
/// hidden), the input's part of the gates, put into the link. Its own output is a token, a zero.
struct Project<E> {
    shape: cpu::InputShape,
    isa: Isa,
    constant: Option<Arc<cpu::PackedLayer<E>>>,
    link: Arc<Link<E>>,
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
        let packed = self.constant.as_ref().map(|packed| packed.input());
        self.link.gates.put(cpu::project(self.isa, self.shape, xs, weight, Some(bias), packed));
        Ok((E::to_cpu_storage_owned(vec![E::zero()]), Shape::from(1)))
    }

    fn bwd(
        &self,
        xs: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _token: &Tensor,
        _gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let d_gates = self.link.d_gates.expect("gradient of the gates")?;
        let (d_xs, d_weight, d_bias) = read::<E, _, 2>([Some(xs), Some(weight)], |[xs_numbers, weight]| {
            let wants_xs = xs.track_op();
            cpu::project_backward(self.isa, self.shape, xs_numbers, weight, &d_gates, wants_xs)
        })?;
        let d_xs = d_xs.map(|d_xs| tensor(d_xs, xs)).transpose()?;
        Ok((d_xs, sink::offer(weight, tensor(d_weight, weight)?)?, Some(tensor(d_bias, bias)?)))
    }
}

/// The recurrence: of the gates in the link, the recurrent weights (gates * hidden, output) and the extras
/// (the initial state, then the recurrent bias and the projection if there are, all in one), the outputs
/// (batch, time, output), and the final state into the link.
struct Recur<E> {
    unit: CellKind,
    sequence: cpu::Sequence<E>,
    isa: Isa,
    constant: Option<Arc<cpu::PackedLayer<E>>>,
    has_cell_state: bool,
    has_bias: bool,
    /// Whether there will be a backward pass.
    keep: bool,
    saved: OnceLock<cpu::Saved<E>>,
    link: Arc<Link<E>>,
}

impl<E: Real> Recur<E> {
    fn inputs<'a>(&self, weight: &'a [E], extras: &'a [E]) -> cpu::Inputs<'a, E> {
        let cpu::Shape { batch, hidden, output, gates, .. } = self.sequence.shape;
        let (h, rest) = extras.split_at(batch * output);
        let (c, rest) = rest.split_at(if self.has_cell_state { batch * hidden } else { 0 });
        let (bias, projection) = rest.split_at(if self.has_bias { gates * hidden } else { 0 });
        let some = |there: bool, part: &'a [E]| there.then_some(part);
        cpu::Inputs {
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
        _token: &CpuStorage,
        _token_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        extras: &CpuStorage,
        extras_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let weight = numbers::<E>(weight, weight_layout)?;
        let inputs = self.inputs(weight, numbers::<E>(extras, extras_layout)?);
        let packed = self.constant.as_ref().map(|packed| packed.recurrent());
        let gates = self.link.gates.expect("gates")?;
        let cpu::Outputs { ys, state, saved } =
            cpu::forward(self.isa, self.unit, &self.sequence, gates, &inputs, packed, self.keep);
        if let Some(saved) = saved {
            let _ = self.saved.set(saved); // an op runs forward once
        }
        self.link.state.put(state);
        let cpu::Shape { batch, time, output, .. } = self.sequence.shape;
        Ok((E::to_cpu_storage_owned(ys), (batch, time, output).into()))
    }

    fn bwd(
        &self,
        token: &Tensor,
        weight: &Tensor,
        extras: &Tensor,
        _ys: &Tensor,
        d_ys: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(saved) = self.saved.get() else { bail!("a recurrence kept nothing for its backward pass") };
        let d_state = self.link.d_state.take();
        let d_ys = d_ys.contiguous()?;
        let tensors = [Some(weight), Some(extras), Some(&d_ys), d_state.as_ref()];
        let found = read::<E, _, 4>(tensors, |[weight, extras, d_ys, state]| {
            let inputs = self.inputs(weight, extras);
            let gradient = (d_ys, d_state.is_some().then_some(state));
            cpu::backward(self.isa, self.unit, &self.sequence, &inputs, saved, gradient)
        })?;
        let cpu::Gradients { gates, weight: d_weight, h, c, bias, projection } = found;
        self.link.d_gates.put(gates);
        let d_extras = [Some(h), c, bias, projection].into_iter().flatten().flatten().collect();
        Ok((
            Some(token.zeros_like()?),
            sink::offer(weight, tensor(d_weight, weight)?)?,
            Some(tensor::<E>(d_extras, extras)?),
        ))
    }
}

/// The final state, (batch * output) hidden then (batch * hidden) cell, out of the link. Its gradient goes
/// back the same way; candle's own gradient of the outputs it leaves as it is.
struct Final<E> {
    link: Arc<Link<E>>,
}

impl<E: Real> CustomOp1 for Final<E> {
    fn name(&self) -> &'static str {
        "final-state"
    }

    fn cpu_fwd(&self, _ys: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let state = self.link.state.expect("final state")?;
        let count = state.len();
        Ok((E::to_cpu_storage_owned(state), count.into()))
    }

    fn bwd(&self, ys: &Tensor, _state: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        self.link.d_state.put(gradient.contiguous()?);
        Ok(Some(ys.zeros_like()?)) // the recurrence runs backward only if there is some gradient
    }
}
