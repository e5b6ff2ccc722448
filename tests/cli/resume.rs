//! `rnn train --resume`: a resumed run ends with the bytes of an uninterrupted one.

use serde_json::{Value, json};

use super::{Folder, TINY, assert_one_line, records, text};

/// Flags that make a run of milliseconds from another bundle.
const TINY_FROM: &str = "--batch-size 4 --bptt 8 --max-steps 1";

/// A language model with dropout, Adam, carried state and evaluations between epochs.
const RUN: &str = "train rnnlm --data text.txt --hidden 12 --embedding 8 --layers 2 --dropout 0.3 --optimizer adam \
                   --batch-size 4 --bptt 8 --eval-every 30 --log-every 7";

#[cfg(unix)]
#[test]
fn a_run_that_ctrl_c_stopped_ends_with_the_bytes_of_one_left_alone() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};

    let folder = Folder::new();
    folder.done(&format!("{RUN} --epochs 10 --out whole"));

    let mut run = Command::new(assert_cmd::cargo::cargo_bin!("rnn"));
    run.current_dir(folder.path(".")).args(format!("{RUN} --epochs 10 --out halves").split_whitespace());
    let mut run = run.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("step     14 ") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "the run ended before its 14th step");
    }
    Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130), "{rest}");
    let last = rest.lines().last().unwrap();
    assert!(last.ends_with("continue with: rnn train --resume halves"), "{rest}");
    let step = folder.json("halves/training/state.json")["state"]["progress"]["step"].as_u64().unwrap();
    assert!(last.contains(&format!("after step {step};")) && step >= 14, "{rest}");

    assert!(folder.bytes("halves/model.safetensors") != folder.bytes("whole/model.safetensors"));
    folder.done("train --resume halves");
    for name in ["model.safetensors", "training/last.safetensors", "training/optimizer.safetensors"] {
        assert!(folder.bytes(&format!("halves/{name}")) == folder.bytes(&format!("whole/{name}")), "{name}");
    }
    let whole = reports(&folder, "whole");
    assert_eq!(reports(&folder, "halves"), whole);
    // The steps before an evaluation are in a report.
    let steps = |split: &str| {
        whole.iter().filter(|line| line["split"] == *split).map(|line| &line["step"]).collect::<Vec<_>>()
    };
    let trained = steps("train");
    assert!(steps("valid").iter().all(|step| trained.contains(step)), "{whole:?}");
}

/// The lines of `metrics.jsonl` without times and speeds.
fn reports(folder: &Folder, bundle: &str) -> Vec<Value> {
    let lines = String::from_utf8(folder.bytes(&format!("{bundle}/metrics.jsonl"))).unwrap();
    let report = |line: &str| {
        let mut report: Value = serde_json::from_str(line).unwrap();
        for name in ["seconds", "tokens_per_second"] {
            report.as_object_mut().unwrap().remove(name).unwrap();
        }
        report
    };
    lines.lines().map(report).collect()
}

#[test]
fn a_run_can_be_lengthened() {
    let folder = Folder::new();
    let run = format!("{RUN} --schedule constant");
    folder.done(&format!("{run} --max-steps 50 --out whole"));
    folder.done(&format!("{run} --max-steps 20 --out parts"));
    folder.done("train --resume parts --max-steps 35 --threads 1");
    folder.done("train --resume parts --max-steps 50 --device cpu");
    assert!(folder.bytes("parts/model.safetensors") == folder.bytes("whole/model.safetensors"));
    let steps = |name| {
        let metrics = String::from_utf8(folder.bytes(name)).unwrap();
        let trained = metrics.lines().filter(|line| line.contains("\"train\""));
        trained.map(|line| line.split(',').next().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(steps("parts/metrics.jsonl").last(), steps("whole/metrics.jsonl").last());
    // Once it is done, there is nothing to add.
    let finished = folder.snapshot();
    let output = folder.rnn("train --resume parts").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("parts is finished: its 50 steps are done"), "{said}");
    assert!(folder.snapshot() == finished);
}

#[test]
fn a_run_that_stopped_early_has_ended() {
    let folder = Folder::new();
    let run = "train lstm --data text.txt --hidden 8 --batch-size 4 --bptt 8 --optimizer sgd --lr 1e-30";
    let stopped =
        folder.rnn(&format!("{run} --epochs 9 --eval-every 5 --early-stop 2 --out m")).output().unwrap();
    assert!(String::from_utf8(stopped.stderr).unwrap().contains("stopped early"));
    let before = folder.snapshot();
    let again = folder.rnn("train --resume m").output().unwrap();
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(again.status.success() && said.contains("m stopped early"), "{said}");
    folder.refused("train --resume m --epochs 20", 2, &["--resume", "stopped early", "--from m"]);
    assert!(folder.snapshot() == before);
}

#[test]
fn examples_are_resumed_as_well() {
    let folder = Folder::new();
    folder.write("a.csv", records("label,text"));
    let run = "train gru --data a.csv --label-column label --hidden 8 --batch-size 4 --schedule constant";
    folder.done(&format!("{run} --max-steps 40 --out whole"));
    folder.done(&format!("{run} --max-steps 17 --out parts"));
    folder.done("train --resume parts --max-steps 40");
    assert!(folder.bytes("parts/model.safetensors") == folder.bytes("whole/model.safetensors"));
}

#[test]
fn only_a_runs_length_device_and_threads_can_change() {
    let folder = Folder::with_model();
    for flag in [
        "lstm",
        "--from m",
        "--out n",
        "--force",
        "--data text.txt",
        "--task lm",
        "--tokenizer char",
        "--hidden 16",
        "--tied",
        "--dropout 0.1",
        "--lr 0.1",
        "--seed 2",
        "--optimizer sgd",
        "--schedule constant",
        "--batch-size 2",
        "--eval-every 1",
    ] {
        let name = if flag == "lstm" { "MODEL" } else { flag.split(' ').next().unwrap() };
        folder.refused(&format!("train --resume m {flag}"), 2, &["--resume", name]);
    }
    folder.refused("train --resume m --max-steps 2", 2, &["--max-steps", "3 steps"]);
    folder.done("train --resume m --max-steps 400");
    folder.refused("train --resume m --epochs 1", 2, &["--epochs", "2 epochs"]);
}

#[test]
fn non_runs_are_refused() {
    let folder = Folder::with_model();
    folder.write("empty/README.md", "");
    std::fs::remove_dir_all(folder.path("m/training")).unwrap();
    for (line, mentions) in [
        ("train --resume nothing", ["nothing", "rnn train"]),
        ("train --resume text.txt", ["text.txt", "a bundle is a folder"]),
        ("train --resume empty", ["empty", "config.json"]),
        ("train --resume m", ["m: ", "cannot be resumed; `rnn train --from BUNDLE` starts"]),
    ] {
        folder.refused(line, 1, &mentions);
    }
}

#[test]
fn a_state_that_is_damaged_is_refused() {
    let folder = Folder::with_model();
    let state = folder.json("m/training/state.json");
    for (pointer, value, mention) in [
        ("/state/options/batch_size", json!(0), "state.json: is not the state of a run: --batch-size"),
        ("/state/options/bptt", json!(0), "--bptt"),
        ("/state/options/accumulate", json!(0), "--accumulate"),
        ("/state/options/lr", json!(-5.), "--lr"),
        ("/state/options/clip", json!(-1.), "--clip"),
        ("/state/options/eval_every", json!(0), "--eval-every"),
        ("/state/options/epochs", json!(0), "--epochs"),
        ("/state/options/average", json!({"name": "ema", "decay": -3.}), "--average"),
        ("/state/options/schedule", json!({"name": "step", "every": 0, "gamma": 0.5}), "every is 0"),
        ("/state/progress/scheduler/base", json!(-1), "learning rate"),
        (
            "/state/progress/batch",
            json!(9999),
            "state.json: is not the state of a run: `progress.batch` is 9999; expected",
        ),
        ("/state/progress/seconds", json!(-1), "`progress.seconds` is -1"),
        (
            "/state/progress/step",
            json!(1_000_000),
            "`progress.step` is 1000000; expected at most 3, the steps of the run; the run cannot be resumed",
        ),
        ("/state/progress/epoch", json!(7), "`progress.epoch` is 7; expected at most 3, the steps"),
        ("/state/progress/without_improvement", json!(99), "`progress.without_improvement` is 99"),
        ("/state/progress/best", json!({"step": 9, "loss": 2.}), "`progress.best.step` is 9"),
        (
            "/state/options/metric",
            json!("beauty"),
            "state.json: is not the state of a run: --metric: --task lm has no \"beauty\"",
        ),
    ] {
        let mut damaged = state.clone();
        *damaged.pointer_mut(pointer).unwrap() = value;
        folder.write("m/training/state.json", damaged.to_string());
        folder.refused("train --resume m --max-steps 6", 1, &[mention]);
    }
    // The log-likelihood of a density may be above 0, and its loss below.
    let mut likely = state.clone();
    likely["state"]["progress"]["first_loss"] = json!(-2.5);
    likely["state"]["progress"]["best"] = json!({"step": 1, "loss": -2.});
    folder.write("m/training/state.json", likely.to_string());
    folder.done("train --resume m --max-steps 6");
}

#[test]
fn data_that_has_changed_is_noticed_before_a_step_is_taken() {
    let folder = Folder::with_model();
    let resume = "train --resume m --max-steps 6";
    for (changed, what) in
        [(text() + "one more\n", "longer"), (text().replace("cat", "dog"), "as long as before")]
    {
        folder.write("text.txt", changed);
        let before = folder.snapshot();
        let output = folder.rnn(resume).output().unwrap();
        assert_one_line(&output, 1, &["text.txt", "has changed", "restore it"], what);
        assert!(folder.snapshot() == before, "{what}");
    }
    std::fs::remove_file(folder.path("text.txt")).unwrap();
    folder.refused(resume, 1, &["text.txt: no such file", "resume in the folder"]);
    folder.write("text.txt", text());
    folder.done(resume);
}

#[test]
fn damaged_model_of_a_run_is_written_again() {
    let folder = Folder::with_model();
    let (whole, metrics) = (folder.bytes("m/model.safetensors"), folder.bytes("m/metrics.jsonl"));
    for damaged in [whole[..whole.len() / 2].to_vec(), [&whole[..whole.len() - 4], &[0xff; 4][..]].concat()] {
        folder.write("m/model.safetensors", damaged);
        folder.refused("generate m", 1, &["m/model.safetensors"]);
        let output = folder.rnn("train --resume m").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.contains("m/model.safetensors: "), "{said}");
        assert!(said.contains("written again") && said.contains("m is finished"), "{said}");
        assert!(folder.bytes("m/model.safetensors") == whole);
        assert!(folder.bytes("m/metrics.jsonl") == metrics, "no line is added");
    }
    folder.done("generate m");
}

#[test]
fn damaged_training_state_does_not_keep_the_model_from_being_used() {
    let folder = Folder::with_model();
    for state in [&b"{\"metrics_li"[..], b"{}", b"{\"metrics_lines\": 0, \"state\": {}}"] {
        folder.write("m/training/state.json", state);
        let mentions = ["m/training/state.json: is ", "the model can be used", "rnn train --from"];
        folder.refused("train --resume m", 1, &mentions);
        folder.done("eval m --data text.txt");
        folder.done(&format!("train --from m --data text.txt --out n --force {TINY_FROM}"));
    }
}

#[test]
fn training_state_that_does_not_belong_to_the_model_is_named() {
    let folder = Folder::with_model();
    folder.done(&format!("train rnnlm --data text.txt --out other {TINY}"));
    let files = ["last.safetensors", "optimizer.safetensors", "carry.safetensors", "state.json"];
    for name in files {
        let file = format!("m/training/{name}");
        let whole = folder.bytes(&file);
        let foreign = folder.bytes(&format!("other/training/{name}"));
        for (content, what) in
            [(&whole[..whole.len() / 2], "cut short"), (b"{}", "foreign"), (&foreign, "other")]
        {
            // A carried state of the same sizes, and options and data of the same kind, do belong.
            if what == "other" && matches!(name, "carry.safetensors" | "state.json") {
                continue;
            }
            folder.write(&file, content);
            folder.refused("train --resume m --max-steps 5", 1, &[&file]);
        }
        std::fs::remove_file(folder.path(&file)).unwrap();
        folder.refused(
            "train --resume m --max-steps 5",
            1,
            &[if name == "state.json" { "m: " } else { &file }],
        );
        folder.write(&file, whole);
    }
    folder.done("train --resume m --max-steps 5");
}

#[test]
fn data_of_the_run_in_another_folder_is_said() {
    let folder = Folder::with_model();
    folder.write("other/note.txt", "another folder");
    let mut resume = folder.rnn("train --resume ../m --max-steps 6");
    let output = resume.current_dir(folder.path("other")).output().unwrap();
    let mentions = ["text.txt: ", "no such file", "resume in the folder in which the run was started"];
    assert_one_line(&output, 1, &mentions, "resume elsewhere");
}

#[cfg(unix)]
#[test]
fn what_a_killed_run_leaves_behind_is_taken_over() {
    let folder = Folder::new();
    let line = "train lstm --data text.txt --out m --hidden 8 --embedding 8 --layers 1 --batch-size 4 --bptt 8 \
                --max-steps 1000000 --eval-every 1 --log-every 1000";
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("rnn"));
    command.current_dir(folder.path("")).args(line.split_whitespace()).stderr(std::process::Stdio::null());
    let mut run = command.spawn().unwrap();
    while !folder.path("m/config.json").exists() {
        assert!(run.try_wait().unwrap().is_none(), "the run has ended");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    // A save that was killed half-way.
    folder.write(&format!(".m.partial-{}/config.json", run.id()), "{");
    assert!(folder.path(".m.lock").exists());
    let step = folder.json("m/training/state.json")["state"]["progress"]["step"].as_u64().unwrap();
    folder.done(&format!("train --resume m --max-steps {}", step + 1));
    let names = std::fs::read_dir(folder.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["m", "text.txt"]);
}
