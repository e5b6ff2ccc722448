//! Weights of classes in the training loss.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::listing::listed;
use crate::{Error, Result};

/// The weights of classes in the training loss.
///
/// The loss of each example is multiplied by the weight of its class. Weights are scaled so that their mean over the
/// training examples is 1: only their ratios matter. Validation, metrics and evaluation are not weighted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ClassWeights {
    /// All classes have weight 1.
    #[default]
    None,
    /// The weight of a class is n / (k * count), with n examples, k classes and `count` examples of the class, so that
    /// every class has the same share of the loss. This is scikit-learn's `balanced`.
    Balanced,
    /// Weights by class; the other classes have weight 1.
    Given(BTreeMap<String, f64>),
}

impl ClassWeights {
    /// Whether all classes have weight 1.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Return the weight of each of `labels`, which occur `counts` times in the training split; `None` if all are 1.
    ///
    /// # Errors
    /// If a class that has a weight is not among `labels`, or no example has a weight above 0.
    pub(super) fn of(&self, labels: &[String], counts: &[u64]) -> Result<Option<Vec<f32>>> {
        let total = counts.iter().sum::<u64>() as f64;
        let weights: Vec<f64> = match self {
            Self::None => return Ok(None),
            Self::Balanced => {
                let classes = counts.iter().filter(|&&count| count > 0).count() as f64;
                counts.iter().map(|&count| total / (classes * count.max(1) as f64)).collect()
            }
            Self::Given(given) => {
                if let Some(unknown) = given.keys().find(|label| !labels.contains(label)) {
                    let known = listed(labels, ", ");
                    let problem = format!("there is no class {unknown:?}; the classes are {known}");
                    return Err(Error::invalid("class_weights", problem));
                }
                labels.iter().map(|label| given.get(label).copied().unwrap_or(1.)).collect()
            }
        };
        let sum: f64 = weights.iter().zip(counts).map(|(weight, &count)| weight * count as f64).sum();
        if sum <= 0. {
            let problem = "no example has a weight above 0; give one class of the data a larger weight";
            return Err(Error::invalid("class_weights", problem));
        }
        Ok(Some(weights.iter().map(|weight| (weight * total / sum) as f32).collect()))
    }
}

impl FromStr for ClassWeights {
    type Err = Error;

    /// Parse `balanced`, `none` or `LABEL=WEIGHT,..`. A label may contain `=` but no comma.
    ///
    /// # Errors
    /// If the text is none of these, a label has two weights, or a weight is negative, NaN or infinite.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => return Ok(Self::None),
            "balanced" => return Ok(Self::Balanced),
            _ => {}
        }
        let wrong = |problem: String| Err(Error::invalid("class_weights", problem));
        let mut given = BTreeMap::new();
        for part in text.split(',') {
            let Some((label, weight)) = part.rsplit_once('=') else {
                return wrong(format!(
                    "{part:?} is not a label with its weight; expected balanced, none or LABEL=WEIGHT,..."
                ));
            };
            let Some(weight) = weight.parse::<f64>().ok().filter(|w| w.is_finite() && *w >= 0.) else {
                return wrong(format!(
                    "the weight of {label:?} is {weight:?}; expected a number of at least 0"
                ));
            };
            if given.insert(label.to_string(), weight).is_some() {
                return wrong(format!("{label:?} has two weights; keep one"));
            }
        }
        Ok(Self::Given(given))
    }
}

impl fmt::Display for ClassWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Balanced => f.write_str("balanced"),
            Self::Given(given) => {
                for (at, (label, weight)) in given.iter().enumerate() {
                    write!(f, "{}{label}={weight}", if at > 0 { "," } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

impl TryFrom<String> for ClassWeights {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ClassWeights> for String {
    fn from(weights: ClassWeights) -> Self {
        weights.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(text: &str, counts: [u64; 3]) -> Result<Option<Vec<f32>>> {
        let labels = ["a", "b", "c=d"].map(String::from);
        text.parse::<ClassWeights>()?.of(&labels, &counts)
    }

    /// A case of `tests/golden/class_weights.json`, which `scripts/golden/class_weights.py` makes.
    #[derive(Deserialize)]
    struct Case {
        counts: Vec<u64>,
        weights: Vec<f64>,
    }

    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../tests/golden/class_weights.json")).unwrap();
        for Case { counts, weights } in cases {
            let labels: Vec<String> = (0..counts.len()).map(|class| class.to_string()).collect();
            let found = ClassWeights::Balanced.of(&labels, &counts).unwrap().unwrap();
            assert_eq!(found.len(), weights.len());
            for (found, expected) in found.into_iter().zip(weights) {
                assert!(
                    (f64::from(found) / expected - 1.).abs() < 1e-6,
                    "{counts:?}: {found} for {expected}"
                );
            }
        }
    }

    #[test]
    fn absent_classes_take_no_share() {
        assert_eq!(weights("none", [6, 3, 1]).unwrap(), None);
        let absent = weights("balanced", [6, 0, 2]).unwrap().unwrap();
        assert_eq!((absent[0], absent[2]), (8f32 / 12., 2.));
    }

    #[test]
    fn given_weights_have_mean_one_over_the_examples() {
        // Weights 3, 1 and 2 of 1, 2 and 1 examples sum to 7 of 4.
        let found = weights("a=3,c=d=2", [1, 2, 1]).unwrap().unwrap();
        assert_eq!(found, [12. / 7., 4. / 7., 8. / 7.].map(|weight: f64| weight as f32));
    }

    #[test]
    fn invalid_weights_are_usage_errors() {
        for (text, expected) in [
            ("a", "expected balanced, none or LABEL=WEIGHT"),
            ("a=-1", "the weight of \"a\" is \"-1\""),
            ("a=NaN", "expected a number of at least 0"),
            ("a=1,a=2", "\"a\" has two weights"),
            ("x=1", "there is no class \"x\"; the classes are a, b, c=d"),
            ("a=0,b=0,c=d=0", "no example has a weight above 0"),
        ] {
            let error = weights(text, [1, 1, 1]).unwrap_err();
            assert!(matches!(error, Error::Invalid { field: "class_weights", .. }), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn display_and_parse_round_trip() {
        for text in ["none", "balanced", "a=1,b=0.5"] {
            assert_eq!(text.parse::<ClassWeights>().unwrap().to_string(), text);
        }
    }
}
