//! The loss and the metrics of a network in training.

use std::sync::Arc;

use crate::tasks::{Meter, Names, Task};
use crate::tokenizer::Tokenizer;

/// The task of a network in training, which determines loss and metrics, and the names of its tokens and classes.
#[derive(Clone)]
pub struct Objective {
    /// The task.
    pub task: &'static dyn Task,
    /// The tokenizer; `None` if the network does not read text.
    pub tokenizer: Option<Arc<Tokenizer>>,
    /// Names of the classes.
    pub labels: Vec<String>,
}

impl Objective {
    /// The objective of a network whose tokens and classes have no names.
    pub fn of(task: &'static dyn Task) -> Self {
        Self { task, tokenizer: None, labels: vec![] }
    }

    /// Whether the network predicts classes that can be counted.
    pub(super) fn has_classes(&self) -> bool {
        self.meter().measured().classes.is_some()
    }

    /// A meter for one evaluation.
    pub(super) fn meter(&self) -> Box<dyn Meter> {
        self.task.meter(Names { tokenizer: self.tokenizer.as_deref(), labels: &self.labels })
    }
}
