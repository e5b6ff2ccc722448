//! The tensors of a pickle by name: a state dict, one inside a checkpoint, or the parameters of whole modules.

use std::collections::BTreeMap;

use rnn_zoo_models::Nonlinearity;

use super::layers::{Layers, layer_class};
use super::object::{Id, Object, Pickle, View};
use crate::listing::listed;

/// The entries of a checkpoint that hold the model, in the order in which they are tried.
const ENTRIES: [&str; 6] = ["state_dict", "model_state_dict", "model", "net", "module", "weights"];

/// The deepest nesting of dictionaries and modules.
const DEEPEST: usize = 16;

/// The most entries that are visited: modules may contain each other many times.
const MOST_VISITS: usize = 1 << 16;

/// The longest name of a parameter or module inside its own module, in bytes.
const LONGEST_NAME: usize = 256;

/// Return the tensors of a pickle by name, and what the classes of modules tell. The error is the problem alone.
///
/// # Errors
/// If it holds no state dict or module, or a name twice.
pub(super) fn tensors(pickle: &Pickle) -> Result<(BTreeMap<String, View>, Layers), String> {
    let mut root = pickle.root;
    for _ in 0..DEEPEST {
        let mut entries = ENTRIES.iter().filter_map(|name| pickle.entry(root, name));
        let Some(inner) = entries.find(|&id| pickle.holds_more(id)) else { break };
        root = inner;
    }
    let reader = Reader { pickle, visits: 0, found: BTreeMap::new(), layers: Layers::default() };
    let (found, layers) = reader.read(root)?;
    if !found.is_empty() {
        return Ok((found, layers));
    }
    let names: Vec<&str> = match &pickle.objects[pickle.root] {
        Object::Dict(entries) => entries.iter().filter_map(|&(key, _)| pickle.text(key)).collect(),
        _ => vec![],
    };
    let entries = match names.is_empty() {
        true => String::new(),
        false => format!(" but {}", listed(names, ", ")),
    };
    Err(format!("holds no state dict{entries}; save one with torch.save(model.state_dict(), FILE)"))
}

impl Pickle {
    /// Return an entry of a dictionary of that name.
    fn entry(&self, dict: Id, name: &str) -> Option<Id> {
        let Object::Dict(entries) = &self.objects[dict] else { return None };
        entries.iter().find(|&&(key, _)| self.text(key) == Some(name)).map(|&(_, value)| value)
    }

    /// Whether an object may be a state dict or a module.
    fn holds_more(&self, id: Id) -> bool {
        matches!(self.objects[id], Object::Dict(_) | Object::Instance { .. })
    }

    fn text(&self, id: Id) -> Option<&str> {
        match &self.objects[id] {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }
}

struct Reader<'p> {
    pickle: &'p Pickle,
    visits: usize,
    found: BTreeMap<String, View>,
    layers: Layers,
}

impl Reader<'_> {
    /// Return the tensors of a state dict or of a module.
    fn read(mut self, root: Id) -> Result<(BTreeMap<String, View>, Layers), String> {
        match &self.pickle.objects[root] {
            Object::Dict(entries) => self.entries(entries, "")?,
            Object::Instance { .. } => self.module(root, "", 0)?,
            _ => {}
        }
        self.layers.end(self.found.len());
        Ok((self.found, self.layers))
    }

    /// Add the tensors among the entries of a dictionary.
    fn entries(&mut self, entries: &[(Id, Id)], prefix: &str) -> Result<(), String> {
        for &(key, value) in entries {
            self.visits += 1;
            if self.visits > MOST_VISITS {
                return Err(format!("has more than {MOST_VISITS} parameters"));
            }
            let (Some(key), Object::Tensor(view)) = (self.pickle.text(key), &self.pickle.objects[value])
            else {
                continue;
            };
            if key.len() > LONGEST_NAME {
                return Err(format!(
                    "has a parameter with a name of {} bytes; expected at most {LONGEST_NAME}",
                    key.len()
                ));
            }
            let name = format!("{prefix}{key}");
            if self.found.insert(name.clone(), view.clone()).is_some() {
                return Err(format!("has two tensors of the name {name}; expected one"));
            }
        }
        Ok(())
    }

    /// Add the parameters of a module and of those inside it.
    fn module(&mut self, module: Id, prefix: &str, depth: usize) -> Result<(), String> {
        self.visits += 1;
        if depth > DEEPEST || self.visits > MOST_VISITS {
            return Err(format!(
                "has modules inside each other more than {DEEPEST} deep, or more than {MOST_VISITS}"
            ));
        }
        let pickle = self.pickle;
        let Object::Instance { class, attributes: Some(attributes) } = pickle.objects[module] else {
            return Ok(());
        };
        let before = self.found.len();
        if let Some(Object::Dict(entries)) =
            pickle.entry(attributes, "_parameters").map(|id| &pickle.objects[id])
        {
            self.entries(entries, prefix)?;
        }
        let max_norm = pickle.entry(attributes, "max_norm").map(|id| &pickle.objects[id]);
        if max_norm.is_some_and(|value| !matches!(value, Object::None)) {
            return Err(format!(
                "has an embedding, {}, with max_norm, which scales its rows as they are read; scale its weight and save it \
                 without",
                prefix.trim_end_matches('.')
            ));
        }
        match pickle.entry(attributes, "mode").and_then(|id| pickle.text(id)) {
            Some("RNN_TANH") => self.layers.nonlinearity = Some(Nonlinearity::Tanh),
            Some("RNN_RELU") => self.layers.nonlinearity = Some(Nonlinearity::Relu),
            _ => {}
        }
        if let Object::Global(class) = &pickle.objects[class]
            && let Some(class) = layer_class(class)
            && self.found.len() == before
        {
            self.layers.add(prefix, class, before);
        }
        let modules = pickle.entry(attributes, "_modules").map(|id| &pickle.objects[id]);
        let Some(Object::Dict(modules)) = modules else { return Ok(()) };
        for &(key, inner) in modules {
            let Some(name) = pickle.text(key).filter(|name| name.len() <= LONGEST_NAME) else { continue };
            self.module(inner, &format!("{prefix}{name}."), depth + 1)?;
        }
        Ok(())
    }
}
