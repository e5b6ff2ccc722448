//! The median of repeated times, and how a result is printed.

use std::io::Write;
use std::time::Instant;

use candle_core::Device;
use rnn_zoo::Result;
use serde_json::Value;

/// Return the median time of `repeat` runs in seconds, after two warm-up runs.
pub fn median(repeat: usize, device: &Device, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    for _ in 0..2 {
        run()?;
    }
    let mut seconds = vec![];
    for _ in 0..repeat.max(1) {
        let began = Instant::now();
        run()?;
        device.synchronize()?;
        seconds.push(began.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}

/// Print a result: as JSON, or one line per quantity.
pub fn print(found: &Value, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{found}")?;
    } else if let Some(found) = found.as_object() {
        for (name, value) in found {
            writeln!(out, "{name:<20} {value}")?;
        }
    }
    Ok(())
}
