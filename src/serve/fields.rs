//! The fields of a request. Every error names the field, the value that was found and what was expected.

use serde_json::{Map, Value};

use super::problem::Problem;
use crate::error::json_problem;

/// The longest value that an error quotes, in characters.
const LONGEST_QUOTE: usize = 60;

/// The fields of a request that have not been read.
pub(super) struct Fields {
    values: Map<String, Value>,
    /// The names that the route knows, for errors.
    known: Vec<&'static str>,
}

impl Fields {
    /// Parse a body. The depth of its nesting is limited by the parser.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let refused = |problem: String| Problem::field("body", problem);
        match serde_json::from_slice(body) {
            Ok(Value::Object(values)) => Ok(Self::new(values)),
            Ok(other) => Err(refused(format!("is {}; expected a JSON object", quoted(&other)))),
            Err(error) => Err(refused(format!("{}; expected a JSON object", json_problem(&error)))),
        }
    }

    /// The fields `values`.
    pub(super) fn new(values: Map<String, Value>) -> Self {
        Self { values, known: vec![] }
    }

    /// The value of a field; null stands for none.
    pub(super) fn value(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.values.remove(name).filter(|value| !value.is_null())
    }

    /// A number.
    pub(super) fn number(&mut self, name: &'static str) -> Result<Option<f64>, Problem> {
        self.read(name, "a number", Value::as_f64)
    }

    /// A whole number of at least `least` and at most `most`.
    pub(super) fn whole(
        &mut self,
        name: &'static str,
        least: u64,
        most: u64,
    ) -> Result<Option<usize>, Problem> {
        let expected = format!("a whole number from {least} to {most}");
        self.read(name, &expected, |value| {
            value.as_u64().filter(|number| (least..=most).contains(number)).map(|number| number as usize)
        })
    }

    /// The seed of random numbers.
    pub(super) fn seed(&mut self, name: &'static str) -> Result<Option<u64>, Problem> {
        self.read(name, "a whole number from 0 to 18446744073709551615", Value::as_u64)
    }

    /// True or false.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        Ok(self.read(name, "true or false", Value::as_bool)?.unwrap_or_default())
    }

    /// A string.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        self.read(name, "a string", |value| value.as_str().map(String::from))
    }

    /// A string, or an array of at least `least` and at most `most` strings.
    pub(super) fn texts(
        &mut self,
        name: &'static str,
        least: usize,
        most: usize,
    ) -> Result<Option<Vec<String>>, Problem> {
        let expected = format!("a string, or an array of {least} to {most} strings");
        self.read(name, &expected, |value| match value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(texts) if (least..=most).contains(&texts.len()) => {
                texts.iter().map(|text| text.as_str().map(String::from)).collect()
            }
            _ => None,
        })
    }

    fn read<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let wrong = || Problem::field(name, format!("is {}; expected {expected}", quoted(&value)));
        read(&value).map(Some).ok_or_else(wrong)
    }

    /// Refuse fields that have not been read.
    pub(super) fn end(self) -> Result<(), Problem> {
        match self.values.keys().next() {
            None => Ok(()),
            Some(name) => {
                let name: String = name.chars().take(LONGEST_QUOTE).collect();
                let known = self.known.join(", ");
                Err(Problem::field(&name, format!("is not a field of this route; expected {known}")))
            }
        }
    }
}

/// A value as an error quotes it.
fn quoted(value: &Value) -> String {
    match value {
        Value::Array(values) if !values.is_empty() && values.iter().all(Value::is_number) => {
            "an array of numbers".into()
        }
        Value::Array(values) => format!("an array of {}", values.len()),
        Value::Object(_) => "an object".into(),
        value => {
            let text = value.to_string();
            match text.char_indices().nth(LONGEST_QUOTE) {
                Some((end, _)) => format!("{}...", &text[..end]),
                None => text,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(problem: &Problem) -> String {
        problem.json()["error"]["message"].as_str().unwrap_or_default().to_string()
    }

    #[test]
    fn wrong_values_name_the_field_and_what_is_expected() {
        let parse = |text: &str| Fields::parse(text.as_bytes()).map_err(|problem| message(&problem));
        let mut fields = parse(r#"{"n": -1, "seed": 1e3, "stream": "yes", "stop": [1], "x": null}"#).unwrap();
        let n = message(&fields.whole("n", 1, 9).unwrap_err());
        assert_eq!(n, "n: is -1; expected a whole number from 1 to 9");
        assert!(message(&fields.seed("seed").unwrap_err()).starts_with("seed: is 1000.0; expected a whole"));
        let stream = message(&fields.flag("stream").unwrap_err());
        assert_eq!(stream, "stream: is \"yes\"; expected true or false");
        let stop = message(&fields.texts("stop", 1, 4).unwrap_err());
        assert_eq!(stop, "stop: is an array of numbers; expected a string, or an array of 1 to 4 strings");
        let unknown = message(&fields.end().unwrap_err());
        assert_eq!(unknown, "x: is not a field of this route; expected n, seed, stream, stop");
        for (text, start) in [
            ("[1]", "body: is an array of numbers"),
            ("[true]", "body: is an array of 1"),
            ("{\"a\": 1e999}", "body: line 1, column"),
            (&"[".repeat(100_000), "body: "),
            ("{", "body: it ends in line 1"),
        ] {
            let problem = parse(text).err().unwrap();
            assert!(problem.starts_with(start) && problem.ends_with("expected a JSON object"), "{problem}");
        }
    }
}
