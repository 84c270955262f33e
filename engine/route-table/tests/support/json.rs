//! JSON as it was written, for tests: numbers keep their text, objects keep every field in its order.

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Boolean(bool),
    /// As it was written.
    Number(String),
    Text(String),
    Array(Vec<Json>),
    /// A name may be there twice.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The first field of this name, if it is an object.
    pub(crate) fn field(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(fields) => fields.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// serde_json decides what is JSON, and reads the texts.
    pub(crate) fn read(text: &str) -> serde_json::Result<Json> {
        let raw: &RawValue = serde_json::from_str(text)?;
        let text = raw.get();
        Ok(match text.as_bytes()[0] {
            b'n' => Json::Null,
            b't' | b'f' => Json::Boolean(text == "true"),
            b'"' => Json::Text(serde_json::from_str(text)?),
            b'[' => {
                let elements: Vec<&RawValue> = serde_json::from_str(text)?;
                Json::Array(elements.into_iter().map(|element| Json::read(element.get())).collect::<Result<_, _>>()?)
            }
            b'{' => {
                let mut reader = serde_json::Deserializer::from_str(text);
                let fields = reader.deserialize_map(Fields)?;
                let read = |(name, value): (String, &RawValue)| Ok((name, Json::read(value.get())?));
                Json::Object(fields.into_iter().map(read).collect::<serde_json::Result<_>>()?)
            }
            _ => Json::Number(text.to_owned()),
        })
    }
}

/// An object's fields in their order, those with the same name too.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(fields)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        match self {
            Json::Null => f.write_str("null"),
            Json::Boolean(value) => write!(f, "{value}"),
            Json::Number(text) => f.write_str(text),
            Json::Text(text) => f.write_str(&quoted(text)),
            Json::Array(elements) => {
                let elements: Vec<String> = elements.iter().map(Json::to_string).collect();
                write!(f, "[{}]", elements.join(","))
            }
            Json::Object(fields) => {
                let field = |(name, value): &(String, Json)| format!("{}:{value}", quoted(name));
                let fields: Vec<String> = fields.iter().map(field).collect();
                write!(f, "{{{}}}", fields.join(","))
            }
        }
    }
}
