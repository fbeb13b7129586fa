//! What a gateway counts, by Knative's names (spec/serving.md, 6, the new form) and our own. A revision has series from its
//! first request or instance on, and until it is gone: a thousand services at zero cost nothing here.

mod histogram;
mod series;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;

pub use self::series::RevisionSeries;
use self::series::{Count, Level, Names, Series};
use crate::autoscaler::Decision;
use crate::proxy::TimeUp;
use crate::revision::{Counts, Full, NotServed};
use crate::runtime::WorkloadSpec;

/// A part of a cold start, for `pelton_gateway_cold_start_seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From the arrival of a request to its slot.
    Queued,
    /// From the arrival of a request to the decision to start.
    Decide,
    /// From the decision to the instance's start.
    Spawn,
    /// From the start to the first answer to a probe.
    Ready,
    /// From the slot to the first byte of the answer.
    FirstByte,
}

impl Stage {
    /// All of them, in their order.
    const ALL: [Self; 5] = [Self::Queued, Self::Decide, Self::Spawn, Self::Ready, Self::FirstByte];

    /// As it is in the label `stage`.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Decide => "decide",
            Self::Spawn => "spawn",
            Self::Ready => "ready",
            Self::FirstByte => "first-byte",
        }
    }
}

/// The metrics of one revision.
#[derive(Debug)]
pub struct RevisionMetrics {
    workload: Arc<WorkloadSpec>,
    all: Arc<RevisionSeries>,
    series: OnceLock<Arc<Series>>,
}

impl RevisionMetrics {
    /// Those of a revision, among those of `all`.
    #[must_use]
    pub fn new(workload: &Arc<WorkloadSpec>, all: &Arc<RevisionSeries>) -> Self {
        Self { workload: Arc::clone(workload), all: Arc::clone(all), series: OnceLock::new() }
    }

    fn series(&self) -> &Arc<Series> {
        self.series.get_or_init(|| self.all.of(self.names()))
    }

    fn names(&self) -> Names<'_> {
        [&self.workload.namespace, &self.workload.service, &self.workload.configuration, &self.workload.revision]
    }

    /// An instance answered with this status.
    pub fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.series().count(Count::Answers(class));
    }

    /// A request took this long, from the head of the request to the end of the answer.
    pub fn took(&self, duration: Duration) {
        self.series().took(duration);
    }

    /// The time of a request was up.
    pub fn timed_out(&self, up: TimeUp) {
        self.series().count(Count::Timeouts(up as usize));
    }

    /// A request was refused.
    pub fn refused(&self, why: &NotServed) {
        let at = match why {
            NotServed::Full(Full::Requests) => 0,
            NotServed::Full(Full::Bytes) => 1,
            NotServed::CrashLoop(_) => 2,
            NotServed::NotInTime(_) => 3,
            NotServed::NotDeployed(_) | NotServed::Retired => 4,
        };
        self.series().count(Count::Rejected(at));
    }

    /// A request got its slot after a wait.
    pub fn waited(&self, waited: Duration, was_cold: bool) {
        self.stage(Stage::Queued, waited);
        if was_cold {
            self.series().count(Count::ColdRequests);
        }
    }

    /// A part of a cold start took this long.
    pub fn stage(&self, stage: Stage, duration: Duration) {
        self.all.stage(stage, duration);
    }

    /// An instance failed.
    pub fn failed(&self) {
        self.series().count(Count::FailedInstances);
    }

    /// An instance was paused.
    pub fn paused(&self) {
        self.series().count(Count::Pauses);
    }

    /// An instance was resumed.
    pub fn resumed(&self) {
        self.series().count(Count::Resumes);
    }

    /// Shows how many of what there are. Nothing is shown of a revision that never had any.
    pub fn show(&self, counts: Counts, decision: Option<&Decision>, target: f64) {
        if self.series.get().is_none() && counts == Counts::default() {
            return;
        }
        let series = self.series();
        for (level, count) in [
            (Level::Concurrency, counts.in_flight + counts.queued),
            (Level::Queued, counts.queued),
            (Level::Active, counts.in_flight),
            (Level::Desired, counts.desired),
            (Level::Ready, counts.ready),
            (Level::NotReady, counts.starting),
            (Level::Terminating, counts.stopping),
            (Level::Paused, counts.paused),
        ] {
            series.set(level, f64::from(count));
        }
        series.set(Level::Target, target);
        if let Some(decision) = decision {
            series.set(Level::Panicking, f64::from(u8::from(decision.panicking)));
            series.set(Level::Excess, decision.excess_burst_capacity as f64);
            series.set(Level::Stable, decision.load.stable);
            series.set(Level::Panic, decision.load.panic);
        }
    }
}

impl Drop for RevisionMetrics {
    fn drop(&mut self) {
        if let Some(series) = self.series.get() {
            self.all.gone(self.names(), series);
        }
    }
}
