//! One panel of a picture: one metric of all runs.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::axis::Axis;
use super::chart::draw_axes;
use super::history::SplitReports;
use super::quantity::Quantity;
use super::run::PlottedRun;
use super::scale::Scale;
use super::style::{LEFT, colors, draw_error, text_style};
use crate::{Error, Result};

/// A line of more validation points than this has no dots.
const MOST_DOTS: usize = 80;

/// One panel of a picture.
pub(super) struct PlotPanel<'a> {
    pub(super) runs: &'a [PlottedRun],
    pub(super) quantity: Quantity,
    pub(super) axis: Axis,
    /// Whether the panel is the last, which has the numbers and the title of the horizontal axis.
    pub(super) last: bool,
}

/// A line in a panel.
struct Curve {
    points: Vec<(f64, f64)>,
    color: RGBAColor,
    width: u32,
    dots: bool,
}

impl PlotPanel<'_> {
    /// Draw the panel on the whole of `area`.
    ///
    /// # Errors
    /// If no run has the metric, and errors of the drawing library.
    pub(super) fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<()> {
        let curves = self.curves();
        let values: Vec<f64> = curves.iter().flat_map(|curve| &curve.points).map(|(_, y)| *y).collect();
        if values.is_empty() {
            let problem = format!("none of these runs reports its {}", self.quantity);
            return Err(Error::invalid("quantities", problem));
        }
        let y = Scale::of(&values, self.quantity.is_logarithmic(&values));
        let (x, title) = self.axis.scale(self.axis.end(self.runs), self.last);

        let note = if y.logarithmic { " (logarithmic)" } else { "" };
        let heading = format!("{}{note}", self.quantity);
        let heading = Text::new(heading, (LEFT as i32, 2), text_style(HPos::Left, VPos::Top));
        area.draw(&heading).map_err(draw_error)?;
        let mut chart = draw_axes(area, (x, y), self.last.then_some(title))?;
        for Curve { points, color, width, dots } in curves {
            let single = points.len() == 1;
            let line = LineSeries::new(points.clone(), color.stroke_width(width));
            chart.draw_series(line).map_err(draw_error)?;
            if dots || single {
                let dot = |point| Circle::new(point, 7, color.filled());
                chart.draw_series(points.into_iter().map(dot)).map_err(draw_error)?;
            }
        }
        Ok(())
    }

    /// Return the lines of all runs.
    fn curves(&self) -> Vec<Curve> {
        let Self { runs, quantity, axis, .. } = *self;
        let mut curves = vec![];
        for (index, run) in runs.iter().enumerate() {
            let [train, valid] = colors(index, runs.len());
            let points = |series: &SplitReports| -> Vec<(f64, f64)> {
                let both = |point| Some((axis.of(&run.history, point)?, quantity.of(point)?));
                series.points().filter_map(both).collect()
            };
            let [trained, validated] = [points(&run.history.train), points(&run.history.valid)];
            let dots = validated.len() <= MOST_DOTS;
            if quantity.is_validated() {
                curves.push(Curve { points: trained, color: train, width: 3, dots: false });
                curves.push(Curve { points: validated, color: valid, width: 4, dots });
            } else {
                // A run that ended before its first training line has the learning rate of its validation.
                let points = if trained.is_empty() { validated } else { trained };
                let color = if runs.len() == 1 { train } else { valid };
                curves.push(Curve { points, color, width: 4, dots: false });
            }
        }
        curves
    }
}
