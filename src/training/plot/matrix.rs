//! The picture of a confusion matrix.

use super::grid::{Grid, GridCell};
use crate::{Error, Result};

/// The most classes of a picture.
pub const MOST_CLASSES: usize = 40;

/// A confusion matrix: a row for each true class, a column for each predicted class. The shade of a cell is the share
/// of its row.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// A line above the matrix.
    pub title: String,
    /// Names of the classes, in the order of rows and columns.
    pub labels: Vec<String>,
    /// The counts, row by row.
    pub counts: Vec<Vec<u64>>,
}

impl Matrix {
    /// Return the text of an SVG file.
    ///
    /// # Errors
    /// If there is no class or there are more than [`MOST_CLASSES`].
    pub fn svg(&self) -> Result<String> {
        self.grid()?.svg()
    }

    /// Return the bytes of a PNG file.
    ///
    /// # Errors
    /// As [`Matrix::svg`].
    pub fn png(&self) -> Result<Vec<u8>> {
        self.grid()?.png()
    }

    fn grid(&self) -> Result<Grid> {
        let classes = self.labels.len();
        if !(1..=MOST_CLASSES).contains(&classes) {
            let problem =
                format!("a confusion matrix of {classes} classes is not drawn; expected 1 to {MOST_CLASSES}");
            return Err(Error::Message(problem));
        }
        let row = |counts: &Vec<u64>| {
            let total = counts.iter().sum::<u64>().max(1);
            let text = |count: u64| if count == 0 { String::new() } else { count.to_string() };
            let cell = |&count: &u64| GridCell { shade: count as f64 / total as f64, text: text(count) };
            counts.iter().map(cell).collect()
        };
        Ok(Grid {
            title: self.title.clone(),
            axes: ["true", "predicted"],
            rows: self.labels.clone(),
            columns: self.labels.clone(),
            cells: self.counts.iter().map(row).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(classes: usize) -> Matrix {
        let labels = (0..classes).map(|class| format!("class <{class}>")).collect();
        let row = |truth| (0..classes).map(|predicted| u64::from(truth == predicted) * 7).collect();
        Matrix { title: "eval of x".into(), labels, counts: (0..classes).map(row).collect() }
    }

    #[test]
    fn every_count_and_label_is_drawn() {
        let svg = matrix(3).svg().unwrap();
        assert_eq!(svg.matches("\n7\n").count(), 3, "{svg}");
        for text in ["eval of x", "class &lt;0&gt;", "true", "predicted"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        assert!(matrix(MOST_CLASSES).png().unwrap().starts_with(b"\x89PNG"));
    }

    #[test]
    fn too_many_classes_are_refused() {
        for classes in [0, MOST_CLASSES + 1] {
            let error = matrix(classes).svg().unwrap_err().to_string();
            assert!(error.contains("expected 1 to 40"), "{error}");
        }
    }
}
