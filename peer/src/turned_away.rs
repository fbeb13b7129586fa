//! Connections that come to nothing, and how that is told.

use std::io;
use std::net::SocketAddr;

use metrics::{counter, describe_counter};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits;

/// Why a connection was not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TurnedAway {
    #[error("there are as many connections as there may be")]
    Full,
    #[error("too many handshakes were in progress, and its was the oldest")]
    Displaced,
    #[error("its handshake took too long")]
    Slow,
    #[error("its handshake failed: {0}")]
    Handshake(io::Error),
}

impl TurnedAway {
    /// The label in the metric.
    fn reason(&self) -> &'static str {
        match self {
            Self::Full => FULL,
            Self::Displaced => DISPLACED,
            Self::Slow => SLOW,
            Self::Handshake(_) => HANDSHAKE,
        }
    }
}

const FULL: &str = "full";
const DISPLACED: &str = "displaced";
const SLOW: &str = "slow";
const HANDSHAKE: &str = "handshake";

const TURNED_AWAY: &str = "pelton_peer_connections_turned_away_total";

/// Counts every connection that was turned away, and warns of one now and then: whoever can reach the port can cause
/// them, and shall not fill the disk with what we say of it.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    warned: Mutex<Option<Instant>>,
}

impl Doorkeeper {
    /// Shows its counters from the start, so that a rate over the first one that is turned away is right.
    pub(crate) fn new() -> Self {
        describe_counter!(TURNED_AWAY, "Connections to the peer listener that were not served, by reason");
        for reason in [FULL, DISPLACED, SLOW, HANDSHAKE] {
            counter!(TURNED_AWAY, "reason" => reason).increment(0);
        }
        Self { warned: Mutex::new(None) }
    }

    pub(crate) fn tell(&self, from: SocketAddr, why: &TurnedAway) {
        counter!(TURNED_AWAY, "reason" => why.reason()).increment(1);
        if self.may_warn(Instant::now()) {
            tracing::warn!(%from, %why, "turned a connection to the peer listener away");
        } else {
            tracing::debug!(%from, %why, "turned a connection to the peer listener away");
        }
    }

    fn may_warn(&self, now: Instant) -> bool {
        let mut warned = self.warned.lock();
        let may = warned.is_none_or(|before| now.duration_since(before) >= limits::WARN_INTERVAL);
        if may {
            *warned = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_an_interval() {
        let keeper = Doorkeeper::new();
        let start = Instant::now();
        assert!(keeper.may_warn(start));
        assert!(!keeper.may_warn(start));
        assert!(!keeper.may_warn(start + limits::WARN_INTERVAL / 2));
        assert!(keeper.may_warn(start + limits::WARN_INTERVAL));
        assert!(!keeper.may_warn(start + limits::WARN_INTERVAL));
    }
}
