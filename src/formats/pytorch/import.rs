//! A file of PyTorch as a network.

use std::collections::BTreeMap;
use std::path::Path;

use rnn_zoo_models::{Nonlinearity, RecurrentConfig};

use super::assign::{Assigned, assign};
use super::own;
use super::sizes::Sizes;
use super::tensors::{FileTensors, read};
use crate::formats::ends::{Ends, TWO_CLASSES, TextNetwork, check_effect, task, with_first_class};
use crate::formats::format::{ImportOptions, Imported};
use crate::parameters::NamedTensors;
use crate::tasks::{Lm, Task};
use crate::{Error, Result};

/// Prefixes that wrappers of modules add to every name.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// Read the network of a file.
///
/// # Errors
/// If the file is damaged, its tensors are not those of an embedding, a recurrent stack and an output layer, or an
/// option is missing.
pub(super) fn import(path: &Path, head: &[u8], options: &ImportOptions) -> Result<Imported> {
    let FileTensors { tensors, others, config, layers } = read(path, head)?;
    if let Some(config) = config {
        return own::import(path, &config, tensors, options);
    }
    check_others(path, &others, options)?;
    // Tensors without floats have been left out.
    let is_float = |theirs: &str| !others.keys().any(|other| unwrapped(other) == theirs);
    let names = options.names.iter().map(|(theirs, ours)| (unwrapped(theirs).to_string(), ours.clone()));
    let names: Vec<(String, String)> = names.filter(|(theirs, _)| is_float(theirs)).collect();
    let Assigned { mut parameters, sizes, tied, crf, mut notes } =
        assign(unwrap_all(path, tensors)?, &names)?;
    let rows = |name: &str| parameters[name].dims().first().copied().unwrap_or_default();
    let mut ends = Ends { vocabulary: rows("encoder.weight"), outputs: rows("decoder.bias"), tied, crf };
    let task = task(options, &ends, sizes.bidirectional)?;
    check_effect(options, task)?;
    layers.check(ends.outputs).map_err(|problem| Error::file(path, problem))?;
    let rnn = recurrent(&sizes, options, layers.nonlinearity, &mut notes)?;
    if ends.outputs == 1 && task.name() != Lm.name() && !crf {
        two_classes(&mut parameters)?;
        ends.outputs = 2;
        notes.push(TWO_CLASSES.to_string());
    }
    let readout = options.readout;
    TextNetwork { task, ends, rnn, readout, parameters, notes }.imported(path, options)
}

/// Refuse tensors that hold no floats, unless the user leaves them out.
fn check_others(path: &Path, others: &BTreeMap<String, String>, options: &ImportOptions) -> Result<()> {
    let is_left_out = |name: &str| {
        let mut given = options.names.iter();
        given.any(|(theirs, ours)| ours.is_empty() && unwrapped(theirs) == unwrapped(name))
    };
    match others.iter().find(|(name, _)| !is_left_out(name)) {
        None => Ok(()),
        Some((name, kind)) => Err(Error::file(
            path,
            format!(
                "tensor {name} is of {kind}; expected floats; leave it out with option `names = {name}=`"
            ),
        )),
    }
}

/// Return the configuration of the stack. A whole module has `told` its nonlinearity.
fn recurrent(
    sizes: &Sizes,
    options: &ImportOptions,
    told: Option<Nonlinearity>,
    notes: &mut Vec<String>,
) -> Result<RecurrentConfig> {
    match (sizes.is_simple(), options.nonlinearity) {
        (true, Nonlinearity::Relu) if told == Some(Nonlinearity::Tanh) => {
            return Err(Error::invalid("nonlinearity", "the module in the file uses tanh; leave it out"));
        }
        (true, Nonlinearity::Tanh) if told.is_some() => {}
        (false, Nonlinearity::Relu) => {
            return Err(Error::invalid(
                "nonlinearity",
                "only a simple recurrent network has one to choose; leave it out",
            ));
        }
        (true, Nonlinearity::Tanh) => notes.push(
            "the nonlinearity of the RNN is taken to be tanh; set option `nonlinearity` if it is not"
                .to_string(),
        ),
        _ => {}
    }
    Ok(sizes.config(told.unwrap_or(options.nonlinearity)))
}

/// Make two classes of an output layer with one output.
fn two_classes(parameters: &mut NamedTensors) -> Result<()> {
    for name in ["decoder.weight", "decoder.bias"] {
        if let Some(tensor) = parameters.get(name) {
            let both = with_first_class(tensor)?;
            parameters.insert(name.to_string(), both);
        }
    }
    Ok(())
}

/// Return tensors under their names without the prefixes of wrappers.
fn unwrap_all(path: &Path, tensors: NamedTensors) -> Result<NamedTensors> {
    let mut found = NamedTensors::new();
    for (name, tensor) in tensors {
        let inner = unwrapped(&name).to_string();
        if found.insert(inner.clone(), tensor).is_some() {
            let problem = format!("has two tensors of the name {inner}, one as {name}; expected one");
            return Err(Error::file(path, problem));
        }
    }
    Ok(found)
}

/// Return a name without the prefixes of wrappers.
fn unwrapped(name: &str) -> &str {
    WRAPPERS.iter().find_map(|wrapper| name.strip_prefix(wrapper)).map_or(name, unwrapped)
}
