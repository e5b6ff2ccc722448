//! `--precision int8`, and bundles exported as int8.

use serde_json::Value;

use super::{Folder, TINY};

/// Return the loss of a bundle on the text.
fn loss(folder: &Folder, bundle: &str, flags: &str) -> f64 {
    let found = folder.done(&format!("eval {bundle} --data text.txt --json {flags}"));
    serde_json::from_str::<Value>(&found).unwrap()["loss"].as_f64().unwrap()
}

#[test]
fn every_command_that_infers_takes_int8_and_training_refuses_it() {
    let folder = Folder::new();
    folder.done(&format!("train lstm --data text.txt --out m {TINY}"));
    let (f32, int8) = (loss(&folder, "m", ""), loss(&folder, "m", "--precision int8"));
    assert!(f32 != int8 && (f32 - int8).abs() < 0.02 * f32, "{f32} and {int8}");
    for line in ["generate m --length 5 --seed 1", "score m text.txt"] {
        folder.done(&format!("{line} --precision int8"));
    }
    for work in ["layer --time 3 --batch 2", "step"] {
        let line = format!("bench {work} --model lstm --hidden 8 --repeat 1 --json");
        assert!(folder.done(&format!("{line} --precision int8")).contains("\"lstm\""), "{work}");
    }
    let refusal = ["--precision", "int8 is a precision of inference", "f32 or bf16"];
    folder.refused("train lstm --data text.txt --out n --precision int8", 2, &refusal);
    let line = "eval m --data text.txt --dynamic --precision int8";
    folder.refused(line, 2, &["--dynamic with --precision int8", "no gradients"]);
}

#[test]
fn an_int8_bundle_is_small_and_every_command_reads_it() {
    let folder = Folder::new();
    let sizes = "--hidden 120 --embedding 100 --layers 1 --batch-size 4 --bptt 8 --max-steps 3";
    folder.done(&format!("train rnnlm --data text.txt --out m {sizes}"));
    folder.done("export m --out f32 --dtype f32");
    folder.done("export m --out int8 --dtype int8");
    let sizes = ["f32", "int8"].map(|name| folder.bytes(&format!("{name}/model.safetensors")).len());
    assert!(10 * sizes[1] <= 3 * sizes[0], "{sizes:?}");
    let config: Value = serde_json::from_slice(&folder.bytes("int8/config.json")).unwrap();
    assert_eq!(config["stored"], "int8");
    // Rounding what is rounded changes nothing.
    assert_eq!(loss(&folder, "m", "--precision int8"), loss(&folder, "int8", "--precision int8"));
    let (f32, int8) = (loss(&folder, "m", ""), loss(&folder, "int8", ""));
    assert!(f32 != int8 && (f32 - int8).abs() < 0.02 * f32, "{f32} and {int8}");
    folder.done("generate int8 --length 5 --seed 1");
    folder.done("score int8 text.txt");
    // Exports of an export: unchanged, and as floats.
    folder.done("export int8 --out again");
    assert!(folder.bytes("again/model.safetensors") == folder.bytes("int8/model.safetensors"));
    folder.done("export int8 --out back --dtype f32");
    assert_eq!(loss(&folder, "back", ""), int8);
    folder.refused("train --resume int8", 1, &["no training state"]);
    folder.done("train --from int8 --data text.txt --max-steps 2 --out tuned");
    let config: Value = serde_json::from_slice(&folder.bytes("tuned/config.json")).unwrap();
    assert!(config.get("stored").is_none());
    folder.refused("export m --out n --dtype int8 --with-training", 1, &["--dtype", "--with-training"]);
}
