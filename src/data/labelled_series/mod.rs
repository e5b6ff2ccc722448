//! Numeric series with a class each, for classification.
//!
//! | file | content |
//! |---|---|
//! | `series.rs` | a series, and the rule for missing values |
//! | `ts_file.rs` | `.ts` files of the UEA and UCR archive |
//! | `table.rs` | long tables: a row for each time step |
//! | `corpus.rs` | files and folders in train, valid and test |
//!
//! A file is held in memory.

mod corpus;
mod series;
mod table;
mod ts_file;

pub use corpus::{SeriesCorpus, SeriesFile, is_ts_source, open};
pub use series::LabelledSeries;
pub use table::SeriesColumns;
