//! The layout of a frame, little-endian:
//!
//! ```text
//! offset  size
//!      0     4  length of the whole frame, u32
//!      4     1  format version, 1
//!      5     1  data kind: 0 none, 1 bytes, 2 JSON, 3 text, 4 protobuf Any
//!      6     1  flags: bit 0 datacontenttype is implied; the others are zero
//!      7     1  zero
//!      8     2  number of extensions n, u16
//!     10     2  zero
//!     12    28  core table: where the value of each core attribute ends, u32, in the order id, source, type, subject,
//!               time, datacontenttype, dataschema. Each begins where the one before ends; the first at 40 + 8 n.
//!               An attribute that is absent has no length, and one that is present has some.
//!     40   8 n  extension table, in the order of the names: end of the value u32, length of the name u8, type u8,
//!               zero u16. The name begins where the entry before ends (the first where the core values end), the value
//!               where the name ends.
//! 40 + 8 n      the core values, then name and value of each extension
//!               the data, up to the end of the frame
//! ```
//!
//! Types: 0 Boolean (one byte, 0 or 1), 1 Integer (`i32`), 2 String, 3 Binary (the bytes themselves), 4 URI,
//! 5 URI-reference, 6 Timestamp. Text is UTF-8. `specversion` is not stored: it is always `1.0`.
//!
//! Offsets instead of lengths make any attribute reachable in one step, and make "in order and inside the frame" the
//! whole of the check.

use super::DataKind;
use crate::attribute::{AttributeValue, Core};

pub(super) const VERSION: u8 = 1;

pub(super) const TOTAL_LEN: usize = 0;
pub(super) const FORMAT_VERSION: usize = 4;
pub(super) const DATA_KIND: usize = 5;
pub(super) const FLAGS: usize = 6;
pub(super) const RESERVED: usize = 7;
pub(super) const EXTENSION_COUNT: usize = 8;
pub(super) const RESERVED_PAIR: usize = 10;
pub(super) const CORE_TABLE: usize = 12;
pub(super) const EXTENSION_TABLE: usize = CORE_TABLE + 4 * Core::COUNT;
pub(super) const EXTENSION_ENTRY: usize = 8;

pub(super) const FLAG_IMPLIED_TYPE: u8 = 1;

pub(super) const TYPE_BOOLEAN: u8 = 0;
pub(super) const TYPE_INTEGER: u8 = 1;
pub(super) const TYPE_STRING: u8 = 2;
pub(super) const TYPE_BINARY: u8 = 3;
pub(super) const TYPE_URI: u8 = 4;
pub(super) const TYPE_URI_REF: u8 = 5;
pub(super) const TYPE_TIMESTAMP: u8 = 6;

pub(super) fn data_kind(byte: u8) -> Option<DataKind> {
    Some(match byte {
        0 => DataKind::None,
        1 => DataKind::Bytes,
        2 => DataKind::Json,
        3 => DataKind::Text,
        4 => DataKind::ProtoAny,
        _ => return None,
    })
}

pub(super) fn u16_at(frame: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([frame[at], frame[at + 1]])
}

pub(super) fn u32_at(frame: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
}

/// The tables of a frame whose offsets have been checked.
#[derive(Clone, Copy)]
pub(super) struct Layout<'a> {
    frame: &'a [u8],
}

impl<'a> Layout<'a> {
    pub(super) fn of(frame: &'a [u8]) -> Self {
        Self { frame }
    }

    pub(super) fn extension_count(self) -> usize {
        usize::from(u16_at(self.frame, EXTENSION_COUNT))
    }

    pub(super) fn core(self, core: Core) -> Option<&'a str> {
        let index = core as usize;
        let start = match index {
            0 => EXTENSION_TABLE + EXTENSION_ENTRY * self.extension_count(),
            _ => self.core_end(index - 1),
        };
        let end = self.core_end(index);
        (start < end).then(|| text(&self.frame[start..end]))
    }

    pub(super) fn extension(self, index: usize) -> (&'a str, AttributeValue<'a>) {
        let entry = EXTENSION_TABLE + EXTENSION_ENTRY * index;
        let start = match index {
            0 => self.core_end(Core::COUNT - 1),
            _ => self.extension_end(index - 1),
        };
        let name_end = start + usize::from(self.frame[entry + 4]);
        let value = &self.frame[name_end..self.extension_end(index)];
        let value = match self.frame[entry + 5] {
            TYPE_BOOLEAN => AttributeValue::Boolean(value[0] != 0),
            TYPE_INTEGER => AttributeValue::Integer(u32_at(value, 0) as i32),
            TYPE_BINARY => AttributeValue::Binary(value),
            TYPE_URI => AttributeValue::Uri(text(value)),
            TYPE_URI_REF => AttributeValue::UriRef(text(value)),
            TYPE_TIMESTAMP => AttributeValue::Timestamp(text(value)),
            _ => AttributeValue::String(text(value)),
        };
        (text(&self.frame[start..name_end]), value)
    }

    pub(super) fn data_start(self) -> usize {
        match self.extension_count() {
            0 => self.core_end(Core::COUNT - 1),
            count => self.extension_end(count - 1),
        }
    }

    fn core_end(self, index: usize) -> usize {
        u32_at(self.frame, CORE_TABLE + 4 * index) as usize
    }

    fn extension_end(self, index: usize) -> usize {
        u32_at(self.frame, EXTENSION_TABLE + EXTENSION_ENTRY * index) as usize
    }
}

/// Text of a frame that has been checked.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("a frame's texts are checked to be UTF-8 before it becomes an Event")
}
