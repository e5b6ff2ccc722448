//! The columns of a table of time series.

use crate::data::delimiter::Delimiter;
use crate::data::encoding::Encoding;

/// The columns of a table of time series, and its form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeColumns {
    /// Whether each row is a series: its name, then its values.
    pub wide: bool,
    /// The column of the timestamps; `None` finds it, and takes the order of the rows if there is none.
    pub time: Option<String>,
    /// The column that names the series of a row; `None` if all rows are one series.
    pub series: Option<String>,
    /// The columns to forecast; all that hold numbers if there are none.
    pub targets: Vec<String>,
    /// Features that are known only up to the forecast.
    pub features: Vec<String>,
    /// Features that are known in advance.
    pub known: Vec<String>,
    /// Whether a trained model reads these columns, so that no others can be named.
    pub of_model: bool,
    /// The delimiter; `None` detects it.
    pub delimiter: Option<Delimiter>,
    /// The character encoding; `None` detects it.
    pub encoding: Option<Encoding>,
}
