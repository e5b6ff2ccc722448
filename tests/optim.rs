//! Optimizers, gradient clipping and schedules against PyTorch's values, which `scripts/golden/optim.py` writes.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use rnn_zoo::bundle::read_tensors;
use rnn_zoo::parameters::{NamedTensors, Parameters};
use rnn_zoo::training::gradients::{Gradients, clip_by_norm};
use rnn_zoo::training::optim::{Optimizer, OptimizerConfig};
use rnn_zoo::training::schedule::{Schedule, Scheduler};

const STEPS: usize = 10;
const NAMES: [&str; 2] = ["a", "b"];

/// The settings of the script, under its names.
const OPTIMIZERS: [(&str, &str); 10] = [
    ("sgd", r#"{"name": "sgd"}"#),
    ("sgd_decay", r#"{"name": "sgd", "weight_decay": 0.05}"#),
    ("sgd_momentum", r#"{"name": "sgd", "momentum": 0.9}"#),
    ("sgd_nesterov_decay", r#"{"name": "sgd", "momentum": 0.8, "nesterov": true, "weight_decay": 0.05}"#),
    ("adam", r#"{"name": "adam"}"#),
    ("adam_decay", r#"{"name": "adam", "betas": [0.8, 0.95], "eps": 1e-4, "weight_decay": 0.05}"#),
    ("adamw", r#"{"name": "adamw"}"#),
    ("adamw_decay", r#"{"name": "adamw", "betas": [0.8, 0.95], "eps": 1e-4, "weight_decay": 0.2}"#),
    ("rmsprop", r#"{"name": "rmsprop"}"#),
    ("rmsprop_decay", r#"{"name": "rmsprop", "alpha": 0.9, "eps": 1e-4, "weight_decay": 0.05}"#),
];

const SCHEDULES: [(&str, &str); 6] = [
    ("step", r#"{"name": "step", "every": 3, "gamma": 0.5}"#),
    ("plateau", r#"{"name": "plateau", "factor": 0.25, "patience": 2}"#),
    ("cosine", r#"{"name": "cosine", "min_ratio": 0.1}"#),
    ("cosine_warmup", r#"{"name": "cosine", "warmup_steps": 7}"#),
    ("one_cycle", r#"{"name": "one-cycle"}"#),
    (
        "one_cycle_set",
        r#"{"name": "one-cycle", "pct_start": 0.45, "div_factor": 10, "final_div_factor": 50}"#,
    ),
];

fn golden() -> NamedTensors {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/optim.safetensors");
    read_tensors(&path, &Device::Cpu).unwrap()
}

/// The largest difference of two tensors, relative to values above 1.
fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    let values = |tensor: &Tensor| {
        tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
    };
    assert_eq!(found.dims(), expected.dims());
    let pairs = values(found).into_iter().zip(values(expected));
    pairs.map(|(found, expected)| (found - expected).abs() / expected.abs().max(1.0)).fold(0.0, f64::max)
}

/// The gradients of one step; `b` has none in the third.
fn gradients(golden: &NamedTensors, step: usize, dtype: DType) -> Gradients {
    let used = NAMES.into_iter().filter(|&name| (name, step) != ("b", 2));
    let gradient = |name: &str| {
        let gradient = golden[&format!("grad.{name}")].get(step).unwrap().to_dtype(dtype).unwrap();
        (name.to_string(), gradient)
    };
    used.map(gradient).collect::<NamedTensors>().into()
}

fn worst_difference(golden: &NamedTensors, setting: &str, config: &str, dtype: DType) -> f64 {
    let start = |name: &str| {
        let start = golden[&format!("start.{name}")].to_dtype(dtype).unwrap();
        (name.to_string(), Var::from_tensor(&start).unwrap())
    };
    let parameters: Parameters = NAMES.into_iter().map(start).collect();
    let config: OptimizerConfig = serde_json::from_str(config).unwrap();
    let mut optimizer = Optimizer::new(config).unwrap();
    let mut worst = 0f64;
    for step in 0..STEPS {
        optimizer.step(&parameters, &gradients(golden, step, dtype), 0.1).unwrap();
        for (name, var) in parameters.iter() {
            let expected = golden[&format!("{setting}.{name}")].get(step).unwrap();
            worst = worst.max(difference(var.as_tensor(), &expected));
        }
    }
    worst
}

#[test]
fn every_optimizer_takes_the_steps_of_pytorch() {
    let golden = golden();
    for (setting, config) in OPTIMIZERS {
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-6)] {
            let worst = worst_difference(&golden, setting, config, dtype);
            assert!(worst < tolerance, "{setting} in {dtype:?} is off by {worst:e}");
        }
    }
}

#[test]
fn clipping_scales_as_pytorch_does() {
    let golden = golden();
    for (label, limit) in [("clipped", 2.0), ("unclipped", 100.0)] {
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-6)] {
            let mut gradients = gradients(&golden, 0, dtype);
            let norm = Tensor::new(&[clip_by_norm(&mut gradients, limit).unwrap()], &Device::Cpu).unwrap();
            let scaled =
                gradients.iter().map(|(name, tensor)| (name, (tensor * gradients.factor()).unwrap()));
            let found: BTreeMap<_, _> = scaled.chain([("norm", norm)]).collect();
            for (name, tensor) in found {
                let off = difference(&tensor, &golden[&format!("{label}.{name}")]);
                assert!(off < tolerance, "{label} {name} in {dtype:?} is off by {off:e}");
            }
        }
    }
}

#[test]
fn every_schedule_gives_the_rates_of_pytorch() {
    let golden = golden();
    let losses = golden["schedule.losses"].to_vec1::<f64>().unwrap();
    for (name, schedule) in SCHEDULES {
        let schedule: Schedule = serde_json::from_str(schedule).unwrap();
        // PyTorch's `T_max` counts the intervals between the steps of the cosine, one less than the steps.
        let total = losses.len() + usize::from(matches!(schedule, Schedule::Cosine { .. }));
        let mut scheduler = Scheduler::new(schedule, 0.3, total).unwrap();
        let expected = golden[&format!("schedule.{name}")].to_vec1::<f64>().unwrap();
        for (step, expected) in expected.into_iter().enumerate() {
            // The step schedule counts epochs, of one step each in the script.
            let found = scheduler.learning_rate(step, step);
            assert!((found - expected).abs() < 1e-12, "{name} at step {step}: {found} for {expected}");
            scheduler.observe_validation(losses[step]);
        }
    }
}
