//! The loss and the metrics of a network in training.

use std::sync::Arc;

use serde_json::Value;

use crate::bundle::Config;
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
    /// The task's own description of inputs and outputs.
    pub schema: Value,
}

impl Objective {
    /// The objective of a model.
    pub fn new(config: &Config, tokenizer: Option<Arc<Tokenizer>>) -> Self {
        let Config { task, labels, schema, .. } = config;
        Self { task: *task, tokenizer, labels: labels.clone(), schema: schema.clone() }
    }

    /// The objective of a network whose tokens and classes have no names.
    pub fn of(task: &'static dyn Task) -> Self {
        Self { task, tokenizer: None, labels: vec![], schema: Value::Null }
    }

    /// Whether the loss is a cross-entropy in nats.
    pub(super) fn is_cross_entropy(&self) -> bool {
        self.task.unit(self.tokenizer.as_deref()).nats
    }

    /// Whether the network predicts classes that can be counted.
    pub(super) fn has_classes(&self) -> bool {
        self.meter().measured().classes.is_some()
    }

    /// The names of its tokens and classes.
    pub(super) fn names(&self) -> Names<'_> {
        Names { tokenizer: self.tokenizer.as_deref(), labels: &self.labels, schema: &self.schema }
    }

    /// A meter for one evaluation.
    pub(super) fn meter(&self) -> Box<dyn Meter> {
        self.task.meter(self.names())
    }
}
