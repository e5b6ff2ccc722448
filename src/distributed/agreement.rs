//! Comparison of the processes of a run before the first step.

use sha2::{Digest, Sha256};

use super::collect::gather;
use super::communicator::Communicator;
use crate::listing::shortened;
use crate::{Error, Result};

/// A fact that must be the same on all processes: its name in errors, and its value.
pub type Fact = (String, String);

/// Compare facts with those of the other processes.
///
/// # Errors
/// If one differs, the same error on all processes. It names the lowest rank that differs from rank 0, and the fact.
pub fn agree(ranks: &dyn Communicator, facts: &[Fact]) -> Result<()> {
    let unreadable = |error| Error::Message(format!("facts of another process cannot be read: {error}"));
    let own = serde_json::to_vec(facts).map_err(unreadable)?;
    let all = gather(ranks, &own).into_iter().map(|facts| serde_json::from_slice(&facts));
    let all: Vec<Vec<Fact>> = all.collect::<Result<_, _>>().map_err(unreadable)?;
    let (first, others) = all.split_first().expect("invariant: there is a first process");
    for (rank, facts) in (1..).zip(others) {
        if let Some((name, theirs, expected)) = difference(first, facts) {
            return Err(refusal(rank, &name, &theirs, &expected));
        }
    }
    Ok(())
}

/// Refuse processes of another program, or that run another command and so would make other calls.
///
/// # Errors
/// As [`agree`].
pub(super) fn agree_on_program(ranks: &dyn Communicator, command: &str) -> Result<()> {
    agree(ranks, &[("the program".into(), program()), ("the command".into(), command.into())])
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

/// An error about a rank that has another value of a fact than rank 0.
pub(crate) fn refusal(rank: usize, name: &str, theirs: &str, expected: &str) -> Error {
    Error::Message(format!(
        "rank {rank} has {name} {theirs}, but rank 0 has {expected}; start every process with the same program, data \
         and options"
    ))
}

/// The first fact that differs: its name, the value that was found and the one that was expected. A fact that is
/// missing has its default.
fn difference(expected: &[Fact], found: &[Fact]) -> Option<(String, String, String)> {
    let value = |facts: &[Fact], name: &str| {
        let fact = facts.iter().find(|(other, _)| other == name);
        fact.map_or("the default".to_string(), |(_, value)| shortened(value))
    };
    let differs = |name: &&String| {
        let of = |facts: &[Fact]| facts.iter().find(|(other, _)| other == *name).cloned();
        of(expected) != of(found)
    };
    let name = expected.iter().chain(found).map(|(name, _)| name).find(differs)?;
    Some((name.clone(), value(found, name), value(expected, name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distributed::SingleProcess;

    fn facts(values: &[(&str, &str)]) -> Vec<Fact> {
        values.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn the_first_difference_is_named_with_both_values() {
        let own = facts(&[("build", "a"), ("data", "b")]);
        assert_eq!(difference(&own, &own), None);
        let other = facts(&[("build", "a"), ("data", &"é".repeat(100))]);
        let (name, found, expected) = difference(&own, &other).unwrap();
        assert_eq!((name.as_str(), expected.as_str()), ("data", "b"));
        assert_eq!(found, "é".repeat(crate::listing::LONGEST) + "...");
        let missing = difference(&own, &own[..1]).unwrap();
        assert_eq!(missing, ("data".into(), "the default".into(), "b".into()));
        assert_eq!(difference(&own[..1], &own).unwrap().2, "the default");
        agree(&SingleProcess, &own).unwrap();
    }
}
