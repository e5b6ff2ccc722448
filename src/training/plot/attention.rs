//! The picture of the attention behind a translation.

use super::grid::{Grid, GridCell};
use crate::{Error, Result};

/// The most tokens of a side of a picture.
pub const MOST_ATTENDED: usize = 80;

/// The attention weights of a translation: a row for each token of the target, a column for each token of the source.
#[derive(Clone, Debug)]
pub struct AttentionMap {
    /// A line above the picture.
    pub title: String,
    /// Tokens of the source.
    pub source: Vec<String>,
    /// Tokens of the target.
    pub target: Vec<String>,
    /// Weights from 0 to 1, (target, source).
    pub weights: Vec<Vec<f32>>,
}

impl AttentionMap {
    /// Return the text of an SVG file.
    ///
    /// # Errors
    /// If a side has no token or more than [`MOST_ATTENDED`].
    pub fn svg(&self) -> Result<String> {
        self.grid()?.svg()
    }

    /// Return the bytes of a PNG file.
    ///
    /// # Errors
    /// As [`AttentionMap::svg`].
    pub fn png(&self) -> Result<Vec<u8>> {
        self.grid()?.png()
    }

    fn grid(&self) -> Result<Grid> {
        for (side, tokens) in [("source", &self.source), ("translation", &self.target)] {
            if !(1..=MOST_ATTENDED).contains(&tokens.len()) {
                let problem = format!(
                    "a {side} of {} tokens is not drawn; expected 1 to {MOST_ATTENDED}",
                    tokens.len()
                );
                return Err(Error::Message(problem));
            }
        }
        let cell = |&weight: &f32| GridCell { shade: f64::from(weight), text: String::new() };
        // A blank has no shape of its own.
        let shown = |tokens: &[String]| tokens.iter().map(|token| token.replace(' ', "\u{2423}")).collect();
        Ok(Grid {
            title: self.title.clone(),
            axes: ["translation", "source"],
            rows: shown(&self.target),
            columns: shown(&self.source),
            cells: self.weights.iter().map(|row| row.iter().map(cell).collect()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(source: usize, target: usize) -> AttentionMap {
        let tokens = |side: &str, count: usize| (0..count).map(|token| format!("{side}{token}")).collect();
        let weights = vec![vec![1. / source.max(1) as f32; source]; target];
        AttentionMap { title: "a".into(), source: tokens("s", source), target: tokens("t", target), weights }
    }

    #[test]
    fn every_weight_and_token_is_drawn() {
        let svg = map(3, 2).svg().unwrap();
        assert_eq!(svg.matches("opacity=\"0.33").count(), 6, "{svg}");
        for text in ["\ns2\n", "\nt1\n", "translation", "source"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        assert!(map(MOST_ATTENDED, 1).png().unwrap().starts_with(b"\x89PNG"));
    }

    #[test]
    fn empty_and_long_sides_are_refused() {
        let problem = |source, target| map(source, target).svg().unwrap_err().to_string();
        assert!(problem(0, 1).contains("a source of 0 tokens"));
        assert!(problem(1, 0).contains("a translation of 0 tokens"));
        assert!(problem(MOST_ATTENDED + 1, 1).contains("expected 1 to 80"));
    }
}
