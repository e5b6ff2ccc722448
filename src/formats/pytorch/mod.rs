//! PyTorch: state dicts, checkpoints and whole modules in, a state dict with its module out.
//!
//! | file | content |
//! |---|---|
//! | `file.rs` | the containers: zip archives and legacy files |
//! | `unpickle.rs`, `opcode.rs`, `pickle_bytes.rs`, `object.rs` | pickles as data, without executing anything |
//! | `state.rs` | the tensors of a pickle by name |
//! | `tensors.rs` | the tensors of a file, also of safetensors |
//! | `assign.rs`, `sizes.rs` | tensors under our names, and the sizes that follow from their shapes |
//! | `import.rs` | a file as a network |
//! | `export.rs`, `module.rs` | a network as safetensors, and the Python module that loads them |

mod assign;
mod export;
mod file;
mod format;
mod import;
mod module;
mod object;
mod opcode;
mod pickle_bytes;
mod sizes;
mod state;
mod tensors;
mod unpickle;

pub use format::Pytorch;
