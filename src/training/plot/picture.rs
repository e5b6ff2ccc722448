//! A picture of one run or several.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::axis::Axis;
use super::legend;
use super::panel::PlotPanel;
use super::png::{Canvas, encode};
use super::quantity::Quantity;
use super::run::PlottedRun;
use super::style::{BOTTOM, MARGIN, MOST_RUNS, PANEL, WIDTH, draw_error};
use crate::{Error, Result};

/// A picture: a panel for each quantity, over one horizontal axis.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The quantities, from top to bottom.
    pub quantities: Vec<Quantity>,
    /// The horizontal axis.
    pub axis: Axis,
}

impl Picture {
    /// Return a picture of the usual quantities that any of the runs has.
    ///
    /// # Errors
    /// If no run has any of them.
    pub fn usual(runs: &[PlottedRun], axis: Axis) -> Result<Self> {
        let any = |quantity: &Quantity| {
            let mut points =
                runs.iter().flat_map(|run| run.history.train.points().chain(run.history.valid.points()));
            points.any(|point| quantity.of(point).is_some())
        };
        let perplexity = any(&Quantity::Perplexity);
        let usual = |quantity: &Quantity| any(quantity) && !(perplexity && *quantity == Quantity::Accuracy);
        let quantities: Vec<_> = Quantity::USUAL.into_iter().filter(usual).collect();
        match quantities.is_empty() {
            true => Err(Error::Message("the reports of these runs have no figure to draw".into())),
            false => Ok(Self { quantities, axis }),
        }
    }

    /// Return the text of an SVG file.
    ///
    /// # Errors
    /// If there are more than [`MOST_RUNS`] runs, no run has a quantity, or the axis is epochs and a run has not
    /// completed one.
    pub fn svg(&self, runs: &[PlottedRun]) -> Result<String> {
        let mut text = String::new();
        let size = (WIDTH, self.height(runs));
        self.draw(runs, &SVGBackend::with_string(&mut text, size).into_drawing_area())?;
        Ok(text)
    }

    /// Return the bytes of a PNG file.
    ///
    /// # Errors
    /// As [`Picture::svg`].
    pub fn png(&self, runs: &[PlottedRun]) -> Result<Vec<u8>> {
        let draw = |canvas: Canvas<'_>| self.draw(runs, &canvas.into_drawing_area());
        encode((WIDTH, self.height(runs)), &self.svg(runs)?, draw)
    }

    fn height(&self, runs: &[PlottedRun]) -> u32 {
        2 * MARGIN + legend::height(runs) + PANEL * self.quantities.len() as u32 + BOTTOM
    }

    fn draw<B: DrawingBackend>(&self, runs: &[PlottedRun], area: &DrawingArea<B, Shift>) -> Result<()> {
        self.check(runs)?;
        area.fill(&WHITE).map_err(draw_error)?;
        legend::draw(runs, area)?;
        let mut top = MARGIN + legend::height(runs);
        for (index, &quantity) in self.quantities.iter().enumerate() {
            let last = index + 1 == self.quantities.len();
            let height = PANEL + if last { BOTTOM } else { 0 };
            let panel = PlotPanel { runs, quantity, axis: self.axis, last };
            panel.draw(&area.clone().shrink((0, top), (WIDTH, height)))?;
            top += height;
        }
        area.present().map_err(draw_error)
    }

    /// Refuse runs that cannot be drawn.
    fn check(&self, runs: &[PlottedRun]) -> Result<()> {
        if runs.len() > MOST_RUNS {
            let problem = format!(
                "{} runs are more than there are distinct colours; draw {MOST_RUNS} at most",
                runs.len()
            );
            return Err(Error::invalid("runs", problem));
        }
        if let Some(run) = runs.iter().find(|run| run.history.is_empty()) {
            let problem = format!("{}: holds no reports yet, so there is nothing to draw", run.name);
            return Err(Error::Message(problem));
        }
        let without_epoch = |run: &&PlottedRun| run.history.epoch_steps().is_none();
        if let Some(run) = runs.iter().find(without_epoch).filter(|_| self.axis == Axis::Epoch) {
            let problem = format!("no epoch of {} is known to be over; use option `axis = step`", run.name);
            return Err(Error::invalid("axis", problem));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
