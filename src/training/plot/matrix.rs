//! The picture of a confusion matrix.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::png::Canvas;
use super::style::{GRID, INK, MARGIN, ROW, STRONG, WIDTH, draw_error, text_style};
use crate::{Error, Result};

/// The most classes of a picture.
pub const MOST_CLASSES: usize = 40;

/// Width of the names of the rows.
const NAMES: u32 = 420;

/// Largest side of a cell.
const CELL: u32 = 130;

/// Width of a letter in parts of the font's size.
const LETTER: f64 = 0.6;

/// Largest size of the font.
const LETTERS: u32 = 30;

/// A confusion matrix: a row for each true class, a column for each predicted class. The shade of a cell is the share of
/// its row.
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
        let mut text = String::new();
        self.draw(&SVGBackend::with_string(&mut text, (WIDTH, self.height())).into_drawing_area())?;
        Ok(text)
    }

    /// Return the bytes of a PNG file.
    ///
    /// # Errors
    /// As [`Matrix::svg`].
    pub fn png(&self) -> Result<Vec<u8>> {
        let size = tiny_skia::Pixmap::new(WIDTH, self.height());
        let mut pixels = size.ok_or_else(|| draw_error("it is too large"))?;
        pixels.fill(tiny_skia::Color::WHITE);
        self.draw(&Canvas(&mut pixels).into_drawing_area())?;
        pixels.encode_png().map_err(draw_error)
    }

    /// The side of a cell in pixels.
    fn side(&self) -> u32 {
        ((WIDTH - NAMES - 2 * MARGIN) / self.labels.len().max(1) as u32).min(CELL)
    }

    /// The place of the first cell.
    fn top() -> u32 {
        MARGIN + 2 * ROW
    }

    fn height(&self) -> u32 {
        Self::top() + self.side() * self.labels.len() as u32 + 2 * ROW + MARGIN
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<()> {
        let classes = self.labels.len();
        if !(1..=MOST_CLASSES).contains(&classes) {
            let problem =
                format!("a confusion matrix of {classes} classes is not drawn; expected 1 to {MOST_CLASSES}");
            return Err(Error::Message(problem));
        }
        area.fill(&WHITE).map_err(draw_error)?;
        let write = |text: String, x: u32, y: u32, style: TextStyle<'_>| {
            area.draw(&Text::new(text, (x as i32, y as i32), style)).map_err(draw_error)
        };
        let (side, top) = (self.side(), Self::top());
        let bottom = top + side * classes as u32;
        write(self.title.clone(), NAMES, MARGIN, text_style(HPos::Left, VPos::Top))?;
        write("true".into(), NAMES - MARGIN, MARGIN + ROW, text_style(HPos::Right, VPos::Top))?;
        write("predicted".into(), NAMES, bottom + ROW, text_style(HPos::Left, VPos::Top))?;
        for (at, label) in self.labels.iter().enumerate() {
            let middle = at as u32 * side + side / 2;
            let (row, size) = fitted(label, NAMES - 2 * MARGIN, side);
            write(row, NAMES - MARGIN, top + middle, sized(size, &INK, HPos::Right, VPos::Center))?;
            let (column, size) = fitted(label, side, ROW);
            write(column, NAMES + middle, bottom + MARGIN / 2, sized(size, &INK, HPos::Center, VPos::Top))?;
        }
        for (row, counts) in self.counts.iter().enumerate() {
            let total = counts.iter().sum::<u64>().max(1);
            for (column, &count) in counts.iter().enumerate() {
                let [x, y] = [NAMES + column as u32 * side, top + row as u32 * side];
                self.draw_cell(area, [x, y], count, count as f64 / total as f64)?;
            }
        }
        area.present().map_err(draw_error)
    }

    /// Draw a cell of which `share` of the row's targets are.
    fn draw_cell<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        [x, y]: [u32; 2],
        count: u64,
        share: f64,
    ) -> Result<()> {
        let side = self.side();
        let corners = [(x as i32, y as i32), ((x + side) as i32, (y + side) as i32)];
        let shade = Rectangle::new(corners, STRONG.mix(share).filled());
        area.draw(&shade).map_err(draw_error)?;
        area.draw(&Rectangle::new(corners, GRID.stroke_width(2))).map_err(draw_error)?;
        if count == 0 {
            return Ok(());
        }
        let color = if share > 0.5 { &WHITE } else { &INK };
        let (text, size) = fitted(&count.to_string(), side, side);
        let middle = ((x + side / 2) as i32, (y + side / 2) as i32);
        let text = Text::new(text, middle, sized(size, color, HPos::Center, VPos::Center));
        area.draw(&text).map_err(draw_error)
    }
}

/// A text cut to `width` pixels, and the size of its font, which is smaller where that lets the text fit.
fn fitted(text: &str, width: u32, height: u32) -> (String, u32) {
    let letters = text.chars().count().max(1);
    let largest = LETTERS.min(height * 3 / 4).max(8);
    let size = (f64::from(width) / (LETTER * letters as f64)) as u32;
    let size = size.clamp(largest.min(14), largest);
    let room = (f64::from(width) / (LETTER * f64::from(size))) as usize;
    match letters > room.max(1) {
        true => (text.chars().take(room.saturating_sub(2)).chain("..".chars()).collect(), size),
        false => (text.to_string(), size),
    }
}

fn sized(size: u32, color: &'static RGBColor, h_pos: HPos, v_pos: VPos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", size).into_font()).color(color).pos(Pos::new(h_pos, v_pos))
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
