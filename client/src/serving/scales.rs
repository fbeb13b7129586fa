//! How many instances each gateway is to have, as the registry's leader decides it from what all gateways tell.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long whoever asks for [`Scales`] waits for others than it knows.
pub const SCALES_WAIT: Duration = Duration::from_secs(2);

/// What a gateway has to do for one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Instances that it should have.
    pub desired: u32,
    /// Whether the revision had its initial scale once.
    pub is_proved: bool,
    /// Instances of the other gateways that can take requests, by gateway. None that is about to end is among them.
    pub others: BTreeMap<String, u32>,
}

/// How a gateway is reached by the others.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayInfo {
    /// The name of its node, which no other node of the cluster has.
    pub node: String,
    /// `host:port`.
    pub address: String,
    /// What a request that another gateway passes on to it shows. Nobody but gateways is told.
    pub pass: String,
}

impl fmt::Debug for GatewayInfo {
    /// Without the pass: it is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayInfo").field("node", &self.node).field("address", &self.address).finish_non_exhaustive()
    }
}

/// What one gateway is to do. One word replaces the word before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scales {
    /// Another number means another word; 0: this leader has not heard of the gateway yet, which is to tell again.
    pub version: u64,
    /// By the uid of the revision. One that is not there is to have no instance.
    pub shares: BTreeMap<String, Share>,
    /// The other gateways.
    pub gateways: BTreeMap<String, GatewayInfo>,
}
