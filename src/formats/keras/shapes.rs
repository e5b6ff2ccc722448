//! The layers of a model whose file has arrays alone.
//!
//! The names of groups give the classes and order of layers; the shapes of arrays give sizes, cell kinds, biases and
//! directions. The file does not store the nonlinearity (set by the user), `return_sequences` of the last recurrent
//! layer (set by the task), merge modes other than concatenation, and activations, which a note names.

use std::collections::BTreeMap;

use rnn_zoo_models::{Merge, Nonlinearity, Readout, Reset};

use super::architecture::Architecture;
use super::layer::{Activation, Cell, Dense, Embedding, Kind, Layer, Recurrent};
use super::store::Store;
use crate::listing::listed;

/// The advice for what arrays do not tell.
const ADVICE: &str = "save the model as .keras, or put model.to_json() beside the file as";

/// Groups of layers without arrays and without effect outside training.
const PASSED: [&str; 8] = [
    "input_layer",
    "masking",
    "dropout",
    "spatial_dropout1d",
    "alpha_dropout",
    "gaussian_dropout",
    "gaussian_noise",
    "activity_regularization",
];

/// Return the layers of a file of Keras 3. `json` is the name of the file that may lie beside it. The error is the
/// problem alone.
///
/// # Errors
/// If the arrays do not tell the layers.
pub(super) fn architecture(
    store: &Store,
    container: &str,
    nonlinearity: Nonlinearity,
    json: &str,
    notes: &mut Vec<String>,
) -> Result<Architecture, String> {
    let mut reader = Reader { store, container, nonlinearity, json, notes, assumed: vec![] };
    let mut groups = store.groups(container)?;
    groups.sort_by_key(|group| {
        let (class, number) = class_of(group);
        (stage(class), number)
    });
    let mut layers = vec![];
    for group in &groups {
        layers.extend(reader.layer(group)?);
    }
    reader.merges(&mut layers)?;
    reader.note_assumed();
    let groups: BTreeMap<String, String> =
        layers.iter().map(|layer| (layer.name.clone(), layer.name.clone())).collect();
    Ok(Architecture { layers, groups })
}

/// Return the class and the number of a group: `lstm_1` is the second layer of its class.
pub(super) fn class_of(group: &str) -> (&str, usize) {
    match group.rsplit_once('_').map(|(class, number)| (class, number.parse())) {
        Some((class, Ok(number))) => (class, number),
        _ => (group, 0),
    }
}

/// Return the place of a class in the order of layers.
fn stage(class: &str) -> usize {
    match class {
        "embedding" => 0,
        "simple_rnn" | "lstm" | "gru" | "bidirectional" => 1,
        "global_max_pooling1d" | "global_average_pooling1d" => 2,
        _ => 3,
    }
}

struct Reader<'a> {
    store: &'a Store,
    container: &'a str,
    nonlinearity: Nonlinearity,
    json: &'a str,
    notes: &'a mut Vec<String>,
    /// Activations that no option sets, each with its layer: `tanh and sigmoid for lstm`.
    assumed: Vec<String>,
}

impl Reader<'_> {
    fn layer(&mut self, group: &str) -> Result<Option<Layer>, String> {
        let (class, _) = class_of(group);
        let kind = match class {
            _ if PASSED.contains(&class) => return Ok(None),
            "activation" => {
                self.assumed.push(format!("linear or softmax for {group}"));
                return Ok(None);
            }
            "embedding" => {
                let [rows, width] = self.matrix(group, "vars/0")?;
                Kind::Embedding(Embedding { rows, width, mask_zero: false })
            }
            "simple_rnn" | "lstm" | "gru" => Kind::Recurrent(self.recurrent(group, "cell/vars", None)?),
            "bidirectional" => {
                Kind::Recurrent(self.recurrent(group, "forward_layer/cell/vars", Some(Merge::Concat))?)
            }
            "global_max_pooling1d" => Kind::Pool(Readout::Max),
            "global_average_pooling1d" => Kind::Pool(Readout::Mean),
            "dense" => Kind::Dense(self.dense(group, "vars", false)?),
            "time_distributed" => Kind::Dense(self.dense(group, "layer/vars", true)?),
            _ => return Err(self.untold(&format!("has a layer {group}, whose effect no array tells"))),
        };
        Ok(Some(Layer { name: group.to_string(), class: class.to_string(), kind }))
    }

    fn recurrent(&mut self, group: &str, folder: &str, merge: Option<Merge>) -> Result<Recurrent, String> {
        let [units, columns] = self.matrix(group, &format!("{folder}/1"))?;
        let arrays = self.store.datasets(&format!("{}/{group}/{folder}", self.container))?;
        let bias = arrays.iter().any(|name| name == "2");
        let cell = match columns.checked_div(units).filter(|_| columns.is_multiple_of(units)) {
            Some(1) => {
                self.notes.push(format!(
                    "the activation of the layer {group} is taken to be {}; set option `nonlinearity` if it is not",
                    if self.nonlinearity == Nonlinearity::Relu { "relu" } else { "tanh" }
                ));
                Cell::Simple(self.nonlinearity)
            }
            Some(3) if bias => {
                let shape = self.shape(group, &format!("{folder}/2"))?;
                Cell::Gru(if shape.len() == 2 { Reset::After } else { Reset::Before })
            }
            Some(3) => {
                self.notes.push(format!("the layer {group} is taken to reset after the product"));
                Cell::Gru(Reset::After)
            }
            Some(4) => Cell::Lstm,
            _ => {
                return Err(format!(
                    "has a recurrent kernel of shape [{units}, {columns}] in {group}; expected 1, 3 or 4 times as many \
                     columns as rows"
                ));
            }
        };
        if matches!(cell, Cell::Lstm | Cell::Gru(_)) {
            self.assumed.push(format!("tanh and sigmoid for {group}"));
        }
        Ok(Recurrent { cell, units, bias, sequences: None, merge })
    }

    fn dense(&mut self, group: &str, folder: &str, wrapped: bool) -> Result<Dense, String> {
        let [_, units] = self.matrix(group, &format!("{folder}/0"))?;
        let arrays = self.store.datasets(&format!("{}/{group}/{folder}", self.container))?;
        let activation = match units {
            1 => {
                self.notes.push(format!("the activation of the layer {group} is taken to be sigmoid"));
                Activation::Sigmoid
            }
            _ => {
                self.assumed.push(format!("linear or softmax for {group}"));
                Activation::Linear // softmax comes after the scores
            }
        };
        Ok(Dense { units, bias: arrays.iter().any(|name| name == "1"), activation, wrapped })
    }

    /// Say which activations are assumed; with a configuration, others are refused by name.
    fn note_assumed(&mut self) {
        if self.assumed.is_empty() {
            return;
        }
        let assumed = listed(&self.assumed, ", ");
        self.notes.push(format!(
            "the file does not store activations; assumed are {assumed}; if they differ, {ADVICE} {}",
            self.json
        ));
    }

    /// Set what follows from the layers above: which layers return all outputs, and the merges of directions, of which
    /// the next layer shows concatenation alone.
    fn merges(&self, layers: &mut [Layer]) -> Result<(), String> {
        for at in 0..layers.len() {
            let Kind::Recurrent(recurrent) = layers[at].kind else { continue };
            let mut rest = layers[at + 1..].iter();
            let above = rest.find(|layer| !matches!(layer.kind, Kind::Pool(_)));
            let Some(above) = above else { continue };
            let read = match above.kind {
                Kind::Recurrent(_) => {
                    let folder = if recurrent.merge.is_some() { "forward_layer/cell" } else { "cell" };
                    self.matrix(&above.name, &format!("{folder}/vars/0"))
                }
                Kind::Dense(dense) if dense.wrapped => self.matrix(&above.name, "layer/vars/0"),
                _ => self.matrix(&above.name, "vars/0"),
            };
            let [read, _] = read?;
            if recurrent.merge.is_some() && read != 2 * recurrent.units {
                let problem = format!(
                    "has directions in {} that are not concatenated, and no array tells how they are merged",
                    layers[at].name
                );
                return Err(self.untold(&problem));
            }
            let sequences = matches!(above.kind, Kind::Recurrent(_)).then_some(true);
            layers[at].kind = Kind::Recurrent(Recurrent { sequences, ..recurrent });
        }
        Ok(())
    }

    fn matrix(&self, group: &str, path: &str) -> Result<[usize; 2], String> {
        let shape = self.shape(group, path)?;
        shape.try_into().map_err(|shape: Vec<usize>| {
            format!("has an array {}/{group}/{path} of shape {shape:?}; expected a matrix", self.container)
        })
    }

    fn shape(&self, group: &str, path: &str) -> Result<Vec<usize>, String> {
        self.store.shape(&format!("{}/{group}/{path}", self.container))
    }

    fn untold(&self, problem: &str) -> String {
        format!("{problem}; {ADVICE} {}", self.json)
    }
}

#[cfg(test)]
mod tests {
    use hdf5_pure::{FileBuilder, GroupBuilder};

    use super::*;

    /// Add the matrices `0`, `1` and so on to a group inside `outer`.
    fn add(outer: &mut GroupBuilder, name: &str, shapes: &[[u64; 2]]) {
        let mut group = outer.create_group(name);
        for (number, shape) in shapes.iter().enumerate() {
            let elements = vec![0.; (shape[0] * shape[1]) as usize];
            group.create_dataset(&number.to_string()).with_f32_data(&elements).with_shape(shape);
        }
        outer.add_group(group.finish());
    }

    #[test]
    fn activations_that_are_assumed_are_noted() {
        let mut file = FileBuilder::new();
        let mut layers = file.create_group("layers");
        for name in ["lstm", "lstm_1"] {
            let mut lstm = layers.create_group(name);
            let mut cell = lstm.create_group("cell");
            add(&mut cell, "vars", &[[2, 8], [2, 8]]);
            lstm.add_group(cell.finish());
            layers.add_group(lstm.finish());
        }
        for (name, shapes) in [("dense", &[[2, 3]][..]), ("activation", &[])] {
            let mut group = layers.create_group(name);
            add(&mut group, "vars", shapes);
            layers.add_group(group.finish());
        }
        file.add_group(layers.finish());
        let store = Store::open(file.finish().unwrap()).unwrap();
        let mut notes = vec![];
        let found = architecture(&store, "layers", Nonlinearity::Tanh, "m.json", &mut notes).unwrap();
        assert_eq!(found.layers.len(), 3);
        let [note] = &notes[..] else { panic!("{notes:?}") };
        for part in [
            "tanh and sigmoid for lstm, tanh and sigmoid for lstm_1",
            "linear or softmax for dense",
            "linear or softmax for activation",
            "as m.json",
        ] {
            assert!(note.contains(part), "{part}: {note}");
        }
    }
}
