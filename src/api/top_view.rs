//! What the API's JSON about what goes on at this moment looks like. The server writes it, the commands read it.
//! Numbers only grow while the process that counts them lives: rates follow from two answers.

use serde::{Deserialize, Serialize};

/// What goes on at this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopView {
    /// The moment, in milliseconds since 1970 by the clock of the node that was asked.
    pub now_millis: u64,
    /// Events in the logs of all groups since they began.
    pub events: u64,
    /// Events that Triggers at the end of the log were not matched against yet.
    pub unmatched: u64,
    /// Kept dead letters.
    pub dead_letters: u64,
    /// There are more dead letters than were counted.
    #[serde(default)]
    pub more_dead_letters: bool,
    /// Nodes whose dispatcher did not answer: what they count is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<String>,
    /// Brokers, by name.
    pub brokers: Vec<BrokerTop>,
    /// Triggers, those with the most to do first.
    pub triggers: Vec<TriggerTop>,
    /// Triggers that are not listed.
    pub more_triggers: u64,
    /// Revisions that have instances or should have some, by name.
    pub revisions: Vec<RevisionTop>,
    /// Revisions that are not listed: they have none, or there are too many.
    pub more_revisions: u64,
}

/// A Broker, with the sums of its Triggers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerTop {
    /// `namespace/name`.
    pub name: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Its Triggers.
    pub triggers: u64,
    /// What waits for them.
    pub backlog: u64,
    /// What has matched.
    pub matched: u64,
    /// What was delivered.
    pub delivered: u64,
    /// Kept dead letters; `None` when not all were counted.
    pub dead_letters: Option<u64>,
}

/// A Trigger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerTop {
    /// `namespace/name`.
    pub name: String,
    /// The name of its Broker.
    pub broker: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is paused.
    pub paused: bool,
    /// Events that wait for it at most: those that matched and are not done, and those that it has not looked at.
    pub backlog: u64,
    /// Events that matched.
    pub matched: u64,
    /// Events that its subscriber took.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Kept dead letters; `None` when not all were counted.
    pub dead_letters: Option<u64>,
}

/// A Revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionTop {
    /// `namespace/name`.
    pub name: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Instances that are ready, in the whole cluster.
    pub instances: u32,
    /// Instances that there should be.
    pub desired: u32,
    /// Requests that one instance takes at once; 0 is any number.
    pub concurrency: i64,
    /// Requests on their way on the node that was asked; absent when it runs no services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
    /// Requests that wait for an instance there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<u32>,
}
