use std::path::PathBuf;

use candle_core::Device;
use serde_json::json;

use super::super::fixture::{config, weights};
use super::*;

/// Save a bundle with `generation` in every file.
fn save(writer: &mut BundleWriter, generation: f32, size: usize, swap: Swap) -> Result<()> {
    let config = Config { created_with: generation.to_string(), ..config() };
    let tensors = weights(generation, size);
    let state = json!({ "generation": generation });
    let training = Training {
        last: &tensors,
        best: Some(&tensors),
        average: None,
        optimizer: &tensors,
        carry: &tensors,
        state: &state,
    };
    let text = generation.to_string();
    let contents = Contents {
        config: &config,
        weights: &tensors,
        tokenizer: Some(&text),
        readme: &text,
        curve: Some(&text),
        training: Some(training),
    };
    writer.save_by(&contents, swap)
}

/// The generation of the bundle, which is the same in every file.
fn generation(path: &Path) -> f32 {
    let loaded = load(path).unwrap();
    let training = loaded.training().unwrap().unwrap();
    let of = |tensors: &NamedTensors| tensors["rnn.weight"].to_vec1::<f32>().unwrap();
    let generation: f32 = loaded.config.created_with.parse().unwrap();
    let model = tensors::read_tensors(&loaded.path.join(MODEL), &Device::Cpu).unwrap();
    for tensors in
        [&model, &training.last, training.best.as_ref().unwrap(), &training.optimizer, &training.carry]
    {
        assert!(of(tensors).iter().all(|&value| value == generation));
    }
    assert_eq!(training.state["generation"], generation);
    assert_eq!(fs::read_to_string(loaded.path.join(TOKENIZER)).unwrap(), generation.to_string());
    assert_eq!(fs::read_to_string(loaded.path.join(README)).unwrap(), generation.to_string());
    generation
}

fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}

/// The entries beside the bundle, by name, without the lock that a living writer holds.
fn beside(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path.parent().unwrap()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".model.lock");
    names.sort();
    names
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model");
    (dir, path)
}

#[test]
fn load_and_save_round_trip_to_the_same_files() {
    let (_dir, path) = scratch();
    let mut writer = BundleWriter::create(&path, false).unwrap().with_recipe("hidden = 1\n".into());
    writer.append_metrics(&json!({"step": 1, "loss": 0.1 + 0.2})).unwrap();
    save(&mut writer, 1.5, 10, Swap::Exchange).unwrap();
    let first = files(&path);
    assert_eq!(first.len(), 12);

    let (mut writer, loaded, training) = BundleWriter::resume(&path).unwrap();
    let weights = tensors::read_tensors(&path.join(MODEL), &Device::Cpu).unwrap();
    let tokenizer = fs::read_to_string(path.join(TOKENIZER)).unwrap();
    let contents = Contents {
        config: &loaded.config,
        weights: &weights,
        tokenizer: Some(&tokenizer),
        readme: "1.5",
        curve: Some("1.5"),
        training: Some(Training {
            last: &training.last,
            best: training.best.as_ref(),
            average: training.average.as_ref(),
            optimizer: &training.optimizer,
            carry: &training.carry,
            state: &training.state,
        }),
    };
    writer.save(&contents).unwrap();
    assert_eq!(files(&path), first);
    assert_eq!(beside(&path), ["model"]);
}

#[test]
fn existing_bundles_are_replaced_only_with_force() {
    let (_dir, path) = scratch();
    save(&mut BundleWriter::create(&path, false).unwrap(), 1.0, 10, Swap::Exchange).unwrap();
    let error = BundleWriter::create(&path, false).unwrap_err().to_string();
    assert!(error.contains("is a bundle already; choose another option `out`"), "{error}");
    let mut writer = BundleWriter::create(&path, true).unwrap();
    writer.append_metrics(&json!({"step": 1})).unwrap();
    assert_eq!(fs::read(path.join(METRICS)).unwrap(), b"", "nothing changes before the first save");
    assert_eq!(generation(&path), 1.0);
    save(&mut writer, 2.0, 10, Swap::Exchange).unwrap();
    assert_eq!(generation(&path), 2.0);
    assert_eq!(fs::read(path.join(METRICS)).unwrap(), b"{\"step\":1}\n");
}

#[test]
fn other_folders_and_files_are_never_replaced() {
    let (dir, path) = scratch();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("config.json"), r#"{"architectures": ["GPT2LMHeadModel"]}"#).unwrap();
    let error = BundleWriter::create(&path, true).unwrap_err().to_string();
    assert!(error.contains("is a folder with other files, not a bundle"), "{error}");
    let file = dir.path().join("notes.txt");
    fs::write(&file, "notes").unwrap();
    assert!(
        BundleWriter::create(&file, true).unwrap_err().to_string().contains("is a file; choose a folder")
    );
    assert!(BundleWriter::create(&file.join("model"), true).is_err());

    // The same holds for a folder that is created while the model trains.
    let late = dir.path().join("late");
    let mut writer = BundleWriter::create(&late, false).unwrap();
    fs::create_dir(&late).unwrap();
    save(&mut writer, 1.0, 10, Swap::Exchange).unwrap();
    assert_eq!(generation(&late), 1.0, "an empty folder is replaced");
    fs::remove_file(late.join("config.json")).unwrap();
    assert!(save(&mut writer, 2.0, 10, Swap::Exchange).unwrap_err().to_string().contains("not a bundle"));
}

#[test]
fn parents_are_created_and_links_followed() {
    let (dir, _) = scratch();
    let path = dir.path().join("runs/june/model");
    save(&mut BundleWriter::create(&path, false).unwrap(), 1.0, 10, Swap::Exchange).unwrap();
    #[cfg(unix)]
    {
        let link = dir.path().join("latest");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        save(&mut BundleWriter::create(&link, true).unwrap(), 2.0, 10, Swap::Exchange).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!((generation(&path), generation(&link)), (2.0, 2.0));
        let dangling = dir.path().join("dangling");
        std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
        let expected = "dangling: is a link to nowhere, which does not exist";
        for error in [BundleWriter::create(&dangling, true).unwrap_err(), load(&dangling).unwrap_err()] {
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}

#[test]
fn user_files_are_kept_and_stale_files_removed() {
    for swap in [Swap::Exchange, Swap::TwoRenames] {
        let (_dir, path) = scratch();
        let mut writer = BundleWriter::create(&path, false).unwrap();
        save(&mut writer, 1.0, 10, swap).unwrap();
        fs::write(path.join("notes.txt"), "mine").unwrap();
        fs::create_dir(path.join("samples")).unwrap();
        fs::write(path.join("samples/one.txt"), "mine too").unwrap();
        fs::write(path.join("training/log.txt"), "and mine").unwrap();
        let (config, weights) = (config(), weights(3.0, 6));
        let contents = Contents {
            config: &config,
            weights: &weights,
            tokenizer: None,
            readme: "",
            curve: None,
            training: None,
        };
        writer.save_by(&contents, swap).unwrap();
        let names: Vec<_> = files(&path).into_iter().map(|(file, _)| file).collect();
        let expected = [
            "README.md",
            "config.json",
            "metrics.jsonl",
            "model.safetensors",
            "notes.txt",
            "samples/one.txt",
            "training/log.txt",
        ];
        assert_eq!(names, expected.map(|name| path.join(name)));
        assert_eq!(fs::read_to_string(path.join("samples/one.txt")).unwrap(), "mine too");
        assert_eq!(beside(&path), ["model"]);
    }
}

#[test]
fn resuming_truncates_the_metrics_to_the_checkpoint() {
    let (_dir, path) = scratch();
    let mut writer = BundleWriter::create(&path, false).unwrap();
    for step in 0..3 {
        writer.append_metrics(&json!({ "step": step })).unwrap();
    }
    save(&mut writer, 1.0, 10, Swap::Exchange).unwrap();
    let known = fs::read_to_string(path.join(METRICS)).unwrap();
    writer.append_metrics(&json!({"step": 3})).unwrap();
    let mut text = fs::read_to_string(path.join(METRICS)).unwrap();
    assert_eq!(text, format!("{known}{{\"step\":3}}\n"));
    text.push_str("{\"step\":4,\"lo");
    fs::write(path.join(METRICS), &text).unwrap();

    let (mut resumed, loaded, _) = BundleWriter::resume(&path).unwrap();
    assert_eq!(loaded.metrics, [0, 1, 2].map(|step| json!({ "step": step }).to_string()));
    assert_eq!(
        fs::read_to_string(path.join(METRICS)).unwrap(),
        text,
        "nothing changes before the first report"
    );
    resumed.append_metrics(&json!({"step": 3})).unwrap();
    assert_eq!(fs::read_to_string(path.join(METRICS)).unwrap(), format!("{known}{{\"step\":3}}\n"));
    resumed.append_metrics(&json!({"step": 4})).unwrap();
    let more = format!("{known}{{\"step\":3}}\n{{\"step\":4}}\n");
    assert_eq!(fs::read_to_string(path.join(METRICS)).unwrap(), more);
    save(&mut resumed, 2.0, 10, Swap::Exchange).unwrap();
    assert_eq!(fs::read_to_string(path.join(METRICS)).unwrap(), more);

    // The same if a save comes first.
    fs::write(path.join(METRICS), format!("{more}{{\"step\":5}}\n")).unwrap();
    let (mut resumed, ..) = BundleWriter::resume(&path).unwrap();
    save(&mut resumed, 3.0, 10, Swap::Exchange).unwrap();
    assert_eq!(fs::read_to_string(path.join(METRICS)).unwrap(), more);
}

#[test]
fn folder_removed_during_a_run_is_made_again() {
    let (_dir, path) = scratch();
    let mut writer = BundleWriter::create(&path, false).unwrap();
    writer.append_metrics(&json!({ "step": 1 })).unwrap();
    save(&mut writer, 1., 2, Swap::Exchange).unwrap();
    fs::remove_dir_all(&path).unwrap();
    writer.append_metrics(&json!({ "step": 2 })).unwrap();
    save(&mut writer, 2., 2, Swap::Exchange).unwrap();
    assert_eq!(generation(&path), 2.);
    assert_eq!(fs::read_to_string(path.join(METRICS)).unwrap(), "{\"step\":1}\n{\"step\":2}\n");
}

#[test]
fn bundle_without_training_state_cannot_be_resumed() {
    let (_dir, path) = scratch();
    let (config, weights) = (config(), weights(3.0, 6));
    let contents = Contents {
        config: &config,
        weights: &weights,
        tokenizer: Some("{}"),
        readme: "",
        curve: None,
        training: None,
    };
    BundleWriter::create(&path, false).unwrap().save(&contents).unwrap();
    let error = BundleWriter::resume(&path).unwrap_err().to_string();
    assert!(error.contains("holds a model but no training state"), "{error}");
}

#[test]
fn crash_between_two_renames_loses_nothing() {
    let (dir, path) = scratch();
    let old = dir.path().join(".model.old");
    let mut writer = BundleWriter::create(&path, false).unwrap();
    save(&mut writer, 1.0, 10, Swap::TwoRenames).unwrap();

    fs::rename(&path, &old).unwrap();
    assert_eq!(generation(&path), 1.0, "reading needs no repair");
    assert!(old.exists() && !path.exists());
    assert!(BundleWriter::create(&path, false).unwrap_err().to_string().contains("is a bundle already"));
    assert!(path.exists() && !old.exists(), "writing repairs");

    fs::rename(&path, &old).unwrap();
    BundleWriter::resume(&path).unwrap();
    assert_eq!(generation(&path), 1.0);

    fs::rename(&path, &old).unwrap();
    save(&mut writer, 2.0, 10, Swap::TwoRenames).unwrap();
    assert_eq!((generation(&path), beside(&path)), (2.0, vec!["model".to_string()]));

    // After the second rename both are complete; the next save removes the previous one.
    fs::rename(&path, &old).unwrap();
    save(&mut BundleWriter::create(&dir.path().join("other"), false).unwrap(), 3.0, 10, Swap::Exchange)
        .unwrap();
    fs::rename(dir.path().join("other"), &path).unwrap();
    assert_eq!(generation(&path), 3.0);
    save(&mut writer, 4.0, 10, Swap::TwoRenames).unwrap();
    assert_eq!((generation(&path), beside(&path)), (4.0, vec!["model".to_string()]));
}

#[cfg(unix)]
mod processes {
    use std::env;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    const PATH: &str = "RNN_ZOO_TEST_BUNDLE";
    const SWAP: &str = "RNN_ZOO_TEST_SWAP";

    /// This test binary, running one ignored test of this module.
    fn child(shell: &str, test: &str, path: &Path) -> Command {
        let mut command = Command::new("sh");
        let binary = env::current_exe().unwrap();
        command.args(["-c", &format!("{shell} exec \"$0\" \"$@\"")]).arg(binary);
        command.args([
            &format!("bundle::save::tests::processes::{test}"),
            "--exact",
            "--ignored",
            "--nocapture",
        ]);
        command.env(PATH, path).stdout(Stdio::null());
        command
    }

    #[test]
    #[ignore = "the child of the tests below"]
    fn child_saves_forever() {
        let Ok(path) = env::var(PATH) else { return };
        let swap = if env::var(SWAP).is_ok() { Swap::TwoRenames } else { Swap::Exchange };
        let mut writer = BundleWriter::resume(Path::new(&path)).unwrap().0;
        for generation in 1.. {
            save(&mut writer, generation as f32, 1000, swap).unwrap();
        }
    }

    #[test]
    #[ignore = "the child of the tests below"]
    fn child_saves_once() {
        let Ok(path) = env::var(PATH) else { return };
        let mut writer = BundleWriter::resume(Path::new(&path)).unwrap().0;
        eprintln!("saved: {:?}", save(&mut writer, 2.0, 100_000, Swap::Exchange).map_err(|e| e.to_string()));
    }

    #[test]
    fn killed_process_leaves_a_complete_bundle() {
        for two_renames in [false, true] {
            let (_dir, path) = scratch();
            let mut writer = BundleWriter::create(&path, false).unwrap();
            save(&mut writer, 0.5, 1000, Swap::Exchange).unwrap();
            drop(writer);
            fs::write(path.join("notes.txt"), "mine").unwrap();
            for round in 0..12 {
                let before = fs::read(path.join(CONFIG)).unwrap();
                let mut command = child("", "child_saves_forever", &path);
                if two_renames {
                    command.env(SWAP, "1");
                }
                let mut running = command.spawn().unwrap();
                while fs::read(path.join(CONFIG)).is_ok_and(|now| now == before) {
                    assert!(running.try_wait().unwrap().is_none(), "the child ended before it saved");
                    std::thread::sleep(Duration::from_millis(1));
                }
                // The child is saving now. It is killed at another point of a save in each round.
                std::thread::sleep(Duration::from_micros(1_700 * round));
                running.kill().unwrap();
                running.wait().unwrap();
                let place = BundlePath::new(&path).unwrap();
                assert!(generation(&path) > 0.5);
                place.recover().unwrap();
            }
            let mut writer = BundleWriter::create(&path, true).unwrap();
            save(&mut writer, 9.0, 1000, Swap::Exchange).unwrap();
            assert_eq!(generation(&path), 9.0);
            assert_eq!(beside(&path), ["model"], "leftovers of dead processes are removed");
            drop(writer);
            assert!(!path.with_file_name(".model.lock").exists(), "and their lock is taken over");
            assert_eq!(fs::read_to_string(path.join("notes.txt")).unwrap(), "mine");
        }
    }

    #[test]
    fn second_process_is_refused_with_the_pid_of_the_first() {
        let (_dir, path) = scratch();
        save(&mut BundleWriter::create(&path, false).unwrap(), 1.0, 1000, Swap::Exchange).unwrap();
        let mut first = child("", "child_saves_forever", &path).spawn().unwrap();
        let lock = path.with_file_name(".model.lock");
        while fs::read_to_string(&lock).unwrap_or_default().is_empty() {
            assert!(first.try_wait().unwrap().is_none(), "the child ended before it took the lock");
            std::thread::sleep(Duration::from_millis(1));
        }
        let expected = format!("another process ({}) is training or exporting to it", first.id());
        for refused in [
            BundleWriter::create(&path, true).unwrap_err(),
            BundleWriter::create(&path, false).unwrap_err(),
            BundleWriter::resume(&path).unwrap_err(),
        ] {
            assert!(refused.to_string().contains(&expected), "{refused}");
        }
        first.kill().unwrap();
        first.wait().unwrap();
        BundleWriter::resume(&path).unwrap();
        assert!(!lock.exists());
    }

    #[test]
    fn full_disk_is_reported_and_leaves_the_previous_bundle() {
        let (_dir, path) = scratch();
        save(&mut BundleWriter::create(&path, false).unwrap(), 1.0, 1000, Swap::Exchange).unwrap();
        let before = files(&path);
        // A limit on file sizes fails writes half-way, as a full disk does, and needs no root.
        let shell = "trap '' XFSZ; ulimit -f 64;";
        let output = child(shell, "child_saves_once", &path).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected =
            format!("{}: cannot save: the file is larger than the system allows", path.join(MODEL).display());
        assert!(said.contains(&expected) && said.contains("free some space"), "{said}");
        assert_eq!((files(&path), beside(&path)), (before, vec!["model".to_string()]));
    }

    #[test]
    fn read_only_folder_is_refused_before_training() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, path) = scratch();
        let mut writer = BundleWriter::create(&path, false).unwrap();
        save(&mut writer, 1.0, 10, Swap::Exchange).unwrap();
        let with_mode = |directory: &Path, mode| {
            fs::set_permissions(directory, fs::Permissions::from_mode(mode)).unwrap();
        };

        with_mode(&path, 0o555);
        let error = save(&mut writer, 2.0, 10, Swap::Exchange).unwrap_err().to_string();
        assert!(error.contains("make its folder writable"), "{error}");
        assert!(BundleWriter::create(&path, true).is_err() && BundleWriter::resume(&path).is_err());
        assert_eq!((generation(&path), beside(&path)), (1.0, vec!["model".to_string()]));
        with_mode(&path, 0o755);

        with_mode(dir.path(), 0o555);
        let refused = BundleWriter::create(&path, true);
        with_mode(dir.path(), 0o755);
        match refused {
            Err(error) => assert!(error.to_string().contains("make its folder writable"), "{error}"),
            // The superuser may write everywhere but to /proc.
            Ok(_) if cfg!(target_os = "linux") => {
                let error = BundleWriter::create(Path::new("/proc/rnn-zoo/model"), false).unwrap_err();
                assert!(error.to_string().starts_with("/proc/rnn-zoo/model: cannot save: "), "{error}");
            }
            Ok(_) => {}
        }
        assert_eq!(generation(&path), 1.0);
    }
}
