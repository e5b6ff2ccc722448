//! Examples of classes that have weights in the training loss.

use candle_core::{Device, Tensor};

use super::batch::{Batch, Examples, Targets};
use super::example::{Example, Target};
use crate::Result;

/// Examples of classes with a weight for each class.
#[derive(Debug)]
pub struct Weighted {
    /// The examples; the target of each is one class.
    pub examples: Vec<Example>,
    /// The weight of each class.
    pub weights: Vec<f32>,
}

impl Examples for Weighted {
    fn len(&self) -> usize {
        self.examples.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch> {
        let batch = self.examples.batch(rows, device)?;
        let weight = |&row: &usize| match self.examples[row].target {
            Target::Class(class) => self.weights[class as usize],
            Target::Tags(_) | Target::Values(_) => 1.,
        };
        let weights = Tensor::from_vec(rows.iter().map(weight).collect(), rows.len(), device)?;
        let targets = match batch.targets {
            Targets::Classes(classes) => Targets::Weighted { classes, weights },
            targets => targets,
        };
        Ok(Batch { targets, ..batch })
    }

    fn hash(&self, add: &mut dyn FnMut(u32)) {
        self.examples.hash(add);
    }

    fn for_each_token(&self, visit: &mut dyn FnMut(u32)) {
        self.examples.for_each_token(visit);
    }

    fn size(&self, row: usize) -> Option<usize> {
        self.examples.size(row)
    }
}
