//! `/v1/runs`: the reports and settings of the runs under a folder, also of those that still train.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::bundle::{CONFIG, METRICS, MODEL, RECIPE};
use crate::tasks::{Lm, Task};

/// How far below the folder a run may lie.
const DEPTH: usize = 3;

/// The most runs, in the order of their names.
const MOST_RUNS: usize = 64;

/// The most folders that are looked into.
const MOST_FOLDERS: usize = 4096;

/// The most reports of a run that are sent. Of more, every second, third, ... is.
const MOST_REPORTS: usize = 2000;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 32 << 20;

/// The runs under `folder`: name, whether a text of the run can be had, reports, settings. Files that cannot be read,
/// or are half written, are left out.
pub(super) fn runs(folder: &Path) -> Value {
    let runs = Run::all(folder).into_iter().map(|run| {
        let (reports, settings) = (reports(&run.path), settings(&run.path));
        json!({ "name": run.name, "writes": run.writes(), "reports": reports, "settings": settings })
    });
    json!({ "object": "list", "data": runs.collect::<Vec<_>>() })
}

/// A run under a folder.
pub(super) struct Run {
    /// Its path below the folder.
    pub(super) name: String,
    pub(super) path: PathBuf,
}

impl Run {
    /// Find the runs under `folder`, in the order of their names.
    pub(super) fn all(folder: &Path) -> Vec<Self> {
        let mut found = vec![];
        let (mut open, mut looked) = (vec![(folder.to_path_buf(), 0)], 0);
        while let Some((path, depth)) = open.pop().filter(|_| looked < MOST_FOLDERS) {
            looked += 1;
            if path.join(METRICS).is_file() {
                found.push(path);
            } else if depth < DEPTH {
                open.extend(folders(&path).into_iter().map(|path| (path, depth + 1)));
            }
        }
        found.sort();
        let named = |path: PathBuf| {
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            Self { name, path }
        };
        found.into_iter().take(MOST_RUNS).map(named).collect()
    }

    /// Whether the run is a language model with a checkpoint.
    pub(super) fn writes(&self) -> bool {
        let config = text(&self.path.join(CONFIG)).and_then(|text| serde_json::from_str::<Value>(&text).ok());
        config.is_some_and(|config| config["task"] == Lm.name()) && self.path.join(MODEL).is_file()
    }
}

/// The folders in a folder, but hidden ones, such as those of a save that has not ended.
fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let visible = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    // A link may lead back to a folder above it, so it is not followed.
    visible
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn text(path: &Path) -> Option<String> {
    fs::metadata(path).ok().filter(|file| file.is_file() && file.len() <= LARGEST)?;
    fs::read_to_string(path).ok()
}

fn reports(run: &Path) -> Vec<Value> {
    let text = text(&run.join(METRICS)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let every = lines.len().div_ceil(MOST_REPORTS).max(1);
    lines.iter().step_by(every).filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn settings(run: &Path) -> Value {
    let recipe = text(&run.join(RECIPE)).and_then(|text| toml::from_str::<toml::Table>(&text).ok());
    json!(recipe.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_with_reports_and_settings() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("b/metrics.jsonl", "{\"step\":1,\"split\":\"train\",\"loss\":2.5}\n{\"step\":2,\"sp");
        write("b/recipe.toml", "hidden = 64\nmodel = \"gru\"\n");
        write("a/deep/er/metrics.jsonl", &"{\"step\":1}\n".repeat(3 * MOST_REPORTS));
        write(".b.partial-1/metrics.jsonl", "{}\n");
        write("c/other.txt", "");
        let found = runs(folder.path());
        let names: Vec<_> =
            found["data"].as_array().unwrap().iter().map(|run| run["name"].as_str()).collect();
        assert_eq!(names, [Some("a/deep/er"), Some("b")]);
        assert_eq!(found["data"][0]["reports"].as_array().unwrap().len(), MOST_REPORTS);
        let b = &found["data"][1];
        assert_eq!(b["reports"], json!([{"step": 1, "split": "train", "loss": 2.5}]));
        assert_eq!(b["settings"], json!({"hidden": 64, "model": "gru"}));
        write("b/config.json", "{\"task\": \"lm\"}");
        assert_eq!(runs(folder.path())["data"][1]["writes"], false, "without parameters");
        write("b/model.safetensors", "");
        write("a/deep/er/config.json", "{\"task\": \"classify\"}");
        write("a/deep/er/model.safetensors", "");
        let found = runs(folder.path());
        assert_eq!((&found["data"][0]["writes"], &found["data"][1]["writes"]), (&json!(false), &json!(true)));
    }
}
