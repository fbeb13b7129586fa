use std::fmt;

use crate::limits::MAX_ERROR_EXCERPT;

/// Why an event breaks a rule of CloudEvents 1.0 or of a format: which attribute, and which rule.
///
/// Only the first broken rule is named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidEvent {
    attribute: Box<str>,
    rule: Rule,
}

impl InvalidEvent {
    pub(crate) fn new(attribute: &str, rule: Rule) -> Self {
        Self { attribute: excerpt(attribute).into(), rule }
    }

    /// The name of the attribute as it was given, escaped and cut to [`MAX_ERROR_EXCERPT`] characters; or `data` or
    /// `data_base64`, where the rule is about the data.
    #[must_use]
    pub fn attribute(&self) -> &str {
        &self.attribute
    }

    /// The rule that is broken.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// The rule as a stable word for programs, such as `not_a_timestamp`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.rule.code()
    }
}

impl fmt::Display for InvalidEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.attribute {
            "data" | "data_base64" => write!(f, "`{}`: {}", self.attribute, self.rule),
            name => write!(f, "attribute `{name}`: {}", self.rule),
        }
    }
}

/// Foreign text made fit for an error or a log line: control characters escaped, cut short.
pub(crate) fn excerpt(text: &str) -> String {
    let mut out: String = text.chars().take(MAX_ERROR_EXCERPT).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_ERROR_EXCERPT).is_some() {
        out.push_str("...");
    }
    out
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident, $code:literal, $text:literal;)*) => {
        /// A rule that an event can break. `Display` says it in words, [`Rule::code`] in one stable word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// Every rule, for documentation and tests.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The rule as a stable word for programs.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }

        impl fmt::Display for Rule {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $text,)* })
            }
        }
    };
}

rules! {
    /// A required attribute is not there.
    Missing, "missing", "required and missing";
    /// A core attribute is there and empty.
    Empty, "empty", "must not be empty";
    /// `specversion` is not `1.0`.
    UnsupportedSpecVersion, "unsupported_specversion", "only specversion 1.0 is accepted";
    /// The name has no character.
    NameEmpty, "name_empty", "the name is empty";
    /// The name is longer than [`MAX_ATTRIBUTE_NAME`](crate::limits::MAX_ATTRIBUTE_NAME).
    NameTooLong, "name_too_long", "the name is longer than 64 characters";
    /// The name has a character outside `a`-`z` and `0`-`9`.
    NameCharacter, "name_character", "the name may hold only the characters a-z and 0-9";
    /// The name is `data`.
    NameReserved, "name_reserved", "the name is reserved";
    /// The name of a core attribute was given to an extension.
    CoreAsExtension, "core_as_extension", "a core attribute, not an extension";
    /// The attribute, or the JSON member, is there twice.
    Duplicate, "duplicate", "given more than once";
    /// More than [`MAX_EXTENSIONS`](crate::limits::MAX_EXTENSIONS).
    TooManyExtensions, "too_many_extensions", "more than 1024 extension attributes";
    /// U+0000 to U+001F or U+007F to U+009F in an attribute.
    ControlCharacter, "control_character", "control characters are not allowed";
    /// U+FDD0 to U+FDEF, or one of the last two code points of a plane, in an attribute.
    Noncharacter, "noncharacter", "Unicode noncharacters are not allowed";
    /// Bytes or percent escapes that are not UTF-8.
    NotUtf8, "not_utf8", "not valid UTF-8";
    /// A `\ud800` to `\udfff` escape without its partner.
    LoneSurrogate, "lone_surrogate", "a surrogate escape without its partner";
    /// A header value opens a double quote, or an escape inside one, and does not end it.
    UnclosedQuote, "unclosed_quote", "a quoted string is not closed";
    /// Not a URI-reference of RFC 3986, section 4.1.
    NotUriReference, "not_a_uri_reference", "not a URI-reference";
    /// A header value that is a URI or URI-reference as it stands and none after percent-decoding.
    NotUriDecoded, "not_a_uri_decoded", "no longer a URI once its percent escapes are decoded, as the CloudEvents HTTP \
        binding demands; send the percent sign as %25, or set header-encoding to raw";
    /// Not an absolute URI of RFC 3986, section 4.3.
    NotAbsoluteUri, "not_an_absolute_uri", "not an absolute URI";
    /// Not an RFC 3339 date-time.
    NotTimestamp, "not_a_timestamp", "not an RFC 3339 timestamp";
    /// Not a media type of RFC 2046.
    NotMediaType, "not_a_media_type", "not a media type";
    /// A header `ce-datacontenttype`: the attribute travels as `Content-Type`.
    ContentTypeAsAttribute, "datacontenttype_as_attribute", "in HTTP it travels as Content-Type, never as a ce- header";
    /// A value of a type that the attribute does not have.
    WrongType, "wrong_type", "a value of the wrong type";
    /// An attribute that is an object or an array.
    NestedValue, "nested_value", "an attribute may not be an object or an array";
    /// A number with a fraction or an exponent, or outside 32 bits.
    NotInteger, "not_an_integer", "not a whole number of 32 bits";
    /// Not base64 of RFC 4648, section 4.
    NotBase64, "not_base64", "not base64";
    /// Both `data` and `data_base64` are there.
    BothDataMembers, "both_data_members", "both data and data_base64 are given";
    /// `data` is not a string although `datacontenttype` does not mean JSON.
    DataNotString, "data_not_a_string", "must be a string, as datacontenttype does not mean JSON";
    /// `datacontenttype` names a charset into which text cannot be put here.
    UnsupportedCharset, "unsupported_charset", "the charset of datacontenttype cannot carry this text; use data_base64";
    /// Data that was said to be JSON and is not.
    DataNotJson, "data_not_json", "not well-formed JSON";
    /// Data that was said to be JSON beside a `datacontenttype` that does not mean JSON.
    DataKindMismatch, "data_kind_mismatch", "JSON data, but datacontenttype does not mean JSON";
    /// Data that was said to be text and is not UTF-8.
    DataNotText, "data_not_text", "not text in UTF-8";
    /// Data that was said to be a protobuf Any and is not.
    DataNotAny, "data_not_any", "not a google.protobuf.Any";
    /// Data beside [`DataKind::None`](crate::DataKind::None).
    DataUnexpected, "data_unexpected", "data is given although there is said to be none";
    /// The event is larger than [`MAX_FRAME_BYTES`](crate::limits::MAX_FRAME_BYTES).
    TooLarge, "too_large", "the event is too large";
}
