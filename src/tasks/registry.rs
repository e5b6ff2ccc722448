//! The list of all tasks.

use std::sync::LazyLock;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::data_spec::DataSpec;
use super::task::Task;
use crate::Result;

/// All tasks, in the order in which they are listed to users.
pub const TASKS: &[&dyn Task] = &[
    // The first is the default.
    &super::lm::Lm,
    &super::classify::Classify,
    &super::tag::Tag,
    &super::forecast::Forecast,
    &super::translate::Translate,
];

/// The task that `data` is for, if the user names none.
///
/// # Errors
/// If the source of the data does not exist.
pub fn suited(data: &DataSpec) -> Result<&'static dyn Task> {
    for task in TASKS {
        if task.suits(data)? {
            return Ok(*task);
        }
    }
    Ok(TASKS[0])
}

/// The names of all tasks.
static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| TASKS.iter().map(|task| task.name()).collect());

impl<'de> Deserialize<'de> for &'static dyn Task {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let task = TASKS.iter().find(|task| task.name() == name);
        task.copied().ok_or_else(|| D::Error::unknown_variant(&name, &NAMES))
    }
}
