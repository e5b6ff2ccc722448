//! A JSON object whose fields have different names.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

/// A JSON object, its fields in the order of the text. It is not read from text that names a field twice.
#[derive(Clone, Debug)]
pub(super) struct JsonObject(Vec<(String, Value)>);

impl JsonObject {
    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = JsonObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<JsonObject, A::Error> {
        let mut object: Vec<(String, Value)> = vec![];
        while let Some((name, value)) = fields.next_entry::<String, Value>()? {
            if object.iter().any(|(own, _)| *own == name) {
                return Err(A::Error::custom(format!("two fields are called `{name}`")));
            }
            object.push((name, value));
        }
        Ok(JsonObject(object))
    }
}
