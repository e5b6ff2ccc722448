//! Results do not depend on the number of threads.

use candle_core::DType;
use rnn_zoo::models::kernels::{self, Isa};
use rnn_zoo::models::ops::without_fused;

use super::case::{KINDS, Results, check_close, large};
use super::loss::loss_of;

/// Held by tests that set or need a number of threads, which is one setting for the whole process.
static THREADS: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn layers_split_among_workers_equal_the_reference() {
    let _turn = THREADS.lock().unwrap();
    for kind in 0..KINDS {
        for split in ["batch", "units"] {
            let case = large(kind, split);
            let expected = without_fused(|| case.run(DType::F64)).unwrap();
            for isa in Isa::available() {
                let found = isa.scope(|| case.run(DType::F64)).unwrap();
                let what = format!("{} split by {split}", isa.name());
                check_close(&what, &found, &expected, 1e-11).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }
}

#[test]
fn results_are_the_same_bits_for_any_number_of_threads() {
    let _turn = THREADS.lock().unwrap();
    let mut found = vec![];
    for threads in [1, 2, 3] {
        kernels::set_threads(threads);
        let layers =
            (0..KINDS).flat_map(|kind| ["batch", "units"].map(|split| large(kind, split).run(DType::F32)));
        let bits = |results: Results| {
            results
                .into_iter()
                .map(|(name, values)| (name, values.into_iter().map(f64::to_bits).collect::<Vec<_>>()))
        };
        let all = layers
            .chain([loss_of(DType::F32, (300, 70, 700), 1., 0.1, 3)])
            .map(|results| bits(results.unwrap()).collect::<Vec<_>>());
        found.push(all.collect::<Vec<_>>());
    }
    kernels::set_threads(usize::MAX);
    assert!(found[0] == found[1] && found[1] == found[2], "the results depend on the number of threads");
}
