//! Conversions from and to the event of the crate `cloudevents-sdk`, for programs that already use it. Feature
//! `cloudevents-sdk`.
//!
//! That type holds less than a frame: `time` in UTC, `dataschema` normalised, extensions as string, boolean or number,
//! JSON as a tree. So a way there and back need not give the same bytes. Nothing in Pelton goes this way.

use cloudevents::AttributesReader as _;
use cloudevents::AttributesWriter as _;
use cloudevents::event::{
    AttributeValue as SdkValue, Data, ExtensionValue, SpecVersion, TryIntoTime as _, TryIntoUrl as _,
};

use crate::attribute::AttributeValue;
use crate::frame::{DataKind, Event};
use crate::invalid::{InvalidEvent, Rule};
use crate::rules::MediaType;

/// Why an event does not fit into the type of `cloudevents-sdk`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToSdkError {
    /// `time` has a value that the calendar of the SDK does not have.
    #[error("`time` {time} is out of the range of cloudevents-sdk")]
    Time {
        /// The attribute.
        time: String,
    },
    /// `dataschema` is a URI and not a URL that the SDK reads.
    #[error("`dataschema` {dataschema} is not read by cloudevents-sdk")]
    DataSchema {
        /// The attribute.
        dataschema: String,
    },
    /// `data` is JSON that the tree of the SDK cannot hold, such as the number 1e400.
    #[error("`data` does not fit into a JSON tree")]
    Data(#[source] serde_json::Error),
}

impl TryFrom<&Event> for cloudevents::Event {
    type Error = ToSdkError;

    fn try_from(event: &Event) -> Result<Self, ToSdkError> {
        let mut sdk = Self::default();
        sdk.set_id(event.id());
        sdk.set_source(event.source());
        sdk.set_type(event.ty());
        sdk.set_subject(event.subject());
        sdk.set_datacontenttype(event.datacontenttype());
        if let Some(text) = event.time() {
            sdk.set_time(Some(text.into_time().map_err(|_| ToSdkError::Time { time: text.to_owned() })?));
        }
        if let Some(text) = event.dataschema() {
            let url = text.into_url().map_err(|_| ToSdkError::DataSchema { dataschema: text.to_owned() })?;
            sdk.set_dataschema(Some(url));
        }
        for (name, value) in event.extensions() {
            let value = match value {
                AttributeValue::Boolean(value) => ExtensionValue::Boolean(value),
                AttributeValue::Integer(number) => ExtensionValue::Integer(number.into()),
                text => ExtensionValue::String(text.to_canonical().into_owned()),
            };
            sdk.set_extension(name, value);
        }
        let data = event.data();
        match event.data_kind() {
            DataKind::None => {}
            DataKind::Json => {
                sdk.set_data_unchecked(Data::Json(serde_json::from_slice(data).map_err(ToSdkError::Data)?));
            }
            DataKind::Text => {
                sdk.set_data_unchecked(Data::String(String::from_utf8_lossy(data).into_owned()));
            }
            DataKind::Bytes | DataKind::ProtoAny => {
                sdk.set_data_unchecked(Data::Binary(data.to_vec()));
            }
        }
        Ok(sdk)
    }
}

impl TryFrom<&cloudevents::Event> for Event {
    type Error = InvalidEvent;

    fn try_from(sdk: &cloudevents::Event) -> Result<Self, InvalidEvent> {
        if sdk.specversion() != SpecVersion::V10 {
            return Err(InvalidEvent::new("specversion", Rule::UnsupportedSpecVersion));
        }
        let time = sdk.iter_attributes().find_map(|(_, value)| match value {
            SdkValue::Time(time) => Some(utc_text(&time.to_rfc3339())),
            _ => None,
        });
        let json;
        let mut builder = Self::builder().id(sdk.id()).source(sdk.source()).ty(sdk.ty());
        if let Some(subject) = sdk.subject() {
            builder = builder.subject(subject);
        }
        if let Some(time) = &time {
            builder = builder.time(time);
        }
        if let Some(datacontenttype) = sdk.datacontenttype() {
            builder = builder.datacontenttype(datacontenttype);
        }
        if let Some(dataschema) = sdk.dataschema() {
            builder = builder.dataschema(dataschema.as_str());
        }
        for (name, value) in sdk.iter_extensions() {
            builder = builder.extension(
                name,
                match value {
                    ExtensionValue::String(text) => AttributeValue::String(text),
                    ExtensionValue::Boolean(value) => AttributeValue::Boolean(*value),
                    ExtensionValue::Integer(number) => AttributeValue::Integer(
                        i32::try_from(*number).map_err(|_| InvalidEvent::new(name, Rule::NotInteger))?,
                    ),
                },
            );
        }
        match sdk.data() {
            None => {}
            Some(Data::Binary(bytes)) => builder = builder.data(DataKind::Bytes, bytes),
            Some(Data::String(text)) => builder = builder.data(DataKind::Text, text.as_bytes()),
            Some(Data::Json(value)) => {
                json = value.to_string();
                let media_type = sdk.datacontenttype().and_then(MediaType::parse);
                let is_json = media_type.is_none_or(|media_type| media_type.is_json());
                builder = builder.data(if is_json { DataKind::Json } else { DataKind::Text }, json.as_bytes());
            }
        }
        builder.build()
    }
}

/// `Z` for the offset that the SDK writes, as it knows only UTC.
fn utc_text(time: &str) -> String {
    time.strip_suffix("+00:00").map_or_else(|| time.to_owned(), |local| format!("{local}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_can_hold_goes_there_and_back() {
        for (kind, datacontenttype, data) in [
            (DataKind::Json, "application/json", &br#"{"a":[1,"x"]}"#[..]),
            (DataKind::Text, "text/plain", b"hello"),
            (DataKind::Bytes, "application/octet-stream", b"\0\xff"),
        ] {
            let event = Event::builder()
                .id("1")
                .source("/s")
                .ty("t")
                .subject("sub")
                .time("2018-04-05T17:31:00.5Z")
                .datacontenttype(datacontenttype)
                .dataschema("https://example.com/schema")
                .extension("flag", AttributeValue::Boolean(true))
                .extension("count", AttributeValue::Integer(-7))
                .extension("text", AttributeValue::String("x y"))
                .data(kind, data)
                .build()
                .unwrap();
            let sdk = cloudevents::Event::try_from(&event).unwrap();
            let back = Event::try_from(&sdk).unwrap();
            assert_eq!(back.time().unwrap(), "2018-04-05T17:31:00.500Z");
            // The SDK fixes the number of digits; all else is the same.
            assert_eq!(back.without_attribute("time"), event.without_attribute("time"), "{datacontenttype}");
        }
    }

    #[test]
    fn what_breaks_a_rule_is_refused() {
        let mut sdk = cloudevents::Event::default();
        sdk.set_source("/s");
        sdk.set_type("t");
        sdk.set_extension("big", 3_000_000_000_i64);
        let refused = Event::try_from(&sdk).unwrap_err();
        assert_eq!((refused.attribute(), refused.code()), ("big", "not_an_integer"));
        sdk.remove_extension("big");
        sdk.set_extension("Big", "x");
        assert_eq!(Event::try_from(&sdk).unwrap_err().code(), "name_character");
    }
}
