//! Layers on top of one another, in one direction or both, with dropout between them: what turns a
//! [`Cell`] into a [`Recurrent`] layer.

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use rand::Rng;

use crate::layers::cell::Cell;
use crate::layers::config::{GateBias, Init, SHORTEST_CHRONO, StackConfig};
use crate::layers::dropout::{Noise, Share, dropout};
use crate::layers::gate_bias::GateBiases;
use crate::layers::linear::Linear;
use crate::layers::recurrent::Recurrent;
use crate::layers::state::{Output, State};
use crate::layers::weights::{Weights, WeightsConfig, zeros};
use crate::ops::reference::{Run, clear_padding, scan};
use crate::ops::{Stream, fused};

/// A stack of one kind of cell: [`SimpleRnn`](crate::SimpleRnn), [`Lstm`](crate::Lstm) and
/// [`Gru`](crate::Gru) are this.
#[derive(Clone, Debug)]
pub struct Stack<C: Cell> {
    /// Layer 0 forward, layer 0 backward, layer 1 forward and so on.
    cells: Vec<C>,
    config: StackConfig<C::Options>,
}

impl<C: Cell> Stack<C> {
    /// Takes the parameters out of `vb`, under PyTorch's names: `weight_ih_l0`, `weight_hh_l0`,
    /// `bias_ih_l0`, `bias_hh_l0`, the same with `_reverse` for the backward direction, and
    /// `weight_hr_l0` for a projection. Layer normalisation adds `norm_ih_weight_l0`,
    /// `norm_ih_bias_l0` and the same for `hh` and `c`.
    ///
    /// # Errors
    /// Where the configuration makes no sense, or a parameter is missing or has another shape.
    pub fn new(config: &StackConfig<C::Options>, vb: &VarBuilder<'_>) -> Result<Self> {
        config.validate()?;
        match C::chrono(&config.cell) {
            Some(steps) if steps < SHORTEST_CHRONO => {
                bail!("chrono is {steps} steps; expected at least {SHORTEST_CHRONO}")
            }
            _ => {}
        }
        let own = C::initial_bias(&config.cell, Init::Pytorch);
        if !config.bias && own.iter().any(|bias| *bias != GateBias::Scheme) {
            bail!("what gates start with is asked for, but the layer is without biases")
        }
        let output = C::projection(&config.cell).unwrap_or(config.hidden_size);
        let mut cells = Vec::with_capacity(config.num_layers * config.directions());
        for layer in 0..config.num_layers {
            let input = if layer == 0 { config.input_size } else { config.merged(output) };
            for direction in 0..config.directions() {
                let suffix = format!("l{layer}{}", if direction == 0 { "" } else { "_reverse" });
                let weights = Weights::new(weights_config::<C>(config, input), &suffix, vb)?;
                cells.push(C::new(&config.cell, weights)?);
            }
        }
        Ok(Self { cells, config: config.clone() })
    }

    /// The cells: layer 0 forward, layer 0 backward, layer 1 forward and so on.
    pub fn cells(&self) -> &[C] {
        &self.cells
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &StackConfig<C::Options> {
        &self.config
    }

    /// One layer's directions over (batch, time, features), merged; its new states join `states`.
    fn layer(
        &self,
        layer: usize,
        xs: &Tensor,
        initial: &State,
        lengths: Option<&[usize]>,
        mut noise: Noise<'_>,
        states: &mut Vec<State>,
    ) -> Result<Tensor> {
        let directions = self.config.directions();
        let mut outputs = Vec::with_capacity(directions);
        for direction in 0..directions {
            let index = layer * directions + direction;
            let cell = &self.cells[index];
            let run = Run {
                lengths,
                reverse: direction == 1,
                zoneout: self.config.zoneout,
                recurrent_dropout: self.config.recurrent_dropout,
                weight_drop: self.config.weight_drop,
            };
            let (ys, state) = self.direction(cell, xs, &initial.layer(index)?, run, noise.as_deref_mut())?;
            outputs.push(ys);
            states.push(state);
        }
        match (self.config.bidirectional, &outputs[..]) {
            (Some(merge), [forward, backward]) => merge.apply(forward, backward),
            _ => Ok(outputs.swap_remove(0)),
        }
    }

    /// One layer in one direction: in one piece where there are kernels for it, else step by step.
    fn direction(
        &self,
        cell: &C,
        xs: &Tensor,
        initial: &State,
        run: Run<'_>,
        mut noise: Noise<'_>,
    ) -> Result<(Tensor, State)> {
        if let Some(unit) = cell.unit() {
            let fused = fused::layer(unit, cell.weights(), xs, initial, run, noise.as_deref_mut())?;
            if let Some(result) = fused {
                return Ok(result);
            }
        }
        let gates_x = cell.weights().project_input(xs, cell.folds_hidden_bias())?;
        scan(cell, &gates_x, initial, run, noise)
    }

    /// Refuses a state of another shape than this stack's.
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
    fn forward_t(
        &self,
        xs: &Tensor,
        state: Option<&State>,
        lengths: Option<&[usize]>,
        mut noise: Noise<'_>,
    ) -> Result<Output> {
        let (batch, _, features) = xs.dims3()?;
        if features != self.config.input_size {
            let expected = self.config.input_size;
            bail!("the input is {:?}; expected (batch, time, {expected})", xs.dims());
        }
        let initial = match state {
            Some(state) => state.clone(),
            None => self.zero_state(batch)?,
        };
        self.check_state(&initial, batch)?;
        let mut ys = match lengths {
            Some(lengths) => clear_padding(xs, lengths)?,
            None => xs.clone(),
        };
        let share = if self.config.locked_dropout { Share::Time } else { Share::None };
        let mut states = Vec::with_capacity(self.cells.len());
        for layer in 0..self.config.num_layers {
            if layer > 0 {
                ys = dropout(&ys, self.config.dropout, share, noise.as_deref_mut())?;
            }
            ys = self.layer(layer, &ys, &initial, lengths, noise.as_deref_mut(), &mut states)?;
        }
        Ok(Output { ys, state: State::stack(&states)?, merge: self.config.bidirectional })
    }

    fn step(&self, x: &Tensor, state: &State) -> Result<(Tensor, State)> {
        if self.config.bidirectional.is_some() {
            bail!("a bidirectional stack cannot run step by step: its backward half starts at the end");
        }
        let output = self.forward(&x.unsqueeze(1)?, Some(state), None)?; // (batch, 1, input)
        Ok((output.ys.squeeze(1)?, output.state))
    }

    fn stream(&self, decoder: &[Linear]) -> Result<Option<Stream>> {
        if self.config.bidirectional.is_some() {
            return Ok(None);
        }
        let layers: Vec<_> = self.cells.iter().map(|cell| (cell.unit(), cell.weights())).collect();
        Stream::new(&layers, self.config.zoneout, decoder)
    }

    fn zero_state(&self, batch: usize) -> Result<State> {
        let weights = self.cells[0].weights();
        let zeros = |width| zeros((self.cells.len(), batch, width), weights.like());
        let c = if C::CELL_STATE { Some(zeros(weights.hidden_size())?) } else { None };
        Ok(State { h: zeros(weights.output_size())?, c })
    }

    fn input_size(&self) -> usize {
        self.config.input_size
    }

    fn output_size(&self) -> usize {
        self.config.merged(self.cells[0].weights().output_size())
    }

    fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()> {
        self.cells.iter().try_for_each(|cell| cell.weights().reset(rng))
    }
}

/// The sizes and initial values of a layer in one direction whose input has `input_size` features.
fn weights_config<C: Cell>(config: &StackConfig<C::Options>, input_size: usize) -> WeightsConfig {
    WeightsConfig {
        input_size,
        hidden_size: config.hidden_size,
        gates: C::GATES,
        projection: C::projection(&config.cell),
        bias: config.bias,
        layer_norm: config.layer_norm,
        cell_state: C::CELL_STATE,
        init: config.init,
        gate_biases: GateBiases {
            gates: C::initial_bias(&config.cell, config.init),
            chrono: C::chrono(&config.cell),
        },
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::{Gru, GruConfig, Lstm, LstmConfig, Merge};

    fn zeros(shape: &[usize]) -> Tensor {
        Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
    }

    fn lstm(bidirectional: Option<Merge>) -> Lstm {
        let config = LstmConfig { num_layers: 2, bidirectional, ..LstmConfig::new(4, 8) };
        Lstm::new(&config, &VarBuilder::zeros(DType::F32, &Device::Cpu)).unwrap()
    }

    #[test]
    fn shapes_that_disagree_are_told_with_what_was_expected() {
        let lstm = lstm(None);
        let problem = |xs: &[usize], state: Option<&State>, lengths: Option<&[usize]>| {
            lstm.forward(&zeros(xs), state, lengths).map(|_| ()).unwrap_err().to_string()
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
        let gru = Gru::new(&GruConfig::new(4, 8), &VarBuilder::zeros(DType::F32, &Device::Cpu)).unwrap();
        let both = state(&[1, 3, 8], Some(&[1, 3, 8]));
        let error = gru.forward(&zeros(&[3, 5, 4]), Some(&both), None).unwrap_err().to_string();
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
        let projected = LstmConfig {
            cell: crate::LstmOptions { projection: Some(3), ..Default::default() },
            bidirectional: Some(Merge::Concat),
            num_layers: 2,
            ..LstmConfig::new(4, 8)
        };
        let projected = Lstm::new(&projected, &VarBuilder::zeros(DType::F32, &Device::Cpu)).unwrap();
        let state = projected.zero_state(5).unwrap();
        assert_eq!((projected.input_size(), projected.output_size()), (4, 6));
        assert_eq!((state.h.dims(), state.c.unwrap().dims()), (&[4, 5, 3][..], &[4, 5, 8][..]));
        assert_eq!(lstm(Some(Merge::Mul)).output_size(), 8);
    }
}
