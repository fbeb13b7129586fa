//! What the API's JSON looks like. The server writes it, the commands read it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Why a request was not done (RFC 9457).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemView {
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// One sentence.
    pub detail: String,
    /// Every single mistake, when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// A kept dead letter.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterView {
    /// `namespace/name` of the Trigger, or its uid when it is gone.
    pub trigger: String,
    /// Its uid.
    pub trigger_uid: String,
    /// Where the event stands, as `group/offset`.
    pub position: String,
    /// The event's `id`, when the event could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The event's `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The event's `type`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub ty: Option<String>,
    /// Why the event could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_error: Option<String>,
    /// Attempts made.
    pub attempts: u32,
    /// Why no more were made.
    pub cause: String,
    /// The URL that was asked last.
    pub destination: String,
    /// The status of the last answer; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The beginning of the last answer, or why there was none. Bytes that are no UTF-8 are replaced.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// When it was given up (RFC 3339).
    pub at: String,
    /// How long ago that is, in milliseconds by the server's clock.
    pub age_millis: u64,
    /// The event in JSON format; only when a single dead letter is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<RawValue>>,
}

/// A page of dead letters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeadLetterPage {
    /// The letters, oldest event first within a Trigger.
    pub items: Vec<DeadLetterView>,
    /// What to give as `after` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which dead letters are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectionBody {
    /// Those of this Trigger: `namespace/name` or a uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// Of that Trigger only this one, as `group/offset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// All there are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// How many an operation concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The number.
    pub count: u64,
}

/// Where to put a Trigger's cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewindBody {
    /// `latest`, `earliest`, `offset:N` or an RFC 3339 time.
    pub to: String,
}

/// A warning to show on a Trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarningBody {
    /// One CamelCase word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}
