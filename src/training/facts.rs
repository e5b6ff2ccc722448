//! The facts that must be the same on all processes of a run.

use candle_core::{DType, DeviceLocation};
use rnn_zoo_models::ModelConfig;
use serde::Serialize;

use super::splits::Splits;
use super::trainer::Trainer;
use crate::distributed::{Communicator, Fact, agree};
use crate::hash::{Fnv1a, fnv1a};
use crate::tasks::{DataSpec, Origin, Task};
use crate::tokenizer::{Kind, Limits, Tokenizer};
use crate::{Error, Result};

/// Refuse processes that would read other data, or read it in another way. They may have it at different places.
///
/// # Errors
/// If they differ, on every process.
pub(super) fn agree_on_data(
    ranks: &dyn Communicator,
    task: &dyn Task,
    data: &DataSpec,
    origin: &Origin,
) -> Result<()> {
    if ranks.size() == 1 {
        return Ok(());
    }
    let mut facts: Vec<Fact> = vec![("the task".into(), task.name().into())];
    let without_place = DataSpec { data: String::new(), ..data.clone() };
    let of_data = |(field, value): Fact| (format!("`{field}` of the data"), value);
    facts.extend(fields(&without_place)?.into_iter().map(of_data));
    let tokenizer = match origin {
        Origin::Trained(spec) => {
            let kind = match &spec.kind {
                Kind::File(_) => "a file".to_string(),
                kind => kind.to_string(),
            };
            facts.push(("option `lowercase`".into(), spec.lowercase.to_string()));
            let Limits { max, min_count } = spec.limits;
            let number = |limit: Option<u64>| limit.map_or("none".into(), |limit| limit.to_string());
            facts.push(("option `max_vocab`".into(), number(max.map(|max| max as u64))));
            facts.push(("option `min_count`".into(), number(min_count)));
            kind
        }
        Origin::Loaded(_) => "that of a model".into(),
    };
    facts.push(("option `tokenizer`".into(), tokenizer));
    agree(ranks, &facts)
}

/// Refuse processes whose options, network or tokenizer differ.
///
/// # Errors
/// If they differ, on every process, and if the tokenizer cannot be written.
pub(super) fn agree_on_run(
    trainer: &Trainer,
    network: &ModelConfig,
    tokenizer: Option<&Tokenizer>,
) -> Result<()> {
    if trainer.ranks.size() == 1 {
        return Ok(());
    }
    let option = |(field, value): Fact| (format!("option `{field}`"), value);
    let mut facts: Vec<Fact> = fields(&trainer.options)?.into_iter().map(option).collect();
    // Devices of another kind round in another way, so that parameters would drift apart.
    let device = match trainer.device.location() {
        DeviceLocation::Cpu => "cpu",
        DeviceLocation::Cuda { .. } => "cuda",
        DeviceLocation::Metal { .. } => "metal",
    };
    facts.push(("option `device`".into(), device.into()));
    facts.push(("the network".into(), serde_json::to_string(network).map_err(|error| unwritten(&error))?));
    let tokenizer = tokenizer.map(Tokenizer::to_json).transpose()?.unwrap_or_default();
    let tokenizer = fnv1a(tokenizer.as_bytes());
    facts.push(("a tokenizer with the checksum".into(), format!("{tokenizer:016x}")));
    agree(trainer.ranks.as_ref(), &facts)
}

/// Compute the hash of a run's data, and refuse processes that have another.
///
/// # Errors
/// If they differ, on every process, and if the tokens cannot be read back from the disk.
pub(super) fn agreed_fingerprint(ranks: &dyn Communicator, splits: &Splits) -> Result<u64> {
    let fingerprint = splits.fingerprint(ranks)?;
    agree(ranks, &[("training data with the checksum".into(), format!("{fingerprint:016x}"))])?;
    Ok(fingerprint)
}

/// The fields of a structure and their values as JSON.
fn fields(structure: &impl Serialize) -> Result<Vec<Fact>> {
    let fields = serde_json::to_value(structure).map_err(|error| unwritten(&error))?;
    let fields = fields.as_object().into_iter().flatten();
    Ok(fields.map(|(field, value)| (field.clone(), value.to_string())).collect())
}

fn unwritten(error: &serde_json::Error) -> Error {
    Error::Message(error.to_string())
}

/// Refuse processes that would start from different steps or parameters.
///
/// # Errors
/// If they differ, on every process, and errors from candle.
pub(super) fn agree_on_start(trainer: &Trainer) -> Result<()> {
    if trainer.ranks.size() == 1 {
        return Ok(());
    }
    let sum = checksum(trainer)?;
    let facts = [
        ("taken steps:".to_string(), trainer.progress.step.to_string()),
        ("parameters with the checksum".to_string(), format!("{sum:016x}")),
    ];
    agree(trainer.ranks.as_ref(), &facts)
}

/// A hash of all parameters.
fn checksum(trainer: &Trainer) -> Result<u64> {
    let mut hash = Fnv1a::new();
    for (_, var) in trainer.parameters.iter() {
        let numbers = var.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        numbers.iter().for_each(|number| hash.add(number.to_bits()));
    }
    Ok(hash.0)
}
