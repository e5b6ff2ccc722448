//! State, output and merged directions of a recurrent layer.

use candle_core::{Result, Tensor, bail};
use serde::{Deserialize, Serialize};

use crate::ops::reference::stack;

/// The state of a recurrent layer between two calls.
///
/// For a stack each tensor is (layers * directions, batch, hidden), ordered as in PyTorch: layer 0
/// forward, layer 0 backward, layer 1 forward and so on. For one [`Cell`](crate::Cell) it is (batch, hidden).
#[derive(Clone, Debug)]
pub struct State {
    /// The hidden state, which is also the output. With an LSTM projection it has the projection's features.
    pub h: Tensor,
    /// The cell state, if the cell has one.
    pub c: Option<Tensor>,
}

impl State {
    /// Return the state without a gradient: truncated backpropagation through time stops here.
    pub fn detach(&self) -> Self {
        Self { h: self.h.detach(), c: self.c.as_ref().map(Tensor::detach) }
    }

    /// Return the state of one layer and direction of a stack, (batch, hidden).
    ///
    /// # Errors
    /// If `index >= layers * directions`.
    pub fn layer(&self, index: usize) -> Result<Self> {
        Ok(Self { h: self.h.get(index)?, c: self.c.as_ref().map(|c| c.get(index)).transpose()? })
    }

    /// Concatenate states of a stack, (layers * directions, batch, hidden) each, along the batch. A batch may be 0.
    ///
    /// # Errors
    /// If `states` is empty, the states differ in more than the batch, or only some have a cell state.
    pub fn join(states: &[Self]) -> Result<Self> {
        Self::combine(states, "sequences", |tensors| Tensor::cat(tensors, 1))
    }

    /// Stack the (batch, hidden) states of layers and directions into the state of a stack.
    ///
    /// # Errors
    /// If `layers` is empty, the states differ in shape, or only some have a cell state.
    pub fn stack(layers: &[Self]) -> Result<Self> {
        Self::combine(layers, "layers", |tensors| stack(tensors, 0))
    }

    /// Combine the hidden states of `parts` and, if they have them, the cell states. `name` names the parts in error
    /// messages.
    fn combine(parts: &[Self], name: &str, combine: impl Fn(&[&Tensor]) -> Result<Tensor>) -> Result<Self> {
        let h = combine(&parts.iter().map(|part| &part.h).collect::<Vec<_>>())?;
        let c: Vec<&Tensor> = parts.iter().filter_map(|part| part.c.as_ref()).collect();
        if !c.is_empty() && c.len() != parts.len() {
            bail!("{} of {} {name} have a cell state; expected all or none", c.len(), parts.len());
        }
        let c = if c.is_empty() { None } else { Some(combine(&c)?) };
        Ok(Self { h, c })
    }

    /// Return the state of these sequences of the batch, in this order. A sequence may occur several times.
    ///
    /// # Errors
    /// If `rows` is empty, or one of them is not below the batch.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        let rows = Tensor::new(rows, self.h.device())?;
        let c = self.c.as_ref().map(|c| c.contiguous()?.index_select(&rows, 1)).transpose()?;
        Ok(Self { h: self.h.contiguous()?.index_select(&rows, 1)?, c })
    }
}

/// The results of [`Recurrent::run`](crate::Recurrent::run).
#[derive(Clone, Debug)]
pub struct Output {
    /// The output of the top layer at every step, (batch, time, output); zero past a sequence's length.
    pub ys: Tensor,
    /// The state after each sequence's own last step.
    pub state: State,
    /// The merge of the top layer's directions, if it has two.
    pub(crate) merge: Option<Merge>,
}

impl Output {
    /// Collect the results of a stack: `ys` (batch, time, output), the final state, and the merge of the top layer's
    /// directions, if it has two.
    pub fn new(ys: Tensor, state: State, merge: Option<Merge>) -> Self {
        Self { ys, state, merge }
    }

    /// Return the last output, (batch, output): Keras's `return_sequences=False`.
    ///
    /// This is the forward direction's output at each sequence's own last step, merged with the backward
    /// direction's output at step 0, which is the last that it computes.
    ///
    /// # Errors
    /// If the state has no layer, or the directions are merged and it has only one of them.
    pub fn last(&self) -> Result<Tensor> {
        let h = &self.state.h;
        match (self.merge, h.dim(0)?) {
            (None, layers @ 1..) => h.get(layers - 1),
            (Some(merge), layers @ 2..) => merge.apply(&h.get(layers - 2)?, &h.get(layers - 1)?),
            (merge, layers) => {
                let directions = if merge.is_some() { 2 } else { 1 };
                bail!(
                    "a state has {layers} layers and directions; its last output needs at least {directions}"
                )
            }
        }
    }
}

/// The combination of the outputs of both directions, as in Keras's `Bidirectional`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Merge {
    /// Concatenation: the output has twice as many features. PyTorch's only choice.
    Concat,
    /// Their sum.
    Sum,
    /// Their element-wise product.
    Mul,
    /// Their mean.
    Ave,
}

impl Merge {
    /// Merge two tensors of shape (.., hidden) along the last dimension.
    pub(crate) fn apply(self, forward: &Tensor, backward: &Tensor) -> Result<Tensor> {
        match self {
            Self::Concat => Tensor::cat(&[forward, backward], candle_core::D::Minus1),
            // Candle's binary ops panic on some tensors without elements.
            _ if forward.elem_count() == 0 => Ok(forward.clone()),
            Self::Sum => forward + backward,
            Self::Mul => forward * backward,
            Self::Ave => (forward + backward)? / 2.,
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    fn state(c: bool) -> State {
        let h = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        State { c: c.then(|| h.clone()), h }
    }

    #[test]
    fn a_stacked_state_comes_apart_into_its_layers() {
        let number = |number: f32| Tensor::full(number, (2, 3), &Device::Cpu).unwrap();
        let layers = [0., 1.].map(|n| State { h: number(n), c: Some(number(n + 10.)) });
        let stacked = State::stack(&layers).unwrap();
        assert_eq!(stacked.h.dims(), [2, 2, 3]);
        let State { h, c } = stacked.layer(1).unwrap();
        assert_eq!(h.to_vec2::<f32>().unwrap(), [[1.; 3]; 2]);
        assert_eq!(c.unwrap().to_vec2::<f32>().unwrap(), [[11.; 3]; 2]);
        assert!(stacked.layer(2).is_err());
        let error = State::stack(&[state(true), state(false)]).unwrap_err().to_string();
        assert!(error.contains("1 of 2 layers have a cell state"), "{error}");
    }

    #[test]
    fn a_state_without_the_layers_of_the_last_output_is_refused() {
        let output = |layers, merge| {
            let tensor = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
            Output::new(tensor(&[2, 4, 3]), State { h: tensor(&[layers, 2, 3]), c: None }, merge).last()
        };
        for (layers, merge) in [(0, None), (0, Some(Merge::Sum)), (1, Some(Merge::Sum))] {
            let error = output(layers, merge).unwrap_err().to_string();
            assert!(error.contains(&format!("has {layers} layers and directions")), "{error}");
        }
        assert_eq!(output(1, None).unwrap().dims(), [2, 3]);
        assert_eq!(output(2, Some(Merge::Concat)).unwrap().dims(), [2, 6]);
    }

    #[test]
    fn states_join_along_the_batch_also_if_one_is_empty() {
        // (layers, batch, hidden) with the number of each sequence in all its elements.
        let numbered = |rows: std::ops::Range<usize>| {
            let elements = [0, 1].into_iter().flat_map(|_| rows.clone().flat_map(|row| [row as f32; 3]));
            Tensor::from_vec(elements.collect::<Vec<_>>(), (2, rows.len(), 3), &Device::Cpu).unwrap()
        };
        for ends in [[0, 2, 2], [2, 2, 3], [0, 0, 2], [1, 1, 1], [0, 0, 0], [1, 3, 4]] {
            let starts = [0, ends[0], ends[1]];
            for cell in [false, true] {
                let part = |(from, to)| {
                    let h = numbered(from..to);
                    State { c: cell.then(|| (&h + 10.).unwrap()), h }
                };
                let parts: Vec<_> = starts.into_iter().zip(ends).map(part).collect();
                let State { h, c } = State::join(&parts).unwrap();
                let expected = numbered(0..ends[2]);
                assert_eq!(h.to_vec3::<f32>().unwrap(), expected.to_vec3::<f32>().unwrap());
                assert_eq!(c.is_some(), cell);
                if let Some(c) = c {
                    let expected = (expected + 10.).unwrap();
                    assert_eq!(c.to_vec3::<f32>().unwrap(), expected.to_vec3::<f32>().unwrap());
                }
            }
        }
        let error = State::join(&[state(true), state(false)]).unwrap_err().to_string();
        assert!(error.contains("1 of 2 sequences have a cell state"), "{error}");
    }
}
