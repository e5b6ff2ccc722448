//! Results do not depend on the number of threads.

use std::process::Command;

use candle_core::DType;
use rnn_zoo::models::Precision;
use rnn_zoo::models::kernels::{self, Isa};
use rnn_zoo::models::ops::without_fused;

use super::case::{Results, check_close, large};
use super::loss::loss_of;
use crate::random_layer::Kind;

/// Set for the copy of this process in which the tests of this file run.
const COPY: &str = "RNN_ZOO_TEST_WITH_THREADS";

/// Threads of the copy, whatever number of cores the machine has.
const THREADS: usize = 3;

/// Run `check`, the body of `test`, in a copy of this process whose thread pool has [`THREADS`]: the size of the pool
/// is fixed when a process first uses it. Kernels have several workers there, whatever else runs on the machine.
fn with_threads(test: &str, check: impl FnOnce()) {
    if std::env::var_os(COPY).is_some() {
        assert_eq!(kernels::threads(), THREADS);
        kernels::ignore_other_programs();
        return check();
    }
    let mut copy = Command::new(std::env::current_exe().unwrap());
    copy.args(["--exact", &format!("kernels::workers::{test}")]);
    copy.env(COPY, "1").env("CANDLE_NUM_THREADS", THREADS.to_string());
    let output = copy.output().unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success() && out.contains("1 passed"), "in {THREADS} threads:\n{out}\n{err}");
}

#[test]
fn layers_split_among_workers_equal_the_reference() {
    with_threads("layers_split_among_workers_equal_the_reference", || {
        for (kind, split) in
            Kind::ALL.into_iter().flat_map(|kind| ["batch", "units"].map(|split| (kind, split)))
        {
            let case = large(kind, split);
            let expected = without_fused(|| case.run(DType::F64)).unwrap();
            for isa in Isa::available() {
                let found = isa.scope(|| case.run(DType::F64)).unwrap();
                let what = format!("{} split by {split}", isa.name());
                assert_eq!(kernels::take_most_workers(), THREADS, "{kind:?} with {what}");
                check_close(&what, &found, &expected, 1e-11).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    });
}

/// The bit patterns of all results by name.
type Bits = Vec<(String, Vec<u64>)>;

fn bits(results: Results) -> Bits {
    let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect();
    results.into_iter().map(|(name, values)| (name, bits(values))).collect()
}

#[test]
fn results_are_the_same_bits_for_any_number_of_threads() {
    with_threads("results_are_the_same_bits_for_any_number_of_threads", || {
        let run = |threads| -> Vec<Bits> {
            kernels::set_threads(threads);
            assert_eq!(kernels::threads(), threads);
            let layers =
                Kind::ALL.into_iter().flat_map(|kind| ["batch", "units"].map(|split| large(kind, split)));
            let layers = layers.map(|case| case.run(DType::F32));
            let losses = [loss_of(DType::F32, (300, 70, 700), 1., 0.1, 3)];
            let f32: Vec<_> = layers.chain(losses).collect();
            let bf16 = Isa::available_for_bf16().into_iter().flat_map(|isa| {
                let layers = [(Kind::Lstm, "batch"), (Kind::GruAfter, "units"), (Kind::GruBefore, "batch")];
                let run = |(kind, split)| large(kind, split).run(DType::F32);
                Precision::Bf16.scope(|| {
                    isa.scope(|| {
                        let losses = [loss_of(DType::F32, (300, 70, 700), 1., 0.1, 3)];
                        layers.map(run).into_iter().chain(losses).collect::<Vec<_>>()
                    })
                })
            });
            let results = f32.into_iter().chain(bf16).map(|results| bits(results.unwrap())).collect();
            assert_eq!(kernels::take_most_workers(), if threads == 1 { 0 } else { threads });
            results
        };
        let expected = run(1);
        for threads in 2..=THREADS {
            assert!(run(threads) == expected, "{threads} threads change a bit");
        }
    });
}
