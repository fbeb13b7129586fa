//! A message as JSON, by a table of its fields.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::wire::{Encoded, Fields};
use super::{Fault, ProtobufError};

mod scalar;

/// So many messages may be in one another, the outermost counted. Kubernetes' own need seven.
pub(super) const MAX_NESTING: usize = 16;
/// So many messages and entries of lists may be in one body. A message of two bytes becomes a map of some hundreds, so
/// the length of a body alone would be a poor bound of memory. Entries of maps have none: no two have the same key, and
/// a ConfigMap may have very many.
pub(super) const MAX_ITEMS: usize = 10_000;

/// What is in a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Text,
    Bool,
    Int32,
    Int64,
    /// `Time`: whole seconds, in RFC 3339 and UTC.
    Time,
    /// `MicroTime`: the same with six decimals.
    MicroTime,
    /// `IntOrString`: a number or a text.
    IntOrText,
    /// `FieldsV1`: a JSON object in bytes.
    Json,
    /// A list of texts.
    Texts,
    /// A map from text to text.
    TextMap,
    /// A map from text to bytes, which are base64 in JSON.
    BytesMap,
    /// A message.
    Object(&'static [Field]),
    /// A list of messages.
    Objects(&'static [Field]),
}

/// What zero (an empty text, 0, false) means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    /// Nothing. Kubernetes writes such fields whether they are set or not.
    Absent,
    /// Itself. Such a field is written only when it is set, or is one that its object cannot be without.
    Kept,
}

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) number: u32,
    /// Its name in JSON.
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) zero: Zero,
}

/// A field in which zero is the same as nothing.
pub(super) const fn field(number: u32, name: &'static str, shape: Shape) -> Field {
    Field { number, name, shape, zero: Zero::Absent }
}

/// A field in which zero is not the same as nothing.
pub(super) const fn optional(number: u32, name: &'static str, shape: Shape) -> Field {
    Field { number, name, shape, zero: Zero::Kept }
}

/// A fault and where it is, from the message that was read down: `.metadata.labels`.
#[derive(Debug)]
pub(super) struct Misplaced {
    path: String,
    fault: Fault,
}

impl Misplaced {
    fn under(self, segment: &str) -> Self {
        Self { path: format!("{segment}{}", self.path), ..self }
    }

    /// As a fault of the message of that kind.
    pub(super) fn within(self, kind: &str) -> ProtobufError {
        ProtobufError::Malformed { at: format!("{kind}{}", self.path), fault: self.fault }
    }
}

impl From<Fault> for Misplaced {
    fn from(fault: Fault) -> Self {
        Self { path: String::new(), fault }
    }
}

/// Puts what is in the message into the object. Fields that the table does not have are skipped.
pub(super) fn read(fields: &[Field], bytes: &[u8], object: &mut Map<String, Value>) -> Result<(), Misplaced> {
    Reader { nesting_left: MAX_NESTING, items_left: MAX_ITEMS }.message(fields, bytes, object)
}

struct Reader {
    nesting_left: usize,
    items_left: usize,
}

impl Reader {
    /// What is in the object already stays, so a message that comes in two parts is merged, as protobuf has it.
    fn message(&mut self, fields: &[Field], bytes: &[u8], object: &mut Map<String, Value>) -> Result<(), Misplaced> {
        self.count_item()?;
        self.nesting_left = self.nesting_left.checked_sub(1).ok_or(Fault::TooDeep)?;
        for part in Fields::new(bytes) {
            let (number, encoded) = part?;
            if let Some(field) = fields.iter().find(|field| field.number == number) {
                let put = self.put(field, encoded, object);
                put.map_err(|misplaced| misplaced.under(&format!(".{}", field.name)))?;
            }
        }
        self.nesting_left += 1;
        Ok(())
    }

    fn put(&mut self, field: &Field, encoded: Encoded<'_>, object: &mut Map<String, Value>) -> Result<(), Misplaced> {
        match field.shape {
            Shape::Object(fields) => self.message(fields, encoded.bytes()?, object_at(object, field.name))?,
            Shape::Objects(fields) => {
                let items = list_at(object, field.name);
                let mut item = Map::new();
                let read = self.message(fields, encoded.bytes()?, &mut item);
                read.map_err(|misplaced| misplaced.under(&format!("[{}]", items.len())))?;
                items.push(Value::Object(item));
            }
            Shape::Texts => {
                self.count_item()?;
                list_at(object, field.name).push(encoded.text()?.into());
            }
            Shape::TextMap => {
                let (key, value) = entry(encoded)?;
                let text = value.map_or(Ok(""), Encoded::text)?;
                object_at(object, field.name).insert(key.to_owned(), text.into());
            }
            Shape::BytesMap => {
                let (key, value) = entry(encoded)?;
                let bytes = value.map_or(Ok(&[][..]), Encoded::bytes)?;
                object_at(object, field.name).insert(key.to_owned(), STANDARD.encode(bytes).into());
            }
            Shape::Text => set(object, field, encoded.text()?.into()),
            Shape::Bool => set(object, field, (encoded.varint()? != 0).into()),
            // One below zero is written in 64 bits, of which an int32 is the lower half (Protocol Buffers, "Encoding").
            Shape::Int32 => set(object, field, (encoded.varint()? as i32).into()),
            Shape::Int64 => set(object, field, (encoded.varint()? as i64).into()),
            Shape::Time => set(object, field, scalar::time(encoded.bytes()?)?),
            Shape::MicroTime => set(object, field, scalar::micro_time(encoded.bytes()?)?),
            Shape::IntOrText => set(object, field, scalar::int_or_text(encoded.bytes()?)?),
            Shape::Json => set(object, field, scalar::json(encoded.bytes()?)?),
        }
        Ok(())
    }

    fn count_item(&mut self) -> Result<(), Fault> {
        self.items_left = self.items_left.checked_sub(1).ok_or(Fault::TooManyItems)?;
        Ok(())
    }
}

/// The last one counts, so one that is nothing takes away what was there.
fn set(object: &mut Map<String, Value>, field: &Field, value: Value) {
    let is_zero = match &value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(flag) => !flag,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    if value.is_null() || (is_zero && field.zero == Zero::Absent) {
        object.remove(field.name);
    } else {
        object.insert(field.name.to_owned(), value);
    }
}

/// One entry of a map is a message `{1 key, 2 value}`. Either may be left out when it is empty.
fn entry(encoded: Encoded<'_>) -> Result<(&str, Option<Encoded<'_>>), Fault> {
    let (mut key, mut value) = ("", None);
    for part in Fields::new(encoded.bytes()?) {
        match part? {
            (1, encoded) => key = encoded.text()?,
            (2, encoded) => value = Some(encoded),
            _ => {}
        }
    }
    Ok((key, value))
}

fn object_at<'a>(object: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
    value.as_object_mut().expect("a name has one shape in a table")
}

fn list_at<'a>(object: &'a mut Map<String, Value>, name: &str) -> &'a mut Vec<Value> {
    let value = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    value.as_array_mut().expect("a name has one shape in a table")
}

#[cfg(test)]
mod tests {
    use super::*;

    static LOOP: [Field; 2] = [field(1, "inner", Shape::Object(&LOOP)), field(2, "texts", Shape::Texts)];

    fn result(bytes: &[u8]) -> Result<(), (String, Fault)> {
        read(&LOOP, bytes, &mut Map::new()).map_err(|misplaced| (misplaced.path, misplaced.fault))
    }

    #[test]
    fn nesting_has_a_bound() {
        let nested =
            |depth: usize| (1..depth).fold(Vec::new(), |inner, _| [&[0x0a, inner.len() as u8], &inner[..]].concat());
        assert_eq!(result(&nested(MAX_NESTING)), Ok(()));
        assert_eq!(result(&nested(MAX_NESTING + 1)), Err((".inner".repeat(MAX_NESTING), Fault::TooDeep)));
        // It is how deep they are that counts, not how many.
        assert_eq!(result(&nested(MAX_NESTING).repeat(5)), Ok(()));
    }

    #[test]
    fn the_number_of_messages_and_entries_has_a_bound() {
        let (message, text): (&[u8], &[u8]) = (&[0x0a, 0], &[0x12, 0]);
        // The message around them is one too.
        let half = MAX_ITEMS / 2;
        assert_eq!(result(&[message.repeat(half), text.repeat(half - 1)].concat()), Ok(()));
        let too_many = [message.repeat(half), text.repeat(half)].concat();
        assert_eq!(result(&too_many), Err((".texts".to_owned(), Fault::TooManyItems)));
        let too_many = [text.repeat(half), message.repeat(half)].concat();
        assert_eq!(result(&too_many), Err((".inner".to_owned(), Fault::TooManyItems)));
    }
}
