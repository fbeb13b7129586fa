//! A request's slot at an instance.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{InstanceKey, Revision};
use crate::metrics::Stage;
use crate::proxy::{Line, TimeUp, Timeouts};

/// A request's slot at an instance. Dropped, the slot is free.
#[derive(Debug)]
pub struct Lease {
    revision: Arc<Revision>,
    key: InstanceKey,
    line: Arc<Line>,
    waited: Option<Duration>,
    was_cold: bool,
    granted: Instant,
    /// Since when it makes a delivery, if it does.
    delivers: Option<Instant>,
}

impl Lease {
    pub(super) fn new(revision: Arc<Revision>, key: InstanceKey, line: Arc<Line>) -> Self {
        Self { revision, key, line, waited: None, was_cold: false, granted: Instant::now(), delivers: None }
    }

    /// The same, of a request that waited.
    pub(super) fn after(mut self, waited: Duration, was_cold: bool) -> Self {
        self.waited = Some(waited);
        self.was_cold = was_cold;
        self.revision.metrics.waited(waited, was_cold);
        self
    }

    /// The time that the request has there. Another gateway counts its time itself, and may have to start an instance.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        self.revision.spec.timeouts.later_by(self.may_wait())
    }

    /// How long the request may wait there before an instance has it: at another gateway as long as here.
    #[must_use]
    pub fn may_wait(&self) -> Duration {
        if self.line.hop().is_some() { self.revision.spec.activation_timeout } else { Duration::ZERO }
    }

    /// The way to the instance.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// How long the request waited, if it did.
    #[must_use]
    pub const fn waited(&self) -> Option<Duration> {
        self.waited
    }

    /// Whether no instance took requests when it came.
    #[must_use]
    pub const fn was_cold(&self) -> bool {
        self.was_cold
    }

    /// It makes a delivery from now on.
    pub fn begin_delivery(&mut self) {
        self.delivers = Some(Instant::now());
        self.revision.with_core(|core, _| core.delivery_began());
    }

    /// The instance answered.
    pub fn answered(&self, status: StatusCode) {
        self.revision.metrics.answered(status);
        if self.was_cold {
            self.revision.metrics.stage(Stage::FirstByte, self.granted.elapsed());
        }
    }

    /// The time of the request is up.
    pub fn timed_out(&self, up: TimeUp) {
        self.revision.metrics.timed_out(up);
    }

    /// The instance could not be connected to, or broke off: it gets nothing before it answers a probe again.
    pub fn unreachable(&self, why: &str) {
        tracing::debug!(revision = %self.revision.spec.workload.revision, why, "an instance did not answer");
        self.revision.with_core(|core, now| core.suspect(self.key, now));
    }

    /// The request has become a stream that lives as long as its two ends want.
    #[must_use]
    pub fn into_stream(self) -> Stream {
        self.revision.with_core(|core, _| core.became_stream(self.key));
        Stream { _counted: self.revision.streams.token(), lease: self }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.revision.metrics.took(self.granted.elapsed());
        self.revision.with_core(|core, now| {
            if let Some(since) = self.delivers {
                core.delivery_ended(since.elapsed());
            }
            core.finish(self.key, now);
        });
    }
}

/// A long-lived connection to an instance. Dropped, it has ended.
#[derive(Debug)]
pub struct Stream {
    lease: Lease,
    _counted: TaskTrackerToken,
}

impl Stream {
    /// Waits until it is to end.
    pub async fn closing(&self) {
        self.lease.revision.closing.cancelled().await;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.lease.revision.with_core(|core, _| core.stream_ended(self.lease.key));
    }
}
