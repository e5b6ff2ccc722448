//! The classes of an evaluation: as JSON, and as a table for a terminal.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::confusion::{ClassScore, Confusion};

/// The most classes in the table, which has those with the most targets.
const TABLE_CLASSES: usize = 20;

/// The most classes whose confusion matrix is printed.
const MATRIX_CLASSES: usize = 12;

/// The most classes whose confusion matrix is written as JSON: a million numbers.
const JSON_CLASSES: usize = 1000;

/// The most characters of a label in a table.
const LABEL_WIDTH: usize = 24;

/// The classes of an evaluation.
///
/// In JSON it is three members of the object around it: `labels`, the names in the order of the network's outputs;
/// `per_class`, an object with `precision`, `recall`, `f1` and `support` for each label; and `confusion`, a matrix of
/// counts with a row for each true class and a column for each predicted class, both in the order of `labels`. The
/// matrix is null if there are more than 1,000 labels.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassReport {
    labels: Vec<String>,
    confusion: Confusion,
}

impl ClassReport {
    /// The report of `confusion`. `labels` are the names of the classes; a class without one is called by its number,
    /// with `#` before it if that is the name of another.
    pub fn new(confusion: Confusion, labels: &[String]) -> Self {
        let highest = confusion.scores().last_key_value().map_or(0, |(class, _)| *class as usize + 1);
        let mut named = labels.to_vec();
        for class in labels.len()..highest {
            let mut name = class.to_string();
            while named.contains(&name) {
                name.insert(0, '#');
            }
            named.push(name);
        }
        Self { labels: named, confusion }
    }

    /// The classes that occur among the targets and were never predicted, with their numbers of targets.
    pub fn never_predicted(&self) -> Vec<(&str, u64)> {
        let missed = self.confusion.never_predicted().into_iter();
        missed.map(|(class, support)| (self.labels[class as usize].as_str(), support)).collect()
    }

    /// The counts of true and predicted classes.
    pub fn confusion(&self) -> &Confusion {
        &self.confusion
    }

    /// Lines for a terminal: a table of the classes, and the confusion matrix if there are few.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.table();
        if self.labels.len() <= MATRIX_CLASSES {
            lines.push(String::new());
            lines.extend(self.matrix_lines());
        }
        lines
    }

    /// The metrics of each label.
    fn scores(&self) -> Vec<ClassScore> {
        let mut found = self.confusion.scores();
        (0..self.labels.len()).map(|class| found.remove(&(class as u32)).unwrap_or_default()).collect()
    }

    fn table(&self) -> Vec<String> {
        let scores = self.scores();
        let mut order: Vec<usize> = (0..self.labels.len()).collect();
        if order.len() > TABLE_CLASSES {
            order.sort_by_key(|&class| std::cmp::Reverse(scores[class].support));
        }
        let shown = &order[..order.len().min(TABLE_CLASSES)];
        let labels: Vec<String> = shown.iter().map(|&class| cell_text(&self.labels[class])).collect();
        let width = width_of(labels.iter().map(String::as_str).chain(["class"]));
        let mut lines = vec![format!("{:width$}  precision  recall      F1  support", "class")];
        for (label, &class) in labels.iter().zip(shown) {
            let ClassScore { precision, recall, f1, support } = scores[class];
            lines.push(format!("{label:width$}  {precision:9.4}  {recall:6.4}  {f1:6.4}  {support:7}"));
        }
        if shown.len() < order.len() {
            lines.push(format!("({} of {} classes, by support)", shown.len(), order.len()));
        }
        lines
    }

    fn matrix_lines(&self) -> Vec<String> {
        let labels: Vec<String> = self.labels.iter().map(|label| cell_text(label)).collect();
        let matrix = self.matrix();
        let counts: Vec<String> = matrix.iter().flatten().map(u64::to_string).collect();
        let title = "true \\ predicted";
        let first = width_of(labels.iter().map(String::as_str).chain([title]));
        let width = width_of(labels.iter().chain(&counts).map(String::as_str));
        let cells =
            |cells: &[String]| cells.iter().map(|cell| format!("  {cell:>width$}")).collect::<String>();
        let mut lines = vec![format!("{title:first$}{}", cells(&labels))];
        for (label, row) in labels.iter().zip(counts.chunks(labels.len().max(1))) {
            lines.push(format!("{label:first$}{}", cells(row)));
        }
        lines
    }

    /// The names of the classes, in the order of the network's outputs.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The counts: a row for each true class, a column for each predicted class.
    pub fn matrix(&self) -> Vec<Vec<u64>> {
        let classes = 0..self.labels.len() as u32;
        let row = |truth| classes.clone().map(|predicted| self.confusion.count(truth, predicted)).collect();
        classes.clone().map(row).collect()
    }
}

impl Serialize for ClassReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let per_class: BTreeMap<&String, ClassScore> = self.labels.iter().zip(self.scores()).collect();
        let confusion = (self.labels.len() <= JSON_CLASSES).then(|| self.matrix());
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("labels", &self.labels)?;
        map.serialize_entry("per_class", &per_class)?;
        map.serialize_entry("confusion", &confusion)?;
        map.end()
    }
}

/// The largest number of characters.
fn width_of<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or_default()
}

/// A label without control characters, cut to [`LABEL_WIDTH`] characters.
fn cell_text(label: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    match label.chars().count() <= LABEL_WIDTH {
        true => label.chars().map(plain).collect(),
        false => label.chars().map(plain).take(LABEL_WIDTH - 3).chain("...".chars()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(pairs: &[(u32, u32)], labels: &[&str]) -> ClassReport {
        let mut confusion = Confusion::default();
        pairs.iter().for_each(|&(truth, predicted)| confusion.add(truth, predicted));
        ClassReport::new(confusion, &labels.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn rows_are_true_classes_in_the_order_of_the_labels() {
        let report = report(&[(0, 0), (0, 1), (0, 1), (2, 0)], &["b", "a", "c", "unused"]);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["labels"], json!(["b", "a", "c", "unused"]));
        assert_eq!(json["confusion"], json!([[1, 2, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]));
        let expected = json!({ "precision": 0.5, "recall": 1. / 3., "f1": 0.4, "support": 3 });
        assert_eq!(json["per_class"]["b"], expected);
        assert_eq!(json["per_class"]["unused"]["support"], 0);
        assert_eq!(report.never_predicted(), [("c", 1)]);
    }

    #[test]
    fn classes_without_a_name_are_called_by_their_number() {
        let json = serde_json::to_value(report(&[(2, 1)], &["a"])).unwrap();
        assert_eq!(json["labels"], json!(["a", "1", "2"]));
        let json = serde_json::to_value(report(&[(2, 1)], &["2"])).unwrap();
        assert_eq!(json["labels"], json!(["2", "1", "#2"]));
        assert_eq!(json["per_class"]["#2"]["support"], 1);
    }

    #[test]
    fn table_has_the_most_frequent_classes() {
        let few = report(&[(0, 0), (1, 0)], &["yes", "a label of very many characters indeed"]);
        let lines = few.lines();
        assert_eq!(lines.len(), 3 + 1 + 3, "{lines:#?}");
        assert!(
            lines[1].starts_with("yes ") && lines[1].ends_with("0.5000  1.0000  0.6667        1"),
            "{lines:#?}"
        );
        assert!(lines[2].starts_with("a label of very many ...  "), "{lines:#?}");
        let widths: Vec<usize> = lines.iter().map(|line| line.chars().count()).collect();
        assert!(widths[0] == widths[1] && widths[1] == widths[2] && widths[4] == widths[6], "{lines:#?}");

        let pairs: Vec<(u32, u32)> = (0..30).flat_map(|class| vec![(class, 0); class as usize]).collect();
        let lines = report(&pairs, &[]).lines();
        assert_eq!(lines.len(), 1 + TABLE_CLASSES + 1, "{lines:#?}");
        assert!(lines[1].starts_with("29 ") && lines[20].starts_with("10 "), "{lines:#?}");
        assert_eq!(lines[21], "(20 of 30 classes, by support)");
    }

    #[test]
    fn large_matrix_is_null() {
        let labels: Vec<String> = (0..=JSON_CLASSES).map(|class| class.to_string()).collect();
        let json = serde_json::to_value(ClassReport::new(Confusion::default(), &labels)).unwrap();
        assert!(json["confusion"].is_null() && json["per_class"].as_object().unwrap().len() > JSON_CLASSES);
    }
}
