//! What the API's JSON about events looks like, and about what became of them. The server writes it, the commands read it.

use std::collections::BTreeMap;

use pelton_client::{AttemptResult, Position, Recipient};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An event as it stands in the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// Where it stands.
    pub position: Position,
    /// `namespace/name` of its Broker.
    pub broker: String,
    /// When it was taken in (RFC 3339), by the clock of the node that led its log group.
    pub arrived: String,
    /// Every context attribute, in its canonical text.
    pub attributes: BTreeMap<String, String>,
    /// The size of its `data`.
    pub data_bytes: usize,
    /// The event in JSON format, `data` included; only when that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<RawValue>>,
}

impl EventView {
    /// The value of an attribute, or nothing.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// How far was looked, so that what is not in an answer is known to be elsewhere or nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Looked {
    /// Events that were looked at.
    pub events: u64,
    /// When the last of them was taken in; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Events that went out of the log while it was read, or cannot be read: nobody looked at them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: u64,
    /// What to give as `next` to go on; absent when everything was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A page of events.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventPage {
    /// The events, as they were taken in.
    pub items: Vec<EventView>,
    /// How far was looked for them.
    pub looked: Looked,
}

/// What follows the log is told, an object a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum TailRecord {
    /// An event was committed.
    Event(Box<EventView>),
    /// Events went out of the log before they were read here, by age or size: whoever reads is too slow.
    Missing {
        /// Of which log group.
        group: u32,
        /// How many.
        events: u64,
    },
}

/// Which events a filter lets pass.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MatchPage {
    /// `namespace/name` of the Broker.
    pub broker: String,
    /// Events of the Broker that were looked at.
    pub looked_at: u64,
    /// Those that pass.
    pub matched: u64,
    /// The first of them.
    pub items: Vec<EventView>,
    /// How far was looked.
    pub looked: Looked,
}

/// What became of an event: of each copy of it, since the same `source` and `id` may stand in the log more than once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceView {
    /// The moment of the answer (RFC 3339).
    pub now: String,
    /// The copies that were found.
    pub copies: Vec<CopyView>,
    /// Whose memory of attempts was asked for.
    pub dispatchers: Vec<MemoryView>,
    /// How far was looked.
    pub looked: Looked,
}

/// What a dispatcher remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryView {
    /// The node's name.
    pub node: String,
    /// Whether it answered.
    pub answers: bool,
    /// For each log group that it has delivered: since when it remembers every attempt (RFC 3339).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub since: BTreeMap<u32, String>,
}

/// One copy of an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyView {
    /// The event.
    pub event: EventView,
    /// What it is the reply to, as far as that is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<ReplyTo>,
    /// What became of it, for each Trigger of its Broker: those that it is for come first.
    pub triggers: Vec<TriggerTrace>,
    /// Triggers of the Broker that are not listed: there are too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_triggers: u64,
    /// Attempts that ended before this (RFC 3339) are not remembered any more; absent when all are that were made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembered_since: Option<String>,
}

/// The event whose delivery brought a reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyTo {
    /// Where it stands.
    pub position: Position,
    /// The Trigger whose subscriber replied.
    pub trigger: String,
}

/// What became of an event for one Trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerTrace {
    /// `namespace/name`, or the uid of one that is gone.
    pub trigger: String,
    /// Whether the event passes the Trigger's filter as it is now; absent when the Trigger is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<bool>,
    /// Since when the Trigger is there (RFC 3339), and where it was to start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks_since: Option<String>,
    /// Where the event stands for it.
    pub state: State,
    /// The same in a sentence, with the reason.
    pub why: String,
    /// Failed attempts that are stored with the event, or with its dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_attempts: Option<u32>,
    /// Attempts that are remembered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptView>,
}

/// Where an event stands for a Trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The subscriber took it.
    Delivered,
    /// The dead-letter sink took it.
    DeadLetterSink,
    /// It is kept as a dead letter.
    DeadLetter,
    /// It is to be delivered.
    Waiting,
    /// The Trigger has not come to it yet.
    NotReached,
    /// The filter does not let it pass.
    FilteredOut,
    /// It was there before the Trigger started.
    BeforeStart,
    /// The Trigger has not started in the event's log group.
    NotStarted,
    /// It is done, and nobody remembers how: delivered, or a dead letter that was discarded.
    Done,
    /// It was passed by without an attempt.
    NeverTried,
}

impl State {
    /// The word used in listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::DeadLetterSink => "dead-letter-sink",
            Self::DeadLetter => "dead-letter",
            Self::Waiting => "waiting",
            Self::NotReached => "not-reached",
            Self::FilteredOut => "filtered-out",
            Self::BeforeStart => "before-start",
            Self::NotStarted => "not-started",
            Self::Done => "done",
            Self::NeverTried => "never-tried",
        }
    }
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptView {
    /// Who was asked.
    pub asked: Recipient,
    /// The how-manieth there, from 1 on.
    pub number: u32,
    /// When it ended (RFC 3339).
    pub ended: String,
    /// How long it took.
    pub took_millis: u32,
    /// What came of it.
    pub result: AttemptResult,
    /// The status of the answer, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Where the reply stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Position>,
    /// When the next one was to be made (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
