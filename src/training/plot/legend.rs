//! The legend at the top of a picture.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::run::PlottedRun;
use super::style::{LEFT, MARGIN, ROW, WIDTH, colors, draw_error, text_style};
use crate::Result;

/// The width of a letter, at most.
const LETTER_WIDTH: u32 = 18;
const LONGEST_NAME: usize = 48;

/// The length of a line, and the distance to its label.
const LINE: u32 = 44;
const LABEL: u32 = 58;

/// An entry with its position.
struct Placed {
    label: String,
    color: Option<RGBAColor>,
    left: u32,
    row: u32,
}

/// Return the height of the legend.
pub(super) fn height(runs: &[PlottedRun]) -> u32 {
    let rows = placed(runs).last().map_or(0, |entry| entry.row + 1);
    ROW * rows + ROW / 2
}

/// Draw the legend at the top of the picture.
pub(super) fn draw<B: DrawingBackend>(runs: &[PlottedRun], area: &DrawingArea<B, Shift>) -> Result<()> {
    for Placed { label, color, left, row } in placed(runs) {
        let y = (MARGIN + ROW * row + ROW / 2) as i32;
        let [line, end, behind] = [left, left + LINE, left + LABEL].map(|x| x as i32);
        if let Some(color) = color {
            let stroke = color.stroke_width(6);
            area.draw(&PathElement::new([(line, y), (end, y)], stroke)).map_err(draw_error)?;
        }
        let text = if color.is_some() { behind } else { line };
        area.draw(&Text::new(label, (text, y), text_style(HPos::Left, VPos::Center))).map_err(draw_error)?;
    }
    Ok(())
}

/// Break the entries into rows.
fn placed(runs: &[PlottedRun]) -> Vec<Placed> {
    let (mut left, mut row) = (LEFT, 0);
    let mut placed = vec![];
    for (label, color) in entries(runs) {
        let width = LABEL + LETTER_WIDTH * label.chars().count() as u32 + 2 * MARGIN;
        if left > LEFT && left + width > WIDTH {
            (left, row) = (LEFT, row + 1);
        }
        placed.push(Placed { label, color, left, row });
        left += width;
    }
    placed
}

/// Return the entries, from left to right.
fn entries(runs: &[PlottedRun]) -> Vec<(String, Option<RGBAColor>)> {
    match runs {
        [run] => {
            let [train, valid] = colors(0, 1);
            let mut entries = vec![(without_beginning(&run.name), None)];
            for (label, color, series) in
                [("training", train, &run.history.train), ("validation", valid, &run.history.valid)]
            {
                if !series.is_empty() {
                    entries.push((label.to_string(), Some(color)));
                }
            }
            entries
        }
        _ => {
            let color = |index| Some(colors(index, runs.len())[1]);
            let runs = runs.iter().enumerate();
            let mut entries: Vec<_> =
                runs.map(|(at, run)| (without_beginning(&run.name), color(at))).collect();
            entries.push(("(pale: training; strong: validation)".into(), None));
            entries
        }
    }
}

/// Shorten a name at its beginning: the end of a path tells runs apart.
fn without_beginning(name: &str) -> String {
    let letters = name.chars().count();
    match letters > LONGEST_NAME {
        true => format!("...{}", name.chars().skip(letters + 3 - LONGEST_NAME).collect::<String>()),
        false => name.to_string(),
    }
}
