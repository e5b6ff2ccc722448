//! Bundles that are damaged, foreign or not writable: the error names the file and the damage, and nothing is lost.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use rnn_zoo::bundle::read_tensors;
use serde_json::Value;

use super::{Folder, TINY, assert_one_line};

/// A safetensors file with a header that claims `size` bytes.
fn header(size: u64, text: &str) -> Vec<u8> {
    [&size.to_le_bytes(), text.as_bytes()].concat()
}

/// Set every number of one parameter of a file.
fn fill(file: &Path, parameter: &str, value: f32) {
    let mut tensors: HashMap<String, Tensor> =
        read_tensors(file, &Device::Cpu).unwrap().into_iter().collect();
    let filled = Tensor::full(value, tensors[parameter].shape(), &Device::Cpu).unwrap();
    tensors.insert(parameter.into(), filled);
    candle_core::safetensors::save(&tensors, file).unwrap();
}

/// A file of the bundle `m`, its damaged content (`None` without the file), and a part of the error.
type Damage = (&'static str, Option<Vec<u8>>, &'static str);

/// A folder of the bundles `m`, `other` of another cell and `words` of another tokenizer.
fn three_bundles() -> Folder {
    let folder = Folder::with_model();
    folder.done(&format!("train gru --data text.txt --out other {TINY}"));
    folder.done(&format!("train rnnlm --data text.txt --out words {TINY}"));
    folder
}

/// Refuse the bundle with each damage, and list the others beside it.
fn refuse_each(folder: &Folder, damages: Vec<Damage>) {
    for (file, content, mention) in damages {
        let whole = folder.bytes(file);
        match content {
            Some(content) => folder.write(file, content),
            None => std::fs::remove_file(folder.path(file)).unwrap(),
        }
        for command in ["generate m", "eval m --data text.txt"] {
            folder.refused(command, 1, &["m", mention]);
        }
        // The list names the bundles that cannot be used and goes on.
        let list = folder.done("list");
        assert!(list.contains("  words ") && list.contains("  other "), "{list}");
        assert!(list.contains("cannot be used: m") || !list.contains("  m "), "{list}");
        folder.write(file, whole);
    }
    folder.done("generate m");
}

#[test]
fn damaged_parameters_are_named_with_the_file() {
    let folder = three_bundles();
    let weights = folder.bytes("m/model.safetensors");
    let contents = [
        (None, "is missing"),
        (Some(vec![]), "cut short"),
        (Some(weights[..5].to_vec()), "cut short"),
        (Some(weights[..weights.len() / 2].to_vec()), "cut short"),
        (Some(weights[..weights.len() - 1].to_vec()), "cut short"),
        (Some([&weights[..], b"more"].concat()), "not what its header says"),
        (Some(folder.bytes("text.txt")), "not a safetensors file"),
        (Some(b"PK\x03\x04\0\0\x08\x08 archive/data.pkl".to_vec()), "is a PyTorch checkpoint (.pth)"),
        (Some(header(u64::MAX, "")), "its header would have 18446744073709551615 bytes"),
        (Some(header(4 << 20, &"[".repeat(4 << 20))), "not a safetensors file"),
        (Some(folder.bytes("other/model.safetensors")), "rnn.bias_hh_l0 has shape [24]"),
        (Some(folder.bytes("words/model.safetensors")), "does not belong to this config.json"),
    ];
    let of_file = contents.map(|(content, mention)| ("m/model.safetensors", content, mention));
    refuse_each(&folder, of_file.into());
}

#[test]
fn damaged_settings_are_named_with_the_file() {
    let folder = three_bundles();
    let config = |change: fn(&mut Value)| {
        let mut config = folder.json("m/config.json");
        change(&mut config);
        config.to_string().into_bytes()
    };
    let rnn = |name: &'static str, value: Value| {
        let mut config = folder.json("m/config.json");
        config["network"]["rnn"][name] = value;
        config.to_string().into_bytes()
    };
    let contents = [
        (Some(rnn("hidden_size", 9.into())), "model.safetensors: tensor"),
        (Some(rnn("num_layers", 2.into())), "has no tensor rnn.bias_hh_l1"),
        (Some(rnn("hidden_size", 0.into())), "hidden_size is 0"),
        (Some(rnn("hidden_size", 80_000_000_000_u64.into())), "hidden_size"),
        (Some(rnn("cell", "elman".into())), "elman"),
        (Some(config(|c| c["network"]["vocabulary_size"] = 9.into())), "tokenizer.json: has"),
        (Some(config(|c| c["format"] = 2.into())), "newer than the 1 read here; upgrade rnn-zoo"),
        (Some(config(|c| c["format"] = Value::Null)), "has no `format` number"),
        (Some(config(|c| c["task"] = "sing".into())), "unknown variant `sing`"),
        (Some(b"{\"format\": 1".to_vec()), "cut short or not JSON"),
        (Some(vec![0xff; 40]), "UTF-8"),
        (Some("[".repeat(1 << 20).into_bytes()), "cut short or not JSON"),
        (None, "config.json"),
    ];
    refuse_each(&folder, contents.map(|(content, mention)| ("m/config.json", content, mention)).into());
}

#[test]
fn damaged_tokenizers_are_named_with_the_file() {
    let folder = three_bundles();
    let decoder = |value: Value| {
        let mut tokenizer = folder.json("m/tokenizer.json");
        tokenizer["decoder"] = value;
        tokenizer.to_string().into_bytes()
    };
    let mut inserted = folder.bytes("m/tokenizer.json");
    let place = inserted.windows(9).position(|bytes| bytes == b"\"decoder\"").unwrap();
    inserted.insert(place + 12, b'F');
    let contents = [
        (Some(folder.bytes("words/tokenizer.json")), "but the model was trained with"),
        (Some(b"{".to_vec()), "not a tokenizer.json of the Hugging Face tokenizers format"),
        (Some(vec![]), "not a tokenizer.json"),
        (Some(inserted), "not a tokenizer.json of the Hugging Face tokenizers format"),
        (Some(decoder(5.into())), "not a tokenizer.json of the Hugging Face tokenizers format"),
        (Some(decoder(serde_json::json!({"type": 5}))), "not a tokenizer.json"),
        (Some("[".repeat(1 << 20).into_bytes()), "nested deeper than 128 levels"),
        (None, "is missing, but the model needs its char tokenizer"),
    ];
    refuse_each(&folder, contents.map(|(content, mention)| ("m/tokenizer.json", content, mention)).into());
}

#[test]
fn other_paths_are_described() {
    let folder = Folder::with_model();
    folder.write("empty/notes.txt", "");
    for (bundle, mentions) in [
        ("nothing", vec!["nothing", "no bundle here", "rnn train"]),
        ("text.txt", vec!["text.txt", "a bundle is a folder"]),
        ("m/model.safetensors", vec!["one file of a bundle", "the folder"]),
        ("empty", vec!["empty", "no config.json"]),
        (".", vec!["holds one: ", "m"]),
    ] {
        folder.refused(&format!("generate {bundle}"), 1, &mentions);
        folder.refused(&format!("eval {bundle} --data text.txt"), 1, &mentions);
        folder.refused(&format!("predict {bundle} --text hello"), 1, &mentions);
    }
}

#[test]
fn bundle_without_reports_and_card_works() {
    let folder = Folder::with_model();
    let said = folder.done("generate m");
    std::fs::remove_dir_all(folder.path("m/training")).unwrap();
    for name in ["README.md", "metrics.jsonl"] {
        std::fs::remove_file(folder.path(&format!("m/{name}"))).unwrap();
    }
    std::fs::rename(folder.path("m"), folder.path("moved")).unwrap();
    assert_eq!(folder.done("generate moved"), said);
}

/// Run `rnn` with file sizes limited to `blocks` of 512 bytes, like a full disk. The system ends a program with a
/// signal then, unless the program ignores it.
#[cfg(target_os = "linux")]
fn on_a_full_disk(folder: &Folder, line: &str, blocks: usize) -> std::process::Output {
    let program = assert_cmd::cargo::cargo_bin!("rnn").display().to_string();
    let script = format!("ulimit -c 0; ulimit -f {blocks}; exec '{program}' {line}");
    let mut shell = std::process::Command::new("sh");
    shell.current_dir(folder.path(".")).args(["-c", &script]).output().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_leaves_the_previous_bundle() {
    let folder = Folder::with_model();
    let before = folder.snapshot();
    // Its config.json of about 900 bytes fits, its parameters of about 60 kB do not.
    let train =
        "train lstm --data text.txt --hidden 64 --batch-size 4 --bptt 8 --max-steps 2 --out m --force";
    let full = on_a_full_disk(&folder, train, 16);
    assert_one_line(&full, 1, &["m/model.safetensors: cannot save", "free some space"], train);
    assert!(folder.snapshot() == before, "{:?}", folder.snapshot().keys());

    let bundle = |name: &str| folder.bytes(&format!("m/{name}"));
    assert!(before[&folder.path("m/model.safetensors")] == bundle("model.safetensors"));
    folder.done("eval m --data text.txt");

    // A resumed run that cannot save leaves a checkpoint that can be resumed once there is space.
    let resume = "train --resume m --max-steps 6";
    assert_one_line(&on_a_full_disk(&folder, resume, 3), 1, &["m"], resume);
    assert!(before[&folder.path("m/model.safetensors")] == bundle("model.safetensors"));
    folder.done(resume);
    let names: Vec<_> =
        std::fs::read_dir(folder.path(".")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "what the failed saves left is cleared away: {names:?}");
}

#[cfg(unix)]
#[test]
fn read_only_folder_is_refused_before_training() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::with_model();
    let set = |name: &str, mode| {
        std::fs::set_permissions(folder.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    // A write-protected bundle is kept even if the superuser trains.
    set("m", 0o555);
    for line in ["train gru --data text.txt --out m --force", "train --resume m --max-steps 5"] {
        folder.refused(line, 1, &["m: cannot save", "denied"]);
    }
    set("m", 0o755);
    std::fs::create_dir(folder.path("locked")).unwrap();
    set("locked", 0o555);
    if std::fs::write(folder.path("locked/probe"), "").is_ok() {
        eprintln!("skipped the read-only folder: this user may write everywhere");
    } else {
        folder.refused("train gru --data text.txt --out locked/m", 1, &["locked/m", "denied"]);
    }
    set("locked", 0o755);
}

#[test]
fn nan_and_infinite_parameters_are_refused() {
    let folder = Folder::with_model();
    for value in [f32::NAN, f32::INFINITY] {
        fill(&folder.path("m/model.safetensors"), "decoder.bias", value);
        let mention = "m/model.safetensors: tensor decoder.bias holds NaN or infinity";
        folder.write("line.txt", "the cat\n");
        for command in [
            "generate m",
            "eval m --data text.txt",
            "score m line.txt",
            "eval m --data text.txt --dynamic",
            "export m --out slim",
        ] {
            folder.refused(command, 1, &[mention]);
        }
    }
}

#[test]
fn results_that_are_nan_are_errors() {
    let folder = Folder::with_model();
    // Every number is finite, but the hidden units saturate, and the sum of two outputs of the decoder does not fit.
    for (parameter, value) in [("encoder.weight", 9.), ("rnn.weight_ih_l0", 9.), ("decoder.weight", 3e38)] {
        fill(&folder.path("m/model.safetensors"), parameter, value);
    }
    folder.write("line.txt", "the cat\n");
    folder.refused("eval m --data text.txt", 1, &["the mean loss", "overflow"]);
    folder.refused("eval m --data text.txt --json", 1, &["the mean loss", "overflow"]);
    folder.refused("score m line.txt", 1, &["m: a log-probability in \"the cat\" is", "overflow"]);
}

#[test]
fn byte_order_mark_in_config_json_is_skipped() {
    let folder = Folder::with_model();
    let said = folder.done("generate m");
    folder.write("m/config.json", [b"\xef\xbb\xbf", &folder.bytes("m/config.json")[..]].concat());
    assert_eq!(folder.done("generate m"), said);
    assert!(!folder.done("list").contains("cannot be used"));
}

/// Run `rnn` as a user to whom permissions apply; `None` if that is not possible.
#[cfg(unix)]
fn as_ordinary_user(folder: &Folder, line: &str) -> Option<std::process::Output> {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let root = std::fs::read_dir(folder.path("m")).is_ok();
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("rnn"));
    if root {
        std::fs::set_permissions(folder.path("."), std::fs::Permissions::from_mode(0o777)).unwrap();
        command.uid(65534);
    }
    command.current_dir(folder.path(".")).args(line.split_whitespace()).output().ok()
}

#[cfg(unix)]
#[test]
fn unreadable_folder_is_permission_denied() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::with_model();
    let set = |mode| {
        std::fs::set_permissions(folder.path("m"), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set(0o000);
    let outputs = ["generate m", "list"].map(|line| as_ordinary_user(&folder, line));
    set(0o755);
    let [Some(generate), Some(list)] = outputs else {
        eprintln!("skipped: the program cannot be run as another user");
        return;
    };
    assert_one_line(&generate, 1, &["m/config.json: permission denied; check"], "generate m");
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.contains("cannot be used: m/config.json: permission denied"), "{list}");
}

#[test]
fn second_training_of_a_bundle_is_refused() {
    let folder = Folder::with_model();
    let train = "train lstm --data text.txt --out m --force --epochs 100000 --eval-every 100000";
    let program = assert_cmd::cargo::cargo_bin!("rnn");
    let mut command = std::process::Command::new(program);
    command.current_dir(folder.path(".")).args(train.split_whitespace());
    let mut first = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    while std::fs::read(folder.path(".m.lock")).unwrap_or_default().is_empty() {
        assert!(first.try_wait().unwrap().is_none(), "the first training ended");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let holder = format!("m: another process ({})", first.id());
    folder.done("export m --out slim");
    for line in [
        "train gru --data text.txt --out m --force",
        "train --resume m --max-steps 9",
        "export slim --out m --force",
    ] {
        folder.refused(line, 1, &[&holder, "wait until it has ended", "--out"]);
    }
    first.kill().unwrap();
    first.wait().unwrap();
    folder.done("train --resume m --max-steps 4");
    assert!(!folder.path(".m.lock").exists());
}

#[test]
fn list_reads_no_parameters_and_finds_what_cannot_be_used() {
    let folder = Folder::with_model();
    // Values are not read.
    fill(&folder.path("m/model.safetensors"), "decoder.bias", f32::NAN);
    assert!(!folder.done("list").contains("cannot be used"));
    folder.done(&format!("train gru --data text.txt --out other {TINY}"));
    let own = folder.bytes("m/model.safetensors");
    folder.write("m/model.safetensors", folder.bytes("other/model.safetensors"));
    let list = folder.done("list");
    assert!(list.contains("tensor rnn.bias_hh_l0 has shape [24], but the model expects [32]"), "{list}");
    folder.write("m/model.safetensors", own);
    folder.write("ordinary/config.json", "{}");
    assert!(!folder.done("list").contains("ordinary"));
    let weights = folder.bytes("m/model.safetensors");
    folder.write("m/model.safetensors", &weights[..weights.len() / 2]);
    assert!(folder.done("list").contains("cannot be used: m/model.safetensors"));
    let config = folder.bytes("m/config.json");
    folder.write("m/config.json", &config[..config.len() / 2]);
    assert!(folder.done("list").contains("cannot be used: m/config.json: is cut short"));
    folder.write("m/config.json", config);
    std::fs::remove_file(folder.path("m/model.safetensors")).unwrap();
    let list = folder.done("list");
    assert!(
        list.contains("m  ") && list.contains("cannot be used: m/model.safetensors: is missing"),
        "{list}"
    );
    let listed: Value = serde_json::from_str(&folder.done("list --json")).unwrap();
    assert!(listed["bundles"][0]["error"].as_str().unwrap().contains("is missing"), "{listed}");
}

/// A circular link is inaccessible to the superuser too.
#[cfg(unix)]
#[test]
fn inaccessible_bundle_is_not_called_missing() {
    let folder = Folder::with_model();
    std::fs::remove_file(folder.path("m/config.json")).unwrap();
    std::os::unix::fs::symlink("config.json", folder.path("m/config.json")).unwrap();
    let output = folder.rnn("generate m").output().unwrap();
    assert_one_line(&output, 1, &["m/config.json: ", "symbolic links"], "generate m");
}
