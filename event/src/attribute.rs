use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The value of a context attribute, borrowed from a frame. The seven types are those of CloudEvents 1.0, "Type System".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttributeValue<'a> {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number of 32 bits.
    Integer(i32),
    /// Text without control characters and noncharacters.
    String(&'a str),
    /// Bytes; base64 in its canonical form.
    Binary(&'a [u8]),
    /// An absolute URI (RFC 3986, section 4.3).
    Uri(&'a str),
    /// A URI-reference (RFC 3986, section 4.1).
    UriRef(&'a str),
    /// An RFC 3339 date-time, as the text that arrived: its offset and precision are part of the value.
    Timestamp(&'a str),
}

impl<'a> AttributeValue<'a> {
    /// The canonical string of the value, as headers carry it (before percent-encoding) and filters compare it.
    #[must_use]
    pub fn to_canonical(&self) -> Cow<'a, str> {
        match *self {
            Self::Boolean(true) => Cow::Borrowed("true"),
            Self::Boolean(false) => Cow::Borrowed("false"),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::String(text) | Self::Uri(text) | Self::UriRef(text) | Self::Timestamp(text) => Cow::Borrowed(text),
            Self::Binary(bytes) => Cow::Owned(STANDARD.encode(bytes)),
        }
    }

    /// The text, where the value is one of the four types that are text.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        match *self {
            Self::String(text) | Self::Uri(text) | Self::UriRef(text) | Self::Timestamp(text) => Some(text),
            Self::Boolean(_) | Self::Integer(_) | Self::Binary(_) => None,
        }
    }
}

impl<'a> From<&'a str> for AttributeValue<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(text)
    }
}

impl From<i32> for AttributeValue<'_> {
    fn from(number: i32) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for AttributeValue<'_> {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

/// The core attributes that a frame stores, in the order of its table. `specversion` is not among them: it is always
/// `1.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core {
    Id,
    Source,
    Type,
    Subject,
    Time,
    DataContentType,
    DataSchema,
}

impl Core {
    pub(crate) const COUNT: usize = 7;

    pub(crate) const ALL: [Self; Self::COUNT] =
        [Self::Id, Self::Source, Self::Type, Self::Subject, Self::Time, Self::DataContentType, Self::DataSchema];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Source => "source",
            Self::Type => "type",
            Self::Subject => "subject",
            Self::Time => "time",
            Self::DataContentType => "datacontenttype",
            Self::DataSchema => "dataschema",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "source" => Self::Source,
            "type" => Self::Type,
            "subject" => Self::Subject,
            "time" => Self::Time,
            "datacontenttype" => Self::DataContentType,
            "dataschema" => Self::DataSchema,
            _ => return None,
        })
    }

    pub(crate) const fn is_required(self) -> bool {
        matches!(self, Self::Id | Self::Source | Self::Type)
    }

    /// The text as a value of the attribute's own type.
    pub(crate) fn typed(self, text: &str) -> AttributeValue<'_> {
        match self {
            Self::Id | Self::Type | Self::Subject | Self::DataContentType => AttributeValue::String(text),
            Self::Source => AttributeValue::UriRef(text),
            Self::Time => AttributeValue::Timestamp(text),
            Self::DataSchema => AttributeValue::Uri(text),
        }
    }
}
