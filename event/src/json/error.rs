use std::fmt;

use crate::invalid::InvalidEvent;

/// Why text is not JSON, or not JSON of the shape that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonFault {
    /// Not JSON of RFC 8259.
    Syntax,
    /// Not UTF-8.
    NotUtf8,
    /// `data` is nested deeper than [`MAX_DATA_NESTING`](crate::limits::MAX_DATA_NESTING).
    TooDeep,
    /// The event is not an object.
    NotAnObject,
    /// The batch is not an array.
    NotAnArray,
}

impl JsonFault {
    /// The fault as a stable word for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Syntax => "json_syntax",
            Self::NotUtf8 => "json_not_utf8",
            Self::TooDeep => "json_too_deep",
            Self::NotAnObject => "json_not_an_object",
            Self::NotAnArray => "json_not_an_array",
        }
    }
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "not well-formed JSON",
            Self::NotUtf8 => "not UTF-8",
            Self::TooDeep => "nested deeper than 1024 levels",
            Self::NotAnObject => "an event must be a JSON object",
            Self::NotAnArray => "a batch must be a JSON array",
        })
    }
}

/// Where the text is not JSON, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScanError {
    pub(crate) fault: JsonFault,
    /// Offset in bytes from the start of the text.
    pub(crate) at: usize,
}

/// Why text is not an event in JSON format.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    Scan(ScanError),
    Invalid(InvalidEvent),
    EventTooLarge,
    TooManyEvents,
}

impl From<ScanError> for JsonError {
    fn from(error: ScanError) -> Self {
        Self::Scan(error)
    }
}

impl From<InvalidEvent> for JsonError {
    fn from(error: InvalidEvent) -> Self {
        Self::Invalid(error)
    }
}
