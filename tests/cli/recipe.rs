//! `rnn train --recipe`, and the recipe that every run leaves.

use super::{Folder, TINY};

/// As `TINY`, and what else changes a run.
const RECIPE: &str = "\
# A small model of words.
model = \"rnnlm\"
data = \"text.txt\"
hidden = 8
layers = 1
batch_size = 4
bptt = 8
max-steps = 6
dropout = 0.25
tied = true
optimizer = \"sgd\"
lr = 5
seed = 0x1F
";

/// The same in flags.
const FLAGS: &str = "rnnlm --data text.txt --hidden 8 --layers 1 --batch-size 4 --bptt 8 --max-steps 6 \
                     --dropout 0.25 --tied --optimizer sgd --lr 5 --seed 31";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("r.toml", RECIPE);
    folder
}

/// The files of a run that identify its model.
fn model(folder: &Folder, line: &str) -> (Vec<u8>, Vec<u8>) {
    folder.done(&format!("train {line} --out m --force"));
    (folder.bytes("m/model.safetensors"), folder.bytes("m/tokenizer.json"))
}

fn written(folder: &Folder, bundle: &str) -> toml::Table {
    String::from_utf8(folder.bytes(&format!("{bundle}/recipe.toml"))).unwrap().parse().unwrap()
}

#[test]
fn a_recipe_is_worth_its_flags_and_every_bundle_holds_its_own() {
    let folder = folder();
    let by_flags = model(&folder, FLAGS);
    let left = folder.bytes("m/recipe.toml");
    assert!(by_flags == model(&folder, "--recipe r.toml"));
    assert!(left == folder.bytes("m/recipe.toml"), "flags and recipe leave the same");
    folder.write("left.toml", &left);
    assert!(by_flags == model(&folder, "--recipe left.toml"));
    assert!(left == folder.bytes("m/recipe.toml"));
    let expected: toml::Table = RECIPE.replace("batch_size", "batch-size").parse().unwrap();
    assert_eq!(written(&folder, "m"), expected);
    assert!(String::from_utf8(folder.bytes("m/README.md")).unwrap().contains("](recipe.toml)"));
}

#[test]
fn a_flag_counts_more_than_the_recipe_and_is_remembered() {
    let folder = folder();
    let flags = FLAGS.replace("--tied", "--embedding 8").replace("--dropout 0.25", "--dropout 0");
    let changed = "--recipe r.toml --tied=false --embedding 8 --dropout 0";
    assert!(model(&folder, changed) == model(&folder, &flags));
    let flags = FLAGS.replace("rnnlm", "gru");
    assert!(model(&folder, "gru --recipe r.toml --tied") == model(&folder, &flags));
    model(&folder, &format!("{changed} --threads 1"));
    let left = written(&folder, "m");
    assert_eq!(left.get("threads"), None, "a machine is no setting of a run");
    assert_eq!(left["tied"].as_bool(), Some(false));
    assert_eq!((left["embedding"].as_integer(), left["dropout"].as_integer()), (Some(8), Some(0)));
    // A setting that needs another one finds it in the recipe.
    folder.write("both.toml", "model = \"gru\"\ndata = \"builtin:copy\"\nbidirectional = true\n");
    folder.done("train --recipe both.toml --merge sum --hidden 4 --max-steps 1 --out both");
    let merge = &folder.json("both/config.json")["network"]["rnn"]["bidirectional"];
    assert_eq!(merge, "sum");
}

#[test]
fn every_flag_of_training_is_a_key() {
    let folder = folder();
    let help = folder.done("train --help");
    let flags = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    let flags: Vec<&str> = flags.filter_map(|line| line.split([' ', ',', '[']).next()).collect();
    assert!(flags.len() > 30, "{flags:?}");
    for flag in flags {
        if ["recipe", "resume", "out", "force", "tensorboard"].contains(&flag) {
            folder.write("key.toml", format!("{flag} = true\n"));
            folder.refused("train lstm --recipe key.toml", 1, &[&format!("`{flag}` is not a setting"), "--"]);
        } else {
            // A date is what no flag takes, so the key is known and its value is not.
            folder.write("key.toml", format!("{} = 2000-01-01\n", flag.replace('-', "_")));
            let mention = format!("`{}` is a date; expected", flag.replace('-', "_"));
            folder.refused("train lstm --recipe key.toml", 1, &[&mention]);
        }
    }
}

#[test]
fn recipe_errors_name_file_line_and_key() {
    let folder = folder();
    for (text, mentions) in [
        ("model = \"lstm\"\nhiden = 8\n", ["line 2: `hiden`", "did you mean `hidden`?"]),
        ("model = \"lstm\"\n\nbatchsize = 8\n", ["line 3: `batchsize`", "did you mean `batch-size`?"]),
        ("hidden = \"650\"\n", ["line 1: `hidden`", "expected a whole number from 1 to"]),
        ("hidden = 6.5\n", ["`hidden` is 6.5", "expected a whole number from 1 to"]),
        ("hidden = 0\n", ["`hidden` is 0", "expected a whole number from 1 to"]),
        ("seed = -1\n", ["`seed` is -1", "expected a whole number from 0 to "]),
        ("dropout = 1.5\n", ["`dropout` is 1.5", "expected a number of at least 0 and below 1"]),
        ("lr = \"fast\"\n", ["`lr` is the text \"fast\"", "expected a number of at least 0"]),
        ("lr = nan\n", ["`lr` is nan", "expected a number of at least 0"]),
        ("tied = 1\n", ["`tied` is 1", "expected true or false"]),
        ("data = 5\n", ["`data` is 5", "expected text in quotes"]),
        ("task = \"sing\"\n", ["`task` is the text \"sing\"", "lm, classify, tag, forecast"]),
        ("optimizer = \"lion\"\n", ["`optimizer` is the text \"lion\"", "adamw"]),
        ("bptt = [1, 2]\n", ["`bptt` is a list", "expected a whole number of at least 1"]),
        ("[network]\nhidden = 8\n", ["line 1: `network` is a table", "without a heading"]),
        ("hidden = 8\nnhid = 8\n", ["line 2: `nhid` is set already, in line 1", "keep one"]),
        ("hidden = 8\nhidden = 9\n", ["line 2: is not TOML", "duplicate key"]),
        ("hidden =\n", ["line 1: is not TOML", "value"]),
        ("hidden = 8\n", ["names no model", "model = \"lstm\""]),
    ] {
        folder.write("bad.toml", text);
        let model = if text.contains("model") || text == "hidden = 8\n" { "" } else { "lstm" };
        let mentions = ["bad.toml: ", mentions[0], mentions[1]];
        folder.refused(&format!("train {model} --recipe bad.toml --out z {TINY}"), 1, &mentions);
    }
    folder.write("bad.toml", [b'a', 0xff]);
    folder.refused("train lstm --recipe bad.toml", 1, &["bad.toml: cannot be read"]);
    folder.refused("train lstm --recipe nothing.toml", 1, &["nothing.toml: cannot be read"]);
    // What only the whole of the flags shows is wrong: the file is named too.
    folder.write("bad.toml", "model = \"gru\"\nprojection = 4\n");
    folder.refused("train --recipe bad.toml", 2, &["bad.toml: --projection", "belongs to lstm"]);
    folder.refused("train lstm --recipe bad.toml --projection 400", 2, &["rnn: --projection: 400"]);
    folder.write("bad.toml", "hidden = 8\n");
    folder.refused("train --from m --recipe bad.toml", 2, &["--hidden", "the settings of bad.toml"]);
    folder.refused("train --recipe r.toml --resume m", 2, &["--resume", "--recipe"]);
}

/// The evaluation interval of the run in that bundle, as in a recipe.
fn every(folder: &Folder, bundle: &str) -> String {
    match &folder.json(&format!("{bundle}/training/state.json"))["state"]["options"]["eval_every"] {
        serde_json::Value::Null => "epoch".into(),
        steps => steps.to_string(),
    }
}

#[test]
fn a_run_with_another_length_leaves_the_recipe_of_the_whole() {
    let folder = folder();
    folder.write("r.toml", RECIPE.replace("optimizer", "schedule = \"constant\"\noptimizer"));
    folder.done("train --recipe r.toml --out parts");
    let before = folder.bytes("parts/recipe.toml");
    folder.done("train --resume parts");
    assert!(folder.bytes("parts/recipe.toml") == before);
    folder.done("train --resume parts --max-steps 11");
    let left = written(&folder, "parts");
    assert_eq!(left["max-steps"].as_integer(), Some(11));
    assert_eq!(left["hidden"].as_integer(), Some(8));
    folder.done("train --recipe parts/recipe.toml --out whole");
    assert!(
        folder.bytes("whole/training/last.safetensors") == folder.bytes("parts/training/last.safetensors")
    );
    folder.done("train --resume parts --epochs 2");
    let left = written(&folder, "parts");
    assert_eq!((left["epochs"].as_integer(), left.get("max-steps")), (Some(2), None));
    // How often a run is evaluated depends on the kind of its length: the recipe says what it was.
    assert_eq!(left["eval-every"].to_string().trim_matches('"'), every(&folder, "parts"));
    folder.done("train --recipe parts/recipe.toml --out again");
    assert_eq!(every(&folder, "again"), every(&folder, "parts"));
    // Bundles from before there were recipes go on without one.
    std::fs::remove_file(folder.path("parts/recipe.toml")).unwrap();
    folder.done("train --resume parts --epochs 3");
    assert!(!folder.path("parts/recipe.toml").exists());
}
