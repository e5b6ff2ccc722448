//! The facts that must be the same on all processes of a run.

use candle_core::DType;
use sha2::{Digest, Sha256};

use super::record::RunBundle;
use super::trainer::Trainer;
use crate::distributed::{Fact, agree};
use crate::hash::{Fnv1a, fnv1a};
use crate::{Error, Result};

/// Refuse processes whose program, options, network or data differ.
///
/// # Errors
/// If they differ, on every process, and if the tokenizer cannot be written.
pub(super) fn agree_on_run(trainer: &Trainer, record: &RunBundle) -> Result<()> {
    if trainer.ranks.size() == 1 {
        return Ok(());
    }
    let message = |error: serde_json::Error| Error::Message(error.to_string());
    let options = serde_json::to_value(&trainer.options).map_err(message)?;
    let network = serde_json::to_string(&record.config.network).map_err(message)?;
    let tokenizer = record.tokenizer.as_ref().map(|tokenizer| tokenizer.to_json()).transpose()?;
    let mut facts: Vec<Fact> = vec![("the program".into(), program())];
    for (field, value) in options.as_object().into_iter().flatten() {
        facts.push((format!("option `{field}`"), value.to_string()));
    }
    facts.push(("the network".into(), network));
    facts.push(("training data with the checksum".into(), format!("{:016x}", record.fingerprint)));
    let tokenizer = fnv1a(tokenizer.unwrap_or_default().as_bytes());
    facts.push(("a tokenizer with the checksum".into(), format!("{tokenizer:016x}")));
    agree(trainer.ranks.as_ref(), &facts)
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

/// The version of the program and a hash of its file.
fn program() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let file = std::env::current_exe().and_then(std::fs::read);
    let hash = file.map_or(String::new(), |bytes| {
        Sha256::digest(bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    });
    format!("{version} {hash}").trim_end().to_string()
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
