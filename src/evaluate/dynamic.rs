//! Dynamic evaluation: a language model that goes on learning from the text it is scored on.
//!
//! Krause et al. 2018, "Dynamic Evaluation of Neural Sequence Models". The text is read in segments of a few
//! tokens. Each is scored first; then its mean loss `L` moves the parameters `p` one step, and they are
//! pulled back a little towards what was trained, `p_0`:
//!
//! ```text
//! p += decay R (p_0 - p) - lr g / D          g = dL/dp
//! ```
//!
//! | rule | D | R |
//! |---|---|---|
//! | gradient descent, without [`Statistics`] | 1 | 1 |
//! | with them, the paper's | RMS + 2e-5 | RMS / mean RMS, so that decay R is at most 1 |
//!
//! RMS is each parameter's root mean square of gradients on the training data. As in the authors' program,
//! the gradients are those of 100 lanes together, and the mean RMS is that of the tensors' means.

use std::time::Instant;

use candle_core::{CpuStorage, DType, Device, InplaceOp3, Layout, Tensor, WithDType, bail};
use rnn_zoo_models::{Network, State};

use super::Scores;
use crate::data::batch::{Cut, Dataset};
use crate::gradients::Gradients;
use crate::loss::{self, Sum};
use crate::parallel::{self, PIECE};
use crate::parameters::{NamedTensors, Parameters};
use crate::{Error, Result};

/// Keeps a parameter that training never moved from moving by more than any other.
const EPSILON: f64 = 2e-5;

/// A loss beyond any text's: the parameters have run away.
const LARGEST_LOSS: f64 = 1e4;

/// Lanes of the training data whose gradients are taken together.
const LANES: usize = 100;

/// How a model learns from what it has been scored on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dynamic {
    /// Learning rate, of the mean loss of a segment.
    pub lr: f64,
    /// The share of the way back to the trained parameters that is taken after each segment; below 1.
    pub decay: f64,
    /// Tokens of a segment, at least 1: what is learned from at once, and how far gradients reach back.
    pub segment: usize,
}

impl Dynamic {
    /// What suits segments of that length. With statistics it is the authors' choice for the Penn Treebank,
    /// where a step weighs as much as its tokens; without, what did well on words and characters alike.
    pub fn suited(segment: usize, with_statistics: bool) -> Self {
        let tokens = segment as f64;
        match with_statistics {
            true => Self { lr: 1e-5 * tokens, decay: 4e-4 * tokens, segment },
            false => Self { lr: 0.1, decay: 0.002, segment },
        }
    }

    /// Scores every token of a stream once, in one lane, each with parameters that have seen the segments
    /// before its own and nothing else. `network` is made of `parameters`, which in the end are what they
    /// were. The accuracy is left out.
    ///
    /// # Errors
    /// Data that is no stream of tokens or cannot be read back, settings outside their range, a loss that
    /// diverges, and errors of the device.
    pub fn evaluate(
        &self,
        network: &dyn Network,
        parameters: &Parameters,
        statistics: Option<&Statistics>,
        data: &Dataset,
        device: &Device,
    ) -> Result<Scores> {
        self.check(data)?;
        if let Some(statistics) = statistics {
            let check = parameters.check(&statistics.rms);
            check.map_err(|problem| Error::Message(format!("another model's statistics: {problem}")))?;
        }
        let trained = parameters.to_tensors()?;
        let mover = Mover::new(self, statistics, &trained)?;
        let began = Instant::now();
        let mut total = Sum::default();
        let read = self.read(network, parameters, &mover, data, device, &mut |losses| {
            total.loss += losses.iter().sum::<f64>();
            total.count += losses.len();
        });
        parameters.set_all(&trained)?;
        read?;
        Ok(Scores { accuracy: None, ..Scores::of_classes(&total, began) })
    }

    /// Hands `found` the loss of every token, segment by segment.
    fn read(
        &self,
        network: &dyn Network,
        parameters: &Parameters,
        mover: &Mover,
        data: &Dataset,
        device: &Device,
        found: &mut dyn FnMut(&[f64]),
    ) -> Result<()> {
        let epoch =
            data.epoch(Cut { batch_size: 1, window: self.segment, trim: false, vary: false }, None)?;
        let mut carried: Option<State> = None;
        for index in 0..epoch.len() {
            let batch = epoch.batch(index, device)?;
            let (hidden, state) = network.encode(&batch.inputs, carried.as_ref(), None)?;
            // Scored before it is learned from.
            let losses = loss::each(network, &hidden, &batch)?;
            if let Some(loss) =
                losses.iter().find(|loss| index > 0 && (loss.is_nan() || **loss > LARGEST_LOSS))
            {
                let problem = format!(
                    "dynamic evaluation diverged after {} tokens: a loss is {loss} at --dynamic-lr {}; try a \
                     smaller one",
                    index * self.segment,
                    self.lr
                );
                return Err(Error::Message(problem));
            }
            found(&losses);
            carried = Some(state.detach());
            if index + 1 < epoch.len() {
                let (loss, _) = loss::mean(network, &hidden, &batch, 0.)?;
                mover.step(parameters, &Gradients::of(&loss, parameters)?)?;
            }
        }
        Ok(())
    }

    fn check(&self, data: &Dataset) -> Result<()> {
        let Self { lr, decay, segment } = *self;
        if matches!(data, Dataset::Examples(_)) {
            let problem = "only a language model reads running text, which it can learn from as it goes";
            return Err(Error::usage("--dynamic", problem));
        }
        if !(lr >= 0. && lr.is_finite()) {
            return Err(Error::usage("--dynamic-lr", format!("is {lr}; expected a number of at least 0")));
        }
        if !(0. ..1.).contains(&decay) {
            let problem = format!("is {decay}; expected a share of at least 0 and below 1");
            return Err(Error::usage("--dynamic-decay", problem));
        }
        if segment == 0 {
            return Err(Error::usage("--dynamic-segment", "is 0; expected at least one token"));
        }
        Ok(())
    }
}

/// How large gradients were in training.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// Of each parameter, the root mean square of its gradient, in its own shape.
    rms: NamedTensors,
}

impl Statistics {
    /// Reads a stream of training data once, in segments of as many tokens as evaluation will learn from.
    /// Takes about as long as an epoch of training.
    ///
    /// # Errors
    /// Where the data cannot be read back, and those of the device.
    pub fn collect(
        network: &dyn Network,
        parameters: &Parameters,
        data: &Dataset,
        segment: usize,
        device: &Device,
    ) -> Result<Self> {
        let batch_size = LANES.min(data.len() / segment.max(1)).max(1);
        let epoch = data.epoch(Cut { batch_size, window: segment.max(1), trim: false, vary: false }, None)?;
        let mut squares = NamedTensors::new();
        for (name, var) in parameters.iter() {
            squares.insert(name.to_string(), var.as_detached_tensor().zeros_like()?);
        }
        let mut carried: Option<State> = None;
        for index in 0..epoch.len() {
            let batch = epoch.batch(index, device)?;
            let state = carried.take();
            let (hidden, state) = network.encode(&batch.inputs, state.as_ref(), batch.lengths.as_deref())?;
            carried = Some(state.detach());
            let (loss, _) = loss::mean(network, &hidden, &batch, 0.)?;
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

    /// The mean over tensors of the means of their numbers.
    fn mean(&self) -> Result<f64> {
        let means = self.rms.values().map(|rms| loss::scalar(&rms.mean_all()?));
        let sum: f64 = means.collect::<Result<Vec<_>>>()?.iter().sum();
        Ok(sum / self.rms.len().max(1) as f64)
    }
}

/// The rule, with all that stays the same from step to step.
struct Mover {
    /// Of each parameter, its trained value; behind it, unless [`Mover::rates`] says all, its learning rates
    /// and its decays: (1 or 3, the parameter's shape).
    fixed: NamedTensors,
    /// Learning rate and decay, where they are the same for every number.
    rates: Option<[f64; 2]>,
}

impl Mover {
    fn new(dynamic: &Dynamic, statistics: Option<&Statistics>, trained: &NamedTensors) -> Result<Self> {
        let Dynamic { lr, decay, .. } = *dynamic;
        let Some(statistics) = statistics else {
            let fixed = trained.iter().map(|(name, home)| Ok((name.clone(), home.unsqueeze(0)?)));
            return Ok(Self { fixed: fixed.collect::<Result<_>>()?, rates: Some([lr, decay]) });
        };
        let mean = statistics.mean()?.max(f64::MIN_POSITIVE);
        let fixed = trained.iter().zip(statistics.rms.values()).map(|((name, home), rms)| {
            let lrs = ((rms + EPSILON)?.recip()? * lr)?;
            let decays = (rms * (decay / mean))?.minimum(1.)?;
            Ok((name.clone(), Tensor::stack(&[home, &lrs, &decays], 0)?))
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

    /// A parameter's next value in plain tensor ops: any device, any dtype.
    fn moved(&self, present: &Tensor, gradient: &Tensor, fixed: &Tensor) -> candle_core::Result<Tensor> {
        let back = (fixed.get(0)? - present)?;
        match self.rates {
            Some([lr, decay]) => (present + (back * decay)?)? - (gradient * lr)?,
            None => (present + (back * fixed.get(2)?)?)? - (gradient * fixed.get(1)?)?,
        }
    }

    /// The same where the numbers lie, in one pass over memory.
    fn move_all<T: WithDType>(&self, present: &mut [T], gradient: &[T], fixed: &[T]) {
        let (home, own) = fixed.split_at(present.len());
        let pieces = present.chunks_mut(PIECE).zip(gradient.chunks(PIECE)).zip(home.chunks(PIECE));
        let Some([lr, decay]) = self.rates else {
            let (lrs, decays) = own.split_at(home.len());
            let rates = lrs.chunks(PIECE).zip(decays.chunks(PIECE));
            parallel::map(pieces.zip(rates).collect(), |(((present, gradient), home), (lrs, decays))| {
                let rates = lrs.iter().zip(decays);
                for (((p, &g), &home), (&lr, &decay)) in present.iter_mut().zip(gradient).zip(home).zip(rates)
                {
                    *p = *p + decay * (home - *p) - lr * g;
                }
            });
            return;
        };
        let (lr, decay) = (T::from_f64(lr), T::from_f64(decay));
        parallel::map(pieces.collect(), |((present, gradient), home)| {
            for ((p, &g), &home) in present.iter_mut().zip(gradient).zip(home) {
                *p = *p + decay * (home - *p) - lr * g;
            }
        });
    }
}

impl InplaceOp3 for Mover {
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
mod tests {
    use candle_core::Var;
    use rand::RngExt;

    use super::super::evaluate;
    use super::super::fixture::{START, VOCABULARY, assert_close, language_model, step, text, tokens};
    use super::*;
    use crate::data::batch::{Example, Input, Target};
    use crate::rng::{Purpose, stream};

    /// Parameters as numbers, in name order.
    type Numbers = Vec<Vec<f64>>;

    fn numbers(tensor: &Tensor) -> Vec<f64> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn get(parameters: &Parameters) -> Numbers {
        parameters.iter().map(|(_, var)| numbers(var)).collect()
    }

    fn set(parameters: &Parameters, all: &Numbers) {
        for ((_, var), values) in parameters.iter().zip(all) {
            var.set(&Tensor::from_slice(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
        }
    }

    /// Root mean squares of every size, zero too.
    fn statistics(parameters: &Parameters) -> Statistics {
        let mut rng = stream(9, Purpose::Parameters, 0);
        let mut rms = parameters.to_tensors().unwrap();
        for tensor in rms.values_mut() {
            let draw = |at: usize| if at == 0 { 0. } else { rng.random::<f64>().powi(4) };
            let values: Vec<f64> = (0..tensor.elem_count()).map(draw).collect();
            *tensor = Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap();
        }
        Statistics { rms }
    }

    /// Losses of `ids`, one token at a time, and the state after them.
    fn segment(
        network: &dyn Network,
        mut before: u32,
        ids: &[u32],
        mut state: Option<State>,
    ) -> (Vec<f64>, Option<State>) {
        let mut losses = vec![];
        for &id in ids {
            let (_, shares, next) = step(network, before, state.as_ref());
            losses.push(-shares[id as usize].ln());
            (before, state) = (id, Some(next));
        }
        (losses, state)
    }

    /// The loss of every token, with gradients by central differences and the rule written out.
    fn by_hand(
        dynamic: Dynamic,
        network: &dyn Network,
        parameters: &Parameters,
        statistics: Option<&Statistics>,
        ids: &[u32],
    ) -> Vec<f64> {
        const H: f64 = 1e-5;
        let trained = get(parameters);
        let rms: Option<Numbers> = statistics.map(|found| found.rms.values().map(numbers).collect());
        let mean = |rms: &Numbers| {
            let means = rms.iter().map(|rms| rms.iter().sum::<f64>() / rms.len() as f64);
            means.sum::<f64>() / rms.len() as f64
        };
        let (mut before, mut state) = (START, None);
        let mut losses = vec![];
        for ids in ids.chunks(dynamic.segment) {
            let (found, after) = segment(network, before, ids, state.clone());
            losses.extend(found);
            let present = get(parameters);
            let mut moved = present.clone();
            for tensor in 0..present.len() {
                for at in 0..present[tensor].len() {
                    let loss = |change: f64| {
                        let mut other = present.clone();
                        other[tensor][at] += change;
                        set(parameters, &other);
                        let (losses, _) = segment(network, before, ids, state.clone());
                        losses.iter().sum::<f64>() / ids.len() as f64
                    };
                    let gradient = (loss(H) - loss(-H)) / (2. * H);
                    let (divisor, weight) = match &rms {
                        None => (1., 1.),
                        Some(rms) => (rms[tensor][at] + 2e-5, rms[tensor][at] / mean(rms)),
                    };
                    let pull = (dynamic.decay * weight).min(1.);
                    moved[tensor][at] +=
                        pull * (trained[tensor][at] - present[tensor][at]) - dynamic.lr * gradient / divisor;
                }
            }
            set(parameters, &moved);
            (before, state) = (ids[ids.len() - 1], after);
        }
        set(parameters, &trained);
        losses
    }

    fn losses(
        dynamic: Dynamic,
        (network, parameters): (&dyn Network, &Parameters),
        statistics: Option<&Statistics>,
        ids: &[u32],
    ) -> Vec<f64> {
        let trained = parameters.to_tensors().unwrap();
        let mover = Mover::new(&dynamic, statistics, &trained).unwrap();
        let mut losses = vec![];
        let mut found = |some: &[f64]| losses.extend_from_slice(some);
        dynamic.read(network, parameters, &mover, &text(ids), &Device::Cpu, &mut found).unwrap();
        parameters.set_all(&trained).unwrap();
        losses
    }

    #[test]
    fn every_step_is_the_rule_with_gradients_by_differences() {
        let (network, parameters) = language_model();
        let ids = tokens(&mut stream(1, Purpose::Train, 0), 11);
        let own = statistics(&parameters);
        // With statistics, rates that pull some numbers all the way back.
        for (dynamic, statistics) in [
            (Dynamic { lr: 0.3, decay: 0.2, segment: 3 }, None),
            (Dynamic { lr: 0.002, decay: 0.5, segment: 4 }, Some(&own)),
        ] {
            let expected = by_hand(dynamic, network.as_ref(), &parameters, statistics, &ids);
            let found = losses(dynamic, (network.as_ref(), &parameters), statistics, &ids);
            assert_eq!(found.len(), ids.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-6, "{dynamic:?}: {found} is not {expected}");
            }
            let (plain, _) = segment(network.as_ref(), START, &ids, None);
            assert!((found[10] - plain[10]).abs() > 1e-3, "{dynamic:?} has learned nothing");
            let data = text(&ids);
            let scores =
                dynamic.evaluate(network.as_ref(), &parameters, statistics, &data, &Device::Cpu).unwrap();
            assert_close(scores.loss, found.iter().sum::<f64>() / found.len() as f64);
            assert_eq!((scores.tokens, scores.accuracy), (ids.len(), None));
        }
    }

    #[test]
    fn a_model_that_does_not_learn_has_the_plain_loss() {
        let (network, parameters) = language_model();
        let data = text(&tokens(&mut stream(2, Purpose::Train, 0), 600));
        let plain = evaluate(network.as_ref(), &data, 1, &Device::Cpu).unwrap();
        for (segment, decay) in [(1, 0.), (5, 0.3), (256, 0.), (1000, 0.)] {
            let dynamic = Dynamic { lr: 0., decay, segment };
            let scores = dynamic.evaluate(network.as_ref(), &parameters, None, &data, &Device::Cpu).unwrap();
            assert_close(scores.loss, plain.loss);
        }
    }

    #[test]
    fn no_token_knows_what_comes_after_it() {
        let (network, parameters) = language_model();
        let model = (network.as_ref(), &parameters);
        let ids = tokens(&mut stream(3, Purpose::Train, 0), 23);
        let dynamic = Dynamic { lr: 0.2, decay: 0.1, segment: 4 };
        let before = losses(dynamic, model, None, &ids);
        for place in [0, 3, 4, 13, 21] {
            let mut other = ids.clone();
            other[place] = (other[place] + 1) % VOCABULARY as u32;
            let after = losses(dynamic, model, None, &other);
            assert_eq!(after[..place], before[..place], "token {place}");
            assert_ne!(after[place], before[place]);
            assert_ne!(after[place + 1..], before[place + 1..]);
        }
    }

    #[test]
    fn the_parameters_are_what_they_were_however_it_ends() {
        let (network, parameters) = language_model();
        let trained = get(&parameters);
        let data = text(&tokens(&mut stream(4, Purpose::Train, 0), 30));
        let run = |lr| {
            let dynamic = Dynamic { lr, decay: 0., segment: 5 };
            dynamic.evaluate(network.as_ref(), &parameters, None, &data, &Device::Cpu)
        };
        run(0.5).unwrap();
        assert_eq!(get(&parameters), trained);
        let problem = run(1e300).unwrap_err().to_string();
        assert!(problem.contains("diverged after 5 tokens") && problem.contains("--dynamic-lr"), "{problem}");
        assert_eq!(get(&parameters), trained);
    }

    #[test]
    fn a_step_where_the_numbers_lie_is_the_step_in_tensor_ops() {
        let (_, parameters) = language_model();
        let mut rng = stream(6, Purpose::Parameters, 0);
        // Several pieces, the last of them short.
        let mut tensor = |dtype| {
            let values: Vec<f64> = (0..2 * PIECE + 75).map(|_| rng.random::<f64>() - 0.5).collect();
            Tensor::from_vec(values, (7, (2 * PIECE + 75) / 7), &Device::Cpu)
                .unwrap()
                .to_dtype(dtype)
                .unwrap()
        };
        for dtype in [DType::F32, DType::F64] {
            let [present, gradient, home, rms] = std::array::from_fn(|_| tensor(dtype));
            let own = Statistics { rms: NamedTensors::from([("w".to_string(), rms.abs().unwrap())]) };
            let trained = NamedTensors::from([("w".to_string(), home)]);
            for own in [None, Some(&own)] {
                let dynamic = Dynamic { lr: 0.03, decay: 0.2, segment: 1 };
                let mover = Mover::new(&dynamic, own, &trained).unwrap();
                let expected = mover.moved(&present, &gradient, &mover.fixed["w"]).unwrap();
                let parameters = Parameters::from_iter([(
                    "w".to_string(),
                    Var::from_tensor(&present.copy().unwrap()).unwrap(),
                )]);
                let gradients = NamedTensors::from([("w".to_string(), gradient.clone())]).into();
                mover.step(&parameters, &gradients).unwrap();
                let wide = |tensor: &Tensor| numbers(&tensor.to_dtype(DType::F64).unwrap());
                let found = wide(parameters.get("w").unwrap());
                let start = wide(&present);
                assert!(found.iter().zip(&start).all(|(found, start)| found != start), "some have not moved");
                for (found, expected) in found.iter().zip(wide(&expected)) {
                    let close = (found - expected).abs() < 1e-5 * expected.abs().max(1.);
                    assert!(close, "{dtype:?}: {found} is not {expected}");
                }
            }
        }
        // Without a gradient a parameter is pulled back all the same.
        let mover =
            Mover::new(&Dynamic { lr: 1., decay: 0.5, segment: 1 }, None, &parameters.to_tensors().unwrap())
                .unwrap();
        let before = get(&parameters);
        set(&parameters, &before.iter().map(|values| values.iter().map(|x| x + 2.).collect()).collect());
        mover.step(&parameters, &Gradients::default()).unwrap();
        for (found, before) in get(&parameters).iter().flatten().zip(before.iter().flatten()) {
            assert_close(*found, before + 1.);
        }
    }

    #[test]
    fn statistics_are_root_mean_squares_of_the_gradients_of_all_lanes() {
        const H: f64 = 1e-5;
        let (network, parameters) = language_model();
        // 100 lanes of four tokens, in two segments.
        let ids = tokens(&mut stream(5, Purpose::Train, 0), 4 * LANES);
        let found = Statistics::collect(network.as_ref(), &parameters, &text(&ids), 2, &Device::Cpu).unwrap();
        let trained = get(&parameters);
        let lane_losses = |part: usize, states: &[Option<State>]| {
            let (mut sum, mut after) = (0., vec![]);
            for (lane, state) in states.iter().enumerate() {
                let from = 4 * lane + 2 * part;
                let before = if from == 0 { START } else { ids[from - 1] };
                let (losses, state) = segment(network.as_ref(), before, &ids[from..from + 2], state.clone());
                sum += losses.iter().sum::<f64>();
                after.push(state);
            }
            (sum / (2 * LANES) as f64, after)
        };
        let fresh = vec![None; LANES];
        let later = lane_losses(0, &fresh).1;
        for (tensor, (name, rms)) in found.rms.iter().enumerate() {
            let at = trained[tensor].len() / 2;
            let mut squares = 0.;
            for (part, states) in [&fresh, &later].into_iter().enumerate() {
                let loss = |change: f64| {
                    let mut other = trained.clone();
                    other[tensor][at] += change;
                    set(&parameters, &other);
                    lane_losses(part, states).0
                };
                squares += ((loss(H) - loss(-H)) / (2. * H)).powi(2);
            }
            let (found, expected) = (numbers(rms)[at], (squares / 2.).sqrt());
            assert!((found - expected).abs() < 1e-7, "{name}: {found} is not {expected}");
        }
    }

    #[test]
    fn settings_and_data_that_make_no_sense_name_their_flag() {
        let (network, parameters) = language_model();
        let refused = |dynamic: Dynamic, statistics: Option<&Statistics>, data: &Dataset| {
            let scores = dynamic.evaluate(network.as_ref(), &parameters, statistics, data, &Device::Cpu);
            scores.unwrap_err().to_string()
        };
        let good = Dynamic::suited(5, false);
        for (dynamic, flag) in [
            (Dynamic { lr: -1., ..good }, "--dynamic-lr:"),
            (Dynamic { lr: f64::NAN, ..good }, "--dynamic-lr:"),
            (Dynamic { decay: 1., ..good }, "--dynamic-decay:"),
            (Dynamic { decay: -0.1, ..good }, "--dynamic-decay:"),
            (Dynamic { segment: 0, ..good }, "--dynamic-segment:"),
        ] {
            assert!(refused(dynamic, None, &text(&[1, 2])).starts_with(flag), "{dynamic:?}");
        }
        let mut other = statistics(&parameters);
        other.rms.remove("decoder.bias");
        assert!(refused(good, Some(&other), &text(&[1, 2])).contains("another model's statistics"));
        let example = Example { input: Input::Tokens(vec![1]), target: Target::Class(0) };
        assert!(refused(good, None, &Dataset::Examples(vec![example])).contains("only a language model"));
    }
}
