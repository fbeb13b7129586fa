//! What a gateway counts, by Knative's names (spec/serving.md, 6, the new form) and our own. Handles are made once a
//! revision, and not before it has a request or an instance: a thousand services at zero cost nothing here.

use std::sync::OnceLock;
use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Gauge, Histogram, Label, counter, gauge, histogram};

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

/// The metrics of one revision.
#[derive(Debug)]
pub struct RevisionMetrics {
    labels: Vec<Label>,
    handles: OnceLock<Handles>,
}

#[derive(Debug)]
struct Handles {
    answers: [Counter; 5],
    timeouts: [Counter; 3],
    refused: [Counter; 5],
    failed_instances: Counter,
    pauses: Counter,
    resumes: Counter,
    cold_requests: Counter,
    duration: Histogram,
    stages: [Histogram; 5],
    concurrency: Gauge,
    queued: Gauge,
    active: Gauge,
    desired: Gauge,
    ready: Gauge,
    not_ready: Gauge,
    terminating: Gauge,
    paused: Gauge,
    panicking: Gauge,
    excess: Gauge,
    stable: Gauge,
    panic: Gauge,
    target: Gauge,
}

impl RevisionMetrics {
    /// Those of a revision.
    #[must_use]
    pub fn new(workload: &WorkloadSpec) -> Self {
        let labels = vec![
            Label::new("k8s_namespace_name", workload.namespace.clone()),
            Label::new("kn_service_name", workload.service.clone()),
            Label::new("kn_configuration_name", workload.configuration.clone()),
            Label::new("kn_revision_name", workload.revision.clone()),
        ];
        Self { labels, handles: OnceLock::new() }
    }

    fn handles(&self) -> &Handles {
        self.handles.get_or_init(|| Handles::new(&self.labels))
    }

    /// An instance answered with this status.
    pub fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.handles().answers[class].increment(1);
    }

    /// A request took this long, from the head of the request to the end of the answer.
    pub fn took(&self, duration: Duration) {
        self.handles().duration.record(duration);
    }

    /// The time of a request was up.
    pub fn timed_out(&self, up: TimeUp) {
        self.handles().timeouts[up as usize].increment(1);
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
        self.handles().refused[at].increment(1);
    }

    /// A request got its slot after a wait.
    pub fn waited(&self, waited: Duration, was_cold: bool) {
        self.stage(Stage::Queued, waited);
        if was_cold {
            self.handles().cold_requests.increment(1);
        }
    }

    /// A part of a cold start took this long.
    pub fn stage(&self, stage: Stage, duration: Duration) {
        self.handles().stages[stage as usize].record(duration);
    }

    /// An instance failed.
    pub fn failed(&self) {
        self.handles().failed_instances.increment(1);
    }

    /// An instance was paused.
    pub fn paused(&self) {
        self.handles().pauses.increment(1);
    }

    /// An instance was resumed.
    pub fn resumed(&self) {
        self.handles().resumes.increment(1);
    }

    /// Shows how many of what there are. Nothing is shown of a revision that never had any.
    pub fn show(&self, counts: Counts, decision: Option<&Decision>, target: f64) {
        if self.handles.get().is_none() && counts == Counts::default() {
            return;
        }
        let handles = self.handles();
        handles.concurrency.set(f64::from(counts.in_flight + counts.queued));
        handles.queued.set(f64::from(counts.queued));
        handles.active.set(f64::from(counts.in_flight));
        handles.desired.set(f64::from(counts.desired));
        handles.ready.set(f64::from(counts.ready));
        handles.not_ready.set(f64::from(counts.starting));
        handles.terminating.set(f64::from(counts.stopping));
        handles.paused.set(f64::from(counts.paused));
        handles.target.set(target);
        if let Some(decision) = decision {
            handles.panicking.set(f64::from(u8::from(decision.panicking)));
            handles.excess.set(decision.excess_burst_capacity as f64);
            handles.stable.set(decision.load.stable);
            handles.panic.set(decision.load.panic);
        }
    }
}

impl Handles {
    fn new(labels: &[Label]) -> Self {
        let with = |key: &'static str, value: &'static str| {
            let mut all = labels.to_vec();
            all.push(Label::new(key, value));
            all
        };
        let labels = labels.to_vec();
        Self {
            answers: ["1xx", "2xx", "3xx", "4xx", "5xx"]
                .map(|class| counter!("pelton_gateway_answers_total", with("class", class))),
            timeouts: ["total", "response-start", "idle"]
                .map(|which| counter!("pelton_gateway_timeouts_total", with("timeout", which))),
            refused: ["queue-full", "queue-bytes-full", "crash-loop", "not-in-time", "not-deployed"]
                .map(|reason| counter!("pelton_gateway_rejected_total", with("reason", reason))),
            failed_instances: counter!("pelton_gateway_failed_instances_total", labels.clone()),
            pauses: counter!("pelton_gateway_pauses_total", labels.clone()),
            resumes: counter!("pelton_gateway_resumes_total", labels.clone()),
            cold_requests: counter!("pelton_gateway_cold_requests_total", labels.clone()),
            duration: histogram!("kn_serving_invocation_duration_seconds", labels.clone()),
            stages: ["queued", "decide", "spawn", "ready", "first-byte"]
                .map(|stage| histogram!("pelton_gateway_cold_start_seconds", with("stage", stage))),
            concurrency: gauge!("kn_revision_request_concurrency", labels.clone()),
            queued: gauge!("kn_revision_request_queued", labels.clone()),
            active: gauge!("kn_revision_request_active", labels.clone()),
            desired: gauge!("kn_revision_pods_desired", labels.clone()),
            ready: gauge!("kn_revision_pods_count", labels.clone()),
            not_ready: gauge!("kn_revision_pods_not_ready_count", labels.clone()),
            terminating: gauge!("kn_revision_pods_terminating_count", labels.clone()),
            paused: gauge!("pelton_gateway_paused_instances", labels.clone()),
            panicking: gauge!("kn_revision_panic_mode", labels.clone()),
            excess: gauge!("kn_revision_capacity_excess", labels.clone()),
            stable: gauge!("kn_revision_concurrency_stable", labels.clone()),
            panic: gauge!("kn_revision_concurrency_panic", labels.clone()),
            target: gauge!("kn_revision_concurrency_target", labels),
        }
    }
}
