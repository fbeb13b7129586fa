//! What an operator may set, with every default and the reason for it.

use std::time::Duration;

use pelton_event::limits;
use pelton_http_front::{FrontOptions, FrontOptionsError};

/// Bounds and deadlines of the ingress. Each has a default; [`Options::check`] says what does not fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Largest body of a request that carries one event, in bytes. Beyond it: 413.
    pub max_event_bytes: usize,
    /// Largest body of a batched request, in bytes. Beyond it: 413. The log may take less: then 413 as well.
    pub max_batch_bytes: usize,
    /// Most events in one batched request. Beyond it: 413.
    pub max_batch_events: usize,
    /// Largest head of a request, in bytes. Beyond it: 431. At least 8 KiB.
    pub max_header_bytes: usize,
    /// Most bytes of requests to one Broker that are held at once: heads and bodies, from before a body is read until
    /// its answer is known. Beyond it: 429. Half of it, at most, may be held by requests that are still on their way.
    pub broker_bytes_in_flight: usize,
    /// Most bytes of all requests that are held at once, counted likewise, half of them on their way at
    /// most. Beyond it: 503.
    ///
    /// A held byte costs about three: the body as it came, the frame made of it, and its copy in the batch that is
    /// being written. So 32 MiB keep a node of 256 MiB alive under any load.
    pub node_bytes_in_flight: usize,
    /// Most connections. One more is answered 503 and closed.
    pub max_connections: usize,
    /// How long the head of a request may take, from its first byte, and the first request of a connection.
    pub header_timeout: Duration,
    /// How long a connection may be without a request before it is closed.
    pub idle_timeout: Duration,
    /// How long a body may take before its rate is looked at.
    pub body_grace: Duration,
    /// The slowest rate, in bytes a second and after `body_grace`, at which a body may arrive. Below it: 408.
    pub body_min_bytes_per_second: u64,
    /// How long a peer may take nothing of what is written to it before its connection is closed.
    pub write_stall: Duration,
    /// How long an append may take. Then 503, which says that the outcome is not known.
    pub append_deadline: Duration,
    /// Most HTTP/2 requests of one connection at a time.
    pub max_concurrent_streams: u32,
    /// How much of a refused body is read and thrown away after the answer, in bytes, so that the peer gets to see the
    /// answer before the connection is closed.
    pub linger_bytes: usize,
    /// How long that may take.
    pub linger: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let front = FrontOptions::default();
        Self {
            max_event_bytes: limits::DEFAULT_MAX_EVENT_BYTES,
            max_batch_bytes: limits::DEFAULT_MAX_BATCH_BYTES,
            max_batch_events: limits::DEFAULT_MAX_BATCH_EVENTS,
            max_header_bytes: limits::MAX_HEADER_BYTES,
            broker_bytes_in_flight: 24 * 1024 * 1024,
            node_bytes_in_flight: 32 * 1024 * 1024,
            max_connections: front.max_connections,
            header_timeout: front.header_timeout,
            idle_timeout: front.idle_timeout,
            body_grace: Duration::from_secs(10),
            body_min_bytes_per_second: 1024,
            write_stall: front.write_stall,
            append_deadline: Duration::from_secs(10),
            max_concurrent_streams: front.max_concurrent_streams,
            linger_bytes: front.linger_bytes,
            linger: front.linger,
        }
    }
}

/// Options that do not fit together, all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ingress options: {}", .0.join("; "))]
pub struct OptionsError(pub Vec<String>);

impl Options {
    /// Checks every option.
    ///
    /// # Errors
    /// [`OptionsError`] names all that are wrong together.
    pub fn check(&self) -> Result<(), OptionsError> {
        let mut wrong = Vec::new();
        let mut at_least = |name: &str, value: u128, least: u128| {
            if value < least {
                wrong.push(format!("{name} is {value} and must be at least {least}"));
            }
        };
        at_least("max_event_bytes", self.max_event_bytes as u128, limits::MIN_MAX_EVENT_BYTES as u128);
        at_least("max_batch_bytes", self.max_batch_bytes as u128, self.max_event_bytes as u128);
        at_least("max_batch_events", self.max_batch_events as u128, 1);
        // Or a request of the largest size could never be taken: half is for those that are on their way.
        let largest = 2 * (self.max_batch_bytes as u128 + self.max_header_bytes as u128);
        at_least("broker_bytes_in_flight", self.broker_bytes_in_flight as u128, largest);
        at_least("node_bytes_in_flight", self.node_bytes_in_flight as u128, largest);
        at_least("body_min_bytes_per_second", u128::from(self.body_min_bytes_per_second), 1);
        for (name, span) in [("body_grace", self.body_grace), ("append_deadline", self.append_deadline)] {
            at_least(&format!("{name} in milliseconds"), span.as_millis(), 1);
        }
        if let Err(FrontOptionsError(more)) = self.front().check() {
            wrong.extend(more);
        }
        if wrong.is_empty() { Ok(()) } else { Err(OptionsError(wrong)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit_together() {
        assert_eq!(Options::default().check(), Ok(()));
    }

    #[test]
    fn every_mistake_is_reported_together() {
        let options = Options {
            max_event_bytes: 64 * 1024,
            node_bytes_in_flight: 1,
            append_deadline: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            ..Options::default()
        };
        let OptionsError(wrong) = options.check().unwrap_err();
        assert_eq!(wrong.len(), 4, "{wrong:?}");
        for name in ["max_event_bytes", "node_bytes_in_flight", "append_deadline", "idle_timeout"] {
            assert!(wrong.iter().any(|text| text.contains(name)), "{name} in {wrong:?}");
        }
    }
}
