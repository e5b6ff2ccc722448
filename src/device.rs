//! The choice of the device and of the number of threads.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;

use crate::{Error, Result};

/// Backends of this build. No other file of this crate tests these features.
const HAS_CUDA: bool = cfg!(feature = "cuda");
const HAS_METAL: bool = cfg!(feature = "metal");

/// A device as the user names it: `cpu`, `cuda`, `cuda:N`, `metal` or `auto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU, by its number from 0.
    Cuda(usize),
    /// The GPU of a Mac.
    Metal,
    /// CUDA if it is built in and present, else Metal, else the CPU.
    #[default]
    Auto,
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let unknown = || Error::invalid("device", format!("unknown device {name:?}; use {EXPECTED}"));
        match name {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            "auto" => Ok(Self::Auto),
            _ => {
                let number = name.strip_prefix("cuda:").ok_or_else(unknown)?;
                Ok(Self::Cuda(number.parse().map_err(|_| unknown())?))
            }
        }
    }
}

const EXPECTED: &str = "cpu, cuda, cuda:N (N from 0), metal or auto";

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal => f.write_str("metal"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

impl DeviceChoice {
    /// Open the device.
    ///
    /// # Errors
    /// If this build does not support the device (the error says how to build it), or the device is absent.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(_) if !HAS_CUDA => Err(not_built("CUDA", "cuda")),
            Self::Cuda(number) => Device::new_cuda(number).map_err(|error| absent(self, &error)),
            Self::Metal if !HAS_METAL => Err(not_built("Metal", "metal")),
            Self::Metal => Device::new_metal(0).map_err(|error| absent(self, &error)),
            Self::Auto => {
                let gpu = Self::Cuda(0).open().or_else(|_| Self::Metal.open());
                Ok(gpu.unwrap_or(Device::Cpu))
            }
        }
    }
}

fn not_built(name: &str, feature: &str) -> Error {
    let build =
        format!("rebuild with `cargo build --release --features {feature}`, or use option `device = cpu`");
    Error::invalid("device", format!("this build has no {name}: {build}"))
}

/// Return an error for a device that is supported but cannot be opened: no such number, driver or free memory.
fn absent(choice: DeviceChoice, error: &candle_core::Error) -> Error {
    // Candle may append a backtrace; errors of this program are one line.
    let error = error.to_string();
    let reason = error.lines().next().unwrap_or_default();
    Error::invalid(
        "device",
        format!("cannot open {choice}: {reason}; check the driver, or use option `device = cpu`"),
    )
}

/// Return the name of a device for reports: `cpu`, `cuda:0`, `metal`.
pub fn name(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".to_string(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { .. } => "metal".to_string(),
    }
}

/// Set the size of rayon's global thread pool, which runs matrix products and the parallel loops of this crate.
/// Call it once, before any of them. Candle's pool for element-wise ops on large tensors takes its size from
/// `CANDLE_NUM_THREADS` or `RAYON_NUM_THREADS` when it is first used.
///
/// # Errors
/// If `threads` is 0, or the pool is already running.
pub fn start_thread_pool(threads: usize) -> Result<()> {
    if threads == 0 {
        return Err(Error::invalid("threads", "0 threads cannot run anything; give at least 1"));
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|error| Error::invalid("threads", format!("cannot start {threads} threads: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for (text, choice) in [
            ("cpu", DeviceChoice::Cpu),
            ("cuda:3", DeviceChoice::Cuda(3)),
            ("metal", DeviceChoice::Metal),
            ("auto", DeviceChoice::Auto),
        ] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap(), choice);
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
        for bad in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU "] {
            let error = bad.parse::<DeviceChoice>().unwrap_err();
            assert!(
                matches!(error, Error::Invalid { .. }) && error.to_string().contains("cuda:N"),
                "{error}"
            );
        }
    }

    #[test]
    fn cpu_and_auto_always_open() {
        assert_eq!(name(&DeviceChoice::Cpu.open().unwrap()), "cpu");
        DeviceChoice::Auto.open().unwrap();
    }

    #[test]
    fn unsupported_gpu_error_says_how_to_build() {
        for (choice, built, feature) in
            [(DeviceChoice::Cuda(0), HAS_CUDA, "cuda"), (DeviceChoice::Metal, HAS_METAL, "metal")]
        {
            if built {
                continue;
            }
            let error = choice.open().unwrap_err();
            assert!(error.to_string().contains(&format!("--features {feature}")), "{error}");
            assert!(matches!(error, Error::Invalid { .. }));
        }
    }

    #[test]
    fn absent_gpu_is_an_error_of_one_line() {
        let error = DeviceChoice::Cuda(4096).open().unwrap_err().to_string();
        assert!(error.starts_with("device: ") && error.lines().count() == 1, "{error}");
    }

    #[test]
    fn zero_threads_are_refused() {
        assert!(start_thread_pool(0).unwrap_err().to_string().starts_with("threads: 0 threads"));
    }
}
