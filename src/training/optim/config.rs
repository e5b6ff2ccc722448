//! The choice of an optimizer and its constants.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// An optimizer and its constants. The defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// Stochastic gradient descent.
    Sgd {
        /// Factor of the momentum buffer at each step; 0 by default.
        #[serde(default)]
        momentum: f64,
        /// Use Nesterov momentum; off by default.
        #[serde(default)]
        nesterov: bool,
        /// L2 penalty; 0 by default.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam, with an L2 penalty.
    Adam {
        /// Decay of the two moments; 0.9 and 0.999 by default.
        #[serde(default = "default::betas")]
        betas: [f64; 2],
        /// Added to the denominator; 1e-8 by default.
        #[serde(default = "default::eps")]
        eps: f64,
        /// L2 penalty; 0 by default.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam, with decoupled weight decay.
    AdamW {
        /// Decay of the two moments; 0.9 and 0.999 by default.
        #[serde(default = "default::betas")]
        betas: [f64; 2],
        /// Added to the denominator; 1e-8 by default.
        #[serde(default = "default::eps")]
        eps: f64,
        /// Decoupled weight decay: a step multiplies parameters by `1 - lr * weight_decay`; 0.01 by default.
        #[serde(default = "default::adamw_decay")]
        weight_decay: f64,
    },
    /// RMSprop, not centred and without momentum.
    RmsProp {
        /// Decay of the mean square; 0.99 by default.
        #[serde(default = "default::alpha")]
        alpha: f64,
        /// Added to the denominator; 1e-8 by default.
        #[serde(default = "default::eps")]
        eps: f64,
        /// L2 penalty; 0 by default.
        #[serde(default)]
        weight_decay: f64,
    },
}

mod default {
    pub(super) fn betas() -> [f64; 2] {
        [0.9, 0.999]
    }
    pub(super) fn eps() -> f64 {
        1e-8
    }
    pub(super) fn adamw_decay() -> f64 {
        0.01
    }
    pub(super) fn alpha() -> f64 {
        0.99
    }
}

impl OptimizerConfig {
    /// The names that [`OptimizerConfig::from_str`] accepts.
    pub const NAMES: [&'static str; 4] = ["sgd", "adam", "adamw", "rmsprop"];

    /// The optimizer's name, which is also the prefix of the names in its state.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd { .. } => "sgd",
            Self::Adam { .. } => "adam",
            Self::AdamW { .. } => "adamw",
            Self::RmsProp { .. } => "rmsprop",
        }
    }

    /// The same optimizer with another weight decay.
    pub fn with_weight_decay(mut self, decay: f64) -> Self {
        match &mut self {
            Self::Sgd { weight_decay, .. }
            | Self::Adam { weight_decay, .. }
            | Self::AdamW { weight_decay, .. }
            | Self::RmsProp { weight_decay, .. } => *weight_decay = decay,
        }
        self
    }

    /// The same optimizer with momentum.
    ///
    /// # Errors
    /// If the optimizer is not SGD, as an error about `momentum`.
    pub fn with_momentum(mut self, value: f64) -> Result<Self> {
        let name = self.name();
        match &mut self {
            Self::Sgd { momentum, .. } => *momentum = value,
            _ => return Err(Error::invalid("momentum", format!("only sgd takes momentum, not {name}"))),
        }
        Ok(self)
    }

    /// The same optimizer with other decays of its moments.
    ///
    /// # Errors
    /// If the optimizer is neither Adam nor AdamW, as an error about `betas`.
    pub fn with_betas(mut self, values: [f64; 2]) -> Result<Self> {
        let name = self.name();
        match &mut self {
            Self::Adam { betas, .. } | Self::AdamW { betas, .. } => *betas = values,
            _ => return Err(Error::invalid("betas", format!("only adam and adamw take betas, not {name}"))),
        }
        Ok(self)
    }

    /// Check that every constant is in its range.
    ///
    /// # Errors
    /// If a constant is outside its range, as an error about `optimizer`.
    pub fn validate(&self) -> Result<()> {
        let in_unit_range = |value: f64| (0.0..1.0).contains(&value);
        let (weight_decay, problem) = match *self {
            Self::Sgd { momentum, nesterov, weight_decay } => (
                weight_decay,
                match (in_unit_range(momentum), nesterov && momentum == 0.0) {
                    (false, _) => Some("momentum must be at least 0 and below 1"),
                    (_, true) => Some("Nesterov momentum needs a momentum above 0"),
                    _ => None,
                },
            ),
            Self::Adam { betas, eps, weight_decay } | Self::AdamW { betas, eps, weight_decay } => {
                let valid = betas.into_iter().all(in_unit_range) && eps >= 0.0;
                (weight_decay, (!valid).then_some("betas must be at least 0 and below 1, eps at least 0"))
            }
            Self::RmsProp { alpha, eps, weight_decay } => {
                let valid = in_unit_range(alpha) && eps >= 0.0;
                (weight_decay, (!valid).then_some("alpha must be at least 0 and below 1, eps at least 0"))
            }
        };
        let decay = !(weight_decay >= 0.0 && weight_decay.is_finite());
        match problem.or(decay.then_some("weight decay must be a number of at least 0")) {
            Some(problem) => Err(Error::invalid("optimizer", format!("{}: {problem}", self.name()))),
            None => Ok(()),
        }
    }

    /// The names of the tensors that the optimizer stores for each parameter.
    pub(super) fn moments(&self) -> &'static [&'static str] {
        match self {
            Self::Sgd { momentum: 0.0, .. } => &[],
            Self::Sgd { .. } => &["momentum_buffer"],
            Self::Adam { .. } | Self::AdamW { .. } => &["exp_avg", "exp_avg_sq"],
            Self::RmsProp { .. } => &["square_avg"],
        }
    }
}

impl FromStr for OptimizerConfig {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let (betas, eps, weight_decay) = (default::betas(), default::eps(), 0.0);
        match name.to_ascii_lowercase().as_str() {
            "sgd" => Ok(Self::Sgd { momentum: 0.0, nesterov: false, weight_decay }),
            "adam" => Ok(Self::Adam { betas, eps, weight_decay }),
            "adamw" => Ok(Self::AdamW { betas, eps, weight_decay: default::adamw_decay() }),
            "rmsprop" => Ok(Self::RmsProp { alpha: default::alpha(), eps, weight_decay }),
            _ => {
                let names = Self::NAMES.join(", ");
                Err(Error::invalid("optimizer", format!("unknown optimizer {name:?}; choose one of {names}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_constants_default_to_those_of_pytorch() {
        for name in OptimizerConfig::NAMES {
            let parsed: OptimizerConfig = serde_json::from_str(&format!(r#"{{"name": "{name}"}}"#)).unwrap();
            assert_eq!((parsed.clone(), parsed.name()), (name.parse().unwrap(), name));
        }
        let adamw = "adamw".parse::<OptimizerConfig>().unwrap();
        assert_eq!(adamw, OptimizerConfig::AdamW { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01 });
        assert!(serde_json::from_str::<OptimizerConfig>(r#"{"name": "sgd", "betas": [0, 0]}"#).is_err());
    }

    #[test]
    fn constants_out_of_range_are_refused() {
        let sgd = || "sgd".parse::<OptimizerConfig>().unwrap();
        let bad = [
            sgd().with_momentum(1.5).unwrap(),
            sgd().with_weight_decay(-1.0),
            OptimizerConfig::Sgd { momentum: 0.0, nesterov: true, weight_decay: 0.0 },
            OptimizerConfig::Adam { betas: [0.9, 1.0], eps: 1e-8, weight_decay: 0.0 },
            OptimizerConfig::RmsProp { alpha: 0.9, eps: f64::NAN, weight_decay: 0.0 },
        ];
        for config in bad {
            assert!(matches!(config.validate(), Err(Error::Invalid { .. })), "{config:?}");
        }
        assert!("adam".parse::<OptimizerConfig>().unwrap().with_momentum(0.9).is_err());
        assert!(
            "lion".parse::<OptimizerConfig>().unwrap_err().to_string().contains("sgd, adam, adamw, rmsprop")
        );
    }
}
