//! `rnn bench reduce`: the time of the sum over the processes of a launcher, as a training step makes it.

use half::bf16;
use rnn_zoo::Error;
use rnn_zoo::distributed::all_reduce;
use rnn_zoo::models::Precision;
use serde_json::{Value, json};

use super::measure::median;
use crate::cli::compute::Compute;
use crate::cli::{number, precision, processes};

/// Options of the sum.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Numbers that each process has, as many as the parameters of a network
    #[arg(long, value_name = "N", value_parser = number::count, default_value_t = 10_000_000)]
    numbers: usize,
    /// Precision of the numbers that are exchanged: f32, or bf16 for half the bytes
    #[arg(long, value_name = "NAME", value_parser = precision::parse_of_training, default_value_t = Precision::F32)]
    reduce: Precision,
    /// Repetitions; the median of their times is printed
    #[arg(long, value_name = "N", value_parser = number::count, default_value_t = 20)]
    repeat: usize,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    compute: Compute,
}

/// Return the time, in the first process alone.
///
/// # Errors
/// If there is a single process.
pub fn run(args: &Args) -> anyhow::Result<Option<Value>> {
    processes::silence_others();
    let device = args.compute.open()?;
    let ranks = processes::start("bench reduce")?;
    if ranks.size() == 1 {
        return Err(Error::Message(
            "a single process has nothing to sum; start several with `mpirun -n 2 rnn bench reduce`".into(),
        )
        .into());
    }
    let mut numbers = vec![0f32; args.numbers];
    let seconds = median(args.repeat, &device, || {
        ranks.barrier();
        match args.reduce {
            Precision::Bf16 => all_reduce::<bf16>(ranks.as_ref(), &mut numbers),
            _ => all_reduce::<f32>(ranks.as_ref(), &mut numbers),
        }
        Ok(())
    })?;
    let found = json!({
        "processes": ranks.size(), "numbers": args.numbers, "reduce": args.reduce.to_string(),
        "reduce_ms": seconds * 1e3,
    });
    Ok(ranks.is_first().then_some(found))
}
