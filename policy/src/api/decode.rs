//! A deserializer over JSON values whose errors hold no values.
//!
//! `serde_json`'s own errors quote what they found (`invalid type: string "sk-…"`); these name its type only, and
//! keep unknown fields and allowed words apart, so that a remedy can be told.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use super::error::{Cause, FieldPath, Step};

/// Decodes a value into a type of the API; the error says where and why.
pub(super) fn decode<T: de::DeserializeOwned>(value: Value) -> Result<T, (FieldPath, Cause)> {
    serde_path_to_error::deserialize(Node(value)).map_err(|error| {
        let path = error.path().iter().filter_map(step).collect();
        (FieldPath(path), error.into_inner().0)
    })
}

fn step(segment: &serde_path_to_error::Segment) -> Option<Step> {
    use serde_path_to_error::Segment;
    match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Field(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

#[derive(Debug)]
struct Refusal(Cause);

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl de::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Refusal(Cause::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Refusal(Cause::WrongType { found: type_of(&found), expected: in_words(expected) })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Refusal(Cause::WrongType { found: out_of_range(&found), expected: in_words(expected) })
    }

    fn unknown_variant(_: &str, allowed: &'static [&'static str]) -> Self {
        Refusal(Cause::UnknownValue { allowed })
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Refusal(Cause::UnknownField { field: field.to_owned(), known })
    }

    fn missing_field(field: &'static str) -> Self {
        Refusal(Cause::MissingField(field))
    }
}

fn type_of(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
        Unexpected::Str(_) | Unexpected::Char(_) | Unexpected::Bytes(_) => "text",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map => "an object",
        _ => "something else",
    }
}

fn out_of_range(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number out of range",
        other => type_of(other),
    }
}

fn in_words(expected: &dyn de::Expected) -> String {
    match expected.to_string().as_str() {
        "a string" => "text (in quotes where YAML would read a number)".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" | "i64" => "a whole number".to_owned(),
        other if other.starts_with("struct ") => "an object".to_owned(),
        other => other.to_owned(),
    }
}

struct Node(Value);

impl<'de> Deserializer<'de> for Node {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::Number(number) => visit_number(&number, visitor),
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => visit_items(items, visitor),
            Value::Object(fields) => visitor.visit_map(Fields { rest: fields.into_iter(), next: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    // An empty value (`rules:` with nothing after it) is what Kubernetes prunes: an empty list or object.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::Null => visit_items(Vec::new(), visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::Null => Node(Value::Object(serde_json::Map::new())).deserialize_any(visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match self.0 {
            // A derived struct would also read a list, field by field.
            Value::Array(_) => Err(de::Error::invalid_type(Unexpected::Seq, &"an object")),
            _ => self.deserialize_map(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    // Every enum of the API is a word.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        allowed: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::String(word) => visitor.visit_enum(word.into_deserializer()),
            _ => Err(Refusal(Cause::UnknownValue { allowed })),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct identifier ignored_any
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: &serde_json::Number, visitor: V) -> Result<V::Value, Refusal> {
    match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (Some(unsigned), _, _) => visitor.visit_u64(unsigned),
        (None, Some(signed), _) => visitor.visit_i64(signed),
        (None, None, Some(float)) => visitor.visit_f64(float),
        (None, None, None) => Err(Refusal(Cause::Other("a number that cannot be read".to_owned()))),
    }
}

fn visit_items<'de, V: Visitor<'de>>(items: Vec<Value>, visitor: V) -> Result<V::Value, Refusal> {
    visitor.visit_seq(de::value::SeqDeserializer::new(items.into_iter().map(Element)))
}

/// An element of a list; `SeqDeserializer` wants a type that turns into a deserializer.
struct Element(Value);

impl IntoDeserializer<'_, Refusal> for Element {
    type Deserializer = Node;

    fn into_deserializer(self) -> Node {
        Node(self.0)
    }
}

struct Fields {
    rest: serde_json::map::IntoIter,
    next: Option<Value>,
}

impl<'de> de::MapAccess<'de> for Fields {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.next = Some(value);
        seed.deserialize(IntoDeserializer::<Refusal>::into_deserializer(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refusal> {
        seed.deserialize(Node(self.next.take().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, Refusal};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_refusal_says_what_its_cause_says() {
        assert_eq!(Refusal(Cause::InvalidName).to_string(), Cause::InvalidName.to_string());
    }
}
