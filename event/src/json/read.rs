use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::{JsonError, JsonFault};
use super::scan::Scanner;
use super::string::RawString;
use crate::attribute::{AttributeValue, Core};
use crate::frame::{DataKind, Event, Extension, Parts, Value};
use crate::invalid::{InvalidEvent, Rule};
use crate::limits::{MAX_DATA_NESTING, MAX_EXTENSIONS};
use crate::rules::media_type::{Charset, MediaType};
use crate::rules::{check_core, check_name};

/// Reads one event. Nothing but white space may follow it.
pub(crate) fn read_event(text: &str) -> Result<Event, JsonError> {
    let mut scanner = Scanner::new(text);
    scanner.skip_space();
    let members = Members::read(&mut scanner)?;
    scanner.at_end()?;
    members.into_event()
}

/// Reads an array of events. Each is measured before it is read. The error names the event, where it is about one.
pub(crate) fn read_batch(
    text: &str,
    max_events: usize,
    max_event_bytes: usize,
) -> Result<Vec<Event>, (Option<usize>, JsonError)> {
    let mut scanner = Scanner::new(text);
    let mut events = Vec::new();
    let whole = |error| (None, JsonError::from(error));
    scanner.skip_space();
    if !scanner.take(b'[') {
        return Err(whole(scanner.fault(JsonFault::NotAnArray)));
    }
    scanner.skip_space();
    if !scanner.take(b']') {
        loop {
            let index = events.len();
            if index == max_events {
                return Err((None, JsonError::TooManyEvents));
            }
            scanner.skip_space();
            let start = scanner.position();
            // The event is one level above its data.
            let event = scanner.skip_value(MAX_DATA_NESTING + 1).map_err(|error| (Some(index), error.into()))?;
            if event.len() > max_event_bytes {
                return Err((Some(index), JsonError::EventTooLarge));
            }
            events.push(read_event(event).map_err(|error| (Some(index), offset_by(error, start)))?);
            scanner.skip_space();
            if !scanner.take(b',') {
                break;
            }
        }
        scanner.expect(b']').map_err(whole)?;
    }
    scanner.at_end().map_err(whole)?;
    Ok(events)
}

/// The same error, counted from the start of the batch.
fn offset_by(error: JsonError, start: usize) -> JsonError {
    match error {
        JsonError::Scan(mut scan) => {
            scan.at += start;
            JsonError::Scan(scan)
        }
        other => other,
    }
}

/// The members of one event, before it is known what they mean together: `data` may stand before `datacontenttype`.
#[derive(Default)]
struct Members<'a> {
    parts: Parts<'a>,
    /// One bit for each member that is no extension, in the order of [`Core`], then the three below.
    seen: u16,
    has_specversion: bool,
    data: Option<&'a str>,
    data_base64: Option<Cow<'a, str>>,
    /// Extensions that are `null`, hence absent; their names may not come again.
    absent: Vec<Cow<'a, str>>,
}

const SEEN_SPECVERSION: usize = Core::COUNT;
const SEEN_DATA: usize = Core::COUNT + 1;
const SEEN_DATA_BASE64: usize = Core::COUNT + 2;

impl<'a> Members<'a> {
    fn read(scanner: &mut Scanner<'a>) -> Result<Self, JsonError> {
        let mut members = Self::default();
        if !scanner.take(b'{') {
            // Say that it is no object only of what is JSON at all.
            let not_an_object = scanner.fault(JsonFault::NotAnObject);
            scanner.skip_value(MAX_DATA_NESTING)?;
            return Err(not_an_object.into());
        }
        scanner.skip_space();
        if scanner.take(b'}') {
            return Ok(members);
        }
        loop {
            scanner.skip_space();
            let raw_name = scanner.string()?;
            let name = raw_name.unescape().map_err(|rule| InvalidEvent::new(raw_name.inner, rule))?;
            scanner.skip_space();
            scanner.expect(b':')?;
            scanner.skip_space();
            members.member(name, scanner)?;
            scanner.skip_space();
            if !scanner.take(b',') {
                break;
            }
        }
        scanner.expect(b'}')?;
        Ok(members)
    }

    fn member(&mut self, name: Cow<'a, str>, scanner: &mut Scanner<'a>) -> Result<(), JsonError> {
        match &*name {
            "data" => {
                self.see(SEEN_DATA, "data")?;
                self.data = Some(scanner.skip_value(MAX_DATA_NESTING)?);
            }
            "data_base64" => {
                self.see(SEEN_DATA_BASE64, "data_base64")?;
                self.data_base64 = string_or_null(scanner, "data_base64")?;
            }
            "specversion" => {
                self.see(SEEN_SPECVERSION, "specversion")?;
                match string_or_null(scanner, "specversion")?.as_deref() {
                    Some("1.0") => self.has_specversion = true,
                    Some("") => return Err(InvalidEvent::new("specversion", Rule::Empty).into()),
                    Some(_) => return Err(InvalidEvent::new("specversion", Rule::UnsupportedSpecVersion).into()),
                    None => {}
                }
            }
            other => match Core::from_name(other) {
                Some(core) => {
                    self.see(core as usize, core.name())?;
                    self.parts.core[core as usize] = string_or_null(scanner, core.name())?;
                }
                None => self.extension(name, scanner)?,
            },
        }
        Ok(())
    }

    fn see(&mut self, member: usize, name: &str) -> Result<(), InvalidEvent> {
        if self.seen & (1 << member) != 0 {
            return Err(InvalidEvent::new(name, Rule::Duplicate));
        }
        self.seen |= 1 << member;
        Ok(())
    }

    fn extension(&mut self, name: Cow<'a, str>, scanner: &mut Scanner<'a>) -> Result<(), JsonError> {
        let invalid = |name: &str, rule| Err(InvalidEvent::new(name, rule).into());
        if let Err(rule) = check_name(&name) {
            return invalid(&name, rule);
        }
        if self.parts.extensions.len() + self.absent.len() >= MAX_EXTENSIONS {
            return invalid(&name, Rule::TooManyExtensions);
        }
        let value = match scanner.peek() {
            Some(b'"') => match scanner.string()?.unescape() {
                Ok(text) => Value::from(text),
                Err(rule) => return invalid(&name, rule),
            },
            Some(b't') => {
                scanner.literal("true")?;
                Value::Borrowed(AttributeValue::Boolean(true))
            }
            Some(b'f') => {
                scanner.literal("false")?;
                Value::Borrowed(AttributeValue::Boolean(false))
            }
            Some(b'n') => {
                scanner.literal("null")?;
                self.absent.push(name);
                return Ok(());
            }
            Some(b'{' | b'[') => return invalid(&name, Rule::NestedValue),
            // A fraction or an exponent does not parse either.
            _ => match scanner.number()?.parse() {
                Ok(number) => Value::Borrowed(AttributeValue::Integer(number)),
                Err(_) => return invalid(&name, Rule::NotInteger),
            },
        };
        self.parts.extensions.push(Extension { name, value });
        Ok(())
    }

    fn into_event(mut self) -> Result<Event, JsonError> {
        if !self.has_specversion {
            return Err(InvalidEvent::new("specversion", Rule::Missing).into());
        }
        self.check_absent()?;
        let decoded: Cow<'_, [u8]> = match (self.data, self.data_base64.take()) {
            (Some(_), Some(_)) => return Err(InvalidEvent::new("data", Rule::BothDataMembers).into()),
            (Some(value), None) => self.data_member(value)?,
            (None, Some(text)) => {
                self.parts.kind = DataKind::Bytes;
                let bytes = STANDARD.decode(text.as_bytes());
                Cow::Owned(bytes.map_err(|_| InvalidEvent::new("data_base64", Rule::NotBase64))?)
            }
            (None, None) => Cow::Borrowed(b""),
        };
        let mut parts: Parts<'_> = self.parts;
        parts.data = &decoded;
        Ok(parts.seal()?)
    }

    /// What the member `data` means, which depends on `datacontenttype`.
    fn data_member(&mut self, value: &'a str) -> Result<Cow<'a, [u8]>, InvalidEvent> {
        let Some(content_type) = self.parts.core[Core::DataContentType as usize].as_deref() else {
            self.parts.imply_json();
            self.parts.kind = DataKind::Json;
            return Ok(Cow::Borrowed(value.as_bytes()));
        };
        check_core(Core::DataContentType, content_type)
            .map_err(|rule| InvalidEvent::new(Core::DataContentType.name(), rule))?;
        let media_type = MediaType::parse(content_type);
        if media_type.is_some_and(|media_type| media_type.is_json()) {
            self.parts.kind = DataKind::Json;
            return Ok(Cow::Borrowed(value.as_bytes()));
        }
        let invalid = |rule| InvalidEvent::new("data", rule);
        let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let inner = inner.ok_or_else(|| invalid(Rule::DataNotString))?;
        let text = RawString { inner, has_escape: inner.contains('\\') }.unescape().map_err(invalid)?;
        match media_type.map_or(Charset::Utf8, |media_type| media_type.charset()) {
            Charset::Utf8 => {}
            Charset::Ascii if text.is_ascii() => {}
            Charset::Ascii | Charset::Other => return Err(invalid(Rule::UnsupportedCharset)),
        }
        self.parts.kind = DataKind::Text;
        Ok(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    /// A member that is `null` counts as a member when it comes twice.
    fn check_absent(&mut self) -> Result<(), InvalidEvent> {
        if self.absent.is_empty() {
            return Ok(());
        }
        self.absent.sort_unstable();
        let twice = self.absent.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| &pair[0]);
        let again = || {
            self.parts
                .extensions
                .iter()
                .map(|extension| &extension.name)
                .find(|&name| self.absent.binary_search(name).is_ok())
        };
        match twice.or_else(again) {
            Some(name) => Err(InvalidEvent::new(name, Rule::Duplicate)),
            None => Ok(()),
        }
    }
}

fn string_or_null<'a>(scanner: &mut Scanner<'a>, name: &str) -> Result<Option<Cow<'a, str>>, JsonError> {
    match scanner.peek() {
        Some(b'"') => {
            let text = scanner.string()?.unescape().map_err(|rule| InvalidEvent::new(name, rule))?;
            Ok(Some(text))
        }
        Some(b'n') => {
            scanner.literal("null")?;
            Ok(None)
        }
        _ => {
            scanner.skip_value(MAX_DATA_NESTING)?;
            Err(InvalidEvent::new(name, Rule::WrongType).into())
        }
    }
}
