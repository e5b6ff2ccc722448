//! Keras: archives and HDF5 files of versions 2 and 3 in, archives of version 3 out.
//!
//! | file | content |
//! |---|---|
//! | `file.rs` | the files: archives, HDF5 with a configuration, weights alone |
//! | `store.rs`, `limited_source.rs` | arrays and texts of HDF5 files, within limits |
//! | `architecture.rs`, `layer.rs` | layers from a model's configuration |
//! | `shapes.rs` | layers from the arrays alone |
//! | `weights.rs` | the arrays of each layer |
//! | `plan.rs` | layers as the parts of a network |
//! | `assemble.rs` | the arrays of all layers as parameters |
//! | `gates.rs` | kernels and biases in Keras's layout and in ours |
//! | `tokens.rs` | tokenizers |
//! | `import.rs` | a file as a network |
//! | `export.rs`, `description.rs`, `archive.rs` | a network as an archive |

mod architecture;
mod archive;
mod assemble;
mod description;
mod export;
mod file;
mod format;
mod gates;
mod import;
mod layer;
mod limited_source;
mod plan;
mod shapes;
mod store;
mod tokens;
mod weights;

pub use format::Keras;
