//! The axes of a panel.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::scale::Scale;
use super::style::{BOTTOM, GRID, INK, LEFT, MARGIN, ROW, draw_error, text_style};
use crate::Result;

/// Axes on which lines can be drawn.
pub(super) type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<Scale, Scale>>;

/// Draw the grid and the axes of a panel below its heading. The horizontal axis has numbers and a title, or neither.
///
/// # Errors
/// Errors of the drawing library.
pub(super) fn draw_axes<'a, B: DrawingBackend>(
    area: &'a DrawingArea<B, Shift>,
    (x, y): (Scale, Scale),
    title: Option<&str>,
) -> Result<Chart<'a, B>> {
    let mut chart = ChartBuilder::on(area)
        .margin_top(ROW)
        .margin_right(2 * MARGIN)
        .margin_bottom(MARGIN)
        .set_label_area_size(LabelAreaPosition::Left, LEFT)
        .set_label_area_size(LabelAreaPosition::Bottom, title.map_or(0, |_| BOTTOM))
        .build_cartesian_2d(x, y)
        .map_err(draw_error)?;
    let mut mesh = chart.configure_mesh();
    mesh.bold_line_style(GRID.stroke_width(2))
        .light_line_style(TRANSPARENT)
        .axis_style(INK.stroke_width(2))
        .label_style(text_style(HPos::Left, VPos::Top))
        .axis_desc_style(text_style(HPos::Left, VPos::Top));
    if let Some(title) = title {
        mesh.x_desc(title);
    }
    mesh.draw().map_err(draw_error)?;
    Ok(chart)
}
