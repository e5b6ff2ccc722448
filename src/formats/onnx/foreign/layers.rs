//! Embeddings and recurrent layers of a graph.

use candle_core::Tensor;
use rnn_zoo_models::{Merge, Readout};

use super::call::Call;
use super::constant::{is_zero, narrowed, reason};
use super::interpret::{Interpreter, Layer, Source, described, hidden};
use super::pick::Range;
use super::recurrent::{Direction, RecurrentLayer, Weights};
use super::value::{Axis, Content, Flow, Hidden, Joined, Kind, Part, Value};

impl Interpreter<'_> {
    /// Rows of an embedding, or parts along a dimension.
    pub(super) fn gather(&mut self, call: &Call<'_>) -> Result<Value, String> {
        match (call.input(0)?, call.input(1)?) {
            (Value::Constant(matrix), Value::Flow(flow)) => self.embedding(call, matrix, flow),
            (Value::Integers(sizes, 1), Value::Integers(indices, rank)) => {
                let picked = indices.iter().map(|index| {
                    let (start, length) = Range::one(index).bounds(sizes.len())?;
                    sizes
                        .get(start)
                        .filter(|_| length == 1)
                        .cloned()
                        .ok_or("has an index out of range".to_string())
                });
                Ok(Value::Integers(picked.collect::<Result<_, _>>()?, *rank))
            }
            (Value::Flow(flow), Value::Integers(..)) if flow.is_state() => Ok(Value::Flow(flow.clone())),
            (Value::Flow(flow), Value::Integers(indices, rank)) => {
                let place = call.axis(0, flow.axes.len())?;
                let one = |index| -> Result<Flow, String> {
                    match flow.axes[place] {
                        // A dimension of size 1, as of the steps of a network that reads one a call.
                        Axis::One => Ok(flow.clone()),
                        _ => flow.narrowed(place, &Range::one(index)),
                    }
                };
                let picked = indices.iter().map(one).collect::<Result<Vec<_>, _>>()?;
                let together = match &picked[..] {
                    [one] => one.clone(),
                    several => Flow::together(&several.iter().collect::<Vec<_>>(), place)?,
                };
                Ok(Value::Flow(match *rank {
                    0 if !together.is_state() => together.squeezed(Some(&[place]))?,
                    _ => together,
                }))
            }
            (Value::Constant(tensor), Value::Integers(indices, rank)) => {
                let place = call.axis(0, tensor.rank())?;
                if indices.len() > tensor.dims()[place] {
                    return Err("repeats parts of a constant".to_string());
                }
                let parts = indices.iter().map(|index| narrowed(tensor, place, &Range::one(index)));
                let joined = Tensor::cat(&parts.collect::<Result<Vec<_>, _>>()?, place);
                let joined =
                    joined.and_then(|joined| if *rank == 0 { joined.squeeze(place) } else { Ok(joined) });
                joined.map(Value::Constant).map_err(reason)
            }
            (Value::Zeros(_), _) => Ok(Value::Zeros(None)),
            _ => Err("takes elements in a way that is not understood".to_string()),
        }
    }

    fn embedding(&mut self, call: &Call<'_>, matrix: &Tensor, tokens: &Flow) -> Result<Value, String> {
        let &[_, features] = matrix.dims() else {
            return Err(format!("takes rows of a constant of shape {:?}; expected a matrix", matrix.dims()));
        };
        if !matches!(tokens.content, Content::Input) || call.axis(0, 2)? != 0 {
            return Err("is no embedding, as its indices are no input of the graph".to_string());
        }
        let axes = tokens.axes.iter().cloned().chain([Axis::Features(features)]).collect();
        self.embeddings.push(matrix.clone());
        Ok(Value::Flow(Flow { content: Content::Embedded(self.embeddings.len() - 1), axes }))
    }

    /// RNN, LSTM or GRU. Its results are the outputs, the last ones, and an LSTM's cell state.
    pub(super) fn recurrent(&mut self, call: &Call<'_>) -> Result<Vec<Value>, String> {
        let weights = |place| call.constant(place).map(|tensor| tensor.cloned());
        let problem = || "has weights that are no constants".to_string();
        let [w, r] = [1, 2].map(|place| weights(place).ok().flatten().ok_or_else(problem));
        let weights = Weights { w: w?, r: r?, b: weights(3).map_err(|_| problem())? };
        check_inputs(call, weights.r.dims().last().copied())?;
        let layer = RecurrentLayer::decode(call.node, &weights)?;
        let xs = call.flow(0)?;
        let [time, batch] = check_input(xs, &layer, weights.w.dims()[2])?;
        if let Some(Value::Integers(lengths, _)) = call.optional(4) {
            let steps = time.size();
            if lengths.iter().any(|length| Some(length) != steps.as_ref()) {
                return Err("has fixed lengths that are not the number of steps; export it with lengths as an input, \
                            or without"
                    .to_string());
            }
        }
        let source = match &xs.content {
            Content::Input => Source::Numbers,
            Content::Embedded(embedding) => Source::Embedding(*embedding),
            Content::Hidden(Hidden { kind: Kind::Steps, cells, .. }) if cells.len() == 1 => {
                Source::Outputs(cells[0].clone())
            }
            _ => {
                return Err(
                    "reads neither an embedding nor the outputs of another recurrent layer".to_string()
                );
            }
        };
        let (direction, batch_first) = (layer.direction, layer.batch_first);
        let size = layer.config.stack().hidden_size;
        let number = self.add(Layer { name: described(call.node), layer, source });
        let directions = match direction {
            Direction::Forward => &[false][..],
            Direction::Reverse => &[true],
            Direction::Both => &[false, true],
        };
        let cell = |(direction, &reverse)| Joined {
            merge: Merge::Concat,
            parts: vec![Part { layer: number, direction, reverse }],
        };
        let cells: Vec<Joined> = directions.iter().enumerate().map(cell).collect();
        let steps = match &time {
            Axis::Free(dims) => Some(dims.clone()),
            _ => None,
        };
        let value = |kind| Hidden { kind, time: steps.clone(), cells: cells.clone() };
        let (stack, features) = (Axis::Stack(cells.len()), Axis::Features(size));
        let (ys, last) = match batch_first {
            true => {
                (vec![batch.clone(), time, stack.clone(), features.clone()], vec![batch, stack, features])
            }
            false => {
                (vec![time, stack.clone(), batch.clone(), features.clone()], vec![stack, batch, features])
            }
        };
        Ok(vec![
            hidden(value(Kind::Steps), ys),
            hidden(value(Kind::Read(Readout::Last)), last.clone()),
            hidden(value(Kind::Cell), last),
        ])
    }
}

/// Check the inputs of a recurrent operator after its weights: lengths and initial states of zero or of the caller, of
/// as many numbers as there are `units`.
fn check_inputs(call: &Call<'_>, units: Option<usize>) -> Result<(), String> {
    let is_input = |flow: &Flow| matches!(flow.content, Content::Input | Content::State);
    match call.optional(4) {
        None => {}
        Some(Value::Flow(flow)) if is_input(flow) => {}
        // Compared with the steps of the input.
        Some(Value::Integers(..)) => {}
        Some(_) => return Err("has lengths that are no input of the graph".to_string()),
    }
    for place in [5, 6] {
        match call.optional(place) {
            None => {}
            Some(Value::Zeros(last)) => check_state(*last, units)?,
            Some(Value::Constant(tensor)) if is_zero(tensor) => {
                check_state(tensor.dims().last().map(|&size| size as i64), units)?;
            }
            Some(Value::Flow(flow)) if is_input(flow) => {}
            Some(_) => {
                return Err("starts from a state that is neither zero nor an input of the graph".to_string());
            }
        }
    }
    match call.optional(7) {
        None | Some(Value::Zeros(_)) => Ok(()),
        Some(Value::Constant(tensor)) if is_zero(tensor) => Ok(()),
        Some(_) => Err("has peepholes, which our cells do not have".to_string()),
    }
}

/// Check the size of an initial state, if it is known.
fn check_state(size: Option<i64>, units: Option<usize>) -> Result<(), String> {
    match (size, units) {
        (Some(size), Some(units)) if size != units as i64 => Err(format!(
            "starts from a state of {size} numbers for {units} units; PyTorch's exporter (dynamo=True) drops the \
             projection of an nn.LSTM; convert the state dict"
        )),
        _ => Ok(()),
    }
}

/// Check the input of a recurrent operator. Returns the dimensions of its steps and of the batch.
fn check_input(xs: &Flow, layer: &RecurrentLayer, inputs: usize) -> Result<[Axis; 2], String> {
    let Ok([first, second, features]) = <[Axis; 3]>::try_from(xs.axes.clone()) else {
        return Err(format!("reads a tensor of {} dimensions; expected 3", xs.axes.len()));
    };
    let fits = match &features {
        Axis::Features(size) => *size == inputs,
        // Numbers of the caller.
        axis => axis.size().and_then(|size| size.number()).is_none_or(|size| size == inputs as i64),
    };
    if !fits || [&first, &second].iter().any(|axis| matches!(axis, Axis::Features(_) | Axis::Stack(_))) {
        return Err(format!("reads a tensor without {inputs} features in its last dimension"));
    }
    Ok(if layer.batch_first { [second, first] } else { [first, second] })
}
