//! Kernels on plain slices and small structs, and the only `unsafe` code of the crate.
//!
//! `cpu/` holds the kernels of the processor. They do not depend on candle's graph or on layers; `ops/` wraps
//! them as candle ops.

#[allow(unsafe_code)]
mod allocator;
mod cell_kind;
#[allow(unsafe_code)]
pub(crate) mod cpu;
#[allow(unsafe_code)]
mod reporting_allocator;
#[allow(unsafe_code)]
mod signals;
mod time_step;

pub use allocator::keep_freed_memory;
pub use cell_kind::{CellKind, Nonlinearity};
pub use cpu::{Isa, ignore_other_programs, run_chunked, set_threads, take_most_workers, threads};
pub use reporting_allocator::ReportingAllocator;
pub use signals::report_writes_beyond_limit;
pub(crate) use time_step::time_step;
