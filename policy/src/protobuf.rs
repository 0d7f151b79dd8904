//! Messages of protobuf, written field by field (<https://protobuf.dev/programming-guides/encoding/>).
//!
//! Of spans a worker writes thousands a second. Were they made of the structs that are generated for OTLP, each of some
//! sixty attributes would be two texts of its own and be measured once more for each message around it
//! (`docs/decisions/0016-what-telemetry-costs.md`). What comes in is still read by those structs, and in tests so is what is
//! written here.

use prost::bytes::BufMut as _;
use prost::encoding::{WireType, encode_key, encode_varint};

/// A message that is being written.
#[derive(Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// A field of type `bytes`, or a message that is encoded already.
    pub(crate) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        encode_key(field, WireType::LengthDelimited, &mut self.0);
        encode_varint(bytes.len() as u64, &mut self.0);
        self.0.extend_from_slice(bytes);
    }

    /// One of type `string`.
    pub(crate) fn text(&mut self, field: u32, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    /// One of a type for numbers that are not fixed in length, an `enum` or a `bool`.
    pub(crate) fn number(&mut self, field: u32, number: u64) {
        encode_key(field, WireType::Varint, &mut self.0);
        encode_varint(number, &mut self.0);
    }

    /// One of type `fixed32`.
    pub(crate) fn fixed32(&mut self, field: u32, number: u32) {
        encode_key(field, WireType::ThirtyTwoBit, &mut self.0);
        self.0.put_u32_le(number);
    }

    /// One of type `fixed64`.
    pub(crate) fn fixed64(&mut self, field: u32, number: u64) {
        encode_key(field, WireType::SixtyFourBit, &mut self.0);
        self.0.put_u64_le(number);
    }

    /// A message within this one.
    pub(crate) fn message(&mut self, field: u32, write: impl FnOnce(&mut Message)) {
        encode_key(field, WireType::LengthDelimited, &mut self.0);
        // Its length stands before it, in one byte nearly always. Where it takes more, what was written moves on.
        let start = self.0.len();
        self.0.push(0);
        write(self);
        let length = self.0.len() - start - 1;
        match (u8::try_from(length), self.0.get_mut(start)) {
            (Ok(short @ ..0x80), Some(place)) => *place = short,
            _ => {
                let mut long = Vec::with_capacity(10);
                encode_varint(length as u64, &mut long);
                self.0.splice(start..=start, long);
            }
        }
    }

    /// How long it is so far.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes back whatever was written after it was this long.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
    use prost::Message as _;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::Message;

    #[test]
    fn messages_within_messages_have_their_lengths() {
        for length in [0, 1, 100, 119, 120, 121, 127, 128, 16_000, 16_384, 3_000_000] {
            let text = "x".repeat(length);
            let mut message = Message::default();
            message.text(1, "key");
            message.message(2, |value| value.text(1, &text));
            let expected = KeyValue {
                key: "key".to_owned(),
                value: Some(AnyValue { value: Some(Value::StringValue(text)) }),
                ..KeyValue::default()
            };
            assert_eq!(message.into_bytes(), expected.encode_to_vec(), "{length}");
        }
    }
}
