//! Layers of a whole module that have no parameters, so that no tensor shows them.

use rnn_zoo_models::Nonlinearity;

/// The beginning of the names of PyTorch's own layers.
const LAYERS: &str = "torch.nn.modules.";

/// The end of the names of losses, which belong to training.
const LOSS: &str = "Loss";

/// Layers without effect outside training, those that change shapes alone, and those that hold others.
const PASSED: [&str; 13] = [
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "AlphaDropout",
    "FeatureAlphaDropout",
    "Identity",
    "Flatten",
    "Unflatten",
    "Sequential",
    "ModuleList",
    "ModuleDict",
    "Module",
];

/// What the classes of a whole module tell beside its tensors.
#[derive(Debug, Default)]
pub(super) struct Layers {
    /// The nonlinearity of an `nn.RNN`.
    pub(super) nonlinearity: Option<Nonlinearity>,
    /// Layers that change values.
    changing: Vec<Layer>,
    /// Tensors of all layers.
    tensors: usize,
}

#[derive(Debug)]
struct Layer {
    name: String,
    class: String,
    /// Tensors of the layers before.
    place: usize,
}

/// Return the class of a layer of PyTorch's own without its module; `None` for a class of the user.
pub(super) fn layer_class(class: &str) -> Option<&str> {
    class.strip_prefix(LAYERS).map(|rest| rest.rsplit('.').next().unwrap_or(rest))
}

impl Layers {
    /// Add a layer without parameters, which `place` tensors precede. `prefix` is its name with a dot.
    pub(super) fn add(&mut self, prefix: &str, class: &str, place: usize) {
        if !PASSED.contains(&class) && !class.ends_with(LOSS) {
            let name = prefix.strip_suffix('.').unwrap_or(prefix).to_string();
            self.changing.push(Layer { name, class: class.to_string(), place });
        }
    }

    /// Set the number of tensors of all layers.
    pub(super) fn end(&mut self, tensors: usize) {
        self.tensors = tensors;
    }

    /// Check that no layer but the last changes values, of a network of so many outputs. The error is the problem
    /// alone.
    ///
    /// # Errors
    /// The first layer that does.
    pub(super) fn check(&self, outputs: usize) -> Result<(), String> {
        let is_end = |layer: &&Layer| {
            layer.place == self.tensors
                && match &*layer.class {
                    "Softmax" | "LogSoftmax" => true,
                    "Sigmoid" | "LogSigmoid" => outputs == 1,
                    _ => false,
                }
        };
        match self.changing.iter().find(|layer| !is_end(layer)) {
            None => Ok(()),
            Some(Layer { name, class, .. }) => Err(format!(
                "has the layer {name} ({class}), which our networks do not have; if the model does not use it, save \
                 torch.save(model.state_dict(), FILE), which has no such layers"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_layer_may_change_values() {
        let problem = |layers: &[(&str, usize)], outputs| {
            let mut found = Layers::default();
            layers.iter().for_each(|(class, place)| found.add("part.", class, *place));
            found.end(4);
            found.check(outputs).err()
        };
        for (class, place, outputs) in [
            ("Dropout", 2, 5),
            ("Identity", 2, 5),
            ("CrossEntropyLoss", 4, 5),
            ("LogSoftmax", 4, 5),
            ("Sigmoid", 4, 1),
        ] {
            assert_eq!(problem(&[(class, place)], outputs), None, "{class}");
        }
        for (class, place, outputs) in
            [("ReLU", 2, 5), ("ReLU", 4, 5), ("Softmax", 2, 5), ("Sigmoid", 4, 2), ("LayerNorm", 2, 5)]
        {
            let problem = problem(&[("Dropout", 2), (class, place)], outputs).unwrap();
            assert!(problem.contains(&format!("has the layer part ({class})")), "{problem}");
        }
        assert_eq!(layer_class("torch.nn.modules.activation.ReLU"), Some("ReLU"));
        assert_eq!(layer_class("__main__.ReLU"), None);
    }
}
