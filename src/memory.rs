//! Memory: the least that a run needs, and the most that this machine has.

use rnn_zoo_models::ModelConfig;

use crate::parameter_shapes::ParameterShapes;
use crate::training::optim::OptimizerConfig;
use crate::{Error, Result};

/// Bytes of a parameter, an activation or an element of the optimizer's state.
const FLOAT: u64 = 4;

/// A lower bound on the memory that training takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Parameters of the network.
    pub parameters: u64,
    /// Arrays of that many floats: the parameters, their gradients, the optimizer's moments, and the copy that a save
    /// makes.
    pub arrays: u64,
    /// Floats of the embeddings and the layers' outputs in one batch.
    pub activations: u64,
}

impl Estimate {
    /// Return the estimate for a network and batches of `positions` time steps in all.
    ///
    /// # Errors
    /// If the configuration describes no network, or one of a size that no machine has.
    pub fn of_training(config: &ModelConfig, optimizer: &OptimizerConfig, positions: usize) -> Result<Self> {
        let parameters = ParameterShapes::of(config)?.count();
        let moments = match optimizer {
            OptimizerConfig::Adam { .. } | OptimizerConfig::AdamW { .. } => 2,
            OptimizerConfig::RmsProp { .. } => 1,
            OptimizerConfig::Sgd { momentum, .. } => u64::from(*momentum != 0.),
        };
        let stack = config.rnn().stack();
        let units = (stack.hidden_size * stack.directions()) as u64;
        let features = units.saturating_mul(stack.num_layers as u64) + stack.input_size as u64;
        let activations = features.saturating_mul(positions as u64);
        Ok(Self { parameters, arrays: 3 + moments, activations })
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        let floats = self.parameters.saturating_mul(self.arrays).saturating_add(self.activations);
        floats.saturating_mul(FLOAT)
    }

    /// Return an error if the estimate exceeds the share of this machine's memory that each of `processes` has.
    ///
    /// # Errors
    /// If the estimate exceeds that memory, so far as it is known; the error is an [`Error::Invalid`] about the size
    /// that takes most.
    pub fn check(&self, processes: usize) -> Result<()> {
        self.check_against(total(), processes)
    }

    /// Return a sentence about the memory that this machine lacks; `None` if it has enough or does not say.
    pub fn excess(&self) -> Option<String> {
        self.excess_over(total(), 1)
    }

    fn excess_over(&self, total: Option<u64>, processes: usize) -> Option<String> {
        let total = total? / processes.max(1) as u64;
        if self.bytes() <= total {
            return None;
        }
        let [needed, present] = [self.bytes(), total].map(in_units);
        let parameters = self.parameters;
        let each = if processes > 1 { format!(" for each of {processes} processes") } else { String::new() };
        Some(format!(
            "training a network of {parameters} parameters takes at least {needed}, and this machine has {present}{each}"
        ))
    }

    fn check_against(&self, total: Option<u64>, processes: usize) -> Result<()> {
        let Some(excess) = self.excess_over(total, processes) else { return Ok(()) };
        if self.activations > self.parameters.saturating_mul(self.arrays) {
            let advice = "choose a smaller batch, or a smaller option `bptt`";
            return Err(Error::invalid("batch_size", format!("{excess}; {advice}")));
        }
        let advice = "choose a smaller one, a smaller option `layers` or option `embedding`, or limit the vocabulary \
                      with option `max_vocab`";
        Err(Error::invalid("hidden", format!("{excess}; {advice}")))
    }
}

/// Bytes of memory and swap that a process can have at most; `None` if the system does not say.
pub fn total() -> Option<u64> {
    let table = std::fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    let machine = field("MemTotal:")? + field("SwapTotal:").unwrap_or(0);
    // A container may have less. `max` means no limit.
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    limits.into_iter().filter_map(limit).chain([machine]).min()
}

/// Return a number of bytes for people: `1.5 GB`.
pub fn in_units(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let (mut size, mut unit) = (bytes as f64 / 1e3, 0);
    while size >= 999.95 && unit + 1 < UNITS.len() {
        (size, unit) = (size / 1e3, unit + 1);
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use rnn_zoo_models::{GruConfig, RecurrentConfig, RnnlmConfig, StackOptions};

    use super::*;

    fn estimate(layers: usize, positions: usize) -> Estimate {
        let stack = StackOptions { num_layers: layers, ..StackOptions::new(10, 20) };
        let config = ModelConfig::Rnnlm(RnnlmConfig::new(7, RecurrentConfig::Gru(GruConfig::from(stack))));
        Estimate::of_training(&config, &"adam".parse().unwrap(), positions).unwrap()
    }

    #[test]
    fn all_layers_and_copies_are_counted() {
        let layer = |input: usize| 3 * 20 * (input + 20 + 2);
        let expected = 7 * 10 + layer(10) + 2 * layer(20) + 20 * 7 + 7;
        let found = estimate(3, 4);
        assert_eq!(found, Estimate { parameters: expected as u64, arrays: 5, activations: 4 * 70 });
        assert_eq!(found.bytes(), 4 * (5 * expected as u64 + 280));
    }

    #[test]
    fn networks_and_batches_beyond_the_memory_are_refused_by_their_largest_part() {
        let check = |estimate: Estimate, total| estimate.check_against(total, 1).unwrap_err().to_string();
        let network = estimate(1000, 1);
        assert!(
            network.check_against(None, 1).is_ok() && network.check_against(Some(network.bytes()), 1).is_ok()
        );
        let error = check(network, Some(1 << 24));
        assert!(error.starts_with("hidden: training a network of 25"), "{error}");
        assert!(error.contains("takes at least 50.5 MB, and this machine has 16.8 MB"), "{error}");
        let error = check(estimate(1, usize::MAX), Some(1 << 30));
        assert!(error.starts_with("batch_size: ") && error.contains("option `bptt`"), "{error}");
    }

    #[test]
    fn sizes_are_written_in_units() {
        let sizes = [999, 1000, 999_949, 999_950, 1_500_000_000, u64::MAX];
        let expected = ["999 bytes", "1.0 kB", "999.9 kB", "1.0 MB", "1.5 GB", "18.4 EB"];
        assert_eq!(sizes.map(in_units), expected);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_machine_has_memory() {
        assert!(total().unwrap() > 1 << 24);
    }
}
