//! `rnn export`: exports give the same results, are smaller, and detect damage.

use candle_core::{DType, Device};
use rnn_zoo::bundle::read_tensors;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Folder, TINY};

fn loss(folder: &Folder, bundle: &str) -> f64 {
    let scores: Value =
        serde_json::from_str(&folder.done(&format!("eval {bundle} --data text.txt --json"))).unwrap();
    scores["loss"].as_f64().unwrap()
}

#[test]
fn export_gives_the_same_results_and_lists_its_files() {
    let folder = Folder::with_model();
    folder.done("export m --out slim");
    for name in
        ["model.safetensors", "config.json", "tokenizer.json", "metrics.jsonl", "recipe.toml", "curve.svg"]
    {
        assert!(folder.bytes(&format!("slim/{name}")) == folder.bytes(&format!("m/{name}")), "{name}");
    }
    assert!(!folder.path("slim/training").exists());
    assert_eq!(loss(&folder, "slim"), loss(&folder, "m"));
    let generate = |bundle: &str| folder.done(&format!("generate {bundle} --length 30 --seed 3"));
    assert_eq!(generate("slim"), generate("m"));
    let sums = String::from_utf8(folder.bytes("slim/SHA256SUMS")).unwrap();
    let listed: Vec<(String, String)> = sums
        .lines()
        .map(|line| line.split_once("  ").map(|(sum, name)| (name.to_string(), sum.to_string())).unwrap())
        .collect();
    let files = std::fs::read_dir(folder.path("slim")).unwrap();
    let mut files: Vec<String> =
        files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.retain(|name| name != "SHA256SUMS");
    files.sort();
    assert_eq!(listed.iter().map(|(name, _)| name).collect::<Vec<_>>(), files.iter().collect::<Vec<_>>());
    for (name, sum) in listed {
        let digest = Sha256::digest(folder.bytes(&format!("slim/{name}")));
        assert_eq!(digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), sum, "{name}");
    }
    let card = String::from_utf8(folder.bytes("slim/README.md")).unwrap();
    assert!(card.starts_with(&String::from_utf8(folder.bytes("m/README.md")).unwrap()), "{card}");
    assert!(card.contains("from `m`: parameters in f32, without training state"), "{card}");
}

#[test]
fn half_precision_is_half_the_size_and_loads_as_f32() {
    let folder = Folder::with_model();
    let before = read_tensors(&folder.path("m/model.safetensors"), &Device::Cpu).unwrap();
    let size = |bundle: &str| folder.bytes(&format!("{bundle}/model.safetensors")).len() as f64;
    for (name, dtype, digits) in [("f16", DType::F16, 11), ("bf16", DType::BF16, 8)] {
        folder.done(&format!("export m --out {name} --dtype {name}"));
        let stored = read_tensors(&folder.path(&format!("{name}/model.safetensors")), &Device::Cpu).unwrap();
        assert!(stored.keys().eq(before.keys()));
        for (key, tensor) in &stored {
            assert_eq!(tensor.dtype(), dtype, "{key}");
            let values = |tensor: &candle_core::Tensor| {
                tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
            };
            for (stored, before) in values(tensor).into_iter().zip(values(&before[key])) {
                // Rounded to the nearest number with that many bits; below 2^-14 f16 has fewer.
                let near = before.abs().max(2f64.powi(-14)) * 2f64.powi(-digits);
                assert!((stored - before).abs() <= near, "{key}: {stored} for {before}");
            }
        }
        assert!(size(name) < 0.75 * size("m"), "{name}: {} of {}", size(name), size("m"));
        let (rounded, whole) = (loss(&folder, name), loss(&folder, "m"));
        assert!(rounded != whole && (rounded / whole - 1.).abs() < 0.01, "{name}: {rounded} for {whole}");
        assert_eq!(folder.json(&format!("{name}/config.json"))["dtype"], "f32");
        let card = String::from_utf8(folder.bytes(&format!("{name}/README.md"))).unwrap();
        assert!(card.contains(&format!("parameters in {name} for f32")), "{card}");
        // Converted back, the rounded numbers give the same results.
        folder.done(&format!("export {name} --out {name}-back --dtype f32"));
        assert_eq!(loss(&folder, &format!("{name}-back")), rounded);
    }
}

#[test]
fn damaged_files_are_named_and_edited_cards_accepted() {
    let folder = Folder::with_model();
    folder.done("export m --out slim --with-training");
    let damage = |name: &str| {
        let whole = folder.bytes(name);
        let mut broken = whole.clone();
        // One bit that leaves the format intact: in a parameter, in a space.
        let last = broken.len() - 2;
        broken[last] ^= if name.ends_with("json") { b' ' ^ b'\n' } else { 1 };
        folder.write(name, broken);
        whole
    };
    for (name, lines) in [
        ("config.json", &["eval slim --data text.txt", "predict slim --text a", "train --resume slim"][..]),
        ("model.safetensors", &["eval slim --data text.txt", "generate slim", "export slim --out z"]),
        ("tokenizer.json", &["eval slim --data text.txt", "generate slim"]),
        ("training/last.safetensors", &["train --resume slim --max-steps 5"]),
        ("training/optimizer.safetensors", &["train --resume slim --max-steps 5"]),
        ("training/state.json", &["train --resume slim --max-steps 5"]),
    ] {
        let file = format!("slim/{name}");
        let whole = damage(&file);
        for line in lines {
            folder.refused(line, 1, &[&format!("{file}: is damaged"), "SHA256SUMS", "copy it again"]);
        }
        folder.write(&file, whole);
    }
    folder.write("slim/README.md", "Mine.\n");
    folder.done("eval slim --data text.txt");
    folder.write("slim/SHA256SUMS", "nonsense\n");
    folder.refused(
        "eval slim --data text.txt",
        1,
        &["slim/SHA256SUMS: line 1 is not a checksum", "remove this file"],
    );
}

#[test]
fn export_with_training_resumes_like_the_bundle() {
    let folder = Folder::with_model();
    folder.done("export m --out whole --with-training --dtype f16");
    // A refused resume keeps the checksums.
    folder.refused("train --resume whole --max-steps 2", 2, &["--max-steps", "3 steps"]);
    assert!(folder.path("whole/SHA256SUMS").exists());
    for bundle in ["m", "whole"] {
        folder.done(&format!("train --resume {bundle} --max-steps 9"));
    }
    for name in ["model.safetensors", "training/last.safetensors", "training/optimizer.safetensors"] {
        assert!(folder.bytes(&format!("whole/{name}")) == folder.bytes(&format!("m/{name}")), "{name}");
    }
    assert!(!folder.path("whole/SHA256SUMS").exists(), "it is no longer the export");
    folder.done("eval whole --data text.txt");
}

#[test]
fn parameters_of_another_model_are_not_exported() {
    let folder = Folder::with_model();
    folder.done(&format!("train gru --data text.txt --out other {TINY}"));
    folder.write("m/model.safetensors", folder.bytes("other/model.safetensors"));
    let mentions = ["m/model.safetensors: tensor rnn.bias_hh_l0", "does not belong to this config.json"];
    folder.refused("export m --out slim", 1, &mentions);
}

#[test]
fn exports_that_would_lose_data_are_refused() {
    let folder = Folder::with_model();
    folder.done("export m --out slim");
    folder.done("export m --out int8 --dtype int8");
    for (line, code, mentions) in [
        ("export m --out m --force", 1, ["m: is the bundle itself", "--out"]),
        ("export m --out ./m/../m --force", 1, ["is the bundle itself", "--out"]),
        ("export m --out slim", 1, ["slim: is a bundle already", "or replace it with --force"]),
        ("train lstm --out slim", 1, ["slim: is a bundle already", "or replace it with --force"]),
        ("train lstm --out m", 1, ["m: is a bundle already", "`rnn train --resume BUNDLE`"]),
        ("export m --out text.txt --force", 1, ["text.txt: is a file", "--out"]),
        ("export slim --out z --with-training", 1, ["slim: holds no training state", "--with-training"]),
        ("export int8 --out z --with-training", 1, ["int8: holds no training state", "--with-training"]),
        ("export m --out z --dtype int8 --with-training", 1, ["m: holds training state", "int8 parameters"]),
        ("export nothing --out z", 1, ["nothing: there is no bundle here", "rnn train"]),
        ("export m --out z --dtype f64", 2, ["--dtype", "bf16"]),
        ("export m", 2, ["--out", "is required"]),
    ] {
        folder.refused(line, code, &mentions);
    }
    // A bundle without training state cannot be resumed, and an export resumes nothing.
    for line in ["train lstm --out slim", "export m --out slim"] {
        let said = String::from_utf8(folder.rnn(line).output().unwrap().stderr).unwrap();
        assert!(!said.contains("--resume"), "{said}");
    }
    folder.done("export m --out slim --force --with-training");
    assert!(folder.path("slim/training/state.json").exists());
}
