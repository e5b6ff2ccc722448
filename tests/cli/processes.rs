//! Training as one of several processes, and on two that Open MPI's `mpirun` starts where the feature `mpi` is built
//! and `mpirun` is installed. `scripts/distributed/check` has longer runs, and ends processes.

use super::{Folder, TINY, assert_one_line};

/// Variables of Open MPI, MPICH and Slurm in the first of two processes.
const LAUNCHERS: [&[(&str, &str)]; 3] = [
    &[("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "2")],
    &[("PMI_RANK", "0"), ("PMI_SIZE", "2")],
    &[("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "2")],
];

#[cfg(not(feature = "mpi"))]
#[test]
fn build_without_mpi_says_how_to_build_it() {
    let folder = Folder::new();
    for variables in LAUNCHERS {
        let mut train = folder.rnn(&format!("train lstm --data text.txt --out m {TINY}"));
        let output = train.envs(variables.iter().copied()).output().unwrap();
        let mentions = ["rank 0: started as one of 2 processes", "no MPI", "--features mpi"];
        assert_one_line(&output, 1, &mentions, variables[0].0);
        assert!(!folder.path("m").exists());
    }
}

#[test]
fn errors_name_the_rank() {
    let folder = Folder::new();
    for variables in LAUNCHERS {
        let mut command = folder.rnn("train lstm --hidden many");
        let output = command.envs(variables.iter().copied()).env(variables[0].0, "1").output().unwrap();
        assert_one_line(&output, 2, &["rnn: rank 1: --hidden"], variables[0].0);
    }
}

#[test]
fn a_single_process_sends_no_gradients() {
    let folder = Folder::with_model();
    folder.done(&format!("train lstm --data text.txt --out rounded --reduce bf16 {TINY}"));
    assert!(folder.bytes("rounded/model.safetensors") == folder.bytes("m/model.safetensors"));
    assert!(String::from_utf8(folder.bytes("rounded/recipe.toml")).unwrap().contains("reduce = \"bf16\""));
    folder.refused("train lstm --reduce int8", 2, &["--reduce", "int8", "f32 or bf16"]);
    // A batch script of Slurm is a single process.
    let mut train = folder.rnn(&format!("train lstm --data text.txt --out n {TINY}"));
    let alone = train.env("SLURM_NTASKS", "2").env("SLURM_PROCID", "0").output().unwrap();
    assert!(alone.status.success());
}

/// Two real processes.
#[cfg(feature = "mpi")]
mod two {
    use std::process::{Command, Output};
    use std::time::{Duration, Instant};

    use serde_json::Value;

    use crate::cli::{Folder, TINY, TINY_SEQUENCES, assert_one_line, records};

    /// The launcher of two processes in `folder`; none without Open MPI, which `RNN_ZOO_REQUIRE_MPI` forbids.
    fn mpirun(folder: &Folder) -> Option<Command> {
        let version = Command::new("mpirun").arg("--version").output();
        if !version.is_ok_and(|version| String::from_utf8_lossy(&version.stdout).contains("Open MPI")) {
            assert!(std::env::var_os("RNN_ZOO_REQUIRE_MPI").is_none(), "there is no mpirun of Open MPI");
            return None;
        }
        let mut launcher = Command::new("mpirun");
        // Of a root user, as in a container, Open MPI wants a word.
        for name in ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] {
            launcher.env(name, "1");
        }
        launcher.current_dir(folder.path("")).args(["--oversubscribe", "--bind-to", "none", "--quiet"]);
        Some(launcher)
    }

    /// Run a command line in each of two processes.
    fn on_two(folder: &Folder, lines: [&str; 2]) -> Option<Output> {
        let mut launcher = mpirun(folder)?;
        for (rank, line) in lines.into_iter().enumerate() {
            launcher
                .args([":"].iter().take(rank))
                .args(["-n", "1"])
                .arg(assert_cmd::cargo::cargo_bin!("rnn"));
            launcher.args(line.split_whitespace()).args(["--threads", "1"]);
        }
        Some(launcher.output().unwrap())
    }

    /// The losses of a run, one after the other.
    fn losses(folder: &Folder, bundle: &str) -> Vec<f64> {
        let lines = String::from_utf8(folder.bytes(&format!("{bundle}/metrics.jsonl"))).unwrap();
        let loss = |line: &str| serde_json::from_str::<Value>(line).unwrap()["loss"].as_f64().unwrap();
        lines.lines().map(loss).collect()
    }

    #[test]
    fn curve_is_that_of_one_process() {
        let folder = Folder::new();
        folder.write("texts.csv", records("label,text"));
        let series: String = (0..120).map(|step| format!("{step},{}\n", step % 7)).collect();
        folder.write("series.csv", format!("step,y\n{series}"));
        for (name, line) in [
            ("lm", format!("lstm --data text.txt {TINY} --state-reset 0")),
            ("classes", format!("gru --data texts.csv --label-column label --average none {TINY_SEQUENCES}")),
            (
                "forecast",
                format!(
                    "gru --data series.csv --task forecast --target y --horizon 3 --window 9 {TINY_SEQUENCES}"
                ),
            ),
        ] {
            let line = line.replace("--max-steps 3", "--max-steps 30");
            let line = format!("train {line} --dropout 0 --log-every 1 --out");
            let [one, two] = [format!("{line} {name}-1"), format!("{line} {name}-2")];
            let Some(output) = on_two(&folder, [&two, &two]) else { return };
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            folder.done(&one);
            let [found, expected] = [2, 1].map(|size| losses(&folder, &format!("{name}-{size}")));
            assert!(found.len() == expected.len() && found.len() > 30, "{name}: {} lines", found.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() <= 1e-4 * expected.abs(), "{name}: {found}, {expected}");
            }
        }
    }

    #[test]
    fn parts_of_a_text_are_those_of_one_process() {
        let folder = Folder::new();
        let line =
            |number: usize| format!("line {number} of a text {}\n", "with more words ".repeat(number % 5));
        folder.write("lines.txt", (0..400).map(line).collect::<String>());
        let state = |bundle: &str| -> Value {
            serde_json::from_slice(&folder.bytes(&format!("{bundle}/training/state.json"))).unwrap()
        };
        for tokenizer in ["char", "word", "bpe:300"] {
            let line = format!(
                "train lstm --data lines.txt --tokenizer {tokenizer} --dropout 0 --log-every 1 {TINY}"
            );
            let [one, two] = [1, 2].map(|size| format!("{tokenizer}-{size}").replace(':', "-"));
            let other = format!("{line} --out {two}");
            let Some(output) = on_two(&folder, [&other, &other]) else { return };
            assert!(output.status.success(), "{tokenizer}: {}", String::from_utf8_lossy(&output.stderr));
            folder.done(&format!("{line} --out {one}"));
            let file = |bundle: &str| folder.bytes(&format!("{bundle}/tokenizer.json"));
            assert!(file(&one) == file(&two), "{tokenizer}: the tokenizers differ");
            let fingerprint = |bundle: &str| state(bundle)["state"]["fingerprint"].clone();
            assert_eq!(fingerprint(&one), fingerprint(&two), "{tokenizer}");
            let (found, expected) = (losses(&folder, &two), losses(&folder, &one));
            assert!(found.len() == expected.len() && found.len() > 3, "{tokenizer}: {} lines", found.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() <= 1e-4 * expected.abs(),
                    "{tokenizer}: {found}, {expected}"
                );
            }
        }
    }

    #[test]
    fn a_process_that_fails_ends_both() {
        let folder = Folder::new();
        let usual = format!("train lstm --data text.txt --out m {TINY}");
        for (other, code, mentions) in [
            (usual.replace("text.txt", "none.txt"), 1, ["rank 1: none.txt", "no such file"]),
            (format!("{usual} --lr 0.5"), 1, ["rank 1 has --lr 0.5", "start every process with the same"]),
            (format!("{usual} --tokenizer word"), 1, ["rank 1 has --tokenizer word", "rank 0 has char"]),
            (format!("{usual} --seed x"), 2, ["rank 1: --seed", "x"]),
            ("train --resume m".into(), 1, ["rank 1 has the command train --resume", "rank 0 has train"]),
            ("bench reduce".into(), 1, ["rank 1 has the command bench reduce", "rank 0 has train"]),
        ] {
            let began = Instant::now();
            let Some(mut output) = on_two(&folder, [&usual, &other]) else { return };
            assert!(began.elapsed() < Duration::from_secs(20), "{other}");
            let text = String::from_utf8(output.stderr).unwrap();
            output.stderr = text.lines().filter(|line| line.starts_with("rnn: ")).collect::<String>().into();
            assert_one_line(&output, code, &mentions, &other);
            assert!(!folder.path("m").exists());
        }
    }

    #[test]
    fn sums_are_timed() {
        let folder = Folder::new();
        let line = "bench reduce --numbers 1000 --repeat 1 --reduce bf16 --json";
        let Some(output) = on_two(&folder, [line, line]) else { return };
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(found["processes"] == 2 && found["reduce_ms"].as_f64().unwrap() > 0., "{found}");
    }
}
