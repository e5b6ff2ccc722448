//! Notes about names of classes that seem to be mistakes.

use std::collections::BTreeMap;

use crate::listing::{counted, listed};

/// Names of classes, in small letters, that say that there is none.
const MISSING: [&str; 4] = ["na", "n/a", "nan", "null"];

/// Notes about the names of the `classes` in a column, which have these numbers of records.
pub(super) fn notes(classes: &BTreeMap<String, u64>, column: &str) -> Vec<String> {
    [with_blanks(classes, column), missing(classes, column), equal_numbers(classes, column)]
        .into_iter()
        .flatten()
        .collect()
}

/// A note about labels that differ from another one only in blanks at their ends.
fn with_blanks(classes: &BTreeMap<String, u64>, column: &str) -> Option<String> {
    let mut spellings: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
    for (label, &count) in classes {
        spellings.entry(label.trim()).or_default().push((label, count));
    }
    let several = spellings.values().filter(|spellings| spellings.len() > 1);
    let blank = several.flatten().filter(|(label, _)| label.trim() != *label);
    let (count, labels) = blank.fold((0, vec![]), |(sum, mut labels), (label, count)| {
        labels.push(format!("{label:?}"));
        (sum + count, labels)
    });
    (count > 0).then(|| {
        format!(
            "{} in `{column}` with blanks at the ends ({}) that other labels lack; these are classes of their own: \
             remove the blanks to join them",
            counted(count, "label"),
            listed(labels, ", ")
        )
    })
}

/// A note about labels that say that there is none.
fn missing(classes: &BTreeMap<String, u64>, column: &str) -> Option<String> {
    let missing = classes.iter().filter(|(label, _)| MISSING.contains(&label.trim().to_lowercase().as_str()));
    let (labels, counts): (Vec<String>, Vec<u64>) =
        missing.map(|(label, count)| (format!("{label:?}"), *count)).unzip();
    (!labels.is_empty()).then(|| {
        let (count, labels) = (counted(counts.iter().sum(), "label"), listed(labels, ", "));
        format!(
            "{count} in `{column}` ({labels}) count as a class like others: empty the fields where the class is missing"
        )
    })
}

/// A note about labels that are the same number.
fn equal_numbers(classes: &BTreeMap<String, u64>, column: &str) -> Option<String> {
    let mut numbers: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for label in classes.keys().map(|label| label.trim()) {
        if let Some(number) = label.parse::<f64>().ok().filter(|number| number.is_finite()) {
            // 0 and -0 are one number.
            let labels = numbers.entry((number + 0.).to_bits()).or_default();
            if labels.last() != Some(&label) {
                labels.push(label);
            }
        }
    }
    let several = numbers.into_values().filter(|labels| labels.len() > 1).flatten();
    let labels: Vec<String> = several.map(|label| format!("{label:?}")).collect();
    (!labels.is_empty()).then(|| {
        let labels = listed(labels, ", ");
        format!("labels in `{column}` are the same numbers ({labels}) but classes of their own: write each in one way")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(labels: &[&str]) -> Vec<String> {
        notes(&labels.iter().map(|label| (label.to_string(), 2)).collect(), "label")
    }

    #[test]
    fn names_that_seem_to_be_mistakes_are_noted() {
        let said = noted(&["NA", "NaN", "pos"]);
        assert!(
            said.len() == 1 && said[0].starts_with("4 labels in `label` (\"NA\", \"NaN\") count"),
            "{said:?}"
        );
        let said = noted(&["1", "1.0", "2", "3"]);
        assert!(said.len() == 1 && said[0].contains("the same numbers (\"1\", \"1.0\")"), "{said:?}");
        let said = noted(&[" 0", "0", "1"]);
        assert!(said.len() == 1 && said[0].starts_with("2 labels in `label` with blanks"), "{said:?}");
        assert!(noted(&["0", "1", "none", "1a", "pos"]).is_empty());
    }
}
