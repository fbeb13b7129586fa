//! Request bodies in protobuf, as kubectl 1.32 and later, Helm 4 and Go controllers send them for the kinds that have
//! a message. They are only read: all of these clients take JSON for an answer.
//!
//! A body is the four bytes `k8s\0`, then `Unknown{1 typeMeta{1 apiVersion, 2 kind}, 2 raw, 3 contentEncoding,
//! 4 contentType}`; `raw` is the message of the kind. `tables` has the fields of each, `message` makes JSON of them,
//! `wire` tells one field from the next.
//!
//! What comes out is what Go's `encoding/json` would have sent of the same object, less the zeros that mean nothing.

use serde_json::{Map, Value};

use wire::Fields;

mod message;
mod tables;
mod wire;

/// The bytes that every body begins with.
const PREFIX: &[u8] = b"k8s\0";
/// The only content type of `raw` that is read, besides none.
const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// Of an apiVersion or kind that is not known, so much is repeated in the answer. No real one is longer than this.
const MAX_NAME_CHARS: usize = 128;

/// Why a protobuf body was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The kind has no table here, so its bytes have no meaning: the content type is not supported for it.
    #[error("protobuf is not supported for kind {kind:?} of apiVersion {api_version:?}: send JSON")]
    UnknownKind {
        /// As it is in the body, cut to a length fit for a message.
        api_version: String,
        /// As it is in the body, cut to a length fit for a message.
        kind: String,
    },
    /// The body is not `k8s\0` and more.
    #[error("body does not begin with the bytes \"k8s\\0\" of Kubernetes' protobuf")]
    NoPrefix,
    /// The object inside is in another encoding than protobuf.
    #[error("Unknown.{field}: {found:?} cannot be read: send protobuf without an encoding")]
    Foreign {
        /// `contentType` or `contentEncoding`.
        field: &'static str,
        /// What it is, cut to a length fit for a message.
        found: String,
    },
    /// The bytes are not the message that they should be.
    #[error("protobuf body: {at}: {fault}")]
    Malformed {
        /// Where: `Secret.metadata.ownerReferences[1].uid`.
        at: String,
        /// What is wrong there.
        fault: Fault,
    },
}

/// What is wrong with the bytes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A length or a number reaches past the end.
    #[error("the bytes end within a field")]
    Truncated,
    /// A varint has more than the 64 bits that there are.
    #[error("a number has more than 64 bits")]
    VarintTooLong,
    /// Field numbers are 1 to 2^29 - 1.
    #[error("a field has a number that no field can have")]
    FieldNumber,
    /// Groups (3 and 4) were given up before Kubernetes began; 6 and 7 have never meant anything.
    #[error("wire type {0} is not read")]
    ForbiddenWireType(u8),
    /// The field is known, and of another type.
    #[error("the field has another wire type than its message says")]
    WrongWireType,
    /// Text that is not text.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// Before the year 1, after 9999, or with nanoseconds that are a second or more.
    #[error("the time is out of range")]
    TimeOutOfRange,
    /// An `IntOrString` is a number (0) or text (1).
    #[error("IntOrString.type is neither 0 nor 1")]
    IntOrStringType,
    /// `FieldsV1.Raw` is JSON inside protobuf.
    #[error("the bytes are not a JSON object")]
    NotJsonObject,
    /// More messages in one another than any kind has.
    #[error("messages are nested more than {} deep", message::MAX_NESTING)]
    TooDeep,
    /// More messages and entries of lists than any object has.
    #[error("there are more than {} messages and entries of lists", message::MAX_ITEMS)]
    TooManyItems,
}

/// The object in a body, as if it had come as JSON: `apiVersion` and `kind` are in it.
///
/// The result has at most as many values as the body has bytes; it is for the caller to bound the body.
///
/// # Errors
/// [`ProtobufError::UnknownKind`] when the kind has no protobuf form here (415), the others when the bytes are wrong
/// (400).
pub fn decode(body: &[u8]) -> Result<Value, ProtobufError> {
    let message = body.strip_prefix(PREFIX).ok_or(ProtobufError::NoPrefix)?;
    let Envelope { api_version, kind, raw } = Envelope::read(message)?;
    let Some(fields) = tables::find(api_version, kind) else {
        return Err(ProtobufError::UnknownKind { api_version: brief(api_version), kind: brief(kind) });
    };
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    message::read(fields, raw, &mut object).map_err(|misplaced| misplaced.within(kind))?;
    Ok(Value::Object(object))
}

/// `Unknown`, which says what is in `raw`.
#[derive(Default)]
struct Envelope<'a> {
    api_version: &'a str,
    kind: &'a str,
    raw: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut envelope = Self::default();
        for field in Fields::new(bytes) {
            let (number, encoded) = field.map_err(|fault| malformed("Unknown", fault))?;
            match number {
                1 => {
                    let at = "Unknown.typeMeta";
                    let type_meta = encoded.bytes().map_err(|fault| malformed(at, fault))?;
                    envelope.read_type_meta(type_meta).map_err(|fault| malformed(at, fault))?;
                }
                2 => envelope.raw = encoded.bytes().map_err(|fault| malformed("Unknown.raw", fault))?,
                3 => check_foreign("contentEncoding", encoded.text(), &[""])?,
                4 => check_foreign("contentType", encoded.text(), &["", CONTENT_TYPE])?,
                _ => {}
            }
        }
        Ok(envelope)
    }

    fn read_type_meta(&mut self, bytes: &'a [u8]) -> Result<(), Fault> {
        for field in Fields::new(bytes) {
            match field? {
                (1, encoded) => self.api_version = encoded.text()?,
                (2, encoded) => self.kind = encoded.text()?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn check_foreign(field: &'static str, text: Result<&str, Fault>, known: &[&str]) -> Result<(), ProtobufError> {
    match text {
        Ok(text) if known.contains(&text) => Ok(()),
        Ok(text) => Err(ProtobufError::Foreign { field, found: brief(text) }),
        Err(fault) => Err(malformed(&format!("Unknown.{field}"), fault)),
    }
}

fn malformed(at: &str, fault: Fault) -> ProtobufError {
    ProtobufError::Malformed { at: at.to_owned(), fault }
}

fn brief(text: &str) -> String {
    text.chars().take(MAX_NAME_CHARS).collect()
}

#[cfg(test)]
mod tests;
