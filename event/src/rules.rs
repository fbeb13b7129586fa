//! The rules of CloudEvents 1.0 for names and values, each a function over text. Nothing is normalised: what passes is
//! kept as it came.

pub(crate) mod media_type;
mod name;
mod text;
mod timestamp;
mod uri;

pub(crate) use media_type::MediaType;
pub(crate) use name::{check_extension_name, check_name, is_name_byte};
pub(crate) use text::check_text;
pub(crate) use timestamp::is_timestamp;
pub(crate) use uri::{is_absolute_uri, is_uri_reference};

use crate::attribute::{AttributeValue, Core};
use crate::invalid::Rule;

/// Checks the value of a core attribute against its type and constraint.
pub(crate) fn check_core(core: Core, text: &str) -> Result<(), Rule> {
    if text.is_empty() {
        return Err(Rule::Empty);
    }
    match core {
        Core::Id | Core::Type | Core::Subject => check_text(text),
        Core::Source | Core::Time | Core::DataSchema => check_value(&core.typed(text)),
        Core::DataContentType => match MediaType::parse(text) {
            Some(_) => check_text(text),
            None => Err(Rule::NotMediaType),
        },
    }
}

/// Checks a value against the rules of its type.
pub(crate) fn check_value(value: &AttributeValue<'_>) -> Result<(), Rule> {
    match *value {
        AttributeValue::Boolean(_) | AttributeValue::Integer(_) | AttributeValue::Binary(_) => Ok(()),
        AttributeValue::String(text) => check_text(text),
        AttributeValue::Uri(text) => is_absolute_uri(text).then_some(()).ok_or(Rule::NotAbsoluteUri),
        AttributeValue::UriRef(text) => is_uri_reference(text).then_some(()).ok_or(Rule::NotUriReference),
        AttributeValue::Timestamp(text) => is_timestamp(text).then_some(()).ok_or(Rule::NotTimestamp),
    }
}
