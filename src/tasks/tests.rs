use candle_core::Device;

use super::sequences::EXAMPLES;
use super::*;
use crate::Error;
use crate::data::Split;
use crate::data::batch::{Batch, Targets};
use crate::data::cut::Cut;
use crate::data::dataset::Dataset;
use crate::distributed::SingleProcess;
use crate::tokenizer::{Kind, Limits};

fn spec(data: impl Into<String>) -> DataSpec {
    DataSpec { seed: 3, ..DataSpec::new(data) }
}

fn words() -> Origin {
    Origin::Trained(TokenizerSpec {
        kind: Kind::Word,
        target: None,
        limits: Limits::default(),
        lowercase: false,
    })
}

/// A folder of `train.csv` and `valid.csv` with a text and a label column.
fn records(train: &str, valid: &str) -> (tempfile::TempDir, DataSpec) {
    let dir = tempfile::tempdir().unwrap();
    for (name, rows) in [("train.csv", train), ("valid.csv", valid)] {
        std::fs::write(dir.path().join(name), format!("text,label\n{rows}")).unwrap();
    }
    let mut spec = spec(dir.path().to_str().unwrap());
    spec.columns.label = Some("label".into());
    (dir, spec)
}

#[test]
fn tasks_have_one_name_everywhere() {
    for &task in TASKS {
        assert_eq!(serde_json::to_value(task).unwrap(), task.name());
        assert_eq!(serde_json::from_value::<&dyn Task>(task.name().into()).unwrap(), task);
        assert_eq!(format!("{task:>10}"), format!("{:>10}", task.name()));
    }
    let problem = serde_json::from_str::<&dyn Task>("\"sing\"").unwrap_err().to_string();
    let expected = "unknown variant `sing`, expected one of `lm`, `classify`, `tag`, `forecast`, `translate`";
    assert!(problem.starts_with(expected), "{problem}");
}

#[test]
fn data_suits_one_task() {
    for (data, task) in [
        ("builtin:adding", "forecast"),
        ("builtin:copy", "tag"),
        ("builtin:reber", "lm"),
        ("builtin:dates", "translate"),
    ] {
        assert_eq!(suited(&spec(data)).unwrap().name(), task, "{data}");
    }
    let (_dir, labelled) = records("a,x\nb,y\n", "");
    assert_eq!(suited(&labelled).unwrap().name(), "classify");
}

#[test]
fn data_of_another_task_is_a_usage_error() {
    let problem = |data: &str, task: &dyn Task| {
        let error = task.prepare(&spec(data), words()).map(drop).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        error.to_string()
    };
    assert_eq!(
        problem("builtin:story", &Tag),
        "data: the task tag needs column files or builtin:copy, not builtin:story"
    );
    let adding = "data: the task forecast needs builtin:adding, not builtin:copy";
    assert_eq!(problem("builtin:copy", &Forecast), adding);
    assert_eq!(problem("builtin:adding", &Lm), "data: the task lm needs text, not builtin:adding");
    assert!(problem("builtin:story", &Classify).starts_with("columns.label: the task classify needs"));
}

#[test]
fn records_become_classes_in_sorted_order() {
    let (_dir, spec) = records("good film,yes\nbad,no\n,yes\nfilm,\n", "bad film,no\n");
    let prepared = Classify.prepare(&spec, words()).unwrap();
    assert_eq!(prepared.labels, ["no", "yes"]);
    assert_eq!(prepared.shape, NetworkShape { vocabulary: Some(5), features: 0, outputs: 2 }); // with two specials
    let train = whole(&prepared.splits.train);
    assert_eq!(train.lengths, Some(vec![2, 1]));
    let Targets::Classes(classes) = train.targets else { panic!("a class for each record") };
    assert_eq!(classes.to_vec1::<u32>().unwrap(), [1, 0]);
    assert_eq!(prepared.splits.valid.map(|valid| valid.len()), Some(1));
}

#[test]
fn classes_unseen_in_training_and_a_single_class_are_refused() {
    let (_dir, unseen) = records("a,x\nb,y\n", "a,z\n");
    let problem = Classify.prepare(&unseen, words()).map(drop).unwrap_err();
    assert!(
        problem.to_string().contains("its valid split has the class \"z\", but the model knows only x, y")
    );
    let (_dir, single) = records("a,x\nb,x\n", "a,x\n");
    let problem = Classify.prepare(&single, words()).map(drop).unwrap_err();
    assert!(problem.to_string().contains("has one class (x); expected at least two"), "{problem}");
}

#[test]
fn built_in_sequences_of_the_splits_are_the_seed_and_differ() {
    let copies = spec("builtin:copy");
    let read = |spec: &DataSpec, split| Tag.read_split(spec, Some(split), Names::default()).unwrap().0;
    let [valid, test, all] = [Split::Valid, Split::Test, Split::All].map(|split| read(&copies, split));
    assert_eq!((valid.len(), test.len(), all.len()), (EXAMPLES[1], EXAMPLES[2], EXAMPLES.iter().sum()));
    let hash = |data: &Dataset| data.fingerprint(&SingleProcess).unwrap();
    assert_eq!(hash(&valid), hash(&read(&copies, Split::Valid)));
    assert_ne!(hash(&valid), hash(&test));
    assert_ne!(hash(&valid), hash(&read(&DataSpec { seed: 4, ..copies.clone() }, Split::Valid)));
    assert_eq!(whole(&valid).inputs.steps().unwrap(), crate::data::builtin::copy::length(10, 40));
}

/// All examples of a split as one batch.
fn whole(data: &Dataset) -> Batch {
    let cut = Cut { batch_size: data.len(), window: 1, trim: false, vary: false };
    data.epoch(cut, None).unwrap().batch(0, &Device::Cpu).unwrap()
}
