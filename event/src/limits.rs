//! Every bound of this crate in one place, with the reason for its size, and the bounds that the roles which read and
//! write events share.

/// Longest name of a context attribute, in bytes.
///
/// CloudEvents advises 20 characters and forbids nothing; documented extensions are longer (25 characters), so the cap
/// is a resource limit only. Beyond it: [`Rule::NameTooLong`](crate::Rule::NameTooLong).
pub const MAX_ATTRIBUTE_NAME: usize = 64;

/// Most extension attributes an event may carry. Beyond it: [`Rule::TooManyExtensions`](crate::Rule::TooManyExtensions).
pub const MAX_EXTENSIONS: usize = 1024;

/// Largest event accepted unless configured otherwise, in bytes: attributes and data together, in the form they came.
pub const DEFAULT_MAX_EVENT_BYTES: usize = 1024 * 1024;

/// Smallest value that the event size limit may be configured to, in bytes.
///
/// An intermediary must forward events of 64 KiB; base64 and JSON escapes may add half as much again.
pub const MIN_MAX_EVENT_BYTES: usize = 96 * 1024;

/// Largest frame that can be built or read at all, in bytes, whatever is configured. Lengths in the frame are `u32`.
pub const MAX_FRAME_BYTES: usize = 256 * 1024 * 1024;

/// Most events in one batch unless configured otherwise.
pub const DEFAULT_MAX_BATCH_EVENTS: usize = 1000;

/// Largest body of a batched request unless configured otherwise, in bytes.
pub const DEFAULT_MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Most headers of one request or response, those that are no attributes included. It is hyper's own limit for
/// HTTP/1.1. An event that needs more is delivered in structured mode.
pub const MAX_HEADER_COUNT: usize = 100;

/// Largest header section that is read, in bytes, counted as HTTP/2 does (name, value and 32 bytes a header).
///
/// All 64 KiB of an event that must be forwarded may sit in attributes, and percent-encoding may triple them.
pub const MAX_HEADER_BYTES: usize = 256 * 1024;

/// Largest header section that is written to a subscriber, in bytes, counted as above. Many servers stop at 8 KiB, so
/// an event that needs more is delivered in structured mode.
pub const MAX_DELIVERY_HEADER_BYTES: usize = 8 * 1024;

/// Deepest nesting of arrays and objects inside the `data` of an event in JSON format.
///
/// Text is scanned without recursion, one bit a level. Deeper text in a structured event is refused with 400
/// (`json_too_deep`); deeper text that came as an HTTP binary body is not looked at on the way in, and leaves in
/// `data_base64` where JSON is asked for.
pub const MAX_DATA_NESTING: usize = 1024;

/// Longest excerpt of foreign text (an attribute name, a media type) that an error repeats, in characters.
pub const MAX_ERROR_EXCERPT: usize = 64;
