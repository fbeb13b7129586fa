//! The series of revisions, as text for Prometheus.
//!
//! They are not the recorder's: what that has it keeps for ever, and revisions come and go by the thousand.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::histogram;
use parking_lot::Mutex;

use super::Stage;
use super::histogram::Histogram;

/// How many revisions have labels of their own at a time. docs/metrics.md adds up what that comes to with all other series
/// (spec/reliability.md S13: at most 10,000).
const MAX_LABELLED: usize = 90;

/// Series with one name.
struct Family {
    name: &'static str,
    help: &'static str,
    /// A further label and its values, one for each series.
    further: Option<(&'static str, &'static [&'static str])>,
}

const fn one(name: &'static str, help: &'static str) -> Family {
    Family { name, help, further: None }
}

/// The counters, in the order of their places.
const COUNTERS: [Family; 7] = [
    Family {
        name: "pelton_gateway_answers_total",
        help: "Answers of instances, by the class of their status",
        further: Some(("class", &["1xx", "2xx", "3xx", "4xx", "5xx"])),
    },
    Family {
        name: "pelton_gateway_timeouts_total",
        help: "Requests whose time was up, by the timeout",
        further: Some(("timeout", &["total", "response-start", "idle"])),
    },
    Family {
        name: "pelton_gateway_rejected_total",
        help: "Requests that no instance took, by reason",
        further: Some(("reason", &["queue-full", "queue-bytes-full", "crash-loop", "not-in-time", "not-deployed"])),
    },
    one("pelton_gateway_failed_instances_total", "Instances that did not start, never answered or ended by themselves"),
    one("pelton_gateway_pauses_total", "Instances that were paused"),
    one("pelton_gateway_resumes_total", "Instances that were resumed"),
    one("pelton_gateway_cold_requests_total", "Requests that came when no instance ran"),
];

/// The place of a counter.
#[derive(Debug, Clone, Copy)]
pub enum Count {
    /// By the class of the status, 1 to 5, less one.
    Answers(usize),
    /// By the timeout.
    Timeouts(usize),
    /// By the reason.
    Rejected(usize),
    FailedInstances,
    Pauses,
    Resumes,
    ColdRequests,
}

const COUNTS: usize = 17;

impl Count {
    const fn place(self) -> usize {
        match self {
            Self::Answers(class) => class,
            Self::Timeouts(which) => 5 + which,
            Self::Rejected(reason) => 8 + reason,
            Self::FailedInstances => 13,
            Self::Pauses => 14,
            Self::Resumes => 15,
            Self::ColdRequests => 16,
        }
    }
}

/// The gauges, in the order of [`Level`].
const GAUGES: [Family; LEVELS] = [
    one("kn_revision_request_concurrency", "Requests on their way or waiting"),
    one("kn_revision_request_queued", "Requests that wait for an instance"),
    one("kn_revision_request_active", "Requests on their way"),
    one("kn_revision_pods_desired", "Instances that there should be"),
    one("kn_revision_pods_count", "Instances that answer, paused ones among them"),
    one("kn_revision_pods_not_ready_count", "Instances that do not answer yet"),
    one("kn_revision_pods_terminating_count", "Instances that are ending"),
    one("pelton_gateway_paused_instances", "Instances that are paused"),
    one("kn_revision_panic_mode", "1 while the short window decides"),
    one("kn_revision_capacity_excess", "Load that could come at once beyond the burst that should find room"),
    one("kn_revision_concurrency_stable", "Average concurrency over the stable window"),
    one("kn_revision_concurrency_panic", "Average concurrency over the panic window"),
    one("kn_revision_concurrency_target", "Concurrency that one instance is meant to have"),
];

/// The place of a gauge.
#[derive(Debug, Clone, Copy)]
pub enum Level {
    Concurrency,
    Queued,
    Active,
    Desired,
    Ready,
    NotReady,
    Terminating,
    Paused,
    Panicking,
    Excess,
    Stable,
    Panic,
    Target,
}

const LEVELS: usize = Level::Target as usize + 1;

const DURATION: &str = "kn_serving_invocation_duration_seconds";

/// What one revision counts, or all those together that have no labels of their own.
#[derive(Debug)]
pub struct Series {
    /// As in Prometheus' text format, without the braces.
    labels: String,
    /// Whether it is of one revision. The gauges of several would overwrite each other, so there are none.
    is_own: bool,
    counts: [AtomicU64; COUNTS],
    /// The bits of `f64`.
    levels: [AtomicU64; LEVELS],
    duration: Histogram,
}

impl Series {
    fn new(names: Names<'_>, is_own: bool) -> Self {
        let mut labels = String::new();
        let keys = ["k8s_namespace_name", "kn_service_name", "kn_configuration_name", "kn_revision_name"];
        for (key, name) in keys.into_iter().zip(names) {
            let comma = if labels.is_empty() { "" } else { "," };
            let name = name.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let _ = write!(labels, "{comma}{key}=\"{name}\"");
        }
        labels.shrink_to_fit();
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        let levels = std::array::from_fn(|_| AtomicU64::new(0.0_f64.to_bits()));
        Self { labels, is_own, counts: zeros(), levels, duration: Histogram::default() }
    }

    /// One more.
    pub fn count(&self, what: Count) {
        self.counts[what.place()].fetch_add(1, Ordering::Relaxed);
    }

    /// It is so much now.
    pub fn set(&self, what: Level, value: f64) {
        self.levels[what as usize].store(value.to_bits(), Ordering::Relaxed);
    }

    /// A request took this long.
    pub fn took(&self, duration: Duration) {
        self.duration.record(duration);
    }
}

/// What names a revision: its namespace, its Service, its Configuration, and its own name.
pub type Names<'a> = [&'a str; 4];

/// Those of a namespace and a name.
#[derive(Debug)]
struct Kept {
    series: Arc<Series>,
    /// Revisions that were given them: one that is deleted may be made again before nothing of it is left.
    holders: usize,
}

/// The series of all revisions of a gateway.
#[derive(Debug)]
pub struct RevisionSeries {
    known: Mutex<BTreeMap<(String, String), Kept>>,
    /// Of all that came when there were too many, from the first of them on.
    other: OnceLock<Arc<Series>>,
    max_labelled: usize,
    /// Without labels of a revision: five histograms of each would be most of what there may be.
    stages: [metrics::Histogram; Stage::ALL.len()],
}

impl Default for RevisionSeries {
    fn default() -> Self {
        Self::at_most(MAX_LABELLED)
    }
}

impl RevisionSeries {
    fn at_most(max_labelled: usize) -> Self {
        Self {
            known: Mutex::default(),
            other: OnceLock::new(),
            max_labelled,
            stages: Stage::ALL.map(|stage| histogram!("pelton_gateway_cold_start_seconds", "stage" => stage.as_str())),
        }
    }

    /// Those of a revision: its own, or while there are too many those of all others.
    pub(super) fn of(&self, names: Names<'_>) -> Arc<Series> {
        let mut known = self.known.lock();
        let is_full = known.len() >= self.max_labelled;
        match known.entry(key(names)) {
            Entry::Occupied(mut kept) => {
                kept.get_mut().holders += 1;
                Arc::clone(&kept.get().series)
            }
            Entry::Vacant(_) if is_full => {
                Arc::clone(self.other.get_or_init(|| Arc::new(Series::new(["other"; 4], false))))
            }
            Entry::Vacant(free) => {
                let series = Arc::new(Series::new(names, true));
                free.insert(Kept { series: Arc::clone(&series), holders: 1 });
                series
            }
        }
    }

    /// The revision is gone that had been given `series`.
    pub(super) fn gone(&self, names: Names<'_>, series: &Arc<Series>) {
        if let Entry::Occupied(mut kept) = self.known.lock().entry(key(names))
            && Arc::ptr_eq(&kept.get().series, series)
        {
            kept.get_mut().holders -= 1;
            if kept.get().holders == 0 {
                kept.remove();
            }
        }
    }

    pub(super) fn stage(&self, stage: Stage, duration: Duration) {
        self.stages[stage as usize].record(duration);
    }

    /// Writes them in Prometheus' text format.
    pub fn write(&self, out: &mut String) {
        let own: Vec<_> = self.known.lock().values().map(|kept| Arc::clone(&kept.series)).collect();
        let all: Vec<_> = own.iter().chain(self.other.get()).collect();
        if all.is_empty() {
            return;
        }
        let mut place = 0;
        for family in &COUNTERS {
            head(out, family.name, family.help, "counter");
            let values = family.further.map_or(1, |(_, values)| values.len());
            for series in &all {
                for at in 0..values {
                    let count = series.counts[place + at].load(Ordering::Relaxed);
                    let (name, labels) = (family.name, &series.labels);
                    let _ = match family.further {
                        Some((key, values)) => writeln!(out, "{name}{{{labels},{key}=\"{}\"}} {count}", values[at]),
                        None => writeln!(out, "{name}{{{labels}}} {count}"),
                    };
                }
            }
            place += values;
        }
        for (family, place) in GAUGES.iter().zip(0..) {
            head(out, family.name, family.help, "gauge");
            for series in all.iter().filter(|series| series.is_own) {
                let level = f64::from_bits(series.levels[place].load(Ordering::Relaxed));
                let _ = writeln!(out, "{}{{{}}} {level}", family.name, series.labels);
            }
        }
        head(out, DURATION, "From a request's slot to the end of its answer", "histogram");
        for series in &all {
            series.duration.write(out, DURATION, &series.labels);
        }
    }
}

fn key([namespace, _, _, revision]: Names<'_>) -> (String, String) {
    (namespace.to_owned(), revision.to_owned())
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn names(revision: &str) -> Names<'_> {
        ["ns", "svc", "cfg", revision]
    }

    fn text(all: &RevisionSeries) -> String {
        let mut text = String::new();
        all.write(&mut text);
        text
    }

    fn lines(text: &str) -> usize {
        text.lines().filter(|line| !line.starts_with('#')).count()
    }

    /// S13; docs/metrics.md says how many series these are.
    #[test]
    fn thousands_of_revisions_make_a_bounded_number_of_series() {
        let all = RevisionSeries::default();
        let held: Vec<_> = (0..5_000).map(|n| all.of(names(&n.to_string()))).collect();
        held[0].count(Count::Answers(1));
        held[89].count(Count::Answers(1));
        held[90].count(Count::Answers(1));
        held[4_999].count(Count::Answers(1));
        let text = text(&all);
        let labelled = COUNTS + LEVELS + Histogram::SERIES;
        assert_eq!(
            (labelled, lines(&text)),
            (48, 90 * labelled + COUNTS + Histogram::SERIES),
            "docs/metrics.md says so"
        );
        assert!(text.contains("kn_revision_name=\"89\",class=\"2xx\"} 1\n"), "{text}");
        assert!(text.contains("kn_revision_name=\"other\",class=\"2xx\"} 2\n"), "{text}");
        assert!(!text.contains("kn_revision_pods_count{k8s_namespace_name=\"other\""), "{text}");
    }

    #[test]
    fn every_series_is_in_its_place() {
        let all = RevisionSeries::default();
        let series = all.of(names("r"));
        let counts = (0..5).map(Count::Answers).chain((0..3).map(Count::Timeouts)).chain((0..5).map(Count::Rejected));
        let rest = [Count::FailedInstances, Count::Pauses, Count::Resumes, Count::ColdRequests];
        for (count, times) in counts.chain(rest).zip(1..) {
            (0..times).for_each(|_| series.count(count));
        }
        series.set(Level::Target, 0.7);
        series.set(Level::Ready, 3.0);
        let text = text(&all);
        let labels =
            r#"k8s_namespace_name="ns",kn_service_name="svc",kn_configuration_name="cfg",kn_revision_name="r""#;
        for (name, further, want) in [
            ("pelton_gateway_answers_total", ",class=\"1xx\"", "1"),
            ("pelton_gateway_answers_total", ",class=\"5xx\"", "5"),
            ("pelton_gateway_timeouts_total", ",timeout=\"total\"", "6"),
            ("pelton_gateway_rejected_total", ",reason=\"queue-full\"", "9"),
            ("pelton_gateway_rejected_total", ",reason=\"not-deployed\"", "13"),
            ("pelton_gateway_failed_instances_total", "", "14"),
            ("pelton_gateway_cold_requests_total", "", "17"),
            ("kn_revision_concurrency_target", "", "0.7"),
            ("kn_revision_pods_count", "", "3"),
            ("kn_revision_pods_desired", "", "0"),
        ] {
            let want = format!("{name}{{{labels}{further}}} {want}");
            assert!(text.lines().any(|line| line == want), "{want} is not in:\n{text}");
        }
    }

    #[test]
    fn a_revision_that_is_gone_leaves_its_place_to_another() {
        let all = RevisionSeries::at_most(2);
        let (one, two, three) = (names("one"), names("two"), names("three"));
        let (first, second) = (all.of(one), all.of(two));
        assert!(!all.of(three).is_own);
        let again = all.of(one);
        assert!(Arc::ptr_eq(&again, &first), "one that came back before it was gone");
        all.gone(one, &first);
        drop(first);
        assert!(text(&all).contains("\"one\""), "it is still there");
        all.gone(one, &again);
        all.gone(two, &second);
        assert!(all.of(three).is_own);
        let text = text(&all);
        assert!(text.contains("\"three\"") && text.contains("\"other\"") && !text.contains("\"two\""), "{text}");
    }

    #[test]
    fn a_name_cannot_end_its_label() {
        let series = Series::new(["a\"b", "c\\d", "e\nf", "g"], true);
        assert!(
            series
                .labels
                .starts_with(r#"k8s_namespace_name="a\"b",kn_service_name="c\\d",kn_configuration_name="e\nf""#)
        );
    }
}
