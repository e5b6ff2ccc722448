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
//! | `decode.rs`, `tensor.rs` | a file's graph and tensors, in bounded memory |
//! | `import.rs` | a file of this program as a configuration and parameters |
//! | `foreign/` | graphs of other programs |
//! | `format.rs` | both as a format of the registry |
//!
//! `docs/formats.md` describes the inputs and outputs of each graph.

mod decode;
mod export;
mod forecaster;
mod foreign;
mod format;
mod graph;
mod import;
mod network;
mod proto;
mod readout;
mod stack;
mod tensor;

pub use export::encode;
pub use foreign::{Direction, RecurrentLayer, recurrent_layers};
pub use format::Onnx;
pub use import::{Decoded, decode};
