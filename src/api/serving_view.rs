//! What the API's JSON about instances looks like. The server writes it, the commands read it.

use serde::{Deserialize, Serialize};

/// What instances are doing on the node that was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstancesList {
    /// By Revision, the newest first. One that the node's gateway has not heard of yet is left out.
    pub items: Vec<InstancesView>,
}

/// What one Revision has on the node that was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstancesView {
    /// The Revision's name.
    pub revision: String,
    /// Instances that take requests.
    pub running: u32,
    /// Instances that are paused, or about to be.
    pub paused: u32,
    /// Instances that do not answer yet.
    pub starting: u32,
    /// Instances that are ending.
    pub stopping: u32,
    /// Instances that there should be.
    pub desired: u32,
    /// Requests that wait for an instance.
    pub queued: u32,
    /// Requests on their way.
    pub in_flight: u32,
    /// How long ago an instance was started last, in milliseconds; absent when none was since the gateway began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_start_age_millis: Option<u64>,
}

/// One line of a log as it is told: an object a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum LogRecord {
    /// An instance printed a line, or a piece of one.
    Line {
        /// When it was read (RFC 3339, with milliseconds), by the clock of the node.
        at: String,
        /// The Revision.
        revision: String,
        /// The instance, as its runtime calls it.
        instance: String,
        /// Where to: `stdout` or `stderr`.
        stream: String,
        /// Whether the next line of this instance and stream goes on where this one was cut.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        goes_on: bool,
        /// The line without its end. Bytes that are no UTF-8 are replaced.
        text: String,
    },
    /// Lines are missing here: rotated away before they were read, or never written.
    Missing {
        /// The Revision.
        revision: String,
        /// How many.
        lines: u64,
    },
    /// The Service or the Revision was deleted. Nothing follows.
    Deleted,
}
