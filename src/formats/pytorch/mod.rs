//! PyTorch: state dicts, checkpoints and whole modules in, a state dict with its module out.
//!
//! | file | content |
//! |---|---|
//! | `file.rs` | the containers: zip archives and legacy files |
//! | `unpickle.rs`, `opcode.rs`, `pickle_bytes.rs`, `object.rs` | pickles as data, without executing anything |
//! | `state.rs`, `layers.rs` | the tensors of a pickle by name, and the layers of a module that have none |
//! | `tensors.rs` | the tensors of a file, also of safetensors |
//! | `assign.rs`, `sizes.rs` | tensors under our names, and the sizes that follow from their shapes |
//! | `import.rs`, `own.rs` | a file as a network: of PyTorch, or an export of this program |
//! | `export.rs`, `module.rs` | a network as safetensors, and the Python module that loads them |

mod assign;
mod export;
mod file;
mod format;
mod import;
mod layers;
mod module;
mod object;
mod opcode;
mod own;
mod pickle_bytes;
mod sizes;
mod state;
mod tensors;
mod unpickle;

pub use format::Pytorch;
