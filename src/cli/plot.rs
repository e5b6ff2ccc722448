//! `rnn plot`: a picture of one run or several.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use rnn_zoo::atomic;
use rnn_zoo::bundle::METRICS;
use rnn_zoo::training::plot::{Axis, History, Picture, PlottedRun, Quantity};
use rnn_zoo::{Error, Result};

use super::alignment::alignment;
use super::bundle_argument::Bundle;
use super::compute::Compute;
use super::confusion::confusion;
use super::data_args::DataArgs;
use super::flags::usage;
use super::forecast_plot::ForecastPlotArgs;
use super::input;
use super::outcome::Outcome;
use crate::cli::note::note;

/// Draw curves of runs, a confusion matrix, forecasts, or attention
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rnn plot my-gru                         draw the curve of a run into plot.svg
  rnn plot my-gru my-lstm --out both.png  two runs in one picture
  rnn plot my-classifier --confusion --data test.csv
  rnn plot my-translator --attention 'a man rides a bicycle'
  rnn plot my-forecaster --forecast --data sales.csv
  rnn plot runs/*/metrics.jsonl --metric perplexity --x seconds")]
pub struct Args {
    /// Bundles, or metrics.jsonl files
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<String>,

    /// File of the picture, .svg or .png
    #[arg(long, value_name = "FILE", default_value = "plot.svg")]
    out: PathBuf,

    /// Quantities to draw, one panel each [default: loss, perplexity (or accuracy and macro-f1 or
    /// f1, or bleu) and lr]
    #[arg(long, value_name = "METRIC", value_delimiter = ',', value_parser = quantity())]
    metric: Vec<Quantity>,

    /// Draw the confusion matrix of a classifier on --data instead, of one bundle
    #[arg(long, requires = "data", conflicts_with_all = ["metric", "x"])]
    confusion: bool,

    /// Draw the attention of a translator as it translates TEXT instead, of one bundle
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["metric", "x", "confusion", "data"])]
    attention: Option<String>,

    #[command(flatten)]
    forecast: ForecastPlotArgs,

    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    compute: Compute,

    /// Horizontal axis
    #[arg(long, value_name = "AXIS", default_value = "step", value_parser = axis())]
    x: Axis,
}

/// Run the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let extension = args.out.extension().unwrap_or_default().to_ascii_lowercase();
    let is_png = match extension.to_str() {
        Some("svg") => false,
        Some("png") => true,
        _ => {
            let problem = format!("{} is neither .svg nor .png", args.out.display());
            return Err(usage("--out", problem));
        }
    };
    let bytes = match &args.attention {
        Some(text) => args.alignment(text, is_png)?,
        None if args.confusion => args.confusion(is_png)?,
        None if args.forecast.forecast => args.forecasts(is_png)?,
        None => args.curves(is_png)?,
    };
    atomic::write(&args.out, &bytes).map_err(|error| {
        Error::file(&args.out, format!("cannot be written: {error}; choose another place with --out"))
    })?;
    note!("drew {}", args.out.display());
    Ok(Outcome::Done)
}

impl Args {
    /// Draw the confusion matrix of a bundle.
    fn confusion(&self, is_png: bool) -> anyhow::Result<Vec<u8>> {
        let matrix = confusion(self.bundle("--confusion")?, &self.data, &self.compute)?;
        Ok(if is_png { matrix.png()? } else { matrix.svg()?.into_bytes() })
    }

    /// Draw the attention of a bundle over a text.
    fn alignment(&self, text: &str, is_png: bool) -> anyhow::Result<Vec<u8>> {
        if let Some(flag) = self.data.given() {
            return Err(usage(flag, "is about --data, but --attention draws one text; leave it out"));
        }
        if text.trim().is_empty() {
            return Err(usage("--attention", "is empty; expected a text to translate"));
        }
        let map = alignment(self.bundle("--attention")?, text, &self.compute)?;
        Ok(if is_png { map.png()? } else { map.svg()?.into_bytes() })
    }

    /// Draw the forecasts of a bundle.
    fn forecasts(&self, is_png: bool) -> anyhow::Result<Vec<u8>> {
        let picture = self.forecast.picture(self.bundle("--forecast")?, &self.data, &self.compute)?;
        Ok(if is_png { picture.png()? } else { picture.svg()?.into_bytes() })
    }

    /// The only bundle, which `flag` needs.
    fn bundle(&self, flag: &str) -> anyhow::Result<&str> {
        match self.runs.as_slice() {
            [bundle] => Ok(bundle),
            runs => Err(usage("RUN", format!("{} bundles; expected one with {flag}", runs.len()))),
        }
    }

    /// Draw the curves of runs.
    fn curves(&self, is_png: bool) -> anyhow::Result<Vec<u8>> {
        if let Some(flag) = self.data.data.as_ref().map(|_| "--data").or_else(|| self.data.given()) {
            return Err(usage(flag, "belongs to --confusion and --forecast; leave it out"));
        }
        let runs = self.runs.iter().map(|name| read(name)).collect::<Result<Vec<_>>>()?;
        let mut picture = Picture::usual(&runs, self.x)?;
        if !self.metric.is_empty() {
            picture.quantities.clear();
            for &quantity in &self.metric {
                if !picture.quantities.contains(&quantity) {
                    picture.quantities.push(quantity);
                }
            }
        }
        Ok(if is_png { picture.png(&runs)? } else { picture.svg(&runs)?.into_bytes() })
    }
}

/// Parse a metric by name.
fn quantity() -> impl TypedValueParser<Value = Quantity> {
    let value = |quantity: Quantity| {
        PossibleValue::new(quantity.name()).help(match quantity {
            Quantity::Loss => "Mean loss",
            Quantity::Perplexity => "Perplexity",
            Quantity::Bits => "Bits per token",
            Quantity::Accuracy => "Fraction of correct answers",
            Quantity::MacroF1 => "Mean F1 over classes",
            Quantity::F1 => "F1 of tags",
            Quantity::Mae => "Mean absolute error of forecasts",
            Quantity::Rmse => "Root of the mean squared error of forecasts",
            Quantity::Mse => "Mean squared error of forecasts",
            Quantity::Smape => "Symmetric mean absolute percentage error of forecasts",
            Quantity::Mase => "Mean absolute scaled error of forecasts",
            Quantity::Bleu => "BLEU of translations",
            Quantity::Chrf => "chrF of translations",
            Quantity::Exact => "Fraction of translations that are right word for word",
            Quantity::Lr => "Learning rate",
            Quantity::TokensPerSecond => "Targets per second",
        })
    };
    PossibleValuesParser::new(Quantity::ALL.map(value)).try_map(|name| name.parse::<Quantity>())
}

/// Parse a horizontal axis by name.
fn axis() -> impl TypedValueParser<Value = Axis> {
    let value = |axis: Axis| {
        PossibleValue::new(axis.name()).help(match axis {
            Axis::Step => "Optimizer steps",
            Axis::Epoch => "Epochs, in fractions",
            Axis::Seconds => "Seconds since the start of the run",
        })
    };
    PossibleValuesParser::new(Axis::ALL.map(value)).try_map(|name| name.parse::<Axis>())
}

/// The largest `metrics.jsonl` that is drawn, in bytes.
const LARGEST: u64 = 1 << 30;

/// Read the metrics of a run, which is named as the user named it.
fn read(argument: &str) -> Result<PlottedRun> {
    let path = Bundle::find(argument)?.path().to_path_buf();
    let file = if path.is_dir() { path.join(METRICS) } else { path };
    let text = input::text(&file, LARGEST).map_err(|error| {
        Error::file(&file, format!("cannot be read: {error}; expected a bundle or a {METRICS}"))
    })?;
    let history = History::read(&text).map_err(|problem| Error::file(&file, problem))?;
    if history.is_empty() {
        return Err(Error::file(&file, "holds no reports yet, so there is nothing to draw"));
    }
    // Without the slash that a shell adds to a folder.
    let shown: PathBuf = Path::new(argument).components().collect();
    let name = match shown.file_name().is_some_and(|name| name == METRICS) {
        true => shown.parent().filter(|parent| *parent != Path::new("")).unwrap_or(&shown),
        false => &shown,
    };
    Ok(PlottedRun { name: name.display().to_string(), history })
}
