use super::DataKind;
use super::layout::{
    CORE_TABLE, DATA_KIND, EXTENSION_COUNT, EXTENSION_ENTRY, EXTENSION_TABLE, FLAG_IMPLIED_TYPE, FLAGS, FORMAT_VERSION,
    RESERVED, RESERVED_PAIR, TOTAL_LEN, TYPE_BINARY, TYPE_BOOLEAN, TYPE_INTEGER, TYPE_STRING, TYPE_TIMESTAMP, TYPE_URI,
    TYPE_URI_REF, VERSION, data_kind, u16_at, u32_at,
};
use crate::attribute::Core;
use crate::limits::{MAX_ATTRIBUTE_NAME, MAX_EXTENSIONS, MAX_FRAME_BYTES};
use crate::rules::is_name_byte;

/// What is unsound in bytes that should be a frame. Checks run in this order; the first that fails is returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Shorter than the tables, or longer than any frame may be.
    #[error("a frame cannot have {len} B")]
    Size {
        /// Length of the bytes given.
        len: usize,
    },
    /// A version that this program does not know.
    #[error("frame format version {version}, only {VERSION} is known")]
    Version {
        /// The version found.
        version: u8,
    },
    /// The length written in the frame is not its length.
    #[error("the frame says {written} B and has {len} B")]
    Length {
        /// The length written in the frame.
        written: u32,
        /// Length of the bytes given.
        len: usize,
    },
    /// A data kind, flag or reserved byte that is not defined, or data where there is said to be none.
    #[error("undefined data kind, flags or reserved bytes")]
    Header,
    /// Offsets that run backwards or out of the frame.
    #[error("offsets out of order or outside the frame")]
    Offsets,
    /// A required attribute is missing.
    #[error("required attribute `{name}` is missing")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// The name of an extension is not legal, or not after the one before it.
    #[error("extension {index}: the name is not legal, or out of order")]
    Name {
        /// Place in the extension table.
        index: usize,
    },
    /// A type that is not defined, or a value that is not of its type.
    #[error("extension {index}: the value is not of a known type")]
    Value {
        /// Place in the extension table.
        index: usize,
    },
    /// The value of a core attribute is not UTF-8.
    #[error("attribute `{name}` is not UTF-8")]
    Text {
        /// Its name.
        name: &'static str,
    },
}

/// Checks everything that the accessors rely on. Linear in the bytes of the attributes.
pub(super) fn check(frame: &[u8]) -> Result<(), FrameError> {
    let len = frame.len();
    if !(EXTENSION_TABLE..=MAX_FRAME_BYTES).contains(&len) {
        return Err(FrameError::Size { len });
    }
    if frame[FORMAT_VERSION] != VERSION {
        return Err(FrameError::Version { version: frame[FORMAT_VERSION] });
    }
    let written = u32_at(frame, TOTAL_LEN);
    if written as usize != len {
        return Err(FrameError::Length { written, len });
    }
    let kind = data_kind(frame[DATA_KIND]).ok_or(FrameError::Header)?;
    let reserved_are_zero = frame[RESERVED] == 0 && u16_at(frame, RESERVED_PAIR) == 0;
    if !reserved_are_zero || frame[FLAGS] & !FLAG_IMPLIED_TYPE != 0 {
        return Err(FrameError::Header);
    }
    let count = usize::from(u16_at(frame, EXTENSION_COUNT));
    let texts = EXTENSION_TABLE + EXTENSION_ENTRY * count;
    if count > MAX_EXTENSIONS || texts > len {
        return Err(FrameError::Offsets);
    }
    let end_of_core = check_core(frame, texts)?;
    let data_start = check_extensions(frame, count, end_of_core)?;
    if kind == DataKind::None && data_start != len {
        return Err(FrameError::Header);
    }
    Ok(())
}

/// Where the core values end.
fn check_core(frame: &[u8], mut start: usize) -> Result<usize, FrameError> {
    for core in Core::ALL {
        let end = u32_at(frame, CORE_TABLE + 4 * core as usize) as usize;
        if end < start || end > frame.len() {
            return Err(FrameError::Offsets);
        }
        if core.is_required() && start == end {
            return Err(FrameError::Missing { name: core.name() });
        }
        if std::str::from_utf8(&frame[start..end]).is_err() {
            return Err(FrameError::Text { name: core.name() });
        }
        start = end;
    }
    Ok(start)
}

/// Where the last extension ends.
fn check_extensions(frame: &[u8], count: usize, mut start: usize) -> Result<usize, FrameError> {
    let mut last_name: &[u8] = b"";
    for index in 0..count {
        let entry = EXTENSION_TABLE + EXTENSION_ENTRY * index;
        let end = u32_at(frame, entry) as usize;
        let name_end = start + usize::from(frame[entry + 4]);
        if name_end > end || end > frame.len() || u16_at(frame, entry + 6) != 0 {
            return Err(FrameError::Offsets);
        }
        let (name, value) = (&frame[start..name_end], &frame[name_end..end]);
        // The first name is greater than the empty one, so this refuses empty names too.
        if name <= last_name || name.len() > MAX_ATTRIBUTE_NAME || !name.iter().all(|&byte| is_name_byte(byte)) {
            return Err(FrameError::Name { index });
        }
        let sound = match frame[entry + 5] {
            TYPE_BOOLEAN => matches!(value, [0 | 1]),
            TYPE_INTEGER => value.len() == 4,
            TYPE_BINARY => true,
            TYPE_STRING | TYPE_URI | TYPE_URI_REF | TYPE_TIMESTAMP => std::str::from_utf8(value).is_ok(),
            _ => false,
        };
        if !sound {
            return Err(FrameError::Value { index });
        }
        last_name = name;
        start = end;
    }
    Ok(start)
}
