use std::fmt;

use crate::invalid::{InvalidEvent, Rule};
use crate::json::{JsonError, JsonFault};

/// Why an HTTP message is not read as an event or a batch. It is always the sender's fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    batch_index: Option<usize>,
    reason: DecodeReason,
}

/// What is wrong, without the place in a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeReason {
    /// Neither a header `ce-...` nor a CloudEvents `Content-Type`.
    #[error("not a CloudEvent: neither ce- headers nor a CloudEvents Content-Type")]
    NotAnEvent,
    /// More than one `Content-Type` in structured or batched mode.
    #[error("more than one Content-Type")]
    RepeatedContentType,
    /// A structured or batched format that is not read here.
    #[error("event format `{media_type}` is not supported, use application/cloudevents+json")]
    UnsupportedFormat {
        /// The `Content-Type`, escaped and cut short.
        media_type: String,
    },
    /// JSON in a charset other than UTF-8.
    #[error("charset of `{media_type}` is not supported, events in JSON are in UTF-8")]
    UnsupportedCharset {
        /// The `Content-Type`, escaped and cut short.
        media_type: String,
    },
    /// The event is larger than [`DecodeOptions::max_event_bytes`](super::DecodeOptions::max_event_bytes).
    #[error("the event is larger than {limit_bytes} B")]
    EventTooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The body of a batch is larger than [`DecodeOptions::max_batch_bytes`](super::DecodeOptions::max_batch_bytes).
    #[error("the batch is larger than {limit_bytes} B")]
    BatchTooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// More events than [`DecodeOptions::max_batch_events`](super::DecodeOptions::max_batch_events).
    #[error("the batch has more than {limit} events")]
    TooManyEvents {
        /// The limit.
        limit: usize,
    },
    /// The body is not JSON of the right shape.
    #[error("{fault} (at byte {at})")]
    Json {
        /// What is wrong.
        fault: JsonFault,
        /// Offset in the body, in bytes.
        at: usize,
    },
    /// The event breaks a rule.
    #[error(transparent)]
    Invalid(#[from] InvalidEvent),
}

impl DecodeError {
    /// The place of the bad event in its batch, from 0. `None` outside a batch, and where the batch itself is wrong.
    #[must_use]
    pub fn batch_index(&self) -> Option<usize> {
        self.batch_index
    }

    /// What is wrong.
    #[must_use]
    pub fn reason(&self) -> &DecodeReason {
        &self.reason
    }

    /// The attribute that breaks a rule, or `data` or `data_base64`.
    #[must_use]
    pub fn attribute(&self) -> Option<&str> {
        match &self.reason {
            DecodeReason::Invalid(invalid) => Some(invalid.attribute()),
            _ => None,
        }
    }

    /// The rule that the attribute breaks.
    #[must_use]
    pub fn rule(&self) -> Option<Rule> {
        match &self.reason {
            DecodeReason::Invalid(invalid) => Some(invalid.rule()),
            _ => None,
        }
    }

    /// What is wrong as a stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match &self.reason {
            DecodeReason::NotAnEvent => "not_a_cloudevent",
            DecodeReason::RepeatedContentType => "repeated_content_type",
            DecodeReason::UnsupportedFormat { .. } => "unsupported_format",
            DecodeReason::UnsupportedCharset { .. } => "unsupported_envelope_charset",
            DecodeReason::EventTooLarge { .. } => "event_too_large",
            DecodeReason::BatchTooLarge { .. } => "batch_too_large",
            DecodeReason::TooManyEvents { .. } => "too_many_events",
            DecodeReason::Json { fault, .. } => fault.code(),
            DecodeReason::Invalid(invalid) => invalid.code(),
        }
    }

    /// The status that tells the sender: 400, 413 or 415.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        match &self.reason {
            DecodeReason::NotAnEvent | DecodeReason::RepeatedContentType | DecodeReason::Json { .. } => 400,
            DecodeReason::UnsupportedFormat { .. } | DecodeReason::UnsupportedCharset { .. } => 415,
            DecodeReason::EventTooLarge { .. }
            | DecodeReason::BatchTooLarge { .. }
            | DecodeReason::TooManyEvents { .. } => 413,
            DecodeReason::Invalid(invalid) if invalid.rule() == Rule::TooLarge => 413,
            DecodeReason::Invalid(_) => 400,
        }
    }

    pub(super) fn from_json(batch_index: Option<usize>, error: JsonError, limits: super::DecodeOptions) -> Self {
        let reason = match error {
            JsonError::Scan(scan) => DecodeReason::Json { fault: scan.fault, at: scan.at },
            JsonError::Invalid(invalid) => DecodeReason::Invalid(invalid),
            JsonError::EventTooLarge => DecodeReason::EventTooLarge { limit_bytes: limits.max_event_bytes },
            JsonError::TooManyEvents => DecodeReason::TooManyEvents { limit: limits.max_batch_events },
        };
        Self { batch_index, reason }
    }
}

impl From<DecodeReason> for DecodeError {
    fn from(reason: DecodeReason) -> Self {
        Self { batch_index: None, reason }
    }
}

impl From<InvalidEvent> for DecodeError {
    fn from(invalid: InvalidEvent) -> Self {
        Self { batch_index: None, reason: DecodeReason::Invalid(invalid) }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.batch_index {
            Some(index) => write!(f, "event {index} of the batch: {}", self.reason),
            None => self.reason.fmt(f),
        }
    }
}

impl std::error::Error for DecodeError {}
