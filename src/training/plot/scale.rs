//! Axes of a picture: tick positions and labels.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// An axis: linear or logarithmic, with marks at round numbers.
pub(super) struct Scale {
    pub(super) range: Range<f64>,
    pub(super) ticks: Vec<f64>,
    pub(super) logarithmic: bool,
    /// The value of a 1 on the axis; NaN if the axis has no numbers.
    pub(super) unit: f64,
}

impl Scale {
    /// Return a scale for all of the values, and a little more.
    pub(super) fn of(values: &[f64], logarithmic: bool) -> Self {
        let on_paper = values.iter().map(|value| if logarithmic { value.log10() } else { *value });
        let ends =
            on_paper.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = ends;
        let pad = match high - low {
            spread if spread > 1e-9 * high.abs() => 0.05 * spread,
            _ if high != 0. => 0.1 * high.abs(),
            _ => 1.,
        };
        let range = low - pad..high + pad;
        match logarithmic {
            true => {
                let ticks = decades(&range).into_iter().map(|tick| 10f64.powf(tick)).collect();
                Self { range: 10f64.powf(range.start)..10f64.powf(range.end), ticks, logarithmic, unit: 1. }
            }
            false => Self { ticks: ticks(&range, 5), range, logarithmic, unit: 1. },
        }
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let on_paper = |value: f64| if self.logarithmic { value.log10() } else { value };
        let [low, value, high] = [self.range.start, *value, self.range.end].map(on_paper);
        from + (f64::from(to - from) * (value - low) / (high - low)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { vec![] } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, value: &f64) -> String {
        if self.unit.is_nan() { String::new() } else { number(value / self.unit) }
    }
}

/// About `count` round numbers in a range: 1, 2 or 5 times a power of ten apart.
pub(super) fn ticks(range: &Range<f64>, count: usize) -> Vec<f64> {
    let rough = (range.end - range.start) / count as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step =
        [1., 2., 5., 10.].into_iter().map(|digit| digit * power).find(|step| *step >= rough * (1. - 1e-9));
    let step = step.unwrap_or(10. * power);
    let first = (range.start / step).ceil() as i64;
    let last = (range.end / step + 1e-9).floor() as i64;
    (first..=last.min(first.saturating_add(20))).map(|index| index as f64 * step).collect()
}

/// Ticks of a logarithmic scale, as logarithms: powers of ten, and 2 and 5 times those where there are few.
fn decades(range: &Range<f64>) -> Vec<f64> {
    let digits: &[f64] = match range.end - range.start {
        spread if spread < 1. => return near_decades(range),
        spread if spread < 3.5 => &[1., 2., 5.],
        _ => &[1.],
    };
    let powers = range.start.floor() as i32..=range.end.ceil() as i32;
    let all = powers.flat_map(|power| digits.iter().map(move |digit| digit.log10() + f64::from(power)));
    all.filter(|tick| range.contains(tick)).collect()
}

/// Ticks for ranges below one decade: round numbers.
fn near_decades(range: &Range<f64>) -> Vec<f64> {
    ticks(&(10f64.powf(range.start)..10f64.powf(range.end)), 5).into_iter().map(f64::log10).collect()
}

/// Return a number as an axis shows it.
fn number(value: f64) -> String {
    let size = value.abs();
    let (shown, suffix) = match size {
        // Rounding error counts as zero.
        _ if size < 1e-12 => return "0".into(),
        _ if size < 1e-3 => return format!("{:e}", format!("{value:.2e}").parse().unwrap_or(value)),
        _ if size >= 1e15 => return format!("{value:e}"),
        _ if size >= 1e6 => (value / 1e6, "M"),
        _ if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = format!("{shown:.4}");
    format!("{}{suffix}", digits.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithmic_axes_have_powers_of_ten_and_what_lies_between_few_of_them() {
        assert_eq!(decades(&(-2.1..2.1)), [-2., -1., 0., 1., 2.]);
        let round =
            |ticks: Vec<f64>| ticks.into_iter().map(|tick| number(10f64.powf(tick))).collect::<Vec<_>>();
        assert_eq!(round(decades(&(1.9..3.1))), ["100", "200", "500", "1000"]);
        assert_eq!(round(decades(&(2f64.log10()..6f64.log10()))), ["2", "3", "4", "5", "6"]);
    }

    #[test]
    fn axes_have_round_numbers() {
        let shown = |range| ticks(&range, 5).into_iter().map(number).collect::<Vec<_>>();
        assert_eq!(shown(0. ..1.), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(shown(1.234..1.262), ["1.24", "1.25", "1.26"]);
        assert_eq!(shown(0. ..100_000.), ["0", "20k", "40k", "60k", "80k", "100k"]);
        assert_eq!(shown(0. ..2e7), ["0", "5M", "10M", "15M", "20M"]);
        assert_eq!(shown(0. ..1e-5), ["0", "2e-6", "4e-6", "6e-6", "8e-6", "1e-5"]);
        assert_eq!(shown(-1. ..1.), ["-1", "-0.5", "0", "0.5", "1"]);
    }
}
