//! Sizes, scales and head of a forecaster where the user gives none.
//!
//! | setting | default |
//! |---|---|
//! | season | that of the step: 24 hours, 7 days, 12 months, 4 quarters, otherwise 1; see [`TimeGrid::frequency`] |
//! | horizon | that of the M4 competition for the step, at most a sixth of the longest series |
//! | window | 14 seasons of 24 steps or more, otherwise 3 seasons or 4 horizons, the longer, 8 horizons without |
//! | segment | a season, if the forecast has at least two; otherwise step by step |
//! | scaling | named series: seasonal differences, of logarithms if all values are positive. Else standard deviations |
//! | scaling of counts | with `loss = negative-binomial` the mean size, the centre 0 and no logarithms |
//! | linear | beside the stack, unless a table without named series is read in segments |
//! | loss | absolute error; the pinball loss with quantiles |
//!
//! A table has named series if it is wide or has a column of names. Windows are shorter for short series.
//!
//! [`TimeGrid::frequency`]: crate::data::time_series::TimeGrid::frequency

use rnn_zoo_models::{Head, PointLoss};

use super::schema::ForecastSchema;
use crate::data::source::Split;
use crate::data::time_series::{
    Bounds, Centre, CovariateScale, Scales, Scaling, TimeSeries, TimeSeriesCorpus, WindowSizes,
};
use crate::listing::{counted, listed};
use crate::tasks::forecast_spec::{ForecastLoss, ForecastSpec};
use crate::tasks::network::OptionError;
use crate::{Error, Result};

/// The levels of quantiles where the user names none.
const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];

/// The fewest steps of a season that is long.
const LONG_SEASON: usize = 24;

/// Complete the settings of a new forecaster for its training data. `names_series` tells whether the table has names of
/// series.
///
/// # Errors
/// If a setting is out of range, or the series are too short for the sizes that the user gives.
pub(super) fn complete(
    spec: &ForecastSpec,
    corpus: &TimeSeriesCorpus,
    names_series: bool,
) -> Result<ForecastSchema> {
    let head = head(spec)?;
    check_counts(spec)?;
    if spec.rows.is_some() && corpus.has_several_files() {
        let problem = "a single file is divided, not one with files that continue it; leave it out";
        return Err(Error::invalid("forecasting.rows", problem));
    }
    let series = &corpus.table.series;
    let longest = series.iter().map(|one| one.values.len()).max().unwrap_or(0);
    let season = spec.season.unwrap_or(corpus.frequency.season).max(1);
    let horizon = spec.horizon.unwrap_or_else(|| corpus.frequency.horizon.clamp(1, (longest / 6).max(1)));
    let bounds = corpus.bounds(horizon, spec.rows);
    let single = !(names_series || corpus.is_wide());
    let segment = match spec.segment {
        Some(segment) => Some(segment).filter(|&segment| segment > 1),
        None => Some(season).filter(|&season| season >= LONG_SEASON && horizon >= 2 * season),
    };
    let window = window(spec, season, horizon, corpus, &bounds)?.next_multiple_of(segment.unwrap_or(1));
    let sizes = WindowSizes { window, horizon, season };
    let several = corpus.table.targets.len() > 1;
    Ok(ForecastSchema {
        wide: corpus.is_wide(),
        time: corpus.table.time.clone(),
        targets: corpus.table.targets.clone(),
        features: spec.features.clone(),
        known: spec.known.clone(),
        grid: corpus.table.grid.clone(),
        rows: spec.rows,
        sizes,
        scales: scales(spec, corpus, &bounds, single, season, several),
        segment,
        linear: spec.linear.unwrap_or(!(single && segment.is_some())),
        head,
    })
}

/// Refuse settings that differ from those of the model that is fine-tuned.
///
/// # Errors
/// For such a setting.
pub(super) fn check_unchanged(spec: &ForecastSpec, schema: &ForecastSchema) -> Result<()> {
    let steps = schema.segment.unwrap_or(1);
    let WindowSizes { window, horizon, season } = schema.sizes;
    let sizes: [(usize, Option<usize>, OptionError); 4] = [
        (horizon, spec.horizon, |problem| Error::invalid("forecasting.horizon", problem)),
        (window, spec.window.map(|window| window.next_multiple_of(steps)), |problem| {
            Error::invalid("forecasting.window", problem)
        }),
        (steps, spec.segment, |problem| Error::invalid("forecasting.segment", problem)),
        (season, spec.season, |problem| Error::invalid("forecasting.season", problem)),
    ];
    for (own, given, error) in sizes {
        if let Some(given) = given.filter(|&given| given != own) {
            return Err(error(format!("is {own} in the model, not {given}; leave it out")));
        }
    }
    check_columns(spec, schema)?;
    let Scales { scaling, centre, log, calendar, .. } = schema.scales;
    let given_head = spec.loss.is_some() || !spec.quantiles.is_empty();
    let changed: [(bool, OptionError); 6] = [
        (spec.scaling.is_some_and(|given| given != scaling), |problem| {
            Error::invalid("forecasting.scaling", problem)
        }),
        (spec.centre.is_some_and(|given| given != centre), |problem| {
            Error::invalid("forecasting.centre", problem)
        }),
        (spec.log.is_some_and(|given| given != log), |problem| Error::invalid("forecasting.log", problem)),
        (spec.linear.is_some_and(|given| given != schema.linear), |problem| {
            Error::invalid("forecasting.linear", problem)
        }),
        (spec.calendar && !calendar && schema.grid.is_some(), |problem| {
            Error::invalid("forecasting.calendar", problem)
        }),
        (given_head && head(spec)? != schema.head, |problem| Error::invalid("forecasting.loss", problem)),
    ];
    match changed.iter().find(|(changed, _)| *changed) {
        Some((_, error)) => Err(error("differs from that of the model; leave it out".into())),
        None => Ok(()),
    }
}

/// Refuse columns that differ from those of the model.
fn check_columns(spec: &ForecastSpec, schema: &ForecastSchema) -> Result<()> {
    // A row of a wide table has no columns to name.
    let targets = if schema.wide { &[][..] } else { &spec.targets };
    let columns: [(&[String], &[String], OptionError); 3] = [
        (&schema.targets, targets, |problem| Error::invalid("forecasting.targets", problem)),
        (&schema.features, &spec.features, |problem| Error::invalid("forecasting.features", problem)),
        (&schema.known, &spec.known, |problem| Error::invalid("forecasting.known", problem)),
    ];
    for (own, given, error) in columns {
        if !given.is_empty() && given != own {
            let own = if own.is_empty() { "none".into() } else { listed(own, ", ") };
            let given = listed(given, ", ");
            return Err(error(format!("the model reads {own} here, not {given}; leave it out")));
        }
    }
    Ok(())
}

/// The head of a loss.
fn head(spec: &ForecastSpec) -> Result<Head> {
    let mut levels = spec.quantiles.clone();
    let usual = if levels.is_empty() { ForecastLoss::Mae } else { ForecastLoss::Pinball };
    let loss = spec.loss.unwrap_or(usual);
    if levels.is_empty() {
        levels = LEVELS.to_vec();
    }
    // The median is the forecast.
    if loss == ForecastLoss::Pinball && !levels.contains(&0.5) {
        levels.push(0.5);
    }
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    let head = match loss {
        ForecastLoss::Mse => Head::Mean { loss: PointLoss::Mse },
        ForecastLoss::Mae => Head::Mean { loss: PointLoss::Mae },
        ForecastLoss::Smape => Head::Mean { loss: PointLoss::Smape },
        ForecastLoss::Pinball => Head::Quantiles { levels },
        ForecastLoss::Gaussian => Head::Gaussian { levels },
        ForecastLoss::StudentT => Head::StudentT { levels },
        ForecastLoss::NegativeBinomial => Head::NegativeBinomial { levels },
    };
    if matches!(head, Head::Mean { .. }) && !spec.quantiles.is_empty() {
        let problem = "a loss of single numbers has no quantiles; choose option `forecasting.loss = pinball`, \
                       option `forecasting.loss = gaussian`, option `forecasting.loss = student-t` or \
                       option `forecasting.loss = negative-binomial`";
        return Err(Error::invalid("forecasting.quantiles", problem));
    }
    head.check().map_err(|error| Error::invalid("forecasting.quantiles", Error::from(error).to_string()))?;
    Ok(head)
}

/// Refuse scales that counts do not have.
fn check_counts(spec: &ForecastSpec) -> Result<()> {
    if spec.loss != Some(ForecastLoss::NegativeBinomial) {
        return Ok(());
    }
    let others: [(bool, &str, OptionError); 3] = [
        (spec.scaling.is_some_and(|scaling| scaling != Scaling::Level), "scaled by their level", |problem| {
            Error::invalid("forecasting.scaling", problem)
        }),
        (spec.centre.is_some_and(|centre| centre != Centre::Zero), "not centred", |problem| {
            Error::invalid("forecasting.centre", problem)
        }),
        (spec.log == Some(true), "forecast themselves, not their logarithms", |problem| {
            Error::invalid("forecasting.log", problem)
        }),
    ];
    match others.into_iter().find(|(other, ..)| *other) {
        Some((_, words, error)) => {
            let counts = "the counts of option `forecasting.loss = negative-binomial`";
            Err(error(format!("{counts} are {words}; leave it out, or choose another loss")))
        }
        None => Ok(()),
    }
}

/// The steps of a window. Refuse series that are all too short for a forecast.
fn window(
    spec: &ForecastSpec,
    season: usize,
    horizon: usize,
    corpus: &TimeSeriesCorpus,
    bounds: &[Bounds],
) -> Result<usize> {
    let mut steps: Vec<usize> = bounds.iter().map(|bounds| bounds.train).collect();
    steps.sort_unstable();
    let longest = steps.last().copied().unwrap_or(0);
    if longest <= horizon && spec.horizon.is_none() {
        let rows = corpus.table.series.iter().map(|one| one.values.len()).max().unwrap_or(0);
        let (found, needed) = (counted(rows as u64, "step"), corpus.fewest_rows(rows));
        let problem =
            format!("its longest series has {found}, too few to train on; expected at least {needed}");
        return Err(Error::file(corpus.path(), problem));
    }
    if longest <= horizon {
        let problem = format!(
            "the longest series has {longest} steps to train on, too few for a forecast of {horizon}; expected a \
             smaller one, or longer series"
        );
        return Err(Error::invalid("forecasting.horizon", problem));
    }
    if let Some(window) = spec.window {
        if window + horizon > longest {
            let problem = format!(
                "a window of {window} steps and a forecast of {horizon} are more than the {longest} steps of the \
                 longest series that are trained on; expected at most {}",
                longest - horizon
            );
            return Err(Error::invalid("forecasting.window", problem));
        }
        return Ok(window.max(1));
    }
    let usual = match season {
        1 => 8 * horizon,
        LONG_SEASON.. => 14 * season,
        _ => (3 * season).max(4 * horizon),
    };
    let median = steps[steps.len() / 2].max(longest.min(2 * horizon));
    Ok(usual.min(2 * median.saturating_sub(horizon) / 3).max(1))
}

fn scales(
    spec: &ForecastSpec,
    corpus: &TimeSeriesCorpus,
    bounds: &[Bounds],
    single: bool,
    season: usize,
    several: bool,
) -> Scales {
    let series = &corpus.table.series;
    let trained = |one: &TimeSeries, bounds: &Bounds| one.values[bounds.of(Split::Train)].to_vec();
    let train: Vec<(usize, Vec<f64>)> =
        series.iter().zip(bounds).map(|(one, bounds)| (one.column, trained(one, bounds))).collect();
    let mut known = train.iter().flat_map(|(_, values)| values).filter(|value| !value.is_nan());
    let positive = known.all(|value| *value > 0.);
    let counts = spec.loss == Some(ForecastLoss::NegativeBinomial);
    let log = spec.log.unwrap_or(!single && positive && !counts);
    let scaling = spec.scaling.unwrap_or(match (counts, single) {
        (true, _) => Scaling::Level,
        (false, true) => Scaling::Standard,
        (false, false) => Scaling::Season,
    });
    let centre = match (single, season) {
        _ if counts => Centre::Zero,
        (false, LONG_SEASON..) => Centre::Mean,
        _ => Centre::Last,
    };
    let mut scales = Scales {
        scaling,
        centre: spec.centre.unwrap_or(centre),
        log,
        units: vec![],
        standardised_errors: several && scaling == Scaling::Standard && !log,
        covariates: covariates(corpus, bounds, spec.features.len() + spec.known.len()),
        past_features: spec.features.len(),
        calendar: spec.calendar && corpus.table.grid.is_some(),
    };
    let unit = |column: usize| {
        let own = train.iter().filter(|(other, _)| *other == column);
        CovariateScale::of(own.flat_map(|(_, values)| values).map(|&value| scales.inner(value))).scale
    };
    scales.units = (0..corpus.table.targets.len()).map(unit).collect();
    scales
}

/// The scales of features, over the steps that are trained on.
fn covariates(corpus: &TimeSeriesCorpus, bounds: &[Bounds], count: usize) -> Vec<CovariateScale> {
    let series = &corpus.table.series;
    let of_feature = |feature: usize| {
        let values =
            series.iter().zip(bounds).filter(|(one, _)| one.column == 0).flat_map(|(one, bounds)| {
                let covariates = &one.covariates;
                let own = covariates.values.iter().skip(feature).step_by(covariates.width.max(1));
                own.take(bounds.train).copied()
            });
        CovariateScale::of(values)
    };
    (0..count).map(of_feature).collect()
}
