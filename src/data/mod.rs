//! Data: sources, file formats, splits, and batches of text and of series.
//!
//! ```text
//! Source     location of a corpus                 source.rs
//! Corpus     pieces of text, streamed             corpus.rs, directory.rs
//! DataFile   a file in one format                 formats.rs lists the formats: text_file.rs, csv_file.rs, ...
//! Utf8File   a file in any encoding, as UTF-8     utf8_file.rs, detect.rs, encoding.rs
//! Division   train, valid and test of a file      division.rs, draw.rs
//! builtin    generators, which need no file       builtin/
//! SplitTokens a split as token numbers            tokens.rs
//! Examples   independent sequences                batch.rs (trait), example.rs
//! TokenPairs texts with translations              pairs.rs
//! LabelledSeries numeric series with classes      labelled_series/, archive_names.rs
//! TimeSeries series to forecast                   time_series/, table_rows.rs, numbers.rs
//! Vectors    word vectors of GloVe and word2vec   vectors.rs
//! Weighted   examples of weighted classes         weighted.rs
//! Named      examples with names                  named.rs
//! Dataset    a split, cut into batches            dataset.rs, cut.rs, windows.rs, batch.rs, shard.rs
//! Divided    sentences with tags, or pairs of     divided.rs; column_corpus.rs, column_file.rs, column.rs;
//!            lines, in train, valid and test      parallel_text.rs, pair_table.rs, until_error.rs
//! SplitData  any of these, in splits              split_data.rs
//! ```
//!
//! Text is read piece by piece, and the tokens of a large split are written to a temporary file and read by position.
//! Series are held in memory.

mod archive_names;
pub mod batch;
pub mod builtin;
mod class_names;
pub mod column;
pub mod column_corpus;
pub mod column_file;
pub mod columns;
mod compose;
pub mod corpus;
mod csv_file;
mod csv_reader;
pub mod cut;
mod data_file;
pub mod dataset;
pub mod delimiter;
mod detect;
mod directory;
pub mod divided;
pub mod division;
mod draw;
pub mod encoding;
pub mod example;
mod extension;
mod file_reader;
mod fingerprint;
mod formats;
pub mod fractions;
mod json_object;
mod json_rows;
mod jsonl_file;
pub mod labelled_series;
mod line_end;
mod lines;
pub mod named;
mod numbered_lines;
mod numbers;
pub mod pair_table;
pub mod pairs;
pub mod parallel_text;
pub mod piece;
mod prose;
pub mod read_options;
mod records;
mod shard;
pub mod source;
pub mod split_data;
mod table_rows;
pub mod tagged;
mod text_file;
pub mod time_series;
pub mod tokens;
mod until_error;
mod utf8_file;
pub mod vectors;
pub mod weighted;
pub(crate) mod windows;

pub use columns::Columns;
pub use compose::composed;
pub use corpus::Corpus;
pub use delimiter::Delimiter;
pub use division::SplitRule;
pub use encoding::Encoding;
pub use formats::has_columns;
pub use fractions::Fractions;
pub use piece::{Piece, Pieces};
pub use read_options::ReadOptions;
pub use shard::Shard;
pub use source::{Builtin, Source, Split};
pub use tokens::SplitTokens;
pub use utf8_file::open_utf8;

pub use crate::tokenizer::End;
