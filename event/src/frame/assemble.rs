use std::borrow::Cow;

use bytes::Bytes;

use super::layout::{
    EXTENSION_ENTRY, EXTENSION_TABLE, FLAG_IMPLIED_TYPE, TYPE_BINARY, TYPE_BOOLEAN, TYPE_INTEGER, TYPE_STRING,
    TYPE_TIMESTAMP, TYPE_URI, TYPE_URI_REF, VERSION,
};
use super::{DataKind, Event};
use crate::any::ProtoAny;
use crate::attribute::{AttributeValue, Core};
use crate::invalid::{InvalidEvent, Rule};
use crate::limits::{MAX_EXTENSIONS, MAX_FRAME_BYTES};
use crate::rules::{self, MediaType};

/// What a frame is made of, borrowed wherever the bytes already stand somewhere. Every way to make an event ends here.
#[derive(Default)]
pub(crate) struct Parts<'a> {
    pub(crate) core: [Option<Cow<'a, str>>; Core::COUNT],
    pub(crate) extensions: Vec<Extension<'a>>,
    pub(crate) kind: DataKind,
    pub(crate) data: &'a [u8],
    pub(crate) implied_type: bool,
}

pub(crate) struct Extension<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) value: Value<'a>,
}

/// The value of an extension; a String may have been decoded and be owned.
pub(crate) enum Value<'a> {
    Borrowed(AttributeValue<'a>),
    Owned(String),
}

impl Value<'_> {
    fn get(&self) -> AttributeValue<'_> {
        match self {
            Self::Borrowed(value) => *value,
            Self::Owned(text) => AttributeValue::String(text),
        }
    }
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Borrowed(AttributeValue::String(text)),
            Cow::Owned(text) => Self::Owned(text),
        }
    }
}

impl<'a> From<(&'a str, AttributeValue<'a>)> for Extension<'a> {
    fn from((name, value): (&'a str, AttributeValue<'a>)) -> Self {
        Self { name: Cow::Borrowed(name), value: Value::Borrowed(value) }
    }
}

impl Parts<'_> {
    /// Gives the event the type that the JSON format implies.
    pub(crate) fn imply_json(&mut self) {
        self.core[Core::DataContentType as usize] = Some(Cow::Borrowed("application/json"));
        self.implied_type = true;
    }

    /// Checks every attribute, then writes the frame. Whether `data` fits its kind is for the caller to know, or to ask
    /// with [`Parts::check_data`].
    pub(crate) fn seal(self) -> Result<Event, InvalidEvent> {
        for core in Core::ALL {
            match self.core[core as usize].as_deref() {
                Some(text) => {
                    rules::check_core(core, text).map_err(|rule| InvalidEvent::new(core.name(), rule))?;
                }
                None if core.is_required() => return Err(InvalidEvent::new(core.name(), Rule::Missing)),
                None => {}
            }
        }
        for Extension { name, value } in &self.extensions {
            rules::check_extension_name(name)
                .and_then(|()| rules::check_value(&value.get()))
                .map_err(|rule| InvalidEvent::new(name, rule))?;
        }
        self.assemble()
    }

    /// Whether the data is what its kind says.
    pub(crate) fn check_data(&self) -> Result<(), InvalidEvent> {
        let broken = match self.kind {
            DataKind::None => (!self.data.is_empty()).then_some(Rule::DataUnexpected),
            DataKind::Bytes => None,
            DataKind::Text => std::str::from_utf8(self.data).is_err().then_some(Rule::DataNotText),
            DataKind::ProtoAny => ProtoAny::parse(self.data).is_none().then_some(Rule::DataNotAny),
            DataKind::Json => {
                let content_type = self.core[Core::DataContentType as usize].as_deref().and_then(MediaType::parse);
                if content_type.is_some_and(|media_type| !media_type.is_json()) {
                    Some(Rule::DataKindMismatch)
                } else {
                    (!crate::json::is_value(self.data)).then_some(Rule::DataNotJson)
                }
            }
        };
        broken.map_or(Ok(()), |rule| Err(InvalidEvent::new("data", rule)))
    }

    /// Writes the frame. The attributes must have been checked; order, number and size are looked after here.
    pub(super) fn assemble(mut self) -> Result<Event, InvalidEvent> {
        if self.extensions.len() > MAX_EXTENSIONS {
            return Err(InvalidEvent::new(&self.extensions[MAX_EXTENSIONS].name, Rule::TooManyExtensions));
        }
        self.extensions.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = self.extensions.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(InvalidEvent::new(&pair[0].name, Rule::Duplicate));
        }
        let len = self.frame_len();
        if len > MAX_FRAME_BYTES {
            return Err(InvalidEvent::new("data", Rule::TooLarge));
        }
        let mut frame = Vec::with_capacity(len);
        self.write_tables(&mut frame, len);
        for text in self.core.iter().flatten() {
            frame.extend_from_slice(text.as_bytes());
        }
        for Extension { name, value } in &self.extensions {
            frame.extend_from_slice(name.as_bytes());
            write_value(&mut frame, &value.get());
        }
        frame.extend_from_slice(self.data);
        debug_assert_eq!(frame.len(), len, "the capacity is exact");
        Ok(Event { frame: Bytes::from(frame) })
    }

    fn frame_len(&self) -> usize {
        let core: usize = self.core.iter().flatten().map(|text| text.len()).sum();
        let extensions: usize = self
            .extensions
            .iter()
            .map(|Extension { name, value }| EXTENSION_ENTRY + name.len() + value_len(&value.get()))
            .sum();
        EXTENSION_TABLE + core + extensions + self.data.len()
    }

    fn write_tables(&self, frame: &mut Vec<u8>, len: usize) {
        frame.extend_from_slice(&(len as u32).to_le_bytes());
        let flags = if self.implied_type { FLAG_IMPLIED_TYPE } else { 0 };
        frame.extend_from_slice(&[VERSION, self.kind as u8, flags, 0]);
        frame.extend_from_slice(&(self.extensions.len() as u32).to_le_bytes());
        let mut end = EXTENSION_TABLE + EXTENSION_ENTRY * self.extensions.len();
        for text in &self.core {
            end += text.as_ref().map_or(0, |text| text.len());
            frame.extend_from_slice(&(end as u32).to_le_bytes());
        }
        for Extension { name, value } in &self.extensions {
            let value = value.get();
            end += name.len() + value_len(&value);
            frame.extend_from_slice(&(end as u32).to_le_bytes());
            frame.extend_from_slice(&[name.len() as u8, type_tag(&value), 0, 0]);
        }
    }
}

fn type_tag(value: &AttributeValue<'_>) -> u8 {
    match value {
        AttributeValue::Boolean(_) => TYPE_BOOLEAN,
        AttributeValue::Integer(_) => TYPE_INTEGER,
        AttributeValue::String(_) => TYPE_STRING,
        AttributeValue::Binary(_) => TYPE_BINARY,
        AttributeValue::Uri(_) => TYPE_URI,
        AttributeValue::UriRef(_) => TYPE_URI_REF,
        AttributeValue::Timestamp(_) => TYPE_TIMESTAMP,
    }
}

fn value_len(value: &AttributeValue<'_>) -> usize {
    match value {
        AttributeValue::Boolean(_) => 1,
        AttributeValue::Integer(_) => 4,
        AttributeValue::Binary(bytes) => bytes.len(),
        AttributeValue::String(text)
        | AttributeValue::Uri(text)
        | AttributeValue::UriRef(text)
        | AttributeValue::Timestamp(text) => text.len(),
    }
}

fn write_value(frame: &mut Vec<u8>, value: &AttributeValue<'_>) {
    match value {
        AttributeValue::Boolean(value) => frame.push(u8::from(*value)),
        AttributeValue::Integer(number) => frame.extend_from_slice(&number.to_le_bytes()),
        AttributeValue::Binary(bytes) => frame.extend_from_slice(bytes),
        AttributeValue::String(text)
        | AttributeValue::Uri(text)
        | AttributeValue::UriRef(text)
        | AttributeValue::Timestamp(text) => frame.extend_from_slice(text.as_bytes()),
    }
}
