//! The code that both workers share: the request, a clock, and a loop that answers a JSON line with a JSON line.

use std::io::{BufRead, Write};
use std::time::Instant;

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};

/// Single steps that are timed together, as `rnn bench step` does.
pub const STEPS: usize = 50;

/// A measurement; each kind of work reads the sizes that it has.
#[derive(Deserialize)]
#[allow(dead_code)] // one of the workers has no language model
pub struct Request {
    pub work: String,
    pub cell: String,
    #[serde(default)]
    pub time: usize,
    #[serde(default)]
    pub batch: usize,
    #[serde(default)]
    pub input: usize,
    pub hidden: usize,
    #[serde(default)]
    pub vocab: usize,
    #[serde(default)]
    pub embedding: usize,
    #[serde(default)]
    pub layers: usize,
    pub repeat: usize,
}

/// Answers requests until stdin ends, on a thread whose stack is large enough for a long graph. Blocked on stdin,
/// a worker leaves the processor to the others.
pub fn serve(answer: fn(&Request) -> Result<Value>) -> Result<()> {
    let serving = std::thread::Builder::new().stack_size(1 << 30).spawn(move || -> Result<()> {
        for line in std::io::stdin().lock().lines() {
            let found = answer(&serde_json::from_str(&line?)?)?;
            let mut out = std::io::stdout().lock();
            writeln!(out, "{found}")?;
            out.flush()?;
        }
        Ok(())
    })?;
    serving.join().expect("the worker does not panic")
}

/// The median seconds of `repeat` runs, after a few that only warm up.
pub fn median(repeat: usize, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    for _ in 0..3 {
        run()?;
    }
    let mut seconds = Vec::with_capacity(repeat);
    for _ in 0..repeat {
        let began = Instant::now();
        run()?;
        seconds.push(began.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}

/// Answers for a layer and for single steps.
pub fn layer_answer(forward: f64, train: f64) -> Value {
    json!({ "forward_ms": forward * 1e3, "train_ms": train * 1e3 })
}

pub fn step_answer(steps: f64) -> Value {
    json!({ "step_us": steps / STEPS as f64 * 1e6 })
}
