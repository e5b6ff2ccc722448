//! Dynamic evaluation: a language model that continues training on the text it is scored on.
//!
//! Krause et al. 2018, "Dynamic Evaluation of Neural Sequence Models". The text is read in segments of a few
//! tokens. Each segment is scored first. Then the parameters `p` take one gradient step on its mean loss `L`, and
//! decay towards their trained values `p_0`:
//!
//! ```text
//! p += decay R (p_0 - p) - lr g / D          g = dL/dp
//! ```
//!
//! | rule | D | R |
//! |---|---|---|
//! | gradient descent, without [`Statistics`] | 1 | 1 |
//! | the paper's, with [`Statistics`] | RMS + 2e-5 | RMS / mean RMS, so that decay R is at most 1 |
//!
//! RMS is the root mean square of each parameter's gradient on the training data. As in the authors' program, one
//! gradient is that of 100 rows together, and the mean RMS is the mean over tensors of their mean RMS.

use std::time::Instant;

use candle_core::{CpuStorage, DType, Device, InplaceOp3, Layout, Tensor, WithDType, bail};
use rnn_zoo_models::Network;

use super::scores::EvaluationResult;
use crate::data::cut::Cut;
use crate::data::dataset::Dataset;
use crate::inference::carry::Carried;
use crate::parallel::{self, PIECE};
use crate::parameters::{NamedTensors, Parameters};
use crate::tasks::Measured;
use crate::training::gradients::Gradients;
use crate::training::loss::{self, LossSum};
use crate::{Error, Result};

/// Bounds the step of a parameter whose gradients were zero in training.
const EPSILON: f64 = 2e-5;

/// A larger loss means that the parameters have diverged.
const LARGEST_LOSS: f64 = 1e4;

/// The number of rows of training data in one gradient.
const ROWS_PER_GRADIENT: usize = 100;

/// Settings of dynamic evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dynamic {
    /// The learning rate, for the mean loss of a segment.
    pub lr: f64,
    /// The decay towards the trained parameters after each segment, at least 0 and below 1.
    pub decay: f64,
    /// The number of tokens in a segment, at least 1; gradients reach back to its beginning.
    pub segment: usize,
}

impl Dynamic {
    /// Defaults for segments of that length. With statistics they are the authors' for the Penn Treebank, times
    /// the number of tokens; without, values that work for words and characters.
    pub fn suited(segment: usize, with_statistics: bool) -> Self {
        let tokens = segment as f64;
        match with_statistics {
            true => Self { lr: 1e-5 * tokens, decay: 4e-4 * tokens, segment },
            false => Self { lr: 0.1, decay: 0.002, segment },
        }
    }

    /// Score every token of a stream once, in one row, each with parameters trained on the segments before its
    /// own. `network` is built from `parameters`, which are restored at the end. The accuracy is not computed.
    ///
    /// # Errors
    /// If the data is not a stream of tokens or cannot be read, a setting is out of range, or the loss diverges,
    /// and errors from candle.
    pub fn evaluate(
        &self,
        network: &dyn Network,
        parameters: &Parameters,
        statistics: Option<&Statistics>,
        data: &Dataset,
        device: &Device,
    ) -> Result<EvaluationResult> {
        self.check(data)?;
        if let Some(statistics) = statistics {
            let check = parameters.check(&statistics.rms);
            check.map_err(|problem| Error::Message(format!("another model's statistics: {problem}")))?;
        }
        let trained = parameters.to_tensors()?;
        let update = Update::new(self, statistics, &trained)?;
        let began = Instant::now();
        let mut total = LossSum::default();
        let read = self.read(network, parameters, &update, data, device, &mut |losses| {
            total.loss += losses.iter().sum::<f64>();
            total.count += losses.len();
        });
        parameters.set_all(&trained)?;
        read?;
        EvaluationResult::new(Measured::of_nats(&total), began).finite()
    }

    /// Pass the loss of every token to `found`, segment by segment.
    fn read(
        &self,
        network: &dyn Network,
        parameters: &Parameters,
        update: &Update,
        data: &Dataset,
        device: &Device,
        found: &mut dyn FnMut(&[f64]),
    ) -> Result<()> {
        let epoch =
            data.epoch(Cut { batch_size: 1, window: self.segment, trim: false, vary: false }, None)?;
        let mut carried = Carried::default();
        for index in 0..epoch.len() {
            let batch = epoch.batch(index, device)?;
            let hidden = carried.encode(network, &batch)?;
            // Scored before the gradient step.
            let losses = loss::each(network, &hidden, &batch)?;
            if let Some(loss) =
                losses.iter().find(|loss| index > 0 && (loss.is_nan() || **loss > LARGEST_LOSS))
            {
                let problem = format!(
                    "dynamic evaluation diverged after {} tokens: a loss is {loss} at option `dynamic.lr = {}`; try a \
                     smaller one",
                    index * self.segment,
                    self.lr
                );
                return Err(Error::Message(problem));
            }
            found(&losses);
            if index + 1 < epoch.len() {
                let (loss, _) = loss::cross_entropy(network, &hidden, &batch, 0.)?;
                update.step(parameters, &Gradients::of(&loss, parameters)?)?;
            }
        }
        Ok(())
    }

    fn check(&self, data: &Dataset) -> Result<()> {
        let Self { lr, decay, segment } = *self;
        if matches!(data, Dataset::Examples(_)) {
            let problem = "only a language model reads running text, which dynamic evaluation needs";
            return Err(Error::invalid("dynamic", problem));
        }
        if !(lr >= 0. && lr.is_finite()) {
            return Err(Error::invalid("dynamic.lr", format!("is {lr}; expected a number of at least 0")));
        }
        if !(0. ..1.).contains(&decay) {
            let problem = format!("is {decay}; expected a share of at least 0 and below 1");
            return Err(Error::invalid("dynamic.decay", problem));
        }
        if segment == 0 {
            return Err(Error::invalid("dynamic.segment", "is 0; expected at least one token"));
        }
        Ok(())
    }
}

/// Magnitudes of the gradients on the training data.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// The root mean square of the gradient by parameter name, in the parameter's shape.
    rms: NamedTensors,
}

impl Statistics {
    /// Compute the statistics on a stream of training data, in segments of as many tokens as in evaluation.
    /// Takes about as long as an epoch of training.
    ///
    /// # Errors
    /// If the data cannot be read, and errors from candle.
    pub fn collect(
        network: &dyn Network,
        parameters: &Parameters,
        data: &Dataset,
        segment: usize,
        device: &Device,
    ) -> Result<Self> {
        let batch_size = ROWS_PER_GRADIENT.min(data.len() / segment.max(1)).max(1);
        let epoch = data.epoch(Cut { batch_size, window: segment.max(1), trim: false, vary: false }, None)?;
        let mut squares = NamedTensors::new();
        for (name, var) in parameters.iter() {
            squares.insert(name.to_string(), var.as_detached_tensor().zeros_like()?);
        }
        let mut carried = Carried::default();
        for index in 0..epoch.len() {
            let batch = epoch.batch(index, device)?;
            let hidden = carried.encode(network, &batch)?;
            let (loss, _) = loss::cross_entropy(network, &hidden, &batch, 0.)?;
            for (name, gradient) in Gradients::of(&loss, parameters)?.iter() {
                if let Some(sum) = squares.get_mut(name) {
                    *sum = (&*sum + gradient.sqr()?)?;
                }
            }
        }
        let count = epoch.len().max(1) as f64;
        let rms = |(name, sum): (String, Tensor)| Ok((name, (sum / count)?.sqrt()?));
        Ok(Self { rms: squares.into_iter().map(rms).collect::<Result<_>>()? })
    }

    /// The mean over tensors of their means.
    fn mean(&self) -> Result<f64> {
        let means = self.rms.values().map(|rms| loss::scalar(&rms.mean_all()?));
        let sum: f64 = means.collect::<Result<Vec<_>>>()?.iter().sum();
        Ok(sum / self.rms.len().max(1) as f64)
    }
}

/// The update rule, with its constants.
struct Update {
    /// By parameter name: the trained values, followed by the learning rates and the decays unless
    /// [`Update::rates`] has them; (1 or 3, shape of the parameter).
    fixed: NamedTensors,
    /// Learning rate and decay, if they are the same for every element.
    rates: Option<[f64; 2]>,
}

impl Update {
    fn new(dynamic: &Dynamic, statistics: Option<&Statistics>, trained: &NamedTensors) -> Result<Self> {
        let Dynamic { lr, decay, .. } = *dynamic;
        let Some(statistics) = statistics else {
            let fixed = trained.iter().map(|(name, tensor)| Ok((name.clone(), tensor.unsqueeze(0)?)));
            return Ok(Self { fixed: fixed.collect::<Result<_>>()?, rates: Some([lr, decay]) });
        };
        let mean = statistics.mean()?.max(f64::MIN_POSITIVE);
        let fixed = trained.iter().zip(statistics.rms.values()).map(|((name, tensor), rms)| {
            let lrs = ((rms + EPSILON)?.recip()? * lr)?;
            let decays = (rms * (decay / mean))?.minimum(1.)?;
            Ok((name.clone(), Tensor::stack(&[tensor, &lrs, &decays], 0)?))
        });
        Ok(Self { fixed: fixed.collect::<Result<_>>()?, rates: None })
    }

    fn step(&self, parameters: &Parameters, gradients: &Gradients) -> Result<()> {
        for (name, var) in parameters.iter() {
            let present = var.as_detached_tensor();
            let gradient = match gradients.get(name) {
                Some(gradient) => gradient.contiguous()?,
                None => present.zeros_like()?,
            };
            let fixed = &self.fixed[name];
            let numbers = matches!(present.dtype(), DType::F32 | DType::F64) && present.is_contiguous();
            match present.device().is_cpu() && numbers {
                true => present.inplace_op3(&gradient, fixed, self)?,
                false => var.set(&self.moved(&present, &gradient, fixed)?)?,
            }
        }
        Ok(())
    }

    /// The next value of a parameter in plain tensor ops, for any device and dtype.
    fn moved(&self, present: &Tensor, gradient: &Tensor, fixed: &Tensor) -> candle_core::Result<Tensor> {
        let back = (fixed.get(0)? - present)?;
        match self.rates {
            Some([lr, decay]) => (present + (back * decay)?)? - (gradient * lr)?,
            None => (present + (back * fixed.get(2)?)?)? - (gradient * fixed.get(1)?)?,
        }
    }

    /// Updates a parameter in place, in one pass over memory.
    fn move_all<T: WithDType>(&self, present: &mut [T], gradient: &[T], fixed: &[T]) {
        let (trained, own) = fixed.split_at(present.len());
        let pieces = present.chunks_mut(PIECE).zip(gradient.chunks(PIECE)).zip(trained.chunks(PIECE));
        let Some([lr, decay]) = self.rates else {
            let (lrs, decays) = own.split_at(trained.len());
            let rates = lrs.chunks(PIECE).zip(decays.chunks(PIECE));
            parallel::map(pieces.zip(rates).collect(), |(((present, gradient), trained), (lrs, decays))| {
                let rates = lrs.iter().zip(decays);
                for (((p, &g), &trained), (&lr, &decay)) in
                    present.iter_mut().zip(gradient).zip(trained).zip(rates)
                {
                    *p = *p + decay * (trained - *p) - lr * g;
                }
            });
            return;
        };
        let (lr, decay) = (T::from_f64(lr), T::from_f64(decay));
        parallel::map(pieces.collect(), |((present, gradient), trained)| {
            for ((p, &g), &trained) in present.iter_mut().zip(gradient).zip(trained) {
                *p = *p + decay * (trained - *p) - lr * g;
            }
        });
    }
}

impl InplaceOp3 for Update {
    fn name(&self) -> &'static str {
        "dynamic-evaluation-step"
    }

    fn cpu_fwd(
        &self,
        present: &mut CpuStorage,
        present_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
        fixed: &CpuStorage,
        fixed_layout: &Layout,
    ) -> candle_core::Result<()> {
        let layouts = [present_layout, gradient_layout, fixed_layout].map(Layout::contiguous_offsets);
        let [Some((from, to)), Some((g_from, g_to)), Some((f_from, f_to))] = layouts else {
            bail!("a step of dynamic evaluation needs contiguous tensors")
        };
        match (present, gradient, fixed) {
            (CpuStorage::F32(present), CpuStorage::F32(gradient), CpuStorage::F32(fixed)) => {
                self.move_all(&mut present[from..to], &gradient[g_from..g_to], &fixed[f_from..f_to]);
            }
            (CpuStorage::F64(present), CpuStorage::F64(gradient), CpuStorage::F64(fixed)) => {
                self.move_all(&mut present[from..to], &gradient[g_from..g_to], &fixed[f_from..f_to]);
            }
            _ => bail!("a step of dynamic evaluation needs f32 or f64 tensors of one dtype"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
