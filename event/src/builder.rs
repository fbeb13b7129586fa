use std::borrow::Cow;

use crate::attribute::{AttributeValue, Core};
use crate::frame::{DataKind, Event, Extension, Parts};
use crate::invalid::{InvalidEvent, Rule};

/// Makes an [`Event`] from values. Nothing is copied before [`EventBuilder::build`], and nothing checked.
///
/// A core attribute that is set twice has the later value; an extension that is set twice is an error.
///
/// ```
/// use pelton_event::{AttributeValue, DataKind, Event};
///
/// let event = Event::builder()
///     .id("1")
///     .source("/orders")
///     .ty("com.example.order.placed")
///     .datacontenttype("application/json")
///     .extension("attempt", AttributeValue::Integer(2))
///     .data(DataKind::Json, br#"{"total": 1.10}"#)
///     .build()?;
/// assert_eq!(event.data(), br#"{"total": 1.10}"#);
/// # Ok::<(), pelton_event::InvalidEvent>(())
/// ```
#[derive(Default)]
#[must_use]
pub struct EventBuilder<'a> {
    parts: Parts<'a>,
    specversion: Option<&'a str>,
    mistyped: Option<&'a str>,
}

impl<'a> EventBuilder<'a> {
    /// A builder without any attribute.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `id`, required.
    pub fn id(self, id: &'a str) -> Self {
        self.core(Core::Id, id)
    }

    /// Sets `source`, required: a URI-reference.
    pub fn source(self, source: &'a str) -> Self {
        self.core(Core::Source, source)
    }

    /// Sets `type`, required.
    pub fn ty(self, ty: &'a str) -> Self {
        self.core(Core::Type, ty)
    }

    /// Sets `subject`.
    pub fn subject(self, subject: &'a str) -> Self {
        self.core(Core::Subject, subject)
    }

    /// Sets `time`: an RFC 3339 date-time.
    pub fn time(self, time: &'a str) -> Self {
        self.core(Core::Time, time)
    }

    /// Sets `datacontenttype`: a media type.
    pub fn datacontenttype(self, datacontenttype: &'a str) -> Self {
        self.core(Core::DataContentType, datacontenttype)
    }

    /// Sets `dataschema`: an absolute URI.
    pub fn dataschema(self, dataschema: &'a str) -> Self {
        self.core(Core::DataSchema, dataschema)
    }

    /// Adds an extension attribute.
    pub fn extension(mut self, name: &'a str, value: AttributeValue<'a>) -> Self {
        self.parts.extensions.push(Extension::from((name, value)));
        self
    }

    /// Sets any context attribute by its name: a core attribute, `specversion` included, or an extension. For formats
    /// that carry both in one map. The value of a core attribute may be of its own type or its canonical string.
    pub fn attribute(mut self, name: &'a str, value: AttributeValue<'a>) -> Self {
        let core = Core::from_name(name);
        if core.is_none() && name != "specversion" {
            return self.extension(name, value);
        }
        match (core, value) {
            (None, AttributeValue::String(text)) => self.specversion = Some(text),
            (Some(core), AttributeValue::String(text)) => return self.core(core, text),
            (Some(core), value) if value.as_str().is_some_and(|text| core.typed(text) == value) => {
                return self.core(core, value.as_str().unwrap_or_default());
            }
            // A relative reference is no URI, but a URI is a URI-reference.
            (Some(Core::Source), AttributeValue::Uri(text)) => return self.core(Core::Source, text),
            _ => self.mistyped = Some(name),
        }
        self
    }

    /// Sets the data. [`DataKind::Json`] without a `datacontenttype` implies `application/json`.
    pub fn data(mut self, kind: DataKind, data: &'a [u8]) -> Self {
        self.parts.kind = kind;
        self.parts.data = data;
        self
    }

    /// Checks every rule, and writes the frame.
    ///
    /// # Errors
    ///
    /// The first rule that is broken, and the attribute that breaks it.
    pub fn build(mut self) -> Result<Event, InvalidEvent> {
        if self.specversion.is_some_and(|version| version != "1.0") {
            return Err(InvalidEvent::new("specversion", Rule::UnsupportedSpecVersion));
        }
        if let Some(name) = self.mistyped {
            return Err(InvalidEvent::new(name, Rule::WrongType));
        }
        self.parts.check_data()?;
        if self.parts.kind == DataKind::Json && self.parts.core[Core::DataContentType as usize].is_none() {
            self.parts.imply_json();
        }
        self.parts.seal()
    }

    fn core(mut self, core: Core, text: &'a str) -> Self {
        self.parts.core[core as usize] = Some(Cow::Borrowed(text));
        self
    }
}
