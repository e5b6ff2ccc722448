//! The picture of forecasts: a panel for each series.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::chart::draw_axes;
use super::png::{Canvas, encode};
use super::scale::{Scale, ticks};
use super::style::{BOTTOM, LEFT, MARGIN, PANEL, WIDTH, colors, draw_error, text_style};
use crate::Result;
use crate::tasks::forecast::ForecastCurve;

/// Steps of the history that are drawn, in forecasts.
const HISTORY: usize = 4;

/// Forecasts beside the values of their series.
#[derive(Clone, Debug)]
pub struct ForecastPicture {
    /// The forecasts, from top to bottom; at least one.
    pub curves: Vec<ForecastCurve>,
}

impl ForecastPicture {
    /// Return the text of an SVG file.
    ///
    /// # Errors
    /// Errors of the drawing library.
    pub fn svg(&self) -> Result<String> {
        let mut text = String::new();
        self.draw(&SVGBackend::with_string(&mut text, (WIDTH, self.height())).into_drawing_area())?;
        Ok(text)
    }

    /// Return the bytes of a PNG file.
    ///
    /// # Errors
    /// Errors of the drawing library.
    pub fn png(&self) -> Result<Vec<u8>> {
        let draw = |canvas: Canvas<'_>| self.draw(&canvas.into_drawing_area());
        encode((WIDTH, self.height()), &self.svg()?, draw)
    }

    fn height(&self) -> u32 {
        2 * MARGIN + (PANEL + BOTTOM) * self.curves.len() as u32
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<()> {
        area.fill(&WHITE).map_err(draw_error)?;
        for (at, curve) in self.curves.iter().enumerate() {
            let top = MARGIN + (PANEL + BOTTOM) * at as u32;
            draw_panel(curve, &area.clone().shrink((0, top), (WIDTH, PANEL + BOTTOM)))?;
        }
        area.present().map_err(draw_error)
    }
}

/// Points of a line; steps of the forecast are counted from 0, those before it are negative. A missing value ends a
/// line.
fn lines(values: &[f64], first: i64) -> Vec<Vec<(f64, f64)>> {
    let mut lines = vec![vec![]];
    for (step, &value) in values.iter().enumerate() {
        match value.is_finite() {
            true => lines.last_mut().map_or((), |line| line.push(((first + step as i64) as f64, value))),
            false => lines.push(vec![]),
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

fn draw_panel<B: DrawingBackend>(curve: &ForecastCurve, area: &DrawingArea<B, Shift>) -> Result<()> {
    let horizon = curve.mean.len();
    let kept = curve.history.len().min(HISTORY * horizon);
    let history = &curve.history[curve.history.len() - kept..];
    let values: Vec<f64> = history.iter().chain(&curve.values).copied().collect();
    let quantiles = curve.quantiles.iter().flat_map(|(_, steps)| steps);
    let all: Vec<f64> = values
        .iter()
        .chain(&curve.mean)
        .chain(quantiles)
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    let range = -(kept as f64)..horizon as f64;
    let x = Scale { ticks: ticks(&range, 8), range, logarithmic: false, unit: 1. };

    let [truth, forecast] = colors(0, 1);
    let (heading, style) = (format!("{}: values,", curve.name), text_style(HPos::Left, VPos::Top));
    area.draw(&Text::new(heading.clone(), (LEFT as i32, 2), style.clone().color(&truth)))
        .map_err(draw_error)?;
    let beside = LEFT as i32 + 18 * heading.chars().count() as i32;
    let bands: Vec<String> = curve.quantiles.iter().map(|(level, _)| level.to_string()).collect();
    let bands =
        if bands.is_empty() { String::new() } else { format!(" with quantiles {}", bands.join(", ")) };
    let label = Text::new(format!("forecast{bands}"), (beside, 2), style.color(&forecast));
    area.draw(&label).map_err(draw_error)?;
    let title = format!("steps from {}", curve.start);
    let mut chart = draw_axes(area, (x, Scale::of(&all, false)), Some(&title))?;
    let pairs = curve.quantiles.iter().zip(curve.quantiles.iter().rev()).take(curve.quantiles.len() / 2);
    for ((_, low), (_, high)) in pairs {
        let step = |(step, value): (usize, &f64)| (step as f64, *value);
        let edge = low.iter().enumerate().map(step);
        let back = high.iter().enumerate().map(step).collect::<Vec<_>>().into_iter().rev();
        let band = Polygon::new(edge.chain(back).collect::<Vec<_>>(), forecast.mix(0.2).filled());
        chart.draw_series([band]).map_err(draw_error)?;
    }
    let curves = [(lines(&values, -(kept as i64)), truth), (lines(&curve.mean, 0), forecast)];
    for (lines, color) in curves {
        for line in lines {
            chart.draw_series(LineSeries::new(line, color.stroke_width(4))).map_err(draw_error)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_value_ends_a_line() {
        let found = lines(&[1., f64::NAN, 2., 3.], -4);
        assert_eq!(found, [vec![(-4., 1.)], vec![(-2., 2.), (-1., 3.)]]);
    }

    #[test]
    fn forecasts_are_drawn_with_bands() {
        let curve = ForecastCurve {
            name: "sales".into(),
            start: "2020-01".into(),
            history: vec![1., 2., 3.],
            values: vec![f64::NAN; 2],
            mean: vec![4., 5.],
            quantiles: vec![(0.1, vec![3., 4.]), (0.5, vec![4., 5.]), (0.9, vec![6., 7.])],
        };
        let picture = ForecastPicture { curves: vec![curve.clone(), curve] };
        let svg = picture.svg().unwrap();
        assert_eq!(svg.matches("<polygon").count(), 2, "{svg}");
        assert_eq!(svg.matches("steps from 2020-01").count(), 2);
        assert!(picture.png().unwrap().starts_with(b"\x89PNG"));
    }
}
