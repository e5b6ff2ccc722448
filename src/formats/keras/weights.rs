//! The arrays of each layer in a file of weights.
//!
//! | file | arrays of a layer |
//! |---|---|
//! | Keras 3 | `layers/GROUP/vars/0`, `cell/vars/0`, `forward_layer/cell/vars/0`, .. |
//! | `.keras` of TensorFlow 2.12 | the same in `_layer_checkpoint_dependencies` |
//! | `.h5` | `model_weights/NAME/PATH`; the attribute `weight_names` of `NAME` lists the paths |

use std::collections::BTreeMap;

use super::layer::{Kind, Layer};
use super::shapes::class_of;
use super::store::{Array, Store};

/// The groups that hold all layers.
const CONTAINERS: [&str; 2] = ["layers", "_layer_checkpoint_dependencies"];

/// The classes of layers with arrays that matter outside training.
const WITH_ARRAYS: [&str; 7] =
    ["embedding", "simple_rnn", "lstm", "gru", "bidirectional", "dense", "time_distributed"];

/// The group of all layers in a `.h5` file of a whole model.
const LEGACY: &str = "model_weights";

/// The arrays of a model.
pub(super) struct Weights<'s> {
    store: &'s Store,
    layout: Layout,
}

enum Layout {
    /// The layers lie in this group.
    Numbered(&'static str),
    /// The layers lie in this group under their own names.
    Named(&'static str),
}

/// The arrays of a recurrent layer in one direction, or of a dense layer: a kernel, a recurrent kernel, a bias.
pub(super) type Arrays = Vec<Array>;

impl<'s> Weights<'s> {
    /// Find the layers in a file. The error is the problem alone, as for all methods.
    ///
    /// # Errors
    /// If there are none.
    pub(super) fn of(store: &'s Store) -> Result<Self, String> {
        let layout = if let Some(container) = CONTAINERS.into_iter().find(|name| store.has_group(name)) {
            Layout::Numbered(container)
        } else if store.has_group(LEGACY) {
            Layout::Named(LEGACY)
        } else if store.texts("/", "layer_names").is_ok_and(|names| names.is_some()) {
            Layout::Named("")
        } else {
            return Err("has no group of layers; expected the weights of a Keras model".to_string());
        };
        Ok(Self { store, layout })
    }

    /// Return the group that holds all layers of a file of Keras 3; `None` for an older file.
    pub(super) fn container(&self) -> Option<&'static str> {
        match self.layout {
            Layout::Numbered(container) => Some(container),
            Layout::Named(_) => None,
        }
    }

    /// Refuse a file of Keras 3 with arrays of a layer that the model does not have. `groups` are those of its layers.
    ///
    /// # Errors
    /// If there is such a layer.
    pub(super) fn check_used(&self, groups: &BTreeMap<String, String>) -> Result<(), String> {
        let Layout::Numbered(container) = self.layout else { return Ok(()) };
        let is_used = |group: &String| {
            let (class, _) = class_of(group);
            !WITH_ARRAYS.contains(&class) || groups.values().any(|used| used == group)
        };
        match self.store.groups(container)?.iter().find(|group| !is_used(group)) {
            None => Ok(()),
            Some(group) => Err(format!(
                "has weights in {container}/{group} that no layer of its configuration has; save the model again"
            )),
        }
    }

    /// Read the arrays of a layer whose group in a file of Keras 3 is `group`: one list for each direction. There must
    /// be `count` in each.
    ///
    /// # Errors
    /// If one is missing or damaged, or there are others.
    pub(super) fn of_layer(&self, layer: &Layer, group: &str, count: usize) -> Result<Vec<Arrays>, String> {
        let parts = parts(layer);
        let paths: Vec<String> = match self.layout {
            Layout::Numbered(container) => {
                let mut paths = vec![];
                for part in parts {
                    let folder = format!("{container}/{group}/{part}vars");
                    self.check_count(&folder, count, layer)?;
                    paths.extend((0..count).map(|number| format!("{folder}/{number}")));
                }
                paths
            }
            Layout::Named(prefix) => {
                let folder = format!("{prefix}/{}", layer.name);
                let folder = folder.trim_start_matches('/');
                let names = self.store.texts(folder, "weight_names")?.unwrap_or_default();
                if names.len() != count * parts.len() {
                    return Err(unexpected(layer, names.len(), count * parts.len()));
                }
                names.into_iter().map(|name| format!("{folder}/{name}")).collect()
            }
        };
        let mut arrays = paths.iter().map(|path| self.store.array(path)).collect::<Result<Vec<_>, _>>()?;
        let second = arrays.split_off(count);
        Ok(if parts.len() == 2 { vec![arrays, second] } else { vec![arrays] })
    }

    fn check_count(&self, folder: &str, count: usize, layer: &Layer) -> Result<(), String> {
        if !self.store.has_group(folder) {
            return Err(format!("has no group {folder}, the weights of {}; copy it again", layer.title()));
        }
        match self.store.datasets(folder)?.len() {
            found if found == count => Ok(()),
            found => Err(unexpected(layer, found, count)),
        }
    }
}

fn unexpected(layer: &Layer, found: usize, count: usize) -> String {
    format!("has {found} arrays for {}; its options need {count}", layer.title())
}

/// Return the groups inside a layer's that hold its arrays, one for each direction.
fn parts(layer: &Layer) -> &'static [&'static str] {
    match &layer.kind {
        Kind::Recurrent(recurrent) if recurrent.merge.is_some() => {
            &["forward_layer/cell/", "backward_layer/cell/"]
        }
        Kind::Recurrent(_) => &["cell/"],
        Kind::Dense(dense) if dense.wrapped => &["layer/"],
        _ => &[""],
    }
}
