//! Losses: cross-entropy of classes, squared error of numbers. Padding does not count.

use std::ops::AddAssign;

use candle_core::{D, DType, Tensor};
use rnn_zoo_models::ops::reference;
use rnn_zoo_models::{CrossEntropySum, Network};
use serde::{Deserialize, Serialize};

use crate::data::batch::{Batch, Targets};
use crate::logits::first_highest;
use crate::{Error, Result, float_bits};

/// The mean cross-entropy over the targets of a batch, in nats, a scalar that can be differentiated, and the number of
/// targets. Of classes with weights the loss of each is multiplied by its weight, and the sum divided by the number of
/// targets. `smoothing` is the share of each target's probability that is spread over all classes. `hidden` is the
/// result of [`Network::encode_t`] for the batch.
///
/// # Errors
/// If the targets are not classes, and errors from candle.
pub fn cross_entropy(
    network: &dyn Network,
    hidden: &Tensor,
    batch: &Batch,
    smoothing: f64,
) -> Result<(Tensor, usize)> {
    let (hidden, targets) = classes(hidden, batch)?;
    let mean = match &batch.targets {
        Targets::Weighted { weights, .. } => {
            let losses = reference::losses(&network.outputs(&hidden)?, &targets, smoothing)?; // (targets)
            let weights = weights.to_dtype(losses.dtype())?;
            (losses * weights)?.mean_all()?
        }
        _ => network.output_layer().cross_entropy(&hidden, &targets, smoothing)?,
    };
    Ok((mean, targets.dim(0)?))
}

/// The mean squared error over the sequences of a batch, a scalar that can be differentiated, and the number of
/// sequences. The error of a sequence is the mean over its values.
///
/// # Errors
/// If the targets are not numbers, and errors from candle.
pub fn squared_error(network: &dyn Network, hidden: &Tensor, batch: &Batch) -> Result<(Tensor, usize)> {
    let targets = values(batch)?;
    let count = targets.dim(0)?;
    Ok(((summed_squares(&network.outputs(hidden)?, targets)? / count as f64)?, count))
}

/// The losses of a batch in an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossSum {
    /// The loss summed over all targets.
    #[serde(with = "float_bits")]
    pub loss: f64,
    /// Number of targets.
    pub count: usize,
    /// Number of targets whose output was the highest; classes only.
    pub correct: usize,
}

impl AddAssign for LossSum {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.count += other.count;
        self.correct += other.correct;
    }
}

/// The cross-entropy summed over the targets of a batch, without a gradient.
///
/// # Errors
/// As [`cross_entropy`].
pub fn cross_entropy_sum(network: &dyn Network, hidden: &Tensor, batch: &Batch) -> Result<LossSum> {
    let (hidden, targets) = classes(&hidden.detach(), batch)?;
    let CrossEntropySum { loss, correct } = network.output_layer().cross_entropy_sum(&hidden, &targets)?;
    Ok(LossSum { loss, count: targets.dim(0)?, correct })
}

/// The class of each target of a batch and the class that the network predicts, the one with the highest output:
/// sequence after sequence, each step by step, without padding. The prediction is `None` if an output is NaN or
/// infinite.
///
/// # Errors
/// If the targets are not classes, and errors from candle.
pub fn predictions(network: &dyn Network, hidden: &Tensor, batch: &Batch) -> Result<Vec<(u32, Option<u32>)>> {
    let (hidden, targets) = classes(&hidden.detach(), batch)?;
    let outputs = network.outputs(&hidden)?.to_dtype(DType::F64)?.to_vec2::<f64>()?; // (targets, classes)
    let predicted = outputs.iter().map(|outputs| {
        outputs
            .iter()
            .all(|output| output.is_finite())
            .then(|| first_highest(outputs).unwrap_or_default() as u32)
    });
    Ok(targets.to_vec1::<u32>()?.into_iter().zip(predicted).collect())
}

/// The squared error summed over the sequences of a batch, without a gradient.
///
/// # Errors
/// As [`squared_error`].
pub fn squared_error_sum(network: &dyn Network, hidden: &Tensor, batch: &Batch) -> Result<LossSum> {
    let targets = values(batch)?;
    let loss = scalar(&summed_squares(&network.outputs(&hidden.detach())?, targets)?)?;
    Ok(LossSum { loss, count: targets.dim(0)?, correct: 0 })
}

/// The loss of each target, in nats and without a gradient: sequence after sequence, each step by step, without
/// padding.
///
/// # Errors
/// If the targets are numbers, and errors from candle.
pub fn each(network: &dyn Network, hidden: &Tensor, batch: &Batch) -> Result<Vec<f64>> {
    let (hidden, targets) = classes(&hidden.detach(), batch)?;
    Ok(network.output_layer().losses(&hidden, &targets)?)
}

/// A scalar as f64, whatever its dtype.
///
/// # Errors
/// If it is not a scalar.
pub fn scalar(tensor: &Tensor) -> Result<f64> {
    Ok(tensor.to_dtype(DType::F64)?.to_scalar()?)
}

/// The targets of a batch of numbers, (batch, values).
///
/// # Errors
/// If the targets are classes.
pub fn values(batch: &Batch) -> Result<&Tensor> {
    match &batch.targets {
        Targets::Values(values) => Ok(values),
        Targets::Windows(targets) => Ok(&targets.values),
        Targets::Classes(_) | Targets::Weighted { .. } => {
            Err(Error::Message("a squared error needs numeric targets, but the targets are classes".into()))
        }
    }
}

/// Hidden states (rows, hidden) and classes (rows) of a batch, without padding.
fn classes(hidden: &Tensor, batch: &Batch) -> Result<(Tensor, Tensor)> {
    let targets = match &batch.targets {
        Targets::Values(_) | Targets::Windows(_) => {
            return Err(Error::Message(
                "a cross-entropy needs classes as targets, but the targets are numbers".into(),
            ));
        }
        Targets::Classes(classes) | Targets::Weighted { classes, .. } => classes,
    };
    if targets.rank() == 1 {
        return Ok((hidden.clone(), targets.clone()));
    }
    let hidden = hidden.flatten(0, 1)?; // (batch * time, hidden)
    let targets = targets.flatten_all()?;
    let Some(lengths) = &batch.lengths else { return Ok((hidden, targets)) };
    let time = targets.dim(0)? / lengths.len();
    let rows = lengths.iter().enumerate().flat_map(|(row, &length)| (0..length).map(move |t| row * time + t));
    let rows: Vec<u32> = rows.map(|row| row as u32).collect();
    let count = rows.len();
    let rows = Tensor::from_vec(rows, count, hidden.device())?;
    Ok((hidden.index_select(&rows, 0)?, targets.index_select(&rows, 0)?))
}

/// Summed over rows, the mean over values of (output - target)^2.
fn summed_squares(outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
    Ok((outputs - targets.to_dtype(outputs.dtype())?)?.sqr()?.mean(D::Minus1)?.sum_all()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rnn_zoo_models::{GruConfig, ModelConfig, PredictorConfig, Readout, RecurrentConfig};

    use super::*;
    use crate::parameters::build;

    fn tensor(rows: &[[f64; 3]; 2]) -> Tensor {
        Tensor::new(rows, &Device::Cpu).unwrap()
    }

    #[test]
    fn padding_does_not_count() {
        let hidden = Tensor::arange(0f32, 12., &Device::Cpu).unwrap().reshape((2, 3, 2)).unwrap();
        let batch = Batch {
            inputs: Tensor::zeros((2, 3), DType::U32, &Device::Cpu).unwrap().into(),
            targets: Targets::Classes(Tensor::new(&[[1u32, 2, 3], [4, 5, 6]], &Device::Cpu).unwrap()),
            lengths: Some(vec![3, 1]),
            fresh: true,
        };
        let (hidden, targets) = classes(&hidden, &batch).unwrap();
        assert_eq!(targets.to_vec1::<u32>().unwrap(), [1, 2, 3, 4]);
        assert_eq!(hidden.to_vec2::<f32>().unwrap()[3], [6., 7.]);
    }

    #[test]
    fn weighted_loss_is_the_sum_of_weighted_losses_over_the_number_of_targets() {
        let config = PredictorConfig::new(3, Readout::Last, RecurrentConfig::Gru(GruConfig::new(2, 2)));
        let (network, _) = build(&ModelConfig::Predictor(config), DType::F64, &Device::Cpu).unwrap();
        let hidden = Tensor::new(&[[0.3f64, -1.], [2., 0.5], [-0.7, 0.1]], &Device::Cpu).unwrap();
        let classes = Tensor::new(&[0u32, 2, 1], &Device::Cpu).unwrap();
        let inputs = Tensor::zeros((3, 1, 2), DType::F64, &Device::Cpu).unwrap();
        let batch = |weights: &[f64; 3]| Batch {
            inputs: inputs.clone().into(),
            targets: Targets::Weighted {
                classes: classes.clone(),
                weights: Tensor::new(weights, &Device::Cpu).unwrap(),
            },
            lengths: None,
            fresh: true,
        };
        let mean = |batch: &Batch, smoothing| {
            scalar(&cross_entropy(network.as_ref(), &hidden, batch, smoothing).unwrap().0).unwrap()
        };
        let weights = [0.5, 2., 0.];
        let losses = each(network.as_ref(), &hidden, &batch(&weights)).unwrap();
        let expected: f64 = losses.iter().zip(weights).map(|(loss, weight)| loss * weight).sum::<f64>() / 3.;
        assert!((mean(&batch(&weights), 0.) - expected).abs() < 1e-12);
        let plain = Batch { targets: Targets::Classes(classes.clone()), ..batch(&[1.; 3]) };
        for smoothing in [0., 0.2] {
            assert!((mean(&batch(&[1.; 3]), smoothing) - mean(&plain, smoothing)).abs() < 1e-12);
        }
    }

    #[test]
    fn squared_error_is_the_mean_over_values_and_the_sum_over_rows() {
        let loss =
            summed_squares(&tensor(&[[1., 2., 3.], [0., 0., 0.]]), &tensor(&[[0., 0., 0.], [3., 0., 0.]]));
        assert!((scalar(&loss.unwrap()).unwrap() - (14. / 3. + 3.)).abs() < 1e-12);
    }
}
