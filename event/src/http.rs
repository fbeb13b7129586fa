//! The CloudEvents HTTP binding in both directions and all three content modes, over [`http::HeaderMap`] and
//! [`bytes::Bytes`]. It holds for requests and responses alike.
//!
//! - Binary: attributes are headers `ce-...`, `Content-Type` is `datacontenttype`, the body is `data`.
//! - Structured: the body is the event in a format; JSON here.
//! - Batched: the body is an array of events; JSON here. Written only for those who asked for it.

mod decode;
mod encode;
mod error;
mod header_value;
mod mode;

pub use decode::{DecodeOptions, Decoded, decode};
pub use encode::{BinaryCost, binary_cost, encode_batch, encode_binary, encode_structured};
pub use error::{DecodeError, DecodeReason};
pub use header_value::HeaderEncoding;
pub use mode::{BATCH_JSON, ContentMode, STRUCTURED_JSON, peek_mode};

pub use crate::json::JsonFault;
