//! Examples with names.

use candle_core::Device;

use super::batch::{Batch, Examples};
use super::example::Example;
use crate::Result;

/// Examples with a name for each.
#[derive(Debug)]
pub struct Named {
    /// The examples.
    pub examples: Vec<Example>,
    /// The name of each example, the only one of its parts.
    pub names: Vec<String>,
}

impl Examples for Named {
    fn len(&self) -> usize {
        self.examples.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch> {
        self.examples.batch(rows, device)
    }

    fn hash(&self, add: &mut dyn FnMut(u32)) {
        self.examples.hash(add);
    }

    fn for_each_token(&self, visit: &mut dyn FnMut(u32)) {
        self.examples.for_each_token(visit);
    }

    fn parts(&self, row: usize) -> Vec<String> {
        vec![self.names[row].clone()]
    }

    fn size(&self, row: usize) -> Option<usize> {
        self.examples.size(row)
    }
}
