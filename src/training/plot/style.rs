//! Sizes, colours and fonts of a picture.

use std::fmt;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Error;

/// The largest number of runs in a picture: the number of distinguishable colours.
pub const MOST_RUNS: usize = COLORS.len();

/// The colour-blind-safe palette of Okabe and Ito (2008), without yellow, which is invisible on white.
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
/// The colour of the largest share in a matrix.
pub(super) const STRONG: RGBColor = COLORS[0];
pub(super) const INK: RGBColor = RGBColor(60, 60, 60);
pub(super) const GRID: RGBColor = RGBColor(225, 225, 225);

/// Width of the picture in pixels. Plotters rounds to whole pixels, so the picture is drawn large.
pub(super) const WIDTH: u32 = 1600;
/// Height of a panel.
pub(super) const PANEL: u32 = 400;
/// Height of a line of text.
pub(super) const ROW: u32 = 44;
pub(super) const MARGIN: u32 = 24;
/// Width of the numbers of the vertical axis.
pub(super) const LEFT: u32 = 150;
/// Height of the numbers and the title of the horizontal axis.
pub(super) const BOTTOM: u32 = 90;
/// Font size.
const FONT_SIZE: u32 = 30;

/// Return the colours of training and validation of run `index` out of `runs`.
pub(super) fn colors(index: usize, runs: usize) -> [RGBAColor; 2] {
    match runs {
        1 => [COLORS[0].mix(1.), COLORS[1].mix(1.)],
        _ => {
            let color = COLORS[index % COLORS.len()];
            [color.mix(0.4), color.mix(1.)]
        }
    }
}

/// Return the style of text with that anchor.
pub(super) fn text_style(h_pos: HPos, v_pos: VPos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", FONT_SIZE).into_font()).color(&INK).pos(Pos::new(h_pos, v_pos))
}

/// Return an error of the drawing library.
pub(super) fn draw_error(error: impl fmt::Display) -> Error {
    Error::Message(format!("cannot draw the picture: {error}"))
}
