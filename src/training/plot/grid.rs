//! A grid of shaded cells with names of rows and columns.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::png::{Canvas, encode};
use super::style::{GRID, INK, MARGIN, ROW, STRONG, WIDTH, draw_error, text_style};
use crate::Result;

/// Width of the names of the rows.
const NAMES: u32 = 420;

/// Largest side of a cell.
const CELL: u32 = 130;

/// Width of a letter in parts of the font's size.
const LETTER: f64 = 0.6;

/// Largest size of the font.
const LETTERS: u32 = 30;

/// A grid of shaded cells.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// A line above the grid.
    pub title: String,
    /// Titles of the rows and of the columns.
    pub axes: [&'static str; 2],
    /// Names of the rows; at least one.
    pub rows: Vec<String>,
    /// Names of the columns; at least one.
    pub columns: Vec<String>,
    /// The cells, row by row.
    pub cells: Vec<Vec<GridCell>>,
}

/// A cell of a grid.
#[derive(Clone, Debug)]
pub(super) struct GridCell {
    /// From 0, white, to 1.
    pub shade: f64,
    /// The text in the cell.
    pub text: String,
}

impl Grid {
    /// Return the text of an SVG file.
    ///
    /// # Errors
    /// If it cannot be drawn.
    pub(super) fn svg(&self) -> Result<String> {
        let mut text = String::new();
        self.draw(&SVGBackend::with_string(&mut text, (WIDTH, self.height())).into_drawing_area())?;
        Ok(text)
    }

    /// Return the bytes of a PNG file.
    ///
    /// # Errors
    /// As [`Grid::svg`].
    pub(super) fn png(&self) -> Result<Vec<u8>> {
        let draw = |canvas: Canvas<'_>| self.draw(&canvas.into_drawing_area());
        encode((WIDTH, self.height()), &self.svg()?, draw)
    }

    /// The side of a cell in pixels.
    fn side(&self) -> u32 {
        ((WIDTH - NAMES - 2 * MARGIN) / self.columns.len().max(1) as u32).min(CELL)
    }

    /// The place of the first cell.
    fn top() -> u32 {
        MARGIN + 2 * ROW
    }

    fn height(&self) -> u32 {
        Self::top() + self.side() * self.rows.len() as u32 + 2 * ROW + MARGIN
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<()> {
        area.fill(&WHITE).map_err(draw_error)?;
        let write = |text: String, x: u32, y: u32, style: TextStyle<'_>| {
            area.draw(&Text::new(text, (x as i32, y as i32), style)).map_err(draw_error)
        };
        let (side, top) = (self.side(), Self::top());
        let bottom = top + side * self.rows.len() as u32;
        let [rows, columns] = self.axes;
        write(self.title.clone(), NAMES, MARGIN, text_style(HPos::Left, VPos::Top))?;
        write(rows.into(), NAMES - MARGIN, MARGIN + ROW, text_style(HPos::Right, VPos::Top))?;
        write(columns.into(), NAMES, bottom + ROW, text_style(HPos::Left, VPos::Top))?;
        for (at, name) in self.rows.iter().enumerate() {
            let (text, size) = fitted(name, NAMES - 2 * MARGIN, side);
            let y = top + at as u32 * side + side / 2;
            write(text, NAMES - MARGIN, y, sized(size, &INK, HPos::Right, VPos::Center))?;
        }
        for (at, name) in self.columns.iter().enumerate() {
            let (text, size) = fitted(name, side, ROW);
            let x = NAMES + at as u32 * side + side / 2;
            write(text, x, bottom + MARGIN / 2, sized(size, &INK, HPos::Center, VPos::Top))?;
        }
        for (row, cells) in self.cells.iter().enumerate() {
            for (column, cell) in cells.iter().enumerate() {
                let [x, y] = [NAMES + column as u32 * side, top + row as u32 * side];
                self.draw_cell(area, [x, y], cell)?;
            }
        }
        area.present().map_err(draw_error)
    }

    fn draw_cell<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        [x, y]: [u32; 2],
        cell: &GridCell,
    ) -> Result<()> {
        let side = self.side();
        let corners = [(x as i32, y as i32), ((x + side) as i32, (y + side) as i32)];
        let shade = Rectangle::new(corners, STRONG.mix(cell.shade.clamp(0., 1.)).filled());
        area.draw(&shade).map_err(draw_error)?;
        area.draw(&Rectangle::new(corners, GRID.stroke_width(2))).map_err(draw_error)?;
        if cell.text.is_empty() {
            return Ok(());
        }
        let color = if cell.shade > 0.5 { &WHITE } else { &INK };
        let (text, size) = fitted(&cell.text, side, side);
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
