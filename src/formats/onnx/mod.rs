//! ONNX: a bundle's network as a graph that ONNX Runtime and other engines run.
//!
//! | file | content |
//! |---|---|
//! | `proto.rs` | the messages of `onnx.proto` that are used |
//! | `graph.rs` | a graph under construction |
//! | `stack.rs` | recurrent stacks as the operators RNN, LSTM and GRU |
//! | `readout.rs` | readouts of classifiers |
//! | `network.rs`, `forecaster.rs` | whole networks |
//! | `export.rs` | a bundle's network as a file |
//! | `import.rs` | such a file as a configuration and parameters |
//! | `format.rs` | both as a format of the registry |
//!
//! `docs/formats.md` describes the inputs and outputs of each graph.

mod export;
mod forecaster;
mod format;
mod graph;
mod import;
mod network;
mod proto;
mod readout;
mod stack;

pub use export::encode;
pub use format::Onnx;
pub use import::{Decoded, decode};
