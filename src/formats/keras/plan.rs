//! The layers of a model as the parts of a network.
//!
//! ```text
//! [TextVectorization] [Embedding] recurrent layers [pooling over time] [projection] Dense [Softmax]
//! ```
//!
//! The recurrent layers are of one kind, with the same number of units and the same directions.

use rnn_zoo_models::{
    GruOptions, LstmOptions, Readout, RecurrentConfig, Reset, SimpleRnnOptions, StackOptions,
};
use serde_json::Value;

use super::layer::{Activation, Cell, Dense, Embedding, Kind, Layer, Recurrent};

/// The parts of a network, each with its layer.
pub(super) struct Plan<'l> {
    pub(super) text: Option<&'l Value>,
    pub(super) embedding: Option<(&'l Layer, Embedding)>,
    /// At least one.
    pub(super) stack: Vec<(&'l Layer, Recurrent)>,
    /// What the output layer reads; `None` if the file does not tell.
    pub(super) readout: Option<Readout>,
    /// A dense layer without an activation or bias before the output layer.
    pub(super) projection: Option<(&'l Layer, Dense)>,
    pub(super) output: (&'l Layer, Dense),
}

impl<'l> Plan<'l> {
    /// Find the parts. The error is the problem alone.
    ///
    /// # Errors
    /// If a part is missing, or a layer has no place.
    pub(super) fn of(layers: &'l [Layer]) -> Result<Self, String> {
        let mut parts = Parts::default();
        for layer in layers {
            parts.add(layer)?;
        }
        let Parts { text, embedding, stack, pool, mut dense, softmax } = parts;
        let Some(&(_, last)) = stack.last() else {
            return Err("has no recurrent layer; expected SimpleRNN, LSTM, GRU or Bidirectional".to_string());
        };
        let output = dense.pop().ok_or("has no Dense layer after its recurrent layers")?;
        let readout = match (pool, last.sequences) {
            (Some(pool), _) => Some(pool),
            (None, Some(true)) => Some(Readout::Every),
            (None, Some(false)) => Some(Readout::Last),
            (None, None) => None,
        };
        if let Some((layer, axis)) = softmax {
            // Outputs are (batch, time, units), or (batch, units).
            let last = if readout == Some(Readout::Every) { 2 } else { 1 };
            if axis != -1 && axis != last {
                return Err(format!("has a layer {} with axis {axis}; expected -1, the last", layer.title()));
            }
        }
        Ok(Self { text, embedding, stack, readout, projection: dense.pop(), output })
    }

    /// Return the configuration of the stack, whose first layer reads `input` features.
    pub(super) fn recurrent(&self, input: usize) -> RecurrentConfig {
        let (_, first) = self.stack[0];
        let stack = StackOptions {
            num_layers: self.stack.len(),
            bias: self.stack.iter().any(|(_, layer)| layer.bias),
            bidirectional: first.merge,
            ..StackOptions::new(input, first.units)
        };
        match first.cell {
            Cell::Simple(nonlinearity) => {
                RecurrentConfig::SimpleRnn(stack.with_cell(SimpleRnnOptions { nonlinearity }))
            }
            Cell::Lstm => RecurrentConfig::Lstm(stack.with_cell(LstmOptions::default())),
            Cell::Gru(Reset::After) => RecurrentConfig::Gru(stack.with_cell(GruOptions::default())),
            Cell::Gru(reset) => {
                RecurrentConfig::Gru(stack.with_cell(GruOptions { reset, ..GruOptions::default() }))
            }
        }
    }
}

/// The parts that have been found.
#[derive(Default)]
struct Parts<'l> {
    text: Option<&'l Value>,
    embedding: Option<(&'l Layer, Embedding)>,
    stack: Vec<(&'l Layer, Recurrent)>,
    pool: Option<Readout>,
    dense: Vec<(&'l Layer, Dense)>,
    softmax: Option<(&'l Layer, i64)>,
}

impl<'l> Parts<'l> {
    fn add(&mut self, layer: &'l Layer) -> Result<(), String> {
        let misplaced = |expected: &str| Err(format!("has a layer {} {expected}", layer.title()));
        let is_first = self.embedding.is_none() && self.stack.is_empty() && self.dense.is_empty();
        match &layer.kind {
            Kind::Passed => {}
            Kind::Text(options) => match is_first && self.text.is_none() {
                true => self.text = Some(options),
                false => return misplaced("after other layers; expected it first"),
            },
            Kind::Embedding(embedding) => match is_first {
                true => self.embedding = Some((layer, *embedding)),
                false => return misplaced("after other layers; expected one before the recurrent layers"),
            },
            Kind::Recurrent(recurrent) => self.add_recurrent(layer, *recurrent)?,
            Kind::Pool(readout) => {
                let reads_all = self.stack.last().is_some_and(|(_, last)| last.sequences != Some(false));
                if self.pool.is_some() || !self.dense.is_empty() || !reads_all {
                    return misplaced("in another place than after a recurrent layer with return_sequences");
                }
                self.pool = Some(*readout);
            }
            Kind::Dense(dense) => self.add_dense(layer, *dense)?,
            Kind::Softmax(axis) => {
                let ends_linear =
                    self.dense.last().is_some_and(|(_, dense)| dense.activation == Activation::Linear);
                if self.softmax.is_some() || !ends_linear {
                    return misplaced("in another place than after a linear output layer");
                }
                self.softmax = Some((layer, *axis));
            }
        }
        Ok(())
    }

    fn add_recurrent(&mut self, layer: &'l Layer, recurrent: Recurrent) -> Result<(), String> {
        let title = layer.title();
        if self.pool.is_some() || !self.dense.is_empty() {
            return Err(format!("has a layer {title} after others than recurrent layers"));
        }
        if let Some(&(below, previous)) = self.stack.last() {
            if previous.sequences == Some(false) {
                return Err(format!(
                    "has a layer {title} after {}, which returns one output alone; expected return_sequences",
                    below.title()
                ));
            }
            let differ = [
                ("kind of cell", previous.cell != recurrent.cell),
                ("number of units", previous.units != recurrent.units),
                ("directions", previous.merge != recurrent.merge),
            ];
            if let Some((what, _)) = differ.into_iter().find(|(_, differs)| *differs) {
                return Err(format!(
                    "has a layer {title} with another {what} than {}; stacks of equal layers are converted",
                    below.title()
                ));
            }
        }
        self.stack.push((layer, recurrent));
        Ok(())
    }

    fn add_dense(&mut self, layer: &'l Layer, dense: Dense) -> Result<(), String> {
        let title = layer.title();
        if self.stack.is_empty() {
            return Err(format!("has a layer {title} before its recurrent layers"));
        }
        if self.softmax.is_some() {
            return Err(format!("has a layer {title} after softmax"));
        }
        match self.dense[..] {
            [] => {}
            [(_, below)] if below.activation == Activation::Linear && !below.bias => {}
            [(below, _), ..] => {
                return Err(format!(
                    "has a layer {title} after {}; one layer between the recurrent layers and the outputs is \
                     converted where it is linear without a bias, as in a language model with tied weights",
                    below.title()
                ));
            }
        }
        if self.dense.len() > 1 {
            return Err(format!("has a layer {title} after two others of its class; expected one"));
        }
        self.dense.push((layer, dense));
        Ok(())
    }
}
