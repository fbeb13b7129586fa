//! The frame: one event in one [`Bytes`]. Its layout is in [`layout`].

mod assemble;
mod check;
mod layout;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

pub(crate) use assemble::{Extension, Parts, Value};
pub use check::FrameError;

use crate::attribute::{AttributeValue, Core};
use crate::builder::EventBuilder;
use crate::invalid::InvalidEvent;
use crate::rules;
use layout::Layout;

/// How the `data` of an event came, which decides how it may leave. The bytes themselves are kept as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum DataKind {
    /// There is no data.
    #[default]
    None = 0,
    /// Bytes of which nothing is known but `datacontenttype`: an HTTP binary body, `data_base64`, `binary_data`.
    Bytes = 1,
    /// The text of a JSON value: the member `data` of an event in JSON format.
    Json = 2,
    /// Text in UTF-8: a string in the member `data` beside a type that is not JSON, or `text_data`.
    Text = 3,
    /// A serialized `google.protobuf.Any`: `proto_data`. See [`ProtoAny`](crate::ProtoAny).
    ProtoAny = 4,
}

/// A CloudEvent 1.0 in one buffer. Cheap to clone and to compare; equal events have equal bytes.
///
/// An `Event` has been checked in one of two ways: one that was built or decoded keeps every rule of CloudEvents; one
/// from [`Event::from_frame`] has a sound layout, required attributes and legal names, and is trusted for the rest.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Event {
    frame: Bytes,
}

impl Event {
    /// A builder without any attribute.
    pub fn builder<'a>() -> EventBuilder<'a> {
        EventBuilder::new()
    }

    /// Reads a frame that [`Event::as_frame`] gave. Nothing is copied.
    ///
    /// Every length and offset, the names and the UTF-8 of every text are checked, in one pass over the attributes;
    /// `data` is not looked at. So bytes from a damaged disk or a hostile peer cannot make an accessor fail.
    ///
    /// # Errors
    ///
    /// [`FrameError`] says what is unsound.
    pub fn from_frame(frame: Bytes) -> Result<Self, FrameError> {
        check::check(&frame)?;
        Ok(Self { frame })
    }

    /// The same event in memory of its own: it keeps nothing alive that it was a part of, such as the batch of the log
    /// that it was read with.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { frame: Bytes::copy_from_slice(&self.frame) }
    }

    /// The whole event as bytes, for the log and the wire between nodes.
    #[must_use]
    pub fn as_frame(&self) -> &Bytes {
        &self.frame
    }

    /// Length of the frame in bytes: attributes, data and the table of offsets.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        self.frame.len()
    }

    /// The attribute `id`, never empty.
    #[must_use]
    pub fn id(&self) -> &str {
        self.core(Core::Id).unwrap_or_default()
    }

    /// The attribute `source`, a URI-reference, never empty.
    #[must_use]
    pub fn source(&self) -> &str {
        self.core(Core::Source).unwrap_or_default()
    }

    /// The attribute `type`, never empty.
    #[must_use]
    pub fn ty(&self) -> &str {
        self.core(Core::Type).unwrap_or_default()
    }

    /// The attribute `subject`.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.core(Core::Subject)
    }

    /// The attribute `time`, as the RFC 3339 text that arrived.
    #[must_use]
    pub fn time(&self) -> Option<&str> {
        self.core(Core::Time)
    }

    /// The attribute `datacontenttype`, the implied `application/json` included.
    #[must_use]
    pub fn datacontenttype(&self) -> Option<&str> {
        self.core(Core::DataContentType)
    }

    /// Whether `datacontenttype` was not sent but follows from the JSON format.
    #[must_use]
    pub fn datacontenttype_is_implied(&self) -> bool {
        self.frame[layout::FLAGS] & layout::FLAG_IMPLIED_TYPE != 0
    }

    /// The attribute `dataschema`, an absolute URI.
    #[must_use]
    pub fn dataschema(&self) -> Option<&str> {
        self.core(Core::DataSchema)
    }

    /// The extension attributes in the order of their names.
    pub fn extensions(&self) -> impl ExactSizeIterator<Item = (&str, AttributeValue<'_>)> {
        let layout = Layout::of(&self.frame);
        (0..layout.extension_count()).map(move |index| layout.extension(index))
    }

    /// Every context attribute that is there: `specversion`, the others of the core, then the extensions in the order
    /// of their names.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, AttributeValue<'_>)> {
        let core = Core::ALL.into_iter().filter_map(|core| Some((core.name(), core.typed(self.core(core)?))));
        std::iter::once(("specversion", AttributeValue::String("1.0"))).chain(core).chain(self.extensions())
    }

    /// Any context attribute by its name, `specversion` included.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<AttributeValue<'_>> {
        match Core::from_name(name) {
            Some(core) => self.core(core).map(|text| core.typed(text)),
            None if name == "specversion" => Some(AttributeValue::String("1.0")),
            None => self.extension(name),
        }
    }

    /// An extension attribute by its name.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<AttributeValue<'_>> {
        let layout = Layout::of(&self.frame);
        // A binary search; names are in order.
        let (mut low, mut high) = (0, layout.extension_count());
        while low < high {
            let middle = low + (high - low) / 2;
            let (found, value) = layout.extension(middle);
            match found.cmp(name) {
                std::cmp::Ordering::Equal => return Some(value),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The data as it came; empty where there is none.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.frame[Layout::of(&self.frame).data_start()..]
    }

    /// The data, sharing the memory of the frame.
    #[must_use]
    pub fn data_bytes(&self) -> Bytes {
        self.frame.slice(Layout::of(&self.frame).data_start()..)
    }

    /// How the data came.
    #[must_use]
    pub fn data_kind(&self) -> DataKind {
        layout::data_kind(self.frame[layout::DATA_KIND]).unwrap_or(DataKind::Bytes)
    }

    /// A copy with the extension attributes given, in place of those of the same name.
    ///
    /// # Errors
    ///
    /// A name that is not legal or that of a core attribute, a value that breaks the rules of its type, a name given
    /// twice, too many extensions, or a frame that would be too large.
    pub fn with_attributes(&self, attributes: &[(&str, AttributeValue<'_>)]) -> Result<Self, InvalidEvent> {
        let mut extensions: Vec<Extension<'_>> = Vec::with_capacity(self.extensions().len() + attributes.len());
        extensions.extend(
            self.extensions().filter(|(name, _)| attributes.iter().all(|(new, _)| new != name)).map(Extension::from),
        );
        for &(name, value) in attributes {
            rules::check_extension_name(name)
                .and_then(|()| rules::check_value(&value))
                .map_err(|rule| InvalidEvent::new(name, rule))?;
            extensions.push(Extension::from((name, value)));
        }
        self.with_extensions(extensions)
    }

    /// A copy without the optional attribute of that name; the same event when it has none, or when the attribute is
    /// required. Without `datacontenttype`, data that came as JSON keeps the type that JSON implies.
    #[must_use]
    pub fn without_attribute(&self, name: &str) -> Self {
        let core = Core::from_name(name);
        if core.is_some_and(Core::is_required) || name == "specversion" || self.attribute(name).is_none() {
            return self.clone();
        }
        if let Some(core) = core {
            let mut parts = self.parts(self.extensions().map(Extension::from).collect());
            parts.core[core as usize] = None;
            if core == Core::DataContentType {
                parts.implied_type = false;
                if parts.kind == DataKind::Json {
                    parts.imply_json();
                }
            }
            return parts.assemble().unwrap_or_else(|_| self.clone());
        }
        let rest = self.extensions().filter(|(other, _)| *other != name).map(Extension::from).collect();
        self.with_extensions(rest).unwrap_or_else(|_| self.clone())
    }

    fn with_extensions<'a>(&'a self, extensions: Vec<Extension<'a>>) -> Result<Self, InvalidEvent> {
        self.parts(extensions).assemble()
    }

    fn parts<'a>(&'a self, extensions: Vec<Extension<'a>>) -> Parts<'a> {
        Parts {
            core: Core::ALL.map(|core| self.core(core).map(Cow::Borrowed)),
            extensions,
            kind: self.data_kind(),
            data: self.data(),
            implied_type: self.datacontenttype_is_implied(),
        }
    }

    pub(crate) fn core(&self, core: Core) -> Option<&str> {
        Layout::of(&self.frame).core(core)
    }

    /// The value of a core attribute or extension as a slice of the frame, to be shared with it. The text must have
    /// come from this event.
    pub(crate) fn share(&self, text: &str) -> Bytes {
        self.frame.slice_ref(text.as_bytes())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Event");
        for core in Core::ALL {
            if let Some(text) = self.core(core) {
                out.field(core.name(), &text);
            }
        }
        for (name, value) in self.extensions() {
            out.field(name, &value);
        }
        out.field("data_kind", &self.data_kind()).field("data_len", &self.data().len()).finish_non_exhaustive()
    }
}
