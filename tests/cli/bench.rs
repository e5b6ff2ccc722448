//! `rnn bench`: the trainer's own step with the optimizer that is asked for, and sums over processes.

use serde_json::Value;

use super::Folder;

#[test]
fn every_optimizer_can_be_timed() {
    let folder = Folder::new();
    let run = "bench lm --model gru --vocab 20 --hidden 4 --time 3 --batch 2 --repeat 1 --json";
    let timed = |more: &str| serde_json::from_str::<Value>(&folder.done(&format!("{run} {more}"))).unwrap();
    for (more, optimizer) in [("", "adam"), ("--optimizer sgd", "sgd"), ("--optimizer rmsprop", "rmsprop")] {
        let found = timed(more);
        assert_eq!(found["optimizer"], optimizer);
        assert!(found["step_ms"].as_f64().unwrap() > 0. && found["parameters"] == 20 * 4 + 120 + 20 * 4 + 20);
    }
    folder.refused(&format!("{run} --optimizer lion"), 2, &["--optimizer", "lion", "rmsprop"]);
}

#[test]
fn a_single_process_has_nothing_to_sum() {
    let folder = Folder::new();
    folder.refused("bench reduce --numbers 4", 1, &["single process", "mpirun -n 2"]);
    folder.refused("bench reduce --reduce int8", 2, &["--reduce", "int8", "f32 or bf16"]);
}
