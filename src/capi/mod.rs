//! The functions of `include/rnn_zoo.h`: a language model for programs in C, or in any language that calls C.
//!
//! ```text
//! RnnZooCode, the message of a thread    problem.rs
//! pointers, checked                      pointer.rs
//! RnnZooModel                            model.rs
//! RnnZooStream                           stream.rs
//! ```
//!
//! `scripts/interop/header` writes the header from these files. They, the kernels and one call in `main.rs` are
//! the only `unsafe` code: a pointer from C is what its caller says it is. No panic leaves a function.

// The boundary to C is made of pointers, and of names that the linker must find.
#![allow(unsafe_code)]

mod model;
mod pointer;
mod problem;
mod stream;

pub use model::{
    RnnZooModel, rnn_zoo_model_encode, rnn_zoo_model_free, rnn_zoo_model_load, rnn_zoo_model_start_token,
    rnn_zoo_model_token_text, rnn_zoo_model_vocabulary_size,
};
pub use problem::{RnnZooCode, rnn_zoo_last_error, rnn_zoo_version};
pub use stream::{
    RnnZooStream, rnn_zoo_stream_close, rnn_zoo_stream_log_probabilities, rnn_zoo_stream_open,
    rnn_zoo_stream_scores, rnn_zoo_stream_set_state, rnn_zoo_stream_state, rnn_zoo_stream_state_size,
    rnn_zoo_stream_step,
};
