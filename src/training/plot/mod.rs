//! Pictures of training: loss, perplexity and learning rate of one run or several, one panel under another,
//! as SVG or PNG.
//!
//! A picture of one run has training and validation in two colours. A picture of several has a colour for
//! each, from a palette that the colour-blind tell apart (Okabe and Ito 2008): training pale, validation
//! strong and with dots. Perplexity and learning rate are on a logarithmic scale where one is needed to see
//! anything.

mod history;
mod legend;
mod png;
mod scale;

use std::fmt;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub use history::{History, Point, Series};
use scale::Scale;

use crate::{Error, Result};

/// As many runs as there are colours that can be told apart.
pub const MOST_RUNS: usize = COLORS.len();

/// Okabe and Ito's palette, without the yellow that white paper swallows.
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
const INK: RGBColor = RGBColor(60, 60, 60);
const GRID: RGBColor = RGBColor(225, 225, 225);

/// Plotters draws in whole pixels, so the picture is large and is shown smaller.
const WIDTH: u32 = 1600;
const PANEL: u32 = 400;
const ROW: u32 = 44;
const MARGIN: u32 = 24;
/// Room for the numbers at the left, and for those and the title at the bottom.
const LEFT: u32 = 150;
const BOTTOM: u32 = 90;
const LETTERS: u32 = 30;

/// More validations than this are a line without dots.
const MOST_DOTS: usize = 80;

/// Beyond this ratio a figure is shown on a logarithmic scale.
const LOGARITHMIC: f64 = 20.;

/// A figure of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Quantity {
    /// Mean loss.
    Loss,
    /// Perplexity.
    Perplexity,
    /// Bits per token.
    Bits,
    /// Share of right answers.
    Accuracy,
    /// Learning rate.
    Lr,
    /// Targets a second.
    TokensPerSecond,
}

/// What runs from left to right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Axis {
    /// Optimizer steps.
    #[default]
    Step,
    /// Epochs, and parts of them.
    Epoch,
    /// Time spent.
    Seconds,
}

/// A run in a picture.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it is called.
    pub name: String,
    /// Its reports.
    pub history: History,
}

/// What is drawn: a panel a quantity, over one axis.
#[derive(Clone, Debug)]
pub struct Picture {
    /// From top to bottom.
    pub quantities: Vec<Quantity>,
    /// From left to right.
    pub axis: Axis,
}

/// A line in a panel, with what it looks like.
struct Curve<'a> {
    points: Vec<(f64, f64)>,
    color: &'a RGBAColor,
    width: u32,
    dots: bool,
}

impl Quantity {
    /// What a picture shows where nobody asked.
    pub const USUAL: [Self; 3] = [Self::Loss, Self::Perplexity, Self::Lr];

    fn of(self, point: &Point) -> Option<f64> {
        let value = match self {
            Self::Loss => point.loss,
            Self::Perplexity => point.perplexity,
            Self::Bits => point.bits_per_token,
            Self::Accuracy => point.accuracy,
            Self::Lr => point.lr,
            Self::TokensPerSecond => point.tokens_per_second,
        };
        value.filter(|value| value.is_finite())
    }

    /// Whether validation has its own: a rate or a speed is training's.
    fn is_validated(self) -> bool {
        !matches!(self, Self::Lr | Self::TokensPerSecond)
    }

    /// Whether the values spread so far that only a logarithmic scale shows them. A rate that falls to
    /// nothing at its end, as a cosine does, is no reason: half of the curve must be small.
    fn is_logarithmic(self, values: &[f64]) -> bool {
        let most = values.iter().copied().fold(0., f64::max);
        let small = values.iter().filter(|value| **value < most / LOGARITHMIC).count();
        let positive = values.iter().all(|value| *value > 0.);
        match self {
            Self::Perplexity => positive && small > 0,
            // The highest value may have been the first alone.
            Self::Lr => positive && 2 * small > values.len(),
            _ => false,
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loss => "loss",
            Self::Perplexity => "perplexity",
            Self::Bits => "bits per token",
            Self::Accuracy => "accuracy",
            Self::Lr => "learning rate",
            Self::TokensPerSecond => "tokens per second",
        })
    }
}

impl Axis {
    fn of(self, history: &History, point: &Point) -> Option<f64> {
        match self {
            Self::Step => Some(point.step as f64),
            Self::Epoch => Some(point.step as f64 / history.epoch_steps()?),
            Self::Seconds => point.seconds.filter(|seconds| seconds.is_finite()),
        }
    }
}

impl Picture {
    /// The usual quantities, those of them that any of the runs has.
    ///
    /// # Errors
    /// Runs with nothing to draw.
    pub fn usual(runs: &[Run], axis: Axis) -> Result<Self> {
        let any = |quantity: &Quantity| {
            let points =
                runs.iter().flat_map(|run| run.history.train.points().chain(run.history.valid.points()));
            points.into_iter().any(|point| quantity.of(point).is_some())
        };
        let quantities: Vec<_> = Quantity::USUAL.into_iter().filter(any).collect();
        match quantities.is_empty() {
            true => Err(Error::Message("there is no figure to draw in the reports of these runs".into())),
            false => Ok(Self { quantities, axis }),
        }
    }

    /// The picture as the text of an SVG file.
    ///
    /// # Errors
    /// More than [`MOST_RUNS`] runs, a quantity that none of them has, and epochs where a run has none.
    pub fn svg(&self, runs: &[Run]) -> Result<String> {
        let mut text = String::new();
        let size = (WIDTH, self.height(runs));
        self.draw(runs, &SVGBackend::with_string(&mut text, size).into_drawing_area())?;
        Ok(text)
    }

    /// The picture as the bytes of a PNG file.
    ///
    /// # Errors
    /// As of [`Picture::svg`].
    pub fn png(&self, runs: &[Run]) -> Result<Vec<u8>> {
        let failed = |what: &str| Error::Message(format!("cannot draw the picture: {what}"));
        let mut pixels =
            tiny_skia::Pixmap::new(WIDTH, self.height(runs)).ok_or_else(|| failed("it is too large"))?;
        pixels.fill(tiny_skia::Color::WHITE);
        self.draw(runs, &png::Canvas(&mut pixels).into_drawing_area())?;
        pixels.encode_png().map_err(|error| failed(&error.to_string()))
    }

    fn height(&self, runs: &[Run]) -> u32 {
        2 * MARGIN + legend::height(runs) + PANEL * self.quantities.len() as u32 + BOTTOM
    }

    fn draw<B: DrawingBackend>(&self, runs: &[Run], area: &DrawingArea<B, Shift>) -> Result<()> {
        if runs.len() > MOST_RUNS {
            let problem = format!(
                "{} runs are more than colours that can be told apart; draw {MOST_RUNS} at most",
                runs.len()
            );
            return Err(Error::invalid("runs", problem));
        }
        if let Some(run) = runs.iter().find(|run| run.history.is_empty()) {
            return Err(Error::Message(format!(
                "{}: holds no reports yet, so there is nothing to draw",
                run.name
            )));
        }
        if let Some(run) =
            runs.iter().find(|run| self.axis == Axis::Epoch && run.history.epoch_steps().is_none())
        {
            let problem = format!("no epoch of {} is known to be over; use --x step", run.name);
            return Err(Error::invalid("axis", problem));
        }
        area.fill(&WHITE).map_err(undrawn)?;
        legend::draw(runs, area)?;
        let mut top = MARGIN + legend::height(runs);
        for (index, &quantity) in self.quantities.iter().enumerate() {
            let last = index + 1 == self.quantities.len();
            let height = PANEL + if last { BOTTOM } else { 0 };
            let panel = area.clone().shrink((0, top), (WIDTH, height));
            self.panel(runs, quantity, &panel, last)?;
            top += height;
        }
        area.present().map_err(undrawn)
    }

    fn panel<B: DrawingBackend>(
        &self,
        runs: &[Run],
        quantity: Quantity,
        area: &DrawingArea<B, Shift>,
        last: bool,
    ) -> Result<()> {
        let colors: Vec<[RGBAColor; 2]> = (0..runs.len()).map(|index| colors(index, runs.len())).collect();
        let mut curves = vec![];
        for (run, [train, valid]) in runs.iter().zip(&colors) {
            let points = |series: &Series| -> Vec<(f64, f64)> {
                let both = |point| Some((self.axis.of(&run.history, point)?, quantity.of(point)?));
                series.points().filter_map(both).collect()
            };
            let [trained, validated] = [points(&run.history.train), points(&run.history.valid)];
            let dots = validated.len() <= MOST_DOTS;
            if quantity.is_validated() {
                curves.push(Curve { points: trained, color: train, width: 3, dots: false });
                curves.push(Curve { points: validated, color: valid, width: 4, dots });
            } else {
                // A run that ended before its first report has the rate of its validation.
                let points = if trained.is_empty() { validated } else { trained };
                let color = if runs.len() == 1 { train } else { valid };
                curves.push(Curve { points, color, width: 4, dots: false });
            }
        }
        let values: Vec<f64> = curves.iter().flat_map(|curve| &curve.points).map(|(_, y)| *y).collect();
        if values.is_empty() {
            return Err(Error::invalid("quantities", format!("none of these runs reports its {quantity}")));
        }
        let y = Scale::of(&values, quantity.is_logarithmic(&values));

        // All panels of a picture begin and end together, whatever each has to show.
        let all = runs.iter().flat_map(|run| {
            let points = run.history.train.points().chain(run.history.valid.points());
            points.filter_map(|point| self.axis.of(&run.history, point))
        });
        let end = all.fold(0., f64::max);
        let x = 0. ..if end > 0. { end } else { 1. };
        let (unit, title) = match self.axis {
            Axis::Step => (1., "optimizer step"),
            Axis::Epoch => (1., "epoch"),
            Axis::Seconds if end >= 7200. => (3600., "hours"),
            Axis::Seconds if end >= 120. => (60., "minutes"),
            Axis::Seconds => (1., "seconds"),
        };
        let labels = if last { unit } else { f64::NAN };
        let ticks = scale::ticks(&(0. ..x.end / unit), 8).into_iter().map(|tick| tick * unit).collect();
        let x = Scale { range: x, ticks, logarithmic: false, unit: labels };

        let note = if y.logarithmic { " (logarithmic)" } else { "" };
        area.draw(&Text::new(format!("{quantity}{note}"), (LEFT as i32, 2), style(HPos::Left, VPos::Top)))
            .map_err(undrawn)?;
        let mut chart = ChartBuilder::on(area)
            .margin_top(ROW)
            .margin_right(2 * MARGIN)
            .margin_bottom(MARGIN)
            .set_label_area_size(LabelAreaPosition::Left, LEFT)
            .set_label_area_size(LabelAreaPosition::Bottom, if last { BOTTOM } else { 0 })
            .build_cartesian_2d(x, y)
            .map_err(undrawn)?;
        let mut mesh = chart.configure_mesh();
        mesh.bold_line_style(GRID.stroke_width(2))
            .light_line_style(TRANSPARENT)
            .axis_style(INK.stroke_width(2))
            .label_style(style(HPos::Left, VPos::Top))
            .axis_desc_style(style(HPos::Left, VPos::Top));
        if last {
            mesh.x_desc(title);
        }
        mesh.draw().map_err(undrawn)?;
        for Curve { points, color, width, dots } in curves {
            let alone = points.len() == 1;
            chart.draw_series(LineSeries::new(points.clone(), color.stroke_width(width))).map_err(undrawn)?;
            if dots || alone {
                let dot = |point| Circle::new(point, 7, color.filled());
                chart.draw_series(points.into_iter().map(dot)).map_err(undrawn)?;
            }
        }
        Ok(())
    }
}

/// The colours of a run's training and validation.
fn colors(index: usize, runs: usize) -> [RGBAColor; 2] {
    match runs {
        1 => [COLORS[0].mix(1.), COLORS[1].mix(1.)],
        _ => {
            let color = COLORS[index % COLORS.len()];
            [color.mix(0.4), color.mix(1.)]
        }
    }
}

fn style(h_pos: HPos, v_pos: VPos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", LETTERS).into_font()).color(&INK).pos(Pos::new(h_pos, v_pos))
}

fn undrawn(error: impl fmt::Display) -> Error {
    Error::Message(format!("cannot draw the picture: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, reports: &[(&str, usize, f64)]) -> Run {
        let mut history = History::default();
        for &(split, step, loss) in reports {
            let lr = Some(0.1 / step as f64);
            let point =
                Point { step, loss: Some(loss), perplexity: Some(loss.exp()), lr, ..Point::default() };
            history.push(split, point);
        }
        Run { name: name.into(), history }
    }

    fn usual(runs: &[Run]) -> Picture {
        Picture::usual(runs, Axis::Step).unwrap()
    }

    /// The heights on paper of the points of each line of that width, by panel.
    fn lines(svg: &str, width: u32) -> Vec<Vec<(f64, f64)>> {
        let lines = svg.lines().filter(|line| line.starts_with("<polyline"));
        let lines = lines.filter(|line| line.contains(&format!("stroke-width=\"{width}\"")));
        let pair = |pair: &str| {
            let (x, y) = pair.split_once(',').unwrap();
            (x.parse().unwrap(), y.parse().unwrap())
        };
        let points =
            |line: &str| line.split("points=\"").nth(1).unwrap().split('"').next().unwrap().to_string();
        lines.map(|line| points(line).split_whitespace().map(pair).collect()).collect()
    }

    #[test]
    fn a_run_is_drawn_with_all_that_it_reports() {
        let runs =
            [run("my-gru", &[("train", 1, 4.), ("train", 2, 3.), ("valid", 2, 3.5), ("valid", 4, 2.)])];
        let svg = usual(&runs).svg(&runs).unwrap();
        for label in
            ["my-gru", "training", "validation", "loss", "perplexity", "learning rate", "optimizer step"]
        {
            assert!(svg.contains(&format!("\n{label}\n")), "no {label} in {svg}");
        }
        let trained = &lines(&svg, 3)[0];
        let validated = &lines(&svg, 4)[0];
        assert_eq!((trained.len(), validated.len()), (2, 2));
        // A smaller loss is lower on paper, equal steps are above one another, and half the loss is half as high.
        assert!(trained[0].1 < trained[1].1 && trained[1].0 == validated[0].0, "{trained:?} {validated:?}");
        let height = |from: f64, to: f64| (validated[1].1 - trained[0].1) * (from - to) / 2.;
        assert!((trained[1].1 - trained[0].1 - height(4., 3.)).abs() <= 1., "{trained:?} {validated:?}");
        assert!((validated[0].1 - trained[0].1 - height(4., 3.5)).abs() <= 1.);
    }

    #[test]
    fn several_runs_have_their_names_and_colours() {
        let runs: Vec<Run> = (0..MOST_RUNS)
            .map(|index| {
                run(&format!("run-{index}"), &[("train", 1, 4.), ("valid", 1 + index, 3.), ("valid", 9, 2.)])
            })
            .collect();
        let svg = usual(&runs).svg(&runs).unwrap();
        let colors: std::collections::BTreeSet<&str> =
            svg.lines().filter_map(|line| line.split("stroke=\"").nth(1)?.split('"').next()).collect();
        assert!(colors.len() >= MOST_RUNS, "{colors:?}");
        assert!((0..MOST_RUNS).all(|index| svg.contains(&format!("\nrun-{index}\n"))));
        let more: Vec<Run> = runs.iter().chain([&runs[0]]).cloned().collect();
        let error = usual(&more).svg(&more).unwrap_err().to_string();
        assert!(error.contains(&format!("draw {MOST_RUNS} at most")), "{error}");
    }

    #[test]
    fn odd_runs_are_drawn_or_refused_kindly() {
        let one = run("one", &[("valid", 3, 2.)]);
        let none = Run { name: "none".into(), history: History::default() };
        let nan = run(
            "nan",
            &[("train", 1, 4.), ("train", 2, f64::NAN), ("train", 3, 3.), ("valid", 3, f64::INFINITY)],
        );
        let same = run("same", &[("train", 1, 0.), ("train", 2, 0.)]);
        for runs in [vec![one.clone()], vec![nan.clone()], vec![same], vec![one.clone(), nan.clone()]] {
            let svg = usual(&runs).svg(&runs).unwrap();
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
            assert!(usual(&runs).png(&runs).unwrap().starts_with(b"\x89PNG"));
        }
        let alone = std::slice::from_ref(&nan);
        let trained = &lines(&usual(alone).svg(alone).unwrap(), 3)[0];
        assert_eq!(trained.len(), 2, "what is no number is left out");
        let picture = |quantity, axis| Picture { quantities: vec![quantity], axis };
        for (picture, runs, problem) in [
            (
                picture(Quantity::Loss, Axis::Step),
                vec![one.clone(), none.clone()],
                "none: holds no reports yet",
            ),
            (
                picture(Quantity::Accuracy, Axis::Step),
                vec![one.clone()],
                "none of these runs reports its accuracy",
            ),
            (picture(Quantity::Loss, Axis::Epoch), vec![one], "no epoch of one is known to be over"),
        ] {
            let error = picture.svg(&runs).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
        assert!(Picture::usual(&[none], Axis::Step).unwrap_err().to_string().contains("no figure to draw"));
    }

    #[test]
    fn a_logarithmic_scale_is_taken_where_it_shows_more() {
        let cosine: Vec<f64> =
            (0..100).map(|n| 1e-6 + 0.5 + 0.5 * (f64::from(n) / 100. * std::f64::consts::PI).cos()).collect();
        assert!(!Quantity::Lr.is_logarithmic(&cosine));
        assert!(Quantity::Lr.is_logarithmic(&[20., 5., 0.9, 0.1, 0.01]));
        assert!(!Quantity::Lr.is_logarithmic(&[20., 5., 0., 0., 0.]), "zero has no logarithm");
        assert!(Quantity::Perplexity.is_logarithmic(&[9000., 200., 100.]));
        assert!(
            !Quantity::Perplexity.is_logarithmic(&[9., 5.]) && !Quantity::Loss.is_logarithmic(&[9., 0.1])
        );
    }

    #[test]
    fn letters_of_a_png_are_where_they_belong() {
        let mut pixels = tiny_skia::Pixmap::new(200, 60).unwrap();
        pixels.fill(tiny_skia::Color::WHITE);
        let area = png::Canvas(&mut pixels).into_drawing_area();
        area.draw(&Text::new("lé한", (100, 30), style(HPos::Center, VPos::Center))).unwrap();
        drop(area);
        let dark: Vec<(usize, usize)> = pixels
            .pixels()
            .iter()
            .enumerate()
            .filter(|(_, pixel)| pixel.red() < 128)
            .map(|(index, _)| (index % 200, index / 200))
            .collect();
        let ends = |of: fn(&(usize, usize)) -> usize| {
            (dark.iter().map(of).min().unwrap(), dark.iter().map(of).max().unwrap())
        };
        let (left, right) = ends(|dot| dot.0);
        let (top, bottom) = ends(|dot| dot.1);
        assert!((70..100).contains(&left) && (100..130).contains(&right), "{left} {right}");
        assert!((14..30).contains(&top) && (30..46).contains(&bottom), "{top} {bottom}");
    }
}
