//! What a dispatcher remembers of its attempts, for operators who ask where an event is. Nothing depends on it: what is
//! delivered, what waits and what was given up is in cursors and dead letters, which are stored.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pelton_env::UnixMillis;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{GroupId, Position, TriggerId};

/// Most events that one question names; what is named beyond is not looked for.
pub const MAX_ASKED_EVENTS: usize = 64;

/// Most attempts that one answer has; the newest.
pub const MAX_TOLD_ATTEMPTS: usize = 4_096;

/// What is asked of a dispatcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DispatchQuery {
    /// The attempts made for these events, and those whose reply one of these is.
    Attempts(Vec<Position>),
    /// What each trigger has counted.
    Counts,
}

/// What a dispatcher answers: as much as it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DispatchReport {
    /// For each group that it has delivered: it remembers every attempt that it made there and that ended after this.
    #[serde(default)]
    pub since: BTreeMap<GroupId, Moment>,
    /// Attempts, oldest first. [`MAX_TOLD_ATTEMPTS`] of them are not all.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// What triggers have counted, in the groups that it delivers now.
    #[serde(default)]
    pub counts: Vec<TriggerCounts>,
    /// Targets that get no attempts but a probe now and then, `host:port` each, and when the next probe is due.
    #[serde(default)]
    pub open_circuits: BTreeMap<String, Moment>,
}

/// A moment of wall-clock time: milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl From<UnixMillis> for Moment {
    fn from(time: UnixMillis) -> Self {
        Self(time.0)
    }
}

impl From<Moment> for UnixMillis {
    fn from(moment: Moment) -> Self {
        Self(moment.0)
    }
}

/// One attempt that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Whose.
    pub trigger: TriggerId,
    /// The event.
    pub event: Position,
    /// Who was asked.
    pub asked: Recipient,
    /// The how-manieth of this event at this recipient, from 1 on.
    pub number: u32,
    /// When it ended.
    pub ended: Moment,
    /// How long it took.
    pub took_millis: u32,
    /// What came of it.
    pub result: AttemptResult,
    /// The status of the answer, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Where the reply stands, when there was one and it was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Position>,
    /// When the next attempt was to be made, when there was to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Moment>,
}

/// Who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipient {
    /// The trigger's subscriber.
    Subscriber,
    /// Its dead-letter sink.
    DeadLetterSink,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptResult {
    /// The recipient took the event.
    Delivered,
    /// It took the event and replied, and the reply was stored.
    Replied,
    /// It answered with an error that is worth another attempt.
    Failed,
    /// It answered with an error that is final.
    Rejected,
    /// It replied with what says that it is an event and is none.
    BadReply,
    /// It replied, and the reply was not stored.
    ReplyNotStored,
    /// It replied, and the reply has passed the broker as often as it may.
    HopCount,
    /// There was no connection.
    NoConnection,
    /// It is a service, and no instance of it took the event.
    NotServed,
    /// There was no answer within the time allowed.
    Timeout,
    /// The connection broke.
    Broken,
    /// There was no room here for its reply.
    NoRoom,
    /// There is no way to ask it.
    Impossible,
}

impl AttemptResult {
    /// The word used in listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Replied => "replied",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::BadReply => "bad-reply",
            Self::ReplyNotStored => "reply-not-stored",
            Self::HopCount => "hop-count",
            Self::NoConnection => "no-connection",
            Self::NotServed => "not-served",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::NoRoom => "no-room",
            Self::Impossible => "impossible",
        }
    }

    /// Whether the event was done with it, as far as the recipient goes.
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(self, Self::Delivered | Self::Replied)
    }
}

/// What a trigger has counted in the process that was asked, since its dispatcher took it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerCounts {
    /// Which trigger.
    pub trigger: TriggerId,
    /// Events that matched.
    pub matched: u64,
    /// Events that its subscriber took.
    pub delivered: u64,
    /// Attempts at the subscriber that failed.
    pub failed: u64,
}

/// How a process answers what is asked of its dispatcher.
#[derive(Clone)]
pub struct DispatchSource(Arc<dyn Fn(&DispatchQuery) -> DispatchReport + Send + Sync>);

impl DispatchSource {
    /// One that answers by calling `answer`, which must not wait.
    pub fn new(answer: impl Fn(&DispatchQuery) -> DispatchReport + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }

    /// What the dispatcher answers.
    #[must_use]
    pub fn answer(&self, query: &DispatchQuery) -> DispatchReport {
        (self.0)(query)
    }
}

impl fmt::Debug for DispatchSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DispatchSource")
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for TriggerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TriggerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not a uid"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Offset;

    #[test]
    fn a_report_reads_back() {
        let position = |offset| Position { group: GroupId(3), offset: Offset(offset) };
        let attempt = Attempt {
            trigger: TriggerId(u128::MAX - 7),
            event: position(u64::MAX),
            asked: Recipient::DeadLetterSink,
            number: 2,
            ended: Moment(5),
            took_millis: 7,
            result: AttemptResult::Replied,
            code: Some(200),
            reply: Some(position(9)),
            next: None,
        };
        let counts = TriggerCounts { trigger: TriggerId(1), matched: 1, delivered: 2, failed: 3 };
        let report = DispatchReport {
            since: BTreeMap::from([(GroupId(3), Moment(1))]),
            attempts: vec![attempt],
            counts: vec![counts],
            open_circuits: BTreeMap::from([("[::1]:80".to_owned(), Moment(8))]),
        };
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<DispatchReport>(&json).unwrap(), report, "{json}");
        assert_eq!(serde_json::from_str::<DispatchReport>("{}").unwrap(), DispatchReport::default());
        for query in [DispatchQuery::Counts, DispatchQuery::Attempts(vec![position(1)])] {
            let json = serde_json::to_string(&query).unwrap();
            assert_eq!(serde_json::from_str::<DispatchQuery>(&json).unwrap(), query, "{json}");
        }
    }

    #[test]
    fn the_words_of_listings_are_those_of_json() {
        use AttemptResult::*;
        for result in [
            Delivered,
            Replied,
            Failed,
            Rejected,
            BadReply,
            ReplyNotStored,
            HopCount,
            NoConnection,
            NotServed,
            Timeout,
            Broken,
            NoRoom,
            Impossible,
        ] {
            assert_eq!(serde_json::to_value(result).unwrap(), result.as_str());
        }
    }
}
