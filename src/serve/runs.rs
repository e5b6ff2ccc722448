//! `/v1/runs`: the reports and settings of the runs under a folder, also of those that still train.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::bundle::{CONFIG, METRICS, MODEL, RECIPE};
use crate::tasks::{Lm, Task};

/// How far below the folder a run may lie.
const DEPTH: usize = 3;

/// The most runs, in the order of their names.
const MOST_RUNS: usize = 64;

/// The most folders that are looked into.
const MOST_FOLDERS: usize = 4096;

/// The most reports of a run that are sent, and one more for each split. Of more, every second, third, ... of each
/// split is, and its last.
const MOST_REPORTS: usize = 2000;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 32 << 20;

/// The runs under `folder`: name, whether a text of the run can be had, reports, settings. Files that cannot be read,
/// or are half written, are left out. `truncated` tells whether there are more runs than are sent.
pub(super) fn runs(folder: &Path) -> Value {
    let (runs, truncated) = Run::all(folder);
    let runs = runs.into_iter().map(|run| {
        let metrics = text(&run.path.join(METRICS)).unwrap_or_default();
        let (reports, settings) = (reports(&metrics), settings(&run.path));
        json!({ "name": run.name, "writes": run.writes(), "reports": reports, "settings": settings })
    });
    json!({ "object": "list", "data": runs.collect::<Vec<_>>(), "truncated": truncated })
}

/// A run under a folder.
pub(super) struct Run {
    /// Its path below the folder.
    pub(super) name: String,
    pub(super) path: PathBuf,
}

impl Run {
    /// Find the runs under `folder`, in the order of their names. Return whether there are more.
    pub(super) fn all(folder: &Path) -> (Vec<Self>, bool) {
        let mut found = vec![];
        let (mut open, mut looked) = (vec![(folder.to_path_buf(), 0)], 0);
        while looked < MOST_FOLDERS {
            let Some((path, depth)) = open.pop() else { break };
            looked += 1;
            if path.join(METRICS).is_file() {
                found.push(path);
            } else if depth < DEPTH {
                open.extend(folders(&path).into_iter().map(|path| (path, depth + 1)));
            }
        }
        let truncated = !open.is_empty() || found.len() > MOST_RUNS;
        found.sort();
        let named = |path: PathBuf| {
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            Self { name, path }
        };
        (found.into_iter().take(MOST_RUNS).map(named).collect(), truncated)
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

/// The split of a report.
#[derive(Deserialize)]
struct ReportSplit {
    split: Option<String>,
}

/// The reports of a run. Of many, each split is thinned by itself, since splits may take turns, and keeps its last.
fn reports(metrics: &str) -> Vec<Value> {
    let lines: Vec<&str> = metrics.lines().collect();
    let every = lines.len().div_ceil(MOST_REPORTS).max(1);
    let mut splits: BTreeMap<Option<String>, Vec<usize>> = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        if let Ok(ReportSplit { split }) = serde_json::from_str(line) {
            splits.entry(split).or_default().push(at);
        }
    }
    let kept = splits.values().flat_map(|split| split.iter().rev().step_by(every));
    let mut kept: Vec<usize> = kept.copied().collect();
    kept.sort_unstable();
    kept.into_iter().filter_map(|at| serde_json::from_str(lines[at]).ok()).collect()
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

    #[test]
    fn splits_that_take_turns_are_thinned_each_with_its_last_report() {
        let line = |step: usize| {
            let split = ["train", "valid"][step % 2];
            format!("{{\"step\":{step},\"split\":\"{split}\"}}\n")
        };
        let count = 2 * MOST_REPORTS + 3;
        let found = reports(&(0..count).map(line).collect::<String>());
        let steps = |split: &str| -> Vec<u64> {
            let own = found.iter().filter(|report| report["split"] == split);
            own.map(|report| report["step"].as_u64().unwrap()).collect()
        };
        assert!(found.len() <= MOST_REPORTS + 2, "{}", found.len());
        for (split, last) in [("train", count - 1), ("valid", count - 2)] {
            let steps = steps(split);
            assert_eq!(
                (steps.len(), steps.last()),
                ((last / 2 + 1).div_ceil(3), Some(&(last as u64))),
                "{split}"
            );
        }
        assert!(found.is_sorted_by_key(|report| report["step"].as_u64()));
    }

    #[test]
    fn runs_that_are_left_out_are_told() {
        let folder = tempfile::tempdir().unwrap();
        for run in 0..=MOST_RUNS {
            assert_eq!(runs(folder.path())["truncated"], false, "{run}");
            let path = folder.path().join(run.to_string());
            fs::create_dir(&path).unwrap();
            fs::write(path.join(METRICS), "{}\n").unwrap();
        }
        let found = runs(folder.path());
        assert_eq!((found["data"].as_array().unwrap().len(), &found["truncated"]), (MOST_RUNS, &json!(true)));
    }
}
