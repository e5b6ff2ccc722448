//! A stack of layers of one kind of cell, in one direction or both, with dropout between the layers.

use std::borrow::Cow;

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use rand::Rng;

use crate::layers::cell::Cell;
use crate::layers::config::{Init, StackConfig};
use crate::layers::dropout::{Noise, dropout};
use crate::layers::gate_bias::check_gate_biases;
use crate::layers::linear::Linear;
use crate::layers::recurrent::Recurrent;
use crate::layers::recurrent_noise::{PassShape, draw_noise};
use crate::layers::scan::{scan, scan_gates};
use crate::layers::state::{Output, State};
use crate::layers::stream::Stream;
use crate::layers::weights::{Weights, WeightsConfig, zeros};
use crate::ops::fused::{self, LayerOutput};
use crate::ops::reference::{check_lengths, clear_padding};
use crate::ops::sequence::{SequenceOptions, ZoneoutMode};

/// A stack of recurrent layers of one kind of cell: [`SimpleRnn`](crate::SimpleRnn), [`Lstm`](crate::Lstm) or
/// [`Gru`](crate::Gru).
#[derive(Clone, Debug)]
pub struct Stack<C: Cell> {
    /// Layer 0 forward, layer 0 backward, layer 1 forward and so on.
    cells: Vec<C>,
    config: StackConfig<C::Options>,
}

impl<C: Cell> Stack<C> {
    /// Take the parameters from `vb`, under PyTorch's names: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`,
    /// `bias_hh_l0`, the same with `_reverse` for the backward direction, and `weight_hr_l0` for a projection.
    /// Layer normalisation adds `norm_ih_weight_l0`, `norm_ih_bias_l0` and the same for `hh` and `c`.
    ///
    /// # Errors
    /// If the configuration is invalid, or a parameter is missing or has another shape.
    #[allow(clippy::needless_pass_by_value)] // as candle's own constructors take it
    pub fn new(config: &StackConfig<C::Options>, vb: VarBuilder<'_>) -> Result<Self> {
        let stack = &config.stack;
        stack.validate()?;
        check_gate_biases(&C::initial_bias(&config.cell, Init::Pytorch), stack.bias)?;
        let projection = C::projection(&config.cell);
        let output = projection.unwrap_or(stack.hidden_size);
        if !(1..=stack.hidden_size).contains(&output) {
            bail!("the projection is {output}; expected 1 to the hidden size, {}", stack.hidden_size);
        }
        let mut cells = Vec::with_capacity(stack.num_layers * stack.directions());
        for layer in 0..stack.num_layers {
            let weights = WeightsConfig {
                gates: C::GATES,
                input: if layer == 0 { stack.input_size } else { stack.merged(output) },
                hidden: stack.hidden_size,
                projection,
                bias: stack.bias,
                layer_norm: stack.layer_norm,
                cell_state: C::CELL_STATE,
                bounded_state: C::has_bounded_state(&config.cell),
                init: stack.init,
                gate_biases: C::initial_bias(&config.cell, stack.init),
            };
            for direction in 0..stack.directions() {
                let suffix = format!("l{layer}{}", if direction == 0 { "" } else { "_reverse" });
                let weights = Weights::new(&weights, &suffix, vb.clone())?;
                cells.push(C::new(&config.cell, weights)?);
            }
        }
        Ok(Self { cells, config: config.clone() })
    }

    /// Return the cells: layer 0 forward, layer 0 backward, layer 1 forward and so on.
    pub fn cells(&self) -> &[C] {
        &self.cells
    }

    /// Return the configuration that the stack was built from.
    pub fn config(&self) -> &StackConfig<C::Options> {
        &self.config
    }

    /// Run the directions of one layer over (batch, time, features) and merge them. Appends the new states to
    /// `states`.
    fn layer(
        &self,
        layer: usize,
        xs: &Tensor,
        initial: &State,
        lengths: Option<&[usize]>,
        mut noise: Noise<'_>,
        states: &mut Vec<State>,
    ) -> Result<Tensor> {
        let directions = self.config.stack.directions();
        let mut outputs = Vec::with_capacity(directions);
        for direction in 0..directions {
            let index = layer * directions + direction;
            let (initial, reverse) = (initial.layer(index)?, direction == 1);
            let cell = &self.cells[index];
            let (ys, state) = self.direction(cell, xs, &initial, (lengths, reverse), noise.as_deref_mut())?;
            outputs.push(ys);
            states.push(state);
        }
        match (self.config.stack.bidirectional, &outputs[..]) {
            (Some(merge), [forward, backward]) => merge.apply(forward, backward),
            _ => Ok(outputs.swap_remove(0)),
        }
    }

    /// Run one layer in one direction: with the fused kernels if there are any, else step by step.
    ///
    /// The generator draws weight drop first, then recurrent dropout, then zoneout.
    fn direction(
        &self,
        cell: &C,
        xs: &Tensor,
        initial: &State,
        (lengths, reverse): (Option<&[usize]>, bool),
        mut noise: Noise<'_>,
    ) -> Result<(Tensor, State)> {
        let stack = &self.config.stack;
        let mut cell = Cow::Borrowed(cell);
        if let Some(rng) = noise.as_deref_mut().filter(|_| stack.weight_drop > 0.) {
            cell.to_mut().weights_mut().drop_hidden(stack.weight_drop, rng)?;
        }
        let weights = cell.weights();
        let (batch, time, _) = xs.dims3()?;
        let cell_state = C::CELL_STATE.then_some(weights.hidden_size());
        let shape = PassShape { batch, time, output: weights.output_size(), cell_state };
        let options = SequenceOptions { lengths, reverse, noise: draw_noise(stack, shape, noise) };
        if let (Some(kind), Some(weights)) = (cell.kind(), weights.fused()) {
            let state = (&initial.h, initial.c.as_ref());
            if let Some(LayerOutput { ys, h, c }) = fused::layer(kind, weights, xs, state, &options)? {
                return Ok((ys, State { h, c }));
            }
        }
        // The kernels read no padding; here it would reach the gradients of the weights.
        let xs = lengths.map_or_else(|| Ok(xs.clone()), |lengths| clear_padding(xs, lengths))?;
        let gates_x = weights.project_input(&xs, cell.folds_hidden_bias())?;
        scan(cell.as_ref(), &gates_x, initial, &options)
    }

    /// Refuse a state of another shape than this stack's.
    fn check_state(&self, state: &State, batch: usize) -> Result<()> {
        let weights = self.cells[0].weights();
        let layers = self.cells.len();
        let check = |name: &str, tensor: &Tensor, width: usize| {
            let expected = [layers, batch, width];
            if tensor.dims() == expected {
                return Ok(());
            }
            bail!(
                "state.{name} is {:?}; expected (layers * directions, batch, hidden) {expected:?}",
                tensor.dims()
            )
        };
        check("h", &state.h, weights.output_size())?;
        match &state.c {
            Some(c) if C::CELL_STATE => check("c", c, weights.hidden_size()),
            None if C::CELL_STATE => bail!("the state has no c; an LSTM needs both h and c"),
            Some(_) => bail!("the state has a c, which only an LSTM has"),
            None => Ok(()),
        }
    }
}

impl<C: Cell> Recurrent for Stack<C>
where
    C::Options: Send + Sync,
{
    fn run_t(
        &self,
        xs: &Tensor,
        state: Option<&State>,
        lengths: Option<&[usize]>,
        mut noise: Noise<'_>,
    ) -> Result<Output> {
        let (batch, time, features) = xs.dims3()?;
        if features != self.config.stack.input_size {
            let expected = self.config.stack.input_size;
            bail!("the input is {:?}; expected (batch, time, {expected})", xs.dims());
        }
        let initial = match state {
            Some(state) => state.clone(),
            None => self.zero_state(batch)?,
        };
        self.check_state(&initial, batch)?;
        if let Some(lengths) = lengths {
            check_lengths(lengths, (batch, time))?;
        }
        let mut ys = xs.clone();
        let mask = self.config.stack.dropout_mask();
        let mut states = Vec::with_capacity(self.cells.len());
        for layer in 0..self.config.stack.num_layers {
            if layer > 0 {
                ys = dropout(&ys, self.config.stack.dropout, mask, noise.as_deref_mut())?;
            }
            ys = self.layer(layer, &ys, &initial, lengths, noise.as_deref_mut(), &mut states)?;
        }
        Ok(Output { ys, state: State::stack(&states)?, merge: self.config.stack.bidirectional })
    }

    fn step(&self, x: &Tensor, state: &State) -> Result<(Tensor, State)> {
        if self.config.stack.bidirectional.is_some() {
            bail!("a bidirectional stack cannot run step by step: its backward half starts at the end");
        }
        let output = self.run(&x.unsqueeze(1)?, Some(state), None)?; // (batch, 1, input)
        Ok((output.ys.squeeze(1)?, output.state))
    }

    fn gates(&self, xs: &Tensor) -> Result<Vec<(&'static str, Tensor)>> {
        if self.config.stack.bidirectional.is_some() {
            return Ok(vec![]);
        }
        let (initial, last) = (self.zero_state(xs.dim(0)?)?, self.cells.len() - 1);
        let (mut ys, mut states) = (xs.clone(), vec![]);
        for layer in 0..last {
            ys = self.layer(layer, &ys, &initial, None, None, &mut states)?;
        }
        let cell = &self.cells[last];
        let gates_x = cell.weights().project_input(&ys, cell.folds_hidden_bias())?;
        let zoneout = match self.config.stack.zoneout {
            0. => ZoneoutMode::Off,
            share => ZoneoutMode::Mix(share),
        };
        scan_gates(cell, &gates_x, &initial.layer(last)?, &zoneout)
    }

    fn stream(&self, decoder: &[Linear]) -> Result<Option<Stream>> {
        if self.config.stack.bidirectional.is_some() {
            return Ok(None);
        }
        let layers: Vec<_> = self.cells.iter().map(|cell| (cell.kind(), cell.weights())).collect();
        Stream::new(&layers, self.config.stack.zoneout, decoder)
    }

    fn zero_state(&self, batch: usize) -> Result<State> {
        let weights = self.cells[0].weights();
        let zeros = |width| zeros((self.cells.len(), batch, width), weights.like());
        let c = if C::CELL_STATE { Some(zeros(weights.hidden_size())?) } else { None };
        Ok(State { h: zeros(weights.output_size())?, c })
    }

    fn input_size(&self) -> usize {
        self.config.stack.input_size
    }

    fn output_size(&self) -> usize {
        self.config.stack.merged(self.cells[0].weights().output_size())
    }

    fn repack(&self) {
        self.cells.iter().for_each(|cell| cell.weights().repack());
    }

    fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()> {
        self.cells.iter().try_for_each(|cell| cell.weights().reset(rng))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::{Gru, GruConfig, Lstm, LstmOptions, Merge, StackOptions};

    fn zeros(shape: &[usize]) -> Tensor {
        Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
    }

    fn lstm(bidirectional: Option<Merge>) -> Lstm {
        let stack = StackOptions { num_layers: 2, bidirectional, ..StackOptions::new(4, 8) };
        Lstm::new(&stack.into(), VarBuilder::zeros(DType::F32, &Device::Cpu)).unwrap()
    }

    #[test]
    fn wrong_shapes_are_reported_with_the_expected_ones() {
        let lstm = lstm(None);
        let problem = |xs: &[usize], state: Option<&State>, lengths: Option<&[usize]>| {
            lstm.run(&zeros(xs), state, lengths).map(|_| ()).unwrap_err().to_string()
        };
        let state = |h: &[usize], c: Option<&[usize]>| State { h: zeros(h), c: c.map(zeros) };
        for (found, expected) in [
            (problem(&[3, 5, 6], None, None), "the input is [3, 5, 6]; expected (batch, time, 4)"),
            (problem(&[3, 5, 4], None, Some(&[5, 5])), "2 lengths for a batch of 3"),
            (problem(&[3, 5, 4], None, Some(&[5, 6, 5])), "sequence 1 has length 6 in a batch of 5 steps"),
            (
                problem(&[3, 5, 4], Some(&state(&[2, 1, 8], Some(&[2, 3, 8]))), None),
                "state.h is [2, 1, 8]; expected (layers * directions, batch, hidden) [2, 3, 8]",
            ),
            (problem(&[3, 5, 4], Some(&state(&[2, 3, 8], Some(&[2, 3, 7]))), None), "state.c is [2, 3, 7]"),
            (problem(&[3, 5, 4], Some(&state(&[2, 3, 8], None)), None), "the state has no c"),
        ] {
            assert!(found.starts_with(expected), "{found}");
        }
        let gru = Gru::new(&GruConfig::new(4, 8), VarBuilder::zeros(DType::F32, &Device::Cpu)).unwrap();
        let both = state(&[1, 3, 8], Some(&[1, 3, 8]));
        let error = gru.run(&zeros(&[3, 5, 4]), Some(&both), None).unwrap_err().to_string();
        assert!(error.starts_with("the state has a c, which only an LSTM has"), "{error}");
    }

    #[test]
    fn both_directions_cannot_run_step_by_step() {
        let lstm = lstm(Some(Merge::Ave));
        let error = lstm.step(&zeros(&[1, 4]), &lstm.zero_state(1).unwrap()).unwrap_err().to_string();
        assert!(error.contains("its backward half starts at the end"), "{error}");
    }

    #[test]
    fn sizes_follow_from_layers_directions_and_projection() {
        let stack =
            StackOptions { bidirectional: Some(Merge::Concat), num_layers: 2, ..StackOptions::new(4, 8) };
        let projected = stack.with_cell(LstmOptions { projection: Some(3), ..Default::default() });
        let projected = Lstm::new(&projected, VarBuilder::zeros(DType::F32, &Device::Cpu)).unwrap();
        let state = projected.zero_state(5).unwrap();
        assert_eq!((projected.input_size(), projected.output_size()), (4, 6));
        assert_eq!((state.h.dims(), state.c.unwrap().dims()), (&[4, 5, 3][..], &[4, 5, 8][..]));
        assert_eq!(lstm(Some(Merge::Mul)).output_size(), 8);
    }

    #[test]
    fn outputs_computed_from_the_gates_are_those_of_run() {
        let map = candle_nn::VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let stack = StackOptions { num_layers: 2, ..StackOptions::new(4, 8) };
        let xs = Tensor::randn(0f32, 1., (3, 5, 4), &Device::Cpu).unwrap();
        let named = |gates: &[(&'static str, Tensor)], name: &str| {
            gates.iter().find(|(gate, _)| *gate == name).map(|(_, value)| value.clone()).unwrap()
        };
        let close = |found: Tensor, expected: &Tensor| {
            let far = (found - expected).unwrap().abs().unwrap().max_all().unwrap();
            assert!(far.to_scalar::<f32>().unwrap() < 1e-5);
        };

        let lstm = Lstm::new(&stack.clone().into(), vb.pp("lstm")).unwrap();
        let gates = lstm.gates(&xs).unwrap();
        let names: Vec<_> = gates.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["input", "forget", "candidate", "output", "cell"]);
        let cell = named(&gates, "cell"); // (batch, time, hidden)
        close(
            (named(&gates, "output") * cell.tanh().unwrap()).unwrap(),
            &lstm.run(&xs, None, None).unwrap().ys,
        );

        let gru = Gru::new(&stack.clone().into(), vb.pp("gru")).unwrap();
        let gates = gru.gates(&xs).unwrap();
        let (z, n) = (named(&gates, "update"), named(&gates, "candidate"));
        let ys = gru.run(&xs, None, None).unwrap().ys;
        let before = ys.narrow(1, 0, 4).unwrap().pad_with_zeros(1, 1, 0).unwrap(); // h of the step before
        close((&n + (z * (before - &n).unwrap()).unwrap()).unwrap(), &ys);

        // Zoneout mixes in a share of the state before, also without training.
        let mixing = StackOptions { num_layers: 1, zoneout: 0.3, ..StackOptions::new(4, 8) };
        let gru = Gru::new(&mixing.into(), vb.pp("mixing")).unwrap();
        let gates = gru.gates(&xs).unwrap();
        let (z, n) = (named(&gates, "update"), named(&gates, "candidate"));
        let ys = gru.run(&xs, None, None).unwrap().ys;
        let before = ys.narrow(1, 0, 4).unwrap().pad_with_zeros(1, 1, 0).unwrap();
        let new = (&n + (z * (&before - &n).unwrap()).unwrap()).unwrap();
        close(((new * 0.7).unwrap() + (before * 0.3).unwrap()).unwrap(), &ys);

        let simple = crate::SimpleRnn::new(&stack.into(), vb.pp("simple")).unwrap();
        assert!(simple.gates(&xs).unwrap().is_empty());
        assert!(self::lstm(Some(Merge::Sum)).gates(&xs).unwrap().is_empty());
    }
}
