//! The layers of a Keras model, from its configuration.
//!
//! A model is a `Sequential`, or a `Functional` (older files: `Model`) whose layers follow one another without a
//! branch.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::layer::Layer;

/// The most layers of a model.
const MOST_LAYERS: usize = 4096;

/// Operations that compute the masks of padding.
const MASKS: [&str; 2] = ["NotEqual", "Any"];

/// The layers of a model.
#[derive(Clone, Debug)]
pub(super) struct Architecture {
    /// In the order of computation.
    pub(super) layers: Vec<Layer>,
    /// The name of each layer's group in a file of weights, by the layer's own name: its class, and a number if it is
    /// not the first of its class.
    pub(super) groups: BTreeMap<String, String>,
}

impl Architecture {
    /// Read a configuration. The error is the problem alone.
    ///
    /// # Errors
    /// If it is malformed, has branches, or a layer has no counterpart in this program.
    pub(super) fn read(json: &str) -> Result<Self, String> {
        let model: Value = serde_json::from_str(json)
            .map_err(|error| format!("has a configuration that is cut short or not JSON: {error}"))?;
        let config = &model["config"];
        // Keras before version 2.2.3 lists the layers without a name around them.
        let listed = config["layers"].as_array().or(config.as_array());
        let layers = listed.ok_or("has no layers in its configuration")?;
        if layers.len() > MOST_LAYERS {
            return Err(format!("has {} layers; expected at most {MOST_LAYERS}", layers.len()));
        }
        let in_order = match model["class_name"].as_str() {
            Some("Sequential") => layers.iter().collect(),
            Some("Functional" | "Model") => chain(config, layers)?,
            other => {
                return Err(format!(
                    "is a model of the class {}; expected Sequential or Functional",
                    other.unwrap_or("None")
                ));
            }
        };
        let layers_read = in_order.into_iter().map(Layer::read).collect::<Result<Vec<_>, _>>()?;
        let names: BTreeSet<&str> = layers_read.iter().map(|layer| layer.name.as_str()).collect();
        if names.len() < layers_read.len() {
            return Err("has two layers of the same name in its configuration".to_string());
        }
        Ok(Self { groups: groups(layers), layers: layers_read })
    }
}

/// Return the groups of layers in a file of weights, which numbers the layers of each class.
fn groups(layers: &[Value]) -> BTreeMap<String, String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let named = layers.iter().filter_map(|layer| {
        let class = layer["class_name"].as_str()?;
        let name = layer["config"]["name"].as_str().or(layer["name"].as_str()).unwrap_or(class);
        let count = counts.entry(class).or_default();
        let group = match *count {
            0 => group(class),
            number => format!("{}_{number}", group(class)),
        };
        *count += 1;
        Some((name.to_string(), group))
    });
    named.collect()
}

/// Return the name of the first group of a class.
fn group(class: &str) -> String {
    match class {
        "SimpleRNN" => "simple_rnn".to_string(),
        "TimeDistributed" => "time_distributed".to_string(),
        other => other.to_lowercase(),
    }
}

/// Return the layers of a functional model from its input to its output.
fn chain<'v>(config: &Value, layers: &'v [Value]) -> Result<Vec<&'v Value>, String> {
    let [input, output] = ["input_layers", "output_layers"].map(|key| only_name(&config[key]));
    let input = input.ok_or("has several inputs; models with one are converted")?;
    let output = output.ok_or("has several outputs; models with one are converted")?;
    let by_name: BTreeMap<&str, &Value> = layers
        .iter()
        .filter_map(|layer| Some((layer["name"].as_str().or(layer["config"]["name"].as_str())?, layer)))
        .collect();
    let mut chain = vec![];
    let mut name = output.to_string();
    loop {
        let layer = by_name.get(&*name).ok_or_else(|| format!("has no layer {name} in its configuration"))?;
        chain.push(*layer);
        if name == input {
            break;
        }
        name = source(layer).ok_or_else(|| {
            format!("has a layer {name} with several inputs or calls; models without branches are converted")
        })?;
        if chain.len() > layers.len() {
            return Err("has layers that follow one another in a circle".to_string());
        }
    }
    let is_mask = |layer: &&Value| layer["class_name"].as_str().is_some_and(|class| MASKS.contains(&class));
    if chain.len() + layers.iter().filter(is_mask).count() < layers.len() {
        return Err(
            "has layers beside the way from its input to its output; models without branches are converted"
                .to_string(),
        );
    }
    chain.reverse();
    Ok(chain)
}

/// Return the name of the only layer in `["dense", 0, 0]` or `[["dense", 0, 0]]`.
fn only_name(list: &Value) -> Option<&str> {
    let list = list.as_array()?;
    match &list[..] {
        [Value::String(name), ..] => Some(name),
        [Value::Array(inner)] => inner.first()?.as_str(),
        _ => None,
    }
}

/// Return the name of the layer whose first output is the only input of `layer`. A mask is no input: this program has
/// lengths.
fn source(layer: &Value) -> Option<String> {
    let [node] = &layer["inbound_nodes"].as_array()?[..] else { return None };
    let mut found = vec![];
    match node {
        // Keras 3: {"args": [{"config": {"keras_history": [name, call, output]}}], "kwargs": {..}}.
        Value::Object(node) => {
            histories(node.get("args")?, &mut found, 0);
            let further = node.get("kwargs").and_then(Value::as_object);
            let further = further.into_iter().flatten().filter(|(key, _)| *key != "mask");
            further.for_each(|(_, value)| histories(value, &mut found, 0));
        }
        // Keras 2: [[name, call, output, {..}]].
        Value::Array(inputs) => found.extend(inputs.iter().map(|input| (&input[0], &input[2]))),
        _ => {}
    }
    match found[..] {
        [(name, output)] if output.as_u64() == Some(0) => name.as_str().map(String::from),
        _ => None,
    }
}

/// Collect the layers and outputs that the arguments of a call refer to.
fn histories<'v>(value: &'v Value, found: &mut Vec<(&'v Value, &'v Value)>, depth: usize) {
    const DEEPEST: usize = 16;
    if depth > DEEPEST {
        return;
    }
    match value {
        Value::Object(object) => {
            if let Some(history) = object.get("keras_history") {
                found.push((&history[0], &history[2]));
            }
            object.values().for_each(|value| histories(value, found, depth + 1));
        }
        Value::Array(list) => list.iter().for_each(|value| histories(value, found, depth + 1)),
        _ => {}
    }
}
