//! Numeric series as data of the classifier.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::data_spec::{DataSpec, Origin, Prepared};
use super::names::Names;
use super::shape::NetworkShape;
use super::text;
use crate::data::dataset::Dataset;
use crate::data::example::{Example, Input, Target};
use crate::data::labelled_series::LabelledSeries;
use crate::data::named::Named;
use crate::data::source::Split;
use crate::data::time_series::CovariateScale;
use crate::listing::listed;
use crate::training::{LossUnit, Splits};
use crate::{Error, Result};

/// The description of the series that a classifier reads. Values are standardised: `(value - mean) / scale`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SeriesSchema {
    /// Names of the dimensions: columns of a table, or numbers from 1.
    pub dimensions: Vec<String>,
    /// The mean of each dimension in the training split.
    pub mean: Vec<f64>,
    /// The standard deviation of each dimension in the training split; 1 for a dimension that is constant.
    pub scale: Vec<f64>,
}

impl SeriesSchema {
    /// The schema of a model; `None` if it reads text.
    ///
    /// # Errors
    /// If the schema is not one of a classifier of series.
    pub(super) fn read(schema: &Value) -> Result<Option<Self>> {
        if schema.is_null() {
            return Ok(None);
        }
        let schema = Self::deserialize(schema)
            .map_err(|error| Error::schema(format!("is not one of a classifier of series: {error}")))?;
        let width = schema.dimensions.len();
        let is_sound = width > 0 && schema.mean.len() == width && schema.scale.len() == width;
        match is_sound && schema.scale.iter().all(|&scale| scale > 0.) {
            true => Ok(Some(schema)),
            false => Err(Error::schema("has no mean and positive scale for each dimension")),
        }
    }

    /// The schema of `features` numbers that are read as they are. The dimensions have numbers from 1.
    pub(super) fn unscaled(features: usize) -> Self {
        Self {
            dimensions: (1..=features).map(|dimension| dimension.to_string()).collect(),
            mean: vec![0.; features],
            scale: vec![1.; features],
        }
    }

    /// Compute means and standard deviations over all values of `series` that are not missing.
    fn learn(series: &[LabelledSeries]) -> Self {
        let dimensions = series.first().map_or_else(Vec::new, |first| first.dimensions.to_vec());
        let width = dimensions.len();
        let of_dimension = |dimension: usize| {
            let values = series.iter().flat_map(move |one| one.values.iter().skip(dimension).step_by(width));
            let CovariateScale { mean, scale } = CovariateScale::of(values.copied());
            (mean, scale)
        };
        let (mean, scale) = (0..width).map(of_dimension).unzip();
        Self { dimensions, mean, scale }
    }

    /// The features of a series: missing values filled, then standardised.
    fn features(&self, mut series: LabelledSeries) -> Input {
        series.fill(&self.mean);
        let width = self.dimensions.len();
        let values = series.values.iter().enumerate();
        let values =
            values.map(|(at, value)| ((value - self.mean[at % width]) / self.scale[at % width]) as f32);
        Input::Features { values: values.collect(), width }
    }
}

/// Read training and validation data.
pub(super) fn prepare(
    data: &DataSpec,
    origin: Origin,
    weigh: impl Fn(Vec<Example>, &[String]) -> Result<Dataset>,
) -> Result<Prepared> {
    let (labels, schema) = match origin {
        Origin::Trained(_) => {
            data.check_columns()?;
            (vec![], None)
        }
        Origin::Loaded(known) => (known.labels, SeriesSchema::read(&known.schema)?),
    };
    if schema.is_none() && !labels.is_empty() {
        return Err(text::unread("numeric series"));
    }
    let corpus = data.series_corpus(schema.as_ref().map(|schema| schema.dimensions.as_slice()))?;
    let train: Vec<LabelledSeries> = corpus.items(Split::Train)?.collect::<Result<_>>()?;
    let schema = schema.unwrap_or_else(|| SeriesSchema::learn(&train));
    let labels = if labels.is_empty() { labels_of(data, &train)? } else { labels };
    let reader = SeriesReader { schema: &schema, labels: &labels, data };
    let train = weigh(reader.examples(train.into_iter().map(Ok), Split::Train)?, &labels)?;
    let valid = match corpus.has(Split::Valid)? {
        true => Some(reader.examples(corpus.items(Split::Valid)?, Split::Valid)?.into()),
        false => None,
    };
    let schema_value = serde_json::to_value(&schema).map_err(|error| Error::Message(error.to_string()))?;
    Ok(Prepared {
        splits: Splits { train, valid },
        tokenizer: None,
        shape: NetworkShape { vocabulary: None, features: schema.dimensions.len(), outputs: labels.len() },
        labels,
        text_column: None,
        unit: LossUnit::of_classes("sequence"),
        schema: schema_value,
    })
}

/// Read a split for a trained model. With `labelled`, each series must have a class that the model knows; otherwise the
/// classes of the data are ignored.
pub(super) fn read_split(
    data: &DataSpec,
    split: Option<Split>,
    names: Names<'_>,
    schema: &SeriesSchema,
    labelled: bool,
) -> Result<(Dataset, Split)> {
    let corpus = data.series_corpus(Some(&schema.dimensions))?;
    let split = split.unwrap_or_else(|| corpus.default_split());
    let reader = SeriesReader { schema, labels: names.labels, data };
    let series = corpus.items(split)?;
    let examples = match labelled {
        true => reader.examples(series, split)?,
        false => return Ok((reader.questions(series)?, split)),
    };
    Ok((examples.into(), split))
}

/// Converts series to examples of a model.
struct SeriesReader<'a> {
    schema: &'a SeriesSchema,
    labels: &'a [String],
    data: &'a DataSpec,
}

impl SeriesReader<'_> {
    fn examples(
        &self,
        series: impl Iterator<Item = Result<LabelledSeries>>,
        split: Split,
    ) -> Result<Vec<Example>> {
        series.map(|one| self.labelled(one?, split)).collect()
    }

    fn labelled(&self, series: LabelledSeries, split: Split) -> Result<Example> {
        let Some(label) = &series.label else { return Err(self.unlabelled(&series)) };
        // The labels of a converted model are in the order of its outputs.
        let Some(class) = self.labels.iter().position(|known| known == label) else {
            let (place, known) = (&series.place, listed(self.labels, ", "));
            let problem = format!(
                "{place} of its {split} split has the class {label:?}, but the model knows only {known}; leave such \
                 series out, or train a new model on all classes"
            );
            return Err(Error::file(&self.data.data, problem));
        };
        self.example(series, class as u32)
    }

    fn example(&self, series: LabelledSeries, class: u32) -> Result<Example> {
        let (found, expected) = (series.dimensions.len(), self.schema.dimensions.len());
        if found != expected {
            let problem = format!("its series have {found} dimensions, but the model reads {expected}");
            return Err(Error::file(&self.data.data, problem));
        }
        Ok(Example { input: self.schema.features(series), target: Target::Class(class) })
    }

    /// Convert series without their classes, with their names if they have any.
    fn questions(&self, series: impl Iterator<Item = Result<LabelledSeries>>) -> Result<Dataset> {
        let (mut examples, mut names) = (vec![], vec![]);
        for one in series {
            let one = one?;
            names.extend(one.name.clone());
            examples.push(self.example(one, 0)?);
        }
        Ok(match names.len() == examples.len() {
            true => Dataset::Examples(Box::new(Named { examples, names })),
            false => examples.into(),
        })
    }

    fn unlabelled(&self, series: &LabelledSeries) -> Error {
        let problem = format!("{} has no class; leave it out, or predict its class", series.place);
        Error::file(&self.data.data, problem)
    }
}

/// The classes of the training split, sorted.
fn labels_of(data: &DataSpec, train: &[LabelledSeries]) -> Result<Vec<String>> {
    let labels: BTreeSet<String> = train.iter().filter_map(|series| series.label.clone()).collect();
    match labels.len() {
        0 | 1 => {
            let found = listed(&labels, ", ");
            let problem = format!("the training split has one class ({found}); expected at least two");
            Err(Error::file(&data.data, problem))
        }
        _ => Ok(labels.into_iter().collect()),
    }
}
