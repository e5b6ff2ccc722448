//! `--precision bf16` of the commands.

use serde_json::Value;

use super::{Folder, TINY};

/// A language model with dropout, Adam and carried state.
const RUN: &str = "train rnnlm --data text.txt --hidden 20 --embedding 12 --layers 2 --dropout 0.3 --optimizer adam \
                   --batch-size 4 --bptt 8 --eval-every 30 --log-every 7 --schedule constant --precision bf16";

#[test]
fn a_run_in_bf16_resumes_to_the_byte_and_keeps_its_precision() {
    let folder = Folder::new();
    folder.done(&format!("{RUN} --max-steps 50 --out whole"));
    folder.done(&format!("{RUN} --max-steps 20 --out parts"));
    folder.done("train --resume parts --max-steps 35 --threads 1");
    folder.done("train --resume parts --max-steps 50");
    for name in ["model.safetensors", "training/last.safetensors", "training/optimizer.safetensors"] {
        assert!(folder.bytes(&format!("parts/{name}")) == folder.bytes(&format!("whole/{name}")), "{name}");
    }
    let recipe = String::from_utf8(folder.bytes("whole/recipe.toml")).unwrap();
    assert!(recipe.lines().any(|line| line == "precision = \"bf16\""), "{recipe}");
    folder.done("train --recipe whole/recipe.toml --out again");
    assert!(folder.bytes("again/model.safetensors") == folder.bytes("whole/model.safetensors"));
    folder.done("train --recipe whole/recipe.toml --precision f32 --out f32");
    assert!(folder.bytes("f32/model.safetensors") != folder.bytes("whole/model.safetensors"));
    folder.refused("train --resume whole --max-steps 60 --precision f32", 2, &["--precision", "--resume"]);
}

#[test]
fn every_command_that_reads_a_bundle_takes_a_precision() {
    let folder = Folder::new();
    folder.done(&format!("train lstm --data text.txt --out m {TINY}"));
    let loss = |precision: &str| {
        let found = folder.done(&format!("eval m --data text.txt --json {precision}"));
        serde_json::from_str::<Value>(&found).unwrap()["loss"].as_f64().unwrap()
    };
    let (f32, bf16) = (loss("--precision f32"), loss("--precision bf16"));
    assert_eq!(f32, loss(""));
    assert!(f32 != bf16 && (f32 - bf16).abs() < 0.01 * f32, "{f32} and {bf16}");
    for line in ["generate m --length 5 --seed 1", "score m text.txt"] {
        folder.done(&format!("{line} --precision bf16"));
    }
    for line in ["generate m", "score m text.txt", "predict m --text a", "eval m --data text.txt"] {
        folder.refused(&format!("{line} --precision fp8"), 2, &["--precision", "fp8", "f32, bf16 or int8"]);
    }
    for work in ["layer --time 3 --batch 2", "step", "lm --time 3 --batch 2 --vocab 20"] {
        let line = format!("bench {work} --model gru --hidden 8 --repeat 1 --json");
        assert!(folder.done(&format!("{line} --precision bf16")).contains("\"gru\""), "{work}");
    }
}
