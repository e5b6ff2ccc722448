//! Training as one of several processes. `scripts/distributed/check` drives builds with MPI.

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
