//! `rnn bench`: the speed of layers, single steps, training steps and sums over processes.

mod measure;
mod reduce;

use candle_core::{DType, Device, Tensor};
use clap::Subcommand;
use measure::{median, print};
use rnn_zoo::data::batch::{Batch, Targets};
use rnn_zoo::memory::{self, Estimate};
use rnn_zoo::models::{
    ModelConfig, Precision, Recurrent, RecurrentConfig, RnnlmConfig, StackOptions, backward,
};
use rnn_zoo::parameters::{self, Parameters};
use rnn_zoo::rng::{self, Purpose};
use rnn_zoo::tasks::Lm;
use rnn_zoo::training::optim::OptimizerConfig;
use rnn_zoo::training::schedule::Schedule;
use rnn_zoo::training::{Objective, Options, Trainer};
use rnn_zoo::{Error, Result};
use serde_json::{Value, json};

use super::architecture::{DTYPE, HAS_STACK, StackEntry};
use super::compute::Compute;
use super::flags::{self, usage};
use super::number;
use super::outcome::Outcome;
use super::precision::PrecisionArg;

/// Time layers, single steps, training steps and sums over processes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rnn bench layer --model lstm --batch 20 --time 35 --input 650 --hidden 650
  rnn bench step --model gru --input 256 --hidden 256 --json
  rnn bench lm --model lstm --vocab 10000 --hidden 200 --layers 2 --json
  mpirun -n 2 rnn bench reduce --numbers 10000000 --json")]
pub struct Args {
    /// Quantity to time
    #[command(subcommand)]
    quantity: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Layers over whole sequences: forward, and forward with backward
    Layer(LayerArgs),
    /// One time step of a batch of 1, as in text generation
    Step(StepArgs),
    /// A training step of a language model: forward, backward and the optimizer
    Lm(LmArgs),
    /// The sum of gradients over the processes that mpirun started
    Reduce(reduce::Args),
}

#[derive(Debug, clap::Args)]
struct LayerArgs {
    #[command(flatten)]
    cells: CellArgs,
    #[command(flatten)]
    batch: BatchArgs,
    /// Features of a time step [default: as --hidden]
    #[arg(long, value_name = "N", value_parser = number::size)]
    input: Option<usize>,
    #[command(flatten)]
    timing: TimingArgs,
}

#[derive(Debug, clap::Args)]
struct StepArgs {
    #[command(flatten)]
    cells: CellArgs,
    /// Features of the time step [default: as --hidden]
    #[arg(long, value_name = "N", value_parser = number::size)]
    input: Option<usize>,
    #[command(flatten)]
    timing: TimingArgs,
}

#[derive(Debug, clap::Args)]
struct LmArgs {
    #[command(flatten)]
    cells: CellArgs,
    #[command(flatten)]
    batch: BatchArgs,
    /// Tokens in the vocabulary
    #[arg(long, value_name = "N", value_parser = number::count, default_value_t = 10_000)]
    vocab: usize,
    /// Width of the embedding [default: as --hidden]
    #[arg(long, value_name = "N", value_parser = number::size)]
    embedding: Option<usize>,
    /// sgd, adam, adamw or rmsprop
    #[arg(long, value_name = "NAME", default_value = "adam")]
    optimizer: OptimizerConfig,
    #[command(flatten)]
    timing: TimingArgs,
}

/// The cells of the stack.
#[derive(Debug, clap::Args)]
struct CellArgs {
    /// simple-rnn, lstm or gru
    #[arg(long, value_name = "NAME", value_parser = flags::cell())]
    model: StackEntry,
    /// Hidden units of a layer
    #[arg(long, value_name = "N", value_parser = number::size, default_value_t = 200)]
    hidden: usize,
    /// Layers
    #[arg(long, value_name = "N", value_parser = number::layers, default_value_t = 1)]
    layers: usize,
}

/// The size of a batch.
#[derive(Debug, clap::Args)]
struct BatchArgs {
    /// Sequences in a batch
    #[arg(long = "batch", value_name = "N", value_parser = number::count, default_value_t = 20)]
    rows: usize,
    /// Time steps of a sequence
    #[arg(long, value_name = "N", value_parser = number::count, default_value_t = 35)]
    time: usize,
}

/// How often, on which device, and how the result is printed.
#[derive(Debug, clap::Args)]
struct TimingArgs {
    /// Repetitions; the median of their times is printed
    #[arg(long, value_name = "N", value_parser = number::repetitions, default_value_t = 20)]
    repeat: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    precision: PrecisionArg,
}

/// Run the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let (timing, found) = match &args.quantity {
        BenchCommand::Layer(args) => (&args.timing, args.timing.precision.scope(|| layer(args))?),
        BenchCommand::Step(args) => (&args.timing, args.timing.precision.scope(|| step(args))?),
        BenchCommand::Lm(args) => (&args.timing, args.timing.precision.scope(|| language_model(args))?),
        BenchCommand::Reduce(args) => {
            if let Some(found) = reduce::run(args)? {
                print(&found, args.json)?;
            }
            return Ok(Outcome::Done);
        }
    };
    print(&found, timing.json)?;
    Ok(Outcome::Done)
}

fn layer(LayerArgs { cells, batch, input, timing }: &LayerArgs) -> anyhow::Result<Value> {
    let device = timing.compute.open()?;
    let input = input.unwrap_or(cells.hidden);
    batch.check(input.max(cells.hidden))?;
    let (rnn, parameters) = cells.stack(input, &device)?;
    let xs = random((batch.rows, batch.time, input), &device)?;
    let inputs = candle_core::Var::from_tensor(&xs)?; // gradients for the input too, as inside a stack
    let frozen = cells.frozen(input, &parameters, &device)?;
    let forward =
        median(timing.repeat, &device, || frozen.run(&xs, None, None).map(drop).map_err(Into::into))?;
    // The times of training are null in a precision that has none.
    let train = Precision::current().has_gradients().then(|| {
        median(timing.repeat, &device, || {
            let output = rnn.run(inputs.as_tensor(), None, None)?;
            backward(&output.ys.sum_all()?)?;
            Ok(())
        })
    });
    let train = train.transpose()?;
    // A multiply and an add per weight and step; backward takes twice as many.
    let weights: usize =
        parameters.iter().filter(|(name, _)| name.contains("weight")).map(|(_, var)| var.elem_count()).sum();
    let flop = 2. * weights as f64 * (batch.rows * batch.time) as f64;
    Ok(json!({
        "model": cells.model.name, "batch": batch.rows, "time": batch.time, "input": input, "hidden": cells.hidden,
        "layers": cells.layers, "forward_ms": forward * 1e3,
        "train_ms": train.map(|train| train * 1e3), "forward_gflops": flop / forward / 1e9,
        "train_gflops": train.map(|train| 3. * flop / train / 1e9),
    }))
}

fn step(StepArgs { cells, input, timing }: &StepArgs) -> Result<Value> {
    /// Steps timed together: one alone is shorter than the noise of the clock.
    const STEPS: usize = 50;
    let device = timing.compute.open()?;
    let input = input.unwrap_or(cells.hidden);
    let (_, parameters) = cells.stack(input, &device)?;
    let frozen = cells.frozen(input, &parameters, &device)?;
    let x = random((1, input), &device)?;
    let seconds = match frozen.stream(&[])? {
        Some(mut stream) => {
            let x = x.flatten_all()?.to_vec1()?;
            median(timing.repeat, &device, || {
                (0..STEPS).try_for_each(|_| stream.step(&x).map(drop)).map_err(Into::into)
            })?
        }
        None => median(timing.repeat, &device, || {
            let mut state = frozen.zero_state(1)?;
            for _ in 0..STEPS {
                state = frozen.step(&x, &state)?.1;
            }
            Ok(())
        })?,
    };
    let step_us = seconds / STEPS as f64 * 1e6;
    Ok(json!({
        "model": cells.model.name, "input": input, "hidden": cells.hidden, "layers": cells.layers, "step_us": step_us,
    }))
}

/// Time the trainer's step on one fixed batch.
fn language_model(args: &LmArgs) -> anyhow::Result<Value> {
    let LmArgs { cells, batch: size, vocab, embedding, optimizer, timing } = args;
    let device = timing.compute.open()?;
    let embedding = embedding.unwrap_or(cells.hidden);
    let config = ModelConfig::Rnnlm(RnnlmConfig::new(*vocab, cells.config(embedding)));
    let estimate = Estimate::of_training(&config, optimizer, size.rows.saturating_mul(size.time));
    let estimate = estimate.map_err(|error| usage("--vocab, --hidden and --embedding", error.to_string()))?;
    if let Some(excess) = estimate.excess() {
        return Err(usage(
            "--vocab, --hidden, --layers, --batch and --time",
            format!("{excess}; choose smaller ones"),
        ));
    }
    let (network, parameters) = parameters::build(&config, DTYPE, &device)?;
    let count = parameters.count();
    let options = size.options(optimizer.clone());
    let lr = options.lr;
    let mut trainer = Trainer::new(Objective::of(&Lm), network, parameters, options, timing.repeat, &device)?;
    let positions = size.rows * size.time;
    let tokens: Vec<u32> = (0..positions).map(|at| (at * 7919 % vocab) as u32).collect();
    let inputs = Tensor::from_vec(tokens, (size.rows, size.time), &device)?;
    let batch = Batch {
        targets: Targets::Classes(inputs.clone()),
        inputs: inputs.into(),
        lengths: None,
        fresh: true,
    };
    let seconds = median(timing.repeat, &device, || trainer.step([Ok(Some(batch.clone()))], lr).map(drop))?;
    Ok(json!({
        "model": cells.model.name, "vocab": vocab, "embedding": embedding, "hidden": cells.hidden,
        "layers": cells.layers, "time": size.time, "batch": size.rows, "optimizer": optimizer.name(),
        "parameters": count, "step_ms": seconds * 1e3, "tokens_per_second": positions as f64 / seconds,
    }))
}

impl BatchArgs {
    /// Refuse a batch of more numbers than this machine's memory holds.
    fn check(&self, features: usize) -> anyhow::Result<()> {
        let positions = self.rows.saturating_mul(self.time);
        let bytes = (positions.saturating_mul(features) as u64).saturating_mul(size_of::<f32>() as u64);
        match memory::total().filter(|total| bytes > *total) {
            None => Ok(()),
            Some(total) => {
                let [needed, present] = [bytes, total].map(memory::in_units);
                let problem =
                    format!("takes at least {needed}, and this machine has {present}; choose smaller ones");
                Err(usage("--batch, --time and --input", format!("a batch of {positions} steps {problem}")))
            }
        }
    }

    /// Return the options of a plain training step, with clipped gradients.
    fn options(&self, optimizer: OptimizerConfig) -> Options {
        Options {
            epochs: None,
            max_steps: None,
            batch_size: self.rows,
            bptt: self.time,
            vary_bptt: false,
            state_reset: 0.,
            similar_sizes: true,
            accumulate: 1,
            label_smoothing: 0.,
            optimizer,
            lr: 1e-3,
            average: None,
            schedule: Schedule::Constant,
            clip: 1.,
            eval_every: None,
            metric: "loss".into(),
            early_stop: None,
            log_every: 1,
            seed: 1,
            precision: Precision::current(),
            reduce: Precision::F32,
        }
    }
}

impl CellArgs {
    fn config(&self, input: usize) -> RecurrentConfig {
        let stack = StackOptions { num_layers: self.layers, ..StackOptions::new(input, self.hidden) };
        let of_cell = self.model.stack.expect(HAS_STACK);
        of_cell(stack)
    }

    /// Return a stack that can be trained, and its parameters.
    fn stack(&self, input: usize, device: &Device) -> Result<(Box<dyn Recurrent>, Parameters)> {
        let (map, vb) = Parameters::builder(DTYPE, device);
        let rnn = self
            .config(input)
            .build(vb)
            .map_err(|error| Error::invalid("hidden", Error::from(error).to_string()))?;
        rnn.reset_parameters(&mut rng::stream(1, Purpose::Parameters, 0))?;
        Ok((rnn, Parameters::from(&map)))
    }

    /// Return the same stack for inference.
    fn frozen(&self, input: usize, parameters: &Parameters, device: &Device) -> Result<Box<dyn Recurrent>> {
        Ok(self.config(input).build(parameters::frozen_builder(parameters, DTYPE, device)?)?)
    }
}

fn random(shape: impl Into<candle_core::Shape>, device: &Device) -> Result<Tensor> {
    let shape = shape.into();
    let count = shape.elem_count();
    let values: Vec<f32> = (0..count).map(|at| ((at * 31 % 97) as f32 - 48.) / 48.).collect();
    Ok(Tensor::from_vec(values, shape, device)?.to_dtype(DType::F32)?)
}
