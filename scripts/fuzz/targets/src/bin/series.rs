//! Tables of time series: long ones, with and without a column that names the series, and wide ones.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnn_zoo::data::time_series::{TimeColumns, TimeSeriesCorpus};
use rnn_zoo::data::{Fractions, Source};
use rnn_zoo_fuzz_targets::{unwind_panics, with_file};

fuzz_target!(init: unwind_panics(), |data: &[u8]| {
    let long = TimeColumns { series: Some("shop".into()), ..TimeColumns::default() };
    let wide = TimeColumns { wide: true, ..TimeColumns::default() };
    for columns in [TimeColumns::default(), long, wide] {
        with_file("series.csv", data, |path| {
            drop(TimeSeriesCorpus::open(&Source::File(path.to_path_buf()), &columns, Fractions::default()));
        });
    }
});
