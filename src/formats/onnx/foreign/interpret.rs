//! The operators of a graph, one after another, as far as they belong to a network that is known.
//!
//! An operator that is not understood is no error by itself: its results may not be needed. They carry the problem,
//! which is reported if it reaches an output of the graph.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use candle_core::Tensor;

use super::call::{Call, TOO_LARGE, shortened};
use super::recurrent::RecurrentLayer;
use super::size::{Dim, MOST_DIMENSIONS, Size};
use super::value::{Axis, Content, Flow, Hidden, Joined, Value};
use crate::formats::onnx::proto::{Graph, Model, Node, Tensor as Stored, Value as Declared};
use crate::formats::onnx::tensor::{Elements, Folder, MOST_INTEGERS};

/// The version of the operators from which all that is read has its present form.
const OLDEST: i64 = 9;

/// The largest measure of all values together, beside tensors.
const MOST_VALUES: usize = 1 << 20;

/// The most inputs of an operator.
const MOST_INPUTS: usize = 1 << 16;

/// Tensors that are computed from those of the file may take so many times the space of these, and this much more.
const COMPUTED: (usize, usize) = (8, 1 << 20);

/// A graph whose operators have been read.
pub(super) struct Interpreter<'g> {
    folder: Folder,
    opset: i64,
    stored: HashMap<&'g str, &'g Stored>,
    values: HashMap<&'g str, Value>,
    /// The numbers of dimensions by their names in the file.
    dims: HashMap<String, usize>,
    /// The bytes that computed tensors may still take.
    budget: usize,
    /// The measure that values may still have.
    room: usize,
    /// The matrices of embeddings, (vocabulary, features).
    pub(super) embeddings: Vec<Tensor>,
    pub(super) layers: Vec<Layer>,
}

/// A recurrent layer with what it reads.
pub(super) struct Layer {
    /// Its operator, for messages.
    pub(super) name: String,
    pub(super) layer: RecurrentLayer,
    pub(super) source: Source,
}

/// The input of a recurrent layer.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// An input of the graph.
    Numbers,
    /// The embedding of this number.
    Embedding(usize),
    /// The outputs of another layer.
    Outputs(Joined),
}

impl<'g> Interpreter<'g> {
    /// Read all operators of a model. `path` is that of its file, which others may lie beside.
    ///
    /// # Errors
    /// If the operators are of a version that is too old, a name is used twice, or the graph is too large.
    pub(super) fn run(path: &Path, model: &'g Model, graph: &'g Graph) -> Result<Self, String> {
        let version = model.opset_import.iter().find(|set| is_standard(set.domain()));
        let opset = version.map_or(1, |set| set.version());
        if opset < OLDEST {
            return Err(format!(
                "has operators of version {opset}; expected {OLDEST} or later; export it again"
            ));
        }
        let mut stored = HashMap::new();
        for tensor in &graph.initializer {
            if stored.insert(tensor.name(), tensor).is_some() {
                let name = shortened(tensor.name());
                return Err(format!("has two tensors of the name {name:?}; expected one; export it again"));
            }
        }
        let mut interpreter = Self {
            folder: Folder::of(path),
            opset,
            stored,
            values: HashMap::new(),
            dims: HashMap::new(),
            budget: COMPUTED.1,
            room: MOST_VALUES,
            embeddings: vec![],
            layers: vec![],
        };
        for input in &graph.input {
            interpreter.declare(input)?;
        }
        let mut names: HashSet<&str> =
            interpreter.stored.keys().chain(interpreter.values.keys()).copied().collect();
        for node in &graph.node {
            for name in node.output.iter().filter(|name| !name.is_empty()) {
                if !names.insert(name) {
                    return Err(format!(
                        "computes {:?} twice; expected every name once; export it again",
                        shortened(name)
                    ));
                }
            }
            interpreter.node(node)?;
        }
        Ok(interpreter)
    }

    /// Return an output of the graph.
    pub(super) fn output(&mut self, name: &'g str) -> Value {
        let missing = || Value::Unknown(format!("has no value {:?}, an output", shortened(name)).into());
        self.value(name).unwrap_or_else(missing)
    }

    /// Check that an output of the graph is understood.
    ///
    /// # Errors
    /// The problem, if it is not.
    pub(super) fn understood(&mut self, name: &'g str) -> Result<(), String> {
        match self.output(name) {
            Value::Unknown(problem) => Err(problem.to_string()),
            _ => Ok(()),
        }
    }

    /// Add an input of the graph. Older files list constants too.
    fn declare(&mut self, input: &'g Declared) -> Result<(), String> {
        if self.stored.contains_key(input.name()) {
            return Ok(());
        }
        let shape = input.kind.as_ref().and_then(|kind| kind.tensor.as_ref()?.shape.as_ref());
        let dims = shape.map_or(&[][..], |shape| &shape.dim);
        if dims.len() > MOST_DIMENSIONS {
            let name = shortened(input.name());
            return Err(format!("has the input {name:?} of more than {MOST_DIMENSIONS} dimensions"));
        }
        let axes = dims.iter().map(|dim| {
            let next = self.dims.len();
            let name = match dim.name() {
                "" => format!("dimension {next}"), // differs from all others
                name => format!("name {name}"),
            };
            let id = *self.dims.entry(name).or_insert(next);
            Axis::Free(vec![Dim { id, size: dim.size.filter(|&size| size > 0) }])
        });
        let value = Value::Flow(Flow { content: Content::Input, axes: axes.collect() });
        match self.values.insert(input.name(), value) {
            None => Ok(()),
            Some(_) => {
                Err(format!("has two inputs of the name {:?}; export it again", shortened(input.name())))
            }
        }
    }

    /// Return a value by its name. Tensors of the file are read when they are first needed.
    fn value(&mut self, name: &str) -> Option<Value> {
        if let Some(value) = self.values.get(name) {
            return Some(value.clone());
        }
        let (&name, stored) = self.stored.get_key_value(name)?;
        let value = self.read(stored);
        self.values.insert(name, value.clone());
        Some(value)
    }

    /// Read a tensor of the file.
    pub(super) fn read(&mut self, stored: &Stored) -> Value {
        let unknown = |problem: String| {
            Value::Unknown(format!("tensor {:?} {problem}", shortened(stored.name())).into())
        };
        let times = COMPUTED.0;
        match self.folder.elements(stored) {
            Err(problem) => unknown(problem),
            Ok(Elements::Floats(tensor)) => {
                self.budget = self.budget.saturating_add(times.saturating_mul(bytes(&tensor)));
                Value::Constant(tensor)
            }
            Ok(Elements::Quantised(tensor)) => {
                self.budget = self.budget.saturating_add(times.saturating_mul(bytes(&tensor)));
                Value::Quantised(tensor)
            }
            Ok(Elements::Integers(numbers, rank)) if rank <= 1 && numbers.len() <= MOST_INTEGERS => {
                Value::Integers(numbers.into_iter().map(Size::fixed).collect(), rank)
            }
            Ok(Elements::Integers(numbers, rank)) => {
                let count = numbers.len();
                unknown(format!(
                    "has {count} whole numbers in {rank} dimensions; expected a shape or indices"
                ))
            }
        }
    }

    /// Read an operator.
    fn node(&mut self, node: &'g Node) -> Result<(), String> {
        // The problem of a loop is the loop, not its conditions.
        let inputs = if is_control(node) { Ok(vec![]) } else { self.inputs(node) };
        let found = inputs.and_then(|inputs| {
            let call = Call { node, inputs, opset: self.opset, budget: self.budget };
            let problem = |problem| format!("{} {problem}", described(node));
            let values = self.apply(&call).map_err(problem)?;
            self.check(&values).map_err(problem)?;
            Ok(values)
        });
        let values = match found {
            Ok(values) => values,
            Err(problem) => vec![Value::Unknown(problem.into()); node.output.len()],
        };
        for (name, value) in node.output.iter().zip(values).filter(|(name, _)| !name.is_empty()) {
            let weight = value.weight();
            self.room = self
                .room
                .checked_sub(weight)
                .ok_or("has a graph of too many values; export a smaller one")?;
            self.values.insert(name, value);
        }
        Ok(())
    }

    /// Return the inputs of an operator, unless one comes from what is not understood.
    fn inputs(&mut self, node: &Node) -> Result<Vec<Option<Value>>, String> {
        if node.input.len() > MOST_INPUTS {
            return Err(format!("{} has more than {MOST_INPUTS} inputs", described(node)));
        }
        let mut inputs = vec![];
        for name in &node.input {
            inputs.push(match (name.as_str(), self.value(name)) {
                ("", _) => None,
                // Only the value that is expanded matters: zeros are zeros in every shape.
                (_, Some(Value::Unknown(_))) if node.op_type() == "Expand" && inputs.len() == 1 => None,
                (_, Some(Value::Unknown(problem))) => return Err(problem.to_string()),
                (_, Some(value)) => Some(value),
                (_, None) => {
                    return Err(format!(
                        "{} reads {:?}, which no operator before it computes; export it again",
                        described(node),
                        shortened(name)
                    ));
                }
            });
        }
        Ok(inputs)
    }

    /// Count the memory of computed constants, and bound dimensions.
    fn check(&mut self, values: &[Value]) -> Result<(), String> {
        for value in values {
            if let Value::Flow(flow) = value
                && flow.axes.len() > MOST_DIMENSIONS
            {
                return Err(format!("computes a tensor of more than {MOST_DIMENSIONS} dimensions"));
            }
            if let Value::Constant(tensor) | Value::Quantised(tensor) = value {
                let rest = self.budget.checked_sub(bytes(tensor));
                self.budget = rest.ok_or(TOO_LARGE)?;
            }
        }
        Ok(())
    }

    /// Add a recurrent layer. Returns its number.
    pub(super) fn add(&mut self, layer: Layer) -> usize {
        self.layers.push(layer);
        self.layers.len() - 1
    }
}

/// Return the bytes of a tensor's elements.
fn bytes(tensor: &Tensor) -> usize {
    tensor.elem_count().saturating_mul(tensor.dtype().size_in_bytes())
}

/// Whether a domain is that of ONNX's own operators.
pub(super) fn is_standard(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// Whether an operator runs others.
pub(super) fn is_control(node: &Node) -> bool {
    matches!(node.op_type(), "Loop" | "Scan" | "If")
}

/// Name an operator for a message.
pub(super) fn described(node: &Node) -> String {
    let kind = shortened(node.op_type());
    let domain = if is_standard(node.domain()) { "" } else { node.domain() };
    let dot = if domain.is_empty() { "" } else { "." };
    let name =
        if node.name().is_empty() { node.output.first().map_or("", String::as_str) } else { node.name() };
    let (name, domain) = (shortened(name), shortened(domain));
    format!("the operator {domain}{dot}{kind} ({name:?})")
}

/// Return a value that flows through the network.
pub(super) fn hidden(hidden: Hidden, axes: Vec<Axis>) -> Value {
    Value::Flow(Flow { content: Content::Hidden(hidden), axes })
}
