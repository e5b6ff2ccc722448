//! `rnn plot --forecast`: forecasts of a model beside the values.

use rnn_zoo::tasks::ForecastStart;
use rnn_zoo::tasks::forecast::curves;
use rnn_zoo::training::plot::ForecastPicture;

use super::bundle_argument::load_model;
use super::compute::Compute;
use super::data_args::DataArgs;
use super::flags::usage;
use super::forecast_args::starting;

/// The most series in a picture.
const MOST: usize = 4;

/// The flags of a picture of forecasts.
#[derive(Debug, clap::Args)]
pub struct ForecastPlotArgs {
    /// Draw forecasts of --data instead, of one bundle: history, true values, mean and quantiles
    #[arg(long, requires = "data", conflicts_with_all = ["metric", "x", "confusion"])]
    pub forecast: bool,

    /// First step of the forecast: a time as the data has it [default: the last steps that are known]
    #[arg(long, value_name = "TIME", requires = "forecast")]
    at: Option<String>,

    /// Draw only this series [default: the first four]
    #[arg(long, value_name = "NAME", requires = "forecast")]
    series: Option<String>,
}

impl ForecastPlotArgs {
    /// Return the picture of the forecasts of a bundle.
    pub fn picture(
        &self,
        bundle: &str,
        args: &DataArgs,
        compute: &Compute,
    ) -> anyhow::Result<ForecastPicture> {
        let device = compute.open()?;
        let model = load_model(bundle, &device)?;
        let task = model.config.task;
        if !task.reads_time_series() {
            let problem = format!("{bundle} is {}; name a forecaster", task.model());
            return Err(usage("--forecast", problem));
        }
        if let Some(flag) = args.given_of_splits() {
            return Err(usage(
                flag,
                "forecasts are drawn over all steps of the data; leave it out, or use --at",
            ));
        }
        let spec = args.spec(args.data.as_deref().unwrap_or_default(), &model.config);
        let start = self.at.clone().map_or(ForecastStart::Last, ForecastStart::At);
        let spec = starting(spec, start);
        let name = self.series.as_deref();
        let network = model.network.as_ref();
        let curves = curves(network, model.names(), &spec, name, MOST, &device)?;
        Ok(ForecastPicture { curves })
    }
}
