//! `rnn train` and its bundles: every model, aliases of flags, the choice of the best checkpoint.

use serde_json::{Value, json};

use super::{Folder, TINY, TINY_SEQUENCES, text};

/// The answer of `rnn eval --json`.
fn scores(folder: &Folder, bundle: &str, data: &str) -> Value {
    serde_json::from_str(&folder.done(&format!("eval {bundle} --data {data} --split all --json"))).unwrap()
}

#[test]
fn every_model_trains_is_listed_evaluates_and_generates() {
    let folder = Folder::new();
    // A character model has every line end as a target, a word model an <eos> for each.
    let (characters, words) = (text().chars().count(), text().split_whitespace().count() + 200);
    for (model, targets) in
        [("simple-rnn", characters), ("lstm", characters), ("gru", characters), ("rnnlm", words)]
    {
        folder.done(&format!("train {model} --data text.txt --out {model} {TINY}"));
        let found = scores(&folder, model, "text.txt");
        assert_eq!(found["tokens"], targets, "{model}: {found}");
        assert_eq!((&found["task"], &found["split"]), (&json!("lm"), &json!("all")));
        let number =
            |key: &str| found[key].as_f64().unwrap_or_else(|| panic!("{model}: no {key} in {found}"));
        let loss = number("loss");
        assert!(loss > 1. && loss < 5., "{model}: {found}");
        assert!((number("perplexity") / loss.exp() - 1.).abs() < 1e-12, "{model}: {found}");
        assert!((number("bits_per_token") * std::f64::consts::LN_2 / loss - 1.).abs() < 1e-12);
        assert!((number("tokens_per_second") * number("seconds") / targets as f64 - 1.).abs() < 1e-6);
        let said = folder.done(&format!("generate {model} --length 20 --ignore-eos"));
        assert!(said.len() > 20, "{model}: {said}");
        let person = folder.done(&format!("eval {model} --data text.txt --split all"));
        assert!(person.starts_with(&format!("all: {targets} ")) && person.contains("perplexity"), "{person}");
    }
    let listed: Value = serde_json::from_str(&folder.done("list --json")).unwrap();
    let names = |key: &str, name: &str| -> Vec<String> {
        let entries = listed[key].as_array().unwrap().iter();
        entries.map(|entry| entry[name].as_str().unwrap_or_default().to_string()).collect()
    };
    assert_eq!(names("models", "name"), ["simple-rnn", "lstm", "gru", "rnnlm"]);
    assert_eq!(names("bundles", "path"), ["gru", "lstm", "rnnlm", "simple-rnn"]);
    assert_eq!(names("bundles", "model"), ["gru", "lstm", "rnnlm", "simple-rnn"]);
    assert_eq!(
        listed["data"],
        json!(["builtin:story", "builtin:reber", "builtin:adding", "builtin:copy", "builtin:dates"])
    );
    let list = folder.done("list");
    assert!(list.contains("simple-rnn") && list.contains("Bundles here:"), "{list}");
}

#[test]
fn bundle_is_complete_and_the_next_commands_are_printed() {
    let folder = Folder::new();
    let line = format!("train gru --data text.txt --out a/deep/m {TINY}");
    let output = folder.rnn(&line).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.stdout.is_empty(), "standard output is for answers");
    assert!(said.contains("rnn generate a/deep/m") && said.contains("rnn eval a/deep/m"), "{said}");
    for name in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "README.md",
        "recipe.toml",
        "curve.svg",
        "training/state.json",
    ] {
        assert!(!folder.bytes(&format!("a/deep/m/{name}")).is_empty(), "{name}");
    }
    assert!(String::from_utf8(folder.bytes("a/deep/m/README.md")).unwrap().contains(&format!("rnn {line}")));
    let metrics = String::from_utf8(folder.bytes("a/deep/m/metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    let valid = last["loss"].as_f64().unwrap();
    assert_eq!((&last["step"], &last["split"]), (&json!(3), &json!("valid")));
    assert!((last["perplexity"].as_f64().unwrap() / valid.exp() - 1.).abs() < 1e-12);
}

#[test]
fn training_lowers_the_loss() {
    let folder = Folder::new();
    let train = "train lstm --data text.txt --hidden 16 --batch-size 8 --bptt 16 --lr 0.03 --clip 5";
    folder.done(&format!("{train} --max-steps 1 --out begun"));
    folder.done(&format!("{train} --max-steps 120 --eval-every 40 --out done"));
    let loss = |bundle| scores(&folder, bundle, "text.txt")["loss"].as_f64().unwrap();
    let (begun, done) = (loss("begun"), loss("done"));
    assert!(done < 0.6 * begun, "from {begun} to {done} nats");
}

#[test]
fn same_command_makes_the_same_bytes() {
    let folder = Folder::new();
    let train = |out: &str, more: &str| {
        folder.done(&format!("train lstm --data text.txt --dropout 0.2 --out {out} {TINY} {more}"));
        folder.bytes(&format!("{out}/model.safetensors"))
    };
    let first = train("first", "");
    assert!(first == train("second", ""));
    assert!(first == train("threads", "--threads 1"), "the number of threads has changed the parameters");
    assert!(first != train("other", "--seed 2"));
}

#[test]
fn flags_have_the_names_of_other_tools_as_aliases() {
    let folder = Folder::new();
    let own = "--embedding 6 --hidden 9 --layers 2 --batch-size 3 --bptt 7 --max-steps 2 --lr 0.01 --clip 2";
    let others = [
        // PyTorch's word_language_model and its descendants.
        "--emsize 6 --nhid 9 --nlayers 2 --bs 3 --seq-len 7 --steps 2 --lr 0.01 --grad-clip 2",
        // char-rnn and torch-rnn.
        "--input-encoding-size 6 --rnn_size 9 --num_layers 2 --batch_size 3 --seq_length 7 --max-steps 2 \
         --learning_rate 0.01 --grad_clip 2",
        "--embedding-size 6 --rnn-size 9 --num-layers 2 --batch_size 3 --seq-length 7 --max-steps 2 \
         --learning-rate 0.01 --clip 2",
        "--embedding 6 --hidden_size 9 --nlayers 2 --batch-size 3 --bptt 7 --max-steps 2 --lr 0.01 --clip 2",
        "--embedding 6 --hidden-size 9 --layers 2 --batch-size 3 --bptt 7 --max-steps 2 --lr 0.01 --clip 2",
    ];
    let weights = |flags: &str, input: &str| {
        folder.done(&format!("train rnnlm {input} text.txt --out m --force {flags}"));
        folder.bytes("m/model.safetensors")
    };
    let expected = weights(own, "--data");
    let rnn = &folder.json("m/config.json")["network"]["rnn"];
    assert_eq!(
        (&rnn["input_size"], &rnn["hidden_size"], &rnn["num_layers"]),
        (&json!(6), &json!(9), &json!(2))
    );
    for flags in others {
        assert!(weights(flags, "--input") == expected, "{flags}");
    }
    let help = folder.done("train --help");
    assert!(!help.contains("--nhid") && !help.contains("--rnn_size"), "the other names are hidden");
}

#[test]
fn every_choice_of_network_and_optimizer_trains() {
    let folder = Folder::new();
    for flags in [
        "rnnlm --tied --cell gru --dropout 0.3 --locked-dropout",
        "rnnlm --cell simple-rnn --nonlinearity relu --embedding-dropout 0.1",
        "lstm --projection 4 --forget-bias 1 --init keras --layer-norm",
        "lstm --tied --projection 6 --chrono 20 --recurrent-dropout 0.2 --zoneout 0.1",
        "gru --reset before --chrono 20 --weight-drop 0.2 --optimizer adamw --weight-decay 0.1",
        "rnnlm --tied --embedding 6 --ar 2 --tar 1 --label-smoothing 0.1 --betas 0.9,0.99 --average ema:0.9",
        "lstm --vary-bptt --state-reset 0.5 --accumulate 2 --average swa:0.5 --weight-drop 0.5",
        "gru --optimizer sgd --average nt-asgd:1 --eval-every 1 --lr 5",
        "gru --optimizer sgd --momentum 0.9 --schedule plateau --gamma 0.5 --lr 1",
        "simple-rnn --optimizer rmsprop --schedule one-cycle --early-stop 1 --eval-every 2",
        "simple-rnn --schedule cosine --warmup 2 --lowercase --max-vocab 12",
        "lstm --schedule step --gamma 0.5 --valid-fraction 0 --test-fraction 0.2",
    ] {
        let sizes = "--hidden 8 --layers 2 --batch-size 4 --bptt 8 --max-steps 4";
        folder.done(&format!("train {flags} --data text.txt --out m --force {sizes}"));
        let loss = scores(&folder, "m", "text.txt")["loss"].as_f64().unwrap();
        assert!(loss.is_finite() && loss < 8., "{flags}: {loss}");
    }
}

/// Texts of which three in ten have the wrong class, so that the loss and the accuracy choose different checkpoints.
fn noisy(folder: &Folder) {
    let record = |n: usize| {
        let label = if (302 * n * n + n / 7) % 101 % 10 < 3 { 1 - n % 2 } else { n % 2 };
        format!("{},{} {} {}\n", ["no", "yes"][label], ["ab", "cd"][n % 2], n % 13, (n * n) % 17)
    };
    let records = |from: usize, to: usize| (from..to).map(record).collect::<String>();
    for (name, from, to) in [("train", 0, 120), ("valid", 120, 180)] {
        folder.write(&format!("data/{name}.csv"), format!("label,text\n{}", records(from, to)));
    }
}

const NOISY: &str = "train gru --bidirectional=false --data data --text-column text --label-column label --hidden 16 --embedding 8 --dropout 0 \
                     --batch-size 12 --lr 0.02 --schedule constant --epochs 12 --eval-every 5 --average none --readout last \
                     --seed 4";

/// The reports of a bundle on its validation split.
fn validations(folder: &Folder, bundle: &str) -> Vec<Value> {
    let lines = String::from_utf8(folder.bytes(&format!("{bundle}/metrics.jsonl"))).unwrap();
    let reports = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    reports.filter(|report| report["split"] == "valid").collect()
}

#[test]
fn metric_chooses_the_checkpoint_and_early_stopping_follows_it() {
    let folder = Folder::new();
    noisy(&folder);
    let mut steps = vec![];
    for (metric, key, sign) in
        [("loss", "loss", -1.), ("accuracy", "accuracy", 1.), ("macro-f1", "macro_f1", 1.)]
    {
        folder.done(&format!("{NOISY} --metric {metric} --out {metric}"));
        let value = |report: &Value| sign * report[key].as_f64().unwrap();
        let reports = validations(&folder, metric);
        let best = reports.iter().map(value).fold(f64::NEG_INFINITY, f64::max);
        let kept = &folder.json(&format!("{metric}/training/state.json"))["state"]["progress"]["best"];
        let report = reports.iter().find(|report| report["step"] == kept["step"]).unwrap();
        assert_eq!((value(report), report["loss"].as_f64()), (best, kept["loss"].as_f64()), "{metric}");
        // The bundle's parameters are those of that step.
        let scores =
            folder.done(&format!("eval {metric} --data data --split valid --label-column label --json"));
        let scores: Value = serde_json::from_str(&scores).unwrap();
        assert!((value(&scores) - best).abs() < 1e-6, "{metric}: {scores}");
        steps.push(kept["step"].as_u64().unwrap());
        let recipe = String::from_utf8(folder.bytes(&format!("{metric}/recipe.toml"))).unwrap();
        assert!(recipe.contains(&format!("metric = \"{metric}\"")), "{recipe}");
    }
    assert_ne!(steps[0], steps[1], "the data does not tell the metrics apart");
    // The list shows the loss of the parameters that are kept, which is not the least of the run.
    let listed: Value = serde_json::from_str(&folder.done("list --json")).unwrap();
    let listed = listed["bundles"].as_array().unwrap().iter().find(|b| b["path"] == "accuracy").unwrap();
    let kept = &folder.json("accuracy/training/state.json")["state"]["progress"]["best"]["loss"];
    assert_eq!(&listed["valid_loss"], kept);
    folder.done(&format!("{NOISY} --metric accuracy --early-stop 1 --out early"));
    let worse = |pair: &[Value]| {
        let [before, after] = [&pair[0], &pair[1]]
            .map(|report| (report["accuracy"].as_f64(), -report["loss"].as_f64().unwrap()));
        after <= before
    };
    let reports = validations(&folder, "early");
    let stopped = reports.windows(2).position(worse).expect("accuracy rises to the end");
    assert_eq!(reports.len(), stopped + 2);
}

#[test]
fn metric_is_kept_on_resume() {
    let folder = Folder::new();
    noisy(&folder);
    folder.done(&format!("{NOISY} --metric accuracy --max-steps 100 --out whole"));
    folder.done(&format!("{NOISY} --metric accuracy --max-steps 35 --out parts"));
    folder.done("train --resume parts --epochs 12 --max-steps 100");
    for name in ["model.safetensors", "training/best.safetensors"] {
        assert!(folder.bytes(&format!("parts/{name}")) == folder.bytes(&format!("whole/{name}")), "{name}");
    }
    let [parts, whole] = ["parts", "whole"].map(|bundle| {
        folder.json(&format!("{bundle}/training/state.json"))["state"]["progress"]["best"].clone()
    });
    assert_eq!(parts, whole);
}

#[test]
fn metric_that_the_task_does_not_have_is_refused() {
    let folder = Folder::new();
    noisy(&folder);
    for (line, mentions) in [
        (format!("{NOISY} --metric f1 --out m"), ["--metric", "--task classify", "loss, accuracy, macro-f1"]),
        (
            format!("train lstm --data text.txt --metric mae --out m {TINY}"),
            ["--metric", "--task lm", "loss"],
        ),
        (
            format!("train gru --data builtin:adding --metric accuracy --out m {TINY_SEQUENCES}"),
            ["--metric", "mae", "smape"],
        ),
    ] {
        folder.refused(&line, 2, &mentions);
    }
}

/// The split and the step of each report of a bundle.
fn reports(folder: &Folder, bundle: &str) -> Vec<(String, u64)> {
    let lines = String::from_utf8(folder.bytes(&format!("{bundle}/metrics.jsonl"))).unwrap();
    let report = |line: &str| {
        let report: Value = serde_json::from_str(line).unwrap();
        (report["split"].as_str().unwrap().to_string(), report["step"].as_u64().unwrap())
    };
    lines.lines().map(report).collect()
}

#[test]
fn every_run_reports_its_last_training_loss() {
    let folder = Folder::new();
    let run = "train gru --data text.txt --hidden 8 --batch-size 4 --bptt 8 --schedule constant";
    folder.done(&format!("{run} --max-steps 3 --out m"));
    assert_eq!(reports(&folder, "m"), [("train".to_string(), 3), ("valid".to_string(), 3)]);
    let run = format!("{run} --valid-fraction 0 --log-every 8");
    folder.done(&format!("{run} --max-steps 5 --out parts"));
    assert_eq!(reports(&folder, "parts"), [("train".to_string(), 5)]);
    folder.done("plot parts");
    // The report at the end does not end the interval of a longer run.
    folder.done("train --resume parts --max-steps 8");
    folder.done(&format!("{run} --max-steps 8 --out whole"));
    let loss = |bundle: &str| {
        let lines = String::from_utf8(folder.bytes(&format!("{bundle}/metrics.jsonl"))).unwrap();
        serde_json::from_str::<Value>(lines.lines().last().unwrap()).unwrap()["loss"].clone()
    };
    assert_eq!((reports(&folder, "whole"), loss("whole")), (vec![("train".to_string(), 8)], loss("parts")));
}

#[test]
fn help_says_the_defaults_of_training() {
    let folder = Folder::new();
    let help = folder.done("train --help");
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for default in [
        "[default: epoch; for a language model without --epochs every 250 steps where an epoch is shorter, and every 400 \
         of builtin:story]",
        "after the last step [default: 100]",
        "Units of each recurrent layer [default: chosen by the task]",
        "Sequences in a batch [default: chosen by the task]",
    ] {
        assert!(help.contains(default), "{default}\n{help}");
    }
}
