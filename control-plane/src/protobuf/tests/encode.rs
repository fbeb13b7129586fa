//! A writer of messages, and objects to write, from the same tables as the reader. The tables themselves are checked by
//! the bodies in `fixtures`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::protobuf::PREFIX;
use crate::protobuf::message::{Field, Shape, Zero};

/// How Kubernetes begins a message: its prefix, and the kind around the bytes.
pub(super) fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let type_meta = [bytes_field(1, api_version.as_bytes()), bytes_field(2, kind.as_bytes())].concat();
    [PREFIX, &bytes_field(1, &type_meta), &bytes_field(2, raw)].concat()
}

pub(super) fn int_field(number: u32, value: u64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value)].concat()
}

pub(super) fn bytes_field(number: u32, value: &[u8]) -> Vec<u8> {
    [varint(u64::from(number) << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// Writes messages of JSON objects.
#[derive(Clone, Copy)]
pub(super) struct Encoder {
    /// Whether fields in which zero is nothing are written as zero when they are not there, as Go does.
    pub(super) writes_zeros: bool,
}

impl Encoder {
    pub(super) fn message(self, fields: &[Field], object: &Value) -> Vec<u8> {
        let one = |field: &Field| match object.get(field.name) {
            Some(value) => self.field(field, value),
            None if self.writes_zeros && field.zero == Zero::Absent => zero(field),
            None => Vec::new(),
        };
        fields.iter().flat_map(one).collect()
    }

    fn field(self, field: &Field, value: &Value) -> Vec<u8> {
        let bytes = |bytes: &[u8]| bytes_field(field.number, bytes);
        let text = |value: &Value| value.as_str().expect("text").as_bytes().to_vec();
        let entry = |key: &str, value: &[u8]| bytes(&[bytes_field(1, key.as_bytes()), bytes_field(2, value)].concat());
        let list = || value.as_array().expect("a list").iter();
        let map = || value.as_object().expect("a map").iter();
        match field.shape {
            Shape::Text => bytes(&text(value)),
            Shape::Bool => int_field(field.number, value.as_bool().expect("true or false").into()),
            Shape::Int32 | Shape::Int64 => int_field(field.number, value.as_i64().expect("a number") as u64),
            Shape::Time | Shape::MicroTime => {
                let time: Timestamp = value.as_str().expect("text").parse().expect("a time");
                let since_second = time.as_nanosecond().rem_euclid(1_000_000_000) as u64;
                let seconds = time.as_nanosecond().div_euclid(1_000_000_000) as u64;
                bytes(&[int_field(1, seconds), int_field(2, since_second)].concat())
            }
            Shape::IntOrText => match value.as_i64() {
                Some(number) => bytes(&[int_field(1, 0), int_field(2, number as u64), bytes_field(3, b"")].concat()),
                None => bytes(&[int_field(1, 1), int_field(2, 0), bytes_field(3, &text(value))].concat()),
            },
            Shape::Json => bytes(&bytes_field(1, value.to_string().as_bytes())),
            Shape::Texts => list().flat_map(|item| bytes(&text(item))).collect(),
            Shape::TextMap => map().flat_map(|(key, value)| entry(key, &text(value))).collect(),
            Shape::BytesMap => {
                map().flat_map(|(key, value)| entry(key, &STANDARD.decode(text(value)).expect("base64"))).collect()
            }
            Shape::Object(fields) => bytes(&self.message(fields, value)),
            Shape::Objects(fields) => list().flat_map(|item| bytes(&self.message(fields, item))).collect(),
        }
    }
}

fn zero(field: &Field) -> Vec<u8> {
    match field.shape {
        Shape::Bool | Shape::Int32 | Shape::Int64 => int_field(field.number, 0),
        Shape::Text | Shape::Time | Shape::MicroTime | Shape::Json => bytes_field(field.number, b""),
        Shape::IntOrText => {
            bytes_field(field.number, &[int_field(1, 0), int_field(2, 0), bytes_field(3, b"")].concat())
        }
        // A message that is there is an object, whatever is in it; a list or map of nothing is not written.
        Shape::Object(_) | Shape::Objects(_) | Shape::Texts | Shape::TextMap | Shape::BytesMap => Vec::new(),
    }
}

/// An object with some of these fields, none of which is a zero that means nothing.
pub(super) fn any_object(fields: &'static [Field]) -> BoxedStrategy<Value> {
    let one = |field: &'static Field| {
        let value = proptest::option::weighted(0.7, any_value(field));
        value.prop_map(|value| value.map(|value| (field.name.to_owned(), value))).boxed()
    };
    let some = fields.iter().map(one).collect::<Vec<_>>();
    some.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect())).boxed()
}

fn any_value(field: &Field) -> BoxedStrategy<Value> {
    let keeps_zero = field.zero == Zero::Kept;
    let text = if keeps_zero { "\\PC{0,8}" } else { "\\PC{1,8}" };
    let int32 = any::<i32>().prop_filter("zero is nothing", move |&number| keeps_zero || number != 0);
    match field.shape {
        Shape::Text => text.prop_map(Value::from).boxed(),
        Shape::Bool => any::<bool>().prop_map(move |flag| Value::from(flag || !keeps_zero)).boxed(),
        Shape::Int32 => int32.prop_map(Value::from).boxed(),
        Shape::Int64 => {
            prop_oneof![int32.prop_map(i64::from), Just(i64::MIN), Just(i64::MAX)].prop_map(Value::from).boxed()
        }
        Shape::Time => any_time().prop_map(|time| format!("{time:.0}").into()).boxed(),
        Shape::MicroTime => any_time().prop_map(|time| format!("{time:.6}").into()).boxed(),
        Shape::IntOrText => prop_oneof![int32.prop_map(Value::from), text.prop_map(Value::from)].boxed(),
        Shape::Json => btree_map("f:[a-z]{1,4}", Just(json!({})), 0..3).prop_map(|map| json!(map)).boxed(),
        Shape::Texts => vec("\\PC{0,8}", 1..3).prop_map(Value::from).boxed(),
        Shape::TextMap => btree_map("\\PC{0,8}", "\\PC{0,8}", 1..3).prop_map(|map| json!(map)).boxed(),
        Shape::BytesMap => {
            let bytes = any::<Vec<u8>>().prop_map(|bytes| STANDARD.encode(bytes));
            btree_map("\\PC{0,8}", bytes, 1..3).prop_map(|map| json!(map)).boxed()
        }
        Shape::Object(fields) => any_object(fields),
        Shape::Objects(fields) => vec(any_object(fields), 1..3).prop_map(Value::from).boxed(),
    }
}

/// From the year 1, and not its first second, which is the zero time.
fn any_time() -> impl Strategy<Value = Timestamp> {
    let micros = -62_135_596_799_000_000i64..Timestamp::MAX.as_microsecond();
    micros.prop_map(|micros| Timestamp::from_microsecond(micros).expect("it is in the range"))
}

/// The second message after the first: lists get longer, and of the rest the later counts.
pub(super) fn merged(first: &Value, second: &Value) -> Value {
    match (first, second) {
        (Value::Array(first), Value::Array(second)) => Value::Array([&first[..], second].concat()),
        (Value::Object(first), Value::Object(second)) => {
            let mut map: Map<String, Value> = first.clone();
            for (name, value) in second {
                let value = first.get(name).map_or_else(|| value.clone(), |old| merged(old, value));
                map.insert(name.clone(), value);
            }
            Value::Object(map)
        }
        (_, second) => second.clone(),
    }
}

/// The fields of the table, and of the tables in it, that are in none of the objects.
pub(super) fn missing(fields: &[Field], objects: &[&Value]) -> Vec<String> {
    let mut missing = Vec::new();
    for field in fields {
        let found: Vec<_> = objects.iter().filter_map(|object| object.get(field.name)).collect();
        if found.is_empty() {
            missing.push(field.name.to_owned());
        }
        let items: Vec<_> = match field.shape {
            Shape::Object(_) => found,
            Shape::Objects(_) => found.iter().filter_map(|list| list.as_array()).flatten().collect(),
            _ => continue,
        };
        if let Shape::Object(inner) | Shape::Objects(inner) = field.shape {
            missing.extend(self::missing(inner, &items).iter().map(|name| format!("{}.{name}", field.name)));
        }
    }
    missing
}
