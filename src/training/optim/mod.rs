//! Optimizers, and averages of parameters.
//!
//! The equations are those of PyTorch's `torch.optim`. `p` is a parameter, `g` its gradient, `lr` the learning rate
//! and `w` the weight decay. Except for AdamW, `w * p` is added to `g` first.
//!
//! - SGD: `b = momentum * b + g`, with `b = g` at the first step; `p -= lr * b`, or with Nesterov momentum
//!   `p -= lr * (g + momentum * b)`.
//! - Adam (Kingma and Ba, 2015): `m = beta1 * m + (1 - beta1) * g`, `v = beta2 * v + (1 - beta2) * g^2`,
//!   `p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)`.
//! - AdamW (Loshchilov and Hutter, 2019): as Adam, but decoupled decay, `p *= 1 - lr * w`, comes first.
//! - RMSprop (Hinton, 2012): `v = alpha * v + (1 - alpha) * g^2`, `p -= lr * g / (sqrt(v) + eps)`.
//!
//! Candle's AdamW does not expose its moments, so a run could not be resumed to the bit.

mod average;
mod config;
mod in_place;
mod optimizer;
mod update;

pub use average::{Average, AverageState};
pub use config::OptimizerConfig;
pub use optimizer::Optimizer;
