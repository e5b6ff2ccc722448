//! The tensors of a file under our names.
//!
//! Names that the user gives go first. The recurrent stack is found by PyTorch's own names of its parameters, which
//! end with `weight_ih_l0` and so on. The embedding and the output layer are matrices whose shapes fit the stack; where
//! several fit, their names decide.

use candle_core::{Device, Tensor};

use super::sizes::Sizes;
use crate::formats::compare::are_same;
use crate::listing::{listed, nearest};
use crate::parameters::NamedTensors;
use crate::{Error, Result};

/// Parts of the names that embeddings have.
const EMBEDDINGS: [&str; 4] = ["enc", "emb", "wte", "lookup"];

/// Parts of the names that output layers have.
const DECODERS: [&str; 9] = ["dec", "fc", "lin", "out", "head", "proj", "class", "hidden2", "dense"];

/// Parameters of a conditional random field, as pytorch-crf names them too.
const CRF: [&str; 3] = ["start_transitions", "transitions", "end_transitions"];

const ENCODER: &str = "encoder.weight";
const DECODER: &str = "decoder.weight";
const BIAS: &str = "decoder.bias";
const PROJECTION: &str = "projection.weight";

/// The parameters of a network under our names.
pub(super) struct Assigned {
    pub(super) parameters: NamedTensors,
    pub(super) sizes: Sizes,
    /// Whether the output layer uses the embedding, which is then stored once.
    pub(super) tied: bool,
    /// Whether there is a conditional random field.
    pub(super) crf: bool,
    /// The assumptions that were made, one line each.
    pub(super) notes: Vec<String>,
}

/// Give the tensors of a file our names. `names` are those of the user: of a tensor in the file, and our own, which is
/// empty for a tensor that is left out.
///
/// # Errors
/// If a part is missing, several tensors may be it, or one is left over.
pub(super) fn assign(mut tensors: NamedTensors, names: &[(String, String)]) -> Result<Assigned> {
    let mut parameters = given(&mut tensors, names)?;
    stack(&mut tensors, &mut parameters)?;
    let sizes = Sizes::of(&parameters)?;
    let mut notes = vec![];
    if !parameters.contains_key(ENCODER) {
        let fits = |name: &str, tensor: &Tensor| {
            tensor.dims().get(1) == Some(&sizes.input) && !tensors.contains_key(&bias_of(name))
        };
        let found = one(&tensors, "embedding", ENCODER, &EMBEDDINGS, fits)?;
        let problem = || {
            let input = sizes.input;
            Error::Message(format!(
                "has no embedding, a matrix of {input} columns; networks of numbers are not converted; name it with option \
                 `names = THEIRS=encoder.weight`"
            ))
        };
        move_to(&mut tensors, &mut parameters, &found.ok_or_else(problem)?, ENCODER)?;
    }
    let tied = output_layer(&mut tensors, &mut parameters, &sizes, &mut notes)?;
    let mut crf = parameters.keys().any(|name| name.starts_with("crf."));
    for part in CRF {
        let found = tensors.keys().find(|name| name.rsplit('.').next() == Some(part)).cloned();
        if let Some(name) = found {
            move_to(&mut tensors, &mut parameters, &name, &format!("crf.{part}"))?;
            crf = true;
        }
    }
    if !tensors.is_empty() {
        let names = listed(tensors.keys(), ", ");
        return Err(Error::Message(format!(
            "has {names}, which no part of the network is known for; name each with option `names = THEIRS=OURS`, or \
             leave it out with option `names = THEIRS=`"
        )));
    }
    Ok(Assigned { parameters, sizes, tied, crf, notes })
}

/// Move the tensors that the user names.
fn given(tensors: &mut NamedTensors, names: &[(String, String)]) -> Result<NamedTensors> {
    let mut parameters = NamedTensors::new();
    for (theirs, ours) in names {
        let Some(tensor) = tensors.remove(theirs) else {
            let near = nearest(theirs, tensors.keys().map(String::as_str));
            let near = near.map_or(String::new(), |name| format!("; the file has {name}"));
            return Err(Error::invalid("names", format!("the file has no tensor {theirs}{near}")));
        };
        if !ours.is_empty() && !is_ours(ours) {
            let problem = format!(
                "{ours} is no parameter here; expected {ENCODER}, rnn.weight_ih_l0 and so on, {PROJECTION}, {DECODER}, \
                 {BIAS} or crf.transitions"
            );
            return Err(Error::invalid("names", problem));
        }
        if !ours.is_empty() && parameters.insert(ours.clone(), tensor).is_some() {
            return Err(Error::invalid(
                "names",
                format!("{ours} is given twice; expected one tensor for it"),
            ));
        }
    }
    Ok(parameters)
}

/// Whether a name is one of our parameters.
fn is_ours(name: &str) -> bool {
    [ENCODER, DECODER, BIAS, PROJECTION].contains(&name)
        || name.strip_prefix("rnn.").is_some_and(is_of_stack)
        || name.strip_prefix("crf.").is_some_and(|part| CRF.contains(&part))
}

/// Move the parameters of the recurrent stack.
fn stack(tensors: &mut NamedTensors, parameters: &mut NamedTensors) -> Result<()> {
    const FIRST: &str = "weight_ih_l0";
    if parameters.contains_key("rnn.weight_ih_l0") {
        return Ok(());
    }
    let prefixes: Vec<&str> = tensors.keys().filter_map(|name| name.strip_suffix(FIRST)).collect();
    let prefix = match prefixes[..] {
        [prefix] => prefix.to_string(),
        [] => {
            let names = listed(tensors.keys(), ", ");
            let problem = format!("has no recurrent layer, whose name ends with {FIRST}; it has {names}");
            return Err(Error::Message(problem));
        }
        _ => {
            let names = listed(prefixes.iter().map(|prefix| format!("{prefix}{FIRST}")), ", ");
            let second = prefixes[1];
            let problem = format!(
                "has several recurrent stacks, {names}; networks with one are converted; name the parameters of layers of \
                 one by their layer, as with option `names = {second}{FIRST}=rnn.weight_ih_l1`"
            );
            return Err(Error::Message(problem));
        }
    };
    let inside: Vec<String> =
        tensors.keys().filter(|name| name.strip_prefix(&prefix).is_some_and(is_of_stack)).cloned().collect();
    for name in inside {
        let ours = format!("rnn.{}", &name[prefix.len()..]);
        move_to(tensors, parameters, &name, &ours)?;
    }
    Ok(())
}

/// Whether a name is one of a recurrent stack's own parameters, such as `bias_hh_l1_reverse`.
fn is_of_stack(name: &str) -> bool {
    let kinds = ["weight_ih_l", "weight_hh_l", "weight_hr_l", "bias_ih_l", "bias_hh_l"];
    let rest = kinds.iter().find_map(|kind| name.strip_prefix(kind));
    let layer = rest.map(|rest| rest.strip_suffix("_reverse").unwrap_or(rest));
    layer.is_some_and(|layer| !layer.is_empty() && layer.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Move the output layer. Returns whether it uses the embedding.
fn output_layer(
    tensors: &mut NamedTensors,
    parameters: &mut NamedTensors,
    sizes: &Sizes,
    notes: &mut Vec<String>,
) -> Result<bool> {
    let embedding = parameters[ENCODER].clone();
    let fits = |_: &str, tensor: &Tensor| tensor.dims().get(1) == Some(&sizes.output);
    let tied = if let Some(weight) = parameters.get(DECODER) {
        let tied = are_same(weight, &embedding)?;
        if tied {
            parameters.remove(DECODER);
        }
        tied
    } else if let Some(name) = copy_of(tensors, &embedding)? {
        tensors.remove(&name);
        move_to(tensors, parameters, &bias_of(&name), BIAS)?;
        true
    } else if let Some(name) = one(tensors, "output layer", DECODER, &DECODERS, fits)? {
        move_to(tensors, parameters, &bias_of(&name), BIAS)?;
        move_to(tensors, parameters, &name, DECODER)?;
        false
    } else {
        notes.push("the file has no output layer, so it is the embedding (tied weights)".to_string());
        true
    };
    if tied && sizes.input != sizes.output {
        projection(tensors, parameters, sizes)?;
    }
    let weight = parameters.get(DECODER).unwrap_or(&embedding);
    bias(tensors, parameters, weight.dims().first().copied().unwrap_or_default(), tied, notes)?;
    Ok(tied)
}

/// Move the projection from the stack's output to the width of the embedding, which the output layer uses.
fn projection(tensors: &mut NamedTensors, parameters: &mut NamedTensors, sizes: &Sizes) -> Result<()> {
    if parameters.contains_key(PROJECTION) {
        return Ok(());
    }
    let Sizes { input, output, .. } = *sizes;
    let fits = |name: &str, tensor: &Tensor| {
        tensor.dims() == [input, output] && !tensors.contains_key(&bias_of(name))
    };
    let name = one(tensors, "projection", PROJECTION, &["proj"], fits)?.ok_or_else(|| {
        Error::Message(format!(
            "has no output layer for the {output} outputs of its recurrent layer, and no projection to the {input} \
             columns of its embedding; name one with option `names = THEIRS={DECODER}`"
        ))
    })?;
    move_to(tensors, parameters, &name, PROJECTION)?;
    Ok(())
}

/// Move the bias of an output layer of `rows` rows, or add one of zeros.
fn bias(
    tensors: &mut NamedTensors,
    parameters: &mut NamedTensors,
    rows: usize,
    tied: bool,
    notes: &mut Vec<String>,
) -> Result<()> {
    if parameters.contains_key(BIAS) {
        return Ok(());
    }
    // An output layer without a matrix of its own may have a bias of any name.
    let found =
        tensors.iter().find(|(name, tensor)| tied && name.ends_with("bias") && tensor.dims() == [rows]);
    match found.map(|(name, _)| name.clone()) {
        Some(name) => move_to(tensors, parameters, &name, BIAS)?,
        None => {
            notes.push("the output layer has no bias; one of zeros is added".to_string());
            let zeros = Tensor::zeros(rows, parameters[ENCODER].dtype(), &Device::Cpu)?;
            parameters.insert(BIAS.to_string(), zeros);
        }
    }
    Ok(())
}

/// Return the name of a tensor that is the same as `tensor`.
fn copy_of(tensors: &NamedTensors, tensor: &Tensor) -> Result<Option<String>> {
    for (name, other) in tensors {
        if are_same(other, tensor)? {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}

/// Return the name of the bias beside a matrix.
fn bias_of(matrix: &str) -> String {
    format!("{}bias", matrix.trim_end_matches("weight"))
}

/// Return the name of the only matrix that `fits`, or of the only one whose name has one of `words`.
fn one(
    tensors: &NamedTensors,
    part: &str,
    ours: &str,
    words: &[&str],
    fits: impl Fn(&str, &Tensor) -> bool,
) -> Result<Option<String>> {
    let fitting = tensors
        .iter()
        .filter(|(name, tensor)| tensor.rank() == 2 && name.ends_with("weight") && fits(name, tensor));
    let fitting: Vec<&str> = fitting.map(|(name, _)| name.as_str()).collect();
    let named: Vec<&str> = fitting.iter().copied().filter(|name| is_named(name, words)).collect();
    match (&fitting[..], &named[..]) {
        ([], _) => Ok(None),
        ([name], _) | (_, [name]) => Ok(Some((*name).to_string())),
        _ => {
            let names = listed(&fitting, ", ");
            Err(Error::Message(format!(
                "has several matrices that may be the {part}: {names}; name it with option `names = THEIRS={ours}`"
            )))
        }
    }
}

/// Whether the module of a parameter, `lm_head` of `model.lm_head.weight`, has one of `words` in its name.
fn is_named(name: &str, words: &[&str]) -> bool {
    let module = name.rsplit('.').nth(1).unwrap_or_default().to_lowercase();
    words.iter().any(|word| module.contains(word))
}

/// Move a tensor, if there is one.
///
/// # Errors
/// If there is another for the same parameter already, as the user may have named it.
fn move_to(from: &mut NamedTensors, to: &mut NamedTensors, theirs: &str, ours: &str) -> Result<()> {
    let Some(tensor) = from.remove(theirs) else { return Ok(()) };
    match to.insert(ours.to_string(), tensor) {
        None => Ok(()),
        Some(_) => Err(Error::Message(format!(
            "has two tensors for {ours}, one of them {theirs}; leave one out with option `names = THEIRS=`"
        ))),
    }
}
