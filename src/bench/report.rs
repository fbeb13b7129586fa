//! The result as a table for people and as JSON for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::disk_probe::SyncCost;
use super::rounds::{Pair, Spread};

/// What a row has to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// The measured value must not be below `must`; the aim is higher.
    AtLeast {
        /// The bar.
        must: f64,
        /// What we want.
        aim: f64,
    },
    /// The measured value must not be above `must`; the aim is lower.
    AtMost {
        /// The bar.
        must: f64,
        /// What we want.
        aim: f64,
    },
}

/// How a row stands to its goal, by the median.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Reached the aim.
    Aim,
    /// Reached the bar.
    Pass,
    /// Did not reach the bar.
    Short,
    /// Has no bar.
    Unjudged,
}

impl Goal {
    /// How `value` stands to this goal. What is no number is short of it.
    pub fn judge(self, value: f64) -> Verdict {
        let (aim, must) = match self {
            Self::AtLeast { must, aim } => (value >= aim, value >= must),
            Self::AtMost { must, aim } => (value <= aim, value <= must),
        };
        match (aim, must) {
            (true, _) => Verdict::Aim,
            (false, true) => Verdict::Pass,
            (false, false) => Verdict::Short,
        }
    }
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Aim => "pass (aim)",
            Self::Pass => "pass",
            Self::Short => "SHORT",
            Self::Unjudged => "-",
        }
    }
}

/// A number with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// The number.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
}

/// One line of the result.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What was measured.
    pub label: String,
    /// The product's figure, the median over the rounds.
    pub ours: Figure,
    /// What it is compared with, the median over the rounds.
    pub reference: Option<Figure>,
    /// What the goal is about: the ratio of each pair, or the figure itself.
    pub measured: Spread,
    /// The unit of `measured`; `x` for a ratio.
    pub unit: &'static str,
    /// What it has to reach.
    pub goal: Option<Goal>,
    /// Whether it does.
    pub verdict: Verdict,
    /// Processor time stolen by the host during the rounds, percent.
    pub stolen_percent: Option<Spread>,
    /// Processor time of the product for one event, the median, microseconds.
    pub processor_micros_per_event: Option<f64>,
    /// What a reader should know beside it.
    pub notes: Vec<String>,
}

impl Row {
    /// A row of ratios; `None` without pairs.
    pub fn of_pairs(label: String, pairs: &[Pair], units: (&'static str, &'static str), goal: Goal) -> Option<Self> {
        let measured = Spread::of(pairs.iter().map(Pair::ratio))?;
        let figure = |value, unit| Figure { value, unit };
        Some(Self {
            label,
            ours: figure(Spread::of(pairs.iter().map(|pair| pair.ours.value))?.median, units.0),
            reference: Some(figure(Spread::of(pairs.iter().map(|pair| pair.reference))?.median, units.1)),
            measured,
            unit: "x",
            goal: Some(goal),
            verdict: goal.judge(measured.median),
            stolen_percent: Spread::of(pairs.iter().filter_map(|pair| pair.stolen_percent)),
            processor_micros_per_event: Spread::of(pairs.iter().filter_map(|pair| pair.ours.processor_micros))
                .map(|spread| spread.median),
            notes: Vec::new(),
        })
    }

    /// A row whose figure is itself the goal; `None` without values.
    pub fn of_values(label: String, values: &[f64], unit: &'static str, goal: Option<Goal>) -> Option<Self> {
        let measured = Spread::of(values.iter().copied())?;
        Some(Self {
            label,
            ours: Figure { value: measured.median, unit },
            reference: None,
            measured,
            unit,
            goal,
            verdict: goal.map_or(Verdict::Unjudged, |goal| goal.judge(measured.median)),
            stolen_percent: None,
            processor_micros_per_event: None,
            notes: Vec::new(),
        })
    }

    /// Adds what a reader should know.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// The machine and the build.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    version: &'static str,
    optimised_build: bool,
    processors: usize,
    processor_model: Option<String>,
    kernel: Option<String>,
    data_in_memory_only: bool,
}

impl Machine {
    /// Looks at this machine and build.
    pub fn look(data_in_memory_only: bool) -> Self {
        let model = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            optimised_build: !cfg!(debug_assertions),
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
            processor_model: model,
            kernel: kernel.map(|text| text.trim().to_owned()),
            data_in_memory_only,
        }
    }
}

/// How the run was asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// Pairs a row.
    pub rounds: usize,
    /// Seconds a measurement.
    pub seconds: u64,
    /// Whether sizes were cut down.
    pub quick: bool,
    /// Worker threads of the product and of the null server.
    pub workers: usize,
}

/// A workload that gave no figure, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// Its name.
    pub workload: String,
    /// Why.
    pub reason: String,
}

/// The raw cost of a synced 4 KiB write, microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RawSync {
    p50_micros: f64,
    p99_micros: f64,
}

impl From<SyncCost> for RawSync {
    fn from(cost: SyncCost) -> Self {
        Self { p50_micros: micros(cost.p50), p99_micros: micros(cost.p99) }
    }
}

/// Everything that a run found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The machine and the build.
    pub machine: Machine,
    /// How the run was asked for.
    pub settings: Settings,
    /// Raw synced writes before the first and after the last workload.
    pub raw_sync: Vec<RawSync>,
    /// Processor time stolen by the host over the whole run, percent.
    pub stolen_percent: Option<f64>,
    /// What was measured.
    pub rows: Vec<Row>,
    /// What could not be.
    pub failures: Vec<Failure>,
    /// What was left out, because a program of others is not here.
    pub skipped: Vec<Failure>,
}

impl Report {
    /// Whether every workload gave figures and none is short of its bar.
    pub fn passes(&self) -> bool {
        self.failures.is_empty() && self.rows.iter().all(|row| row.verdict != Verdict::Short)
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let mut lines = vec![HEADINGS.map(str::to_owned)];
        lines.extend(self.rows.iter().map(cells));
        let mut text = self.preface();
        for line in &lines {
            for (column, cell) in line.iter().enumerate() {
                let width = lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
                if column == 0 {
                    let _ = write!(text, "{cell:<width$}");
                } else {
                    let _ = write!(text, "  {cell:>width$}");
                }
            }
            text.push('\n');
        }
        for row in &self.rows {
            for note in &row.notes {
                let _ = writeln!(text, "note: {}: {note}", row.label);
            }
        }
        for failure in &self.failures {
            let _ = writeln!(text, "FAILED: {}: {}", failure.workload, failure.reason);
        }
        for skipped in &self.skipped {
            let _ = writeln!(text, "SKIPPED: {}: {}", skipped.workload, skipped.reason);
        }
        text
    }

    fn preface(&self) -> String {
        let machine = &self.machine;
        let unknown = || "unknown".to_owned();
        let mut text = format!(
            "pelton {}, {} processors ({}), Linux {}; {} rounds of {} s, {} workers\n",
            machine.version,
            machine.processors,
            machine.processor_model.clone().unwrap_or_else(unknown),
            machine.kernel.clone().unwrap_or_else(unknown),
            self.settings.rounds,
            self.settings.seconds,
            self.settings.workers,
        );
        for (when, sync) in ["before", "after"].iter().zip(&self.raw_sync) {
            let _ = writeln!(
                text,
                "raw 4 KiB write + fdatasync, {when}: p50 {} us, p99 {} us",
                number(sync.p50_micros),
                number(sync.p99_micros)
            );
        }
        if let Some(percent) = self.stolen_percent {
            let _ = writeln!(text, "processor time taken by the host over the run: {percent:.1} %");
        }
        if !machine.optimised_build {
            text.push_str("WARNING: this is a debug build; its figures mean nothing\n");
        }
        if machine.data_in_memory_only {
            text.push_str("WARNING: the data directory is in memory; a sync costs nothing there (use --data)\n");
        }
        text.push('\n');
        text
    }
}

const HEADINGS: [&str; 9] =
    ["workload", "ours", "reference", "median [min-max]", "must", "aim", "result", "steal %", "CPU us/event"];

fn cells(row: &Row) -> [String; 9] {
    let figure = |figure: Figure| format!("{} {}", number(figure.value), figure.unit);
    let none = || "-".to_owned();
    let (must, aim) = match row.goal {
        None => (none(), none()),
        Some(Goal::AtLeast { must, aim }) => (format!(">= {}", number(must)), format!(">= {}", number(aim))),
        Some(Goal::AtMost { must, aim }) => (format!("<= {}", number(must)), format!("<= {}", number(aim))),
    };
    let Spread { median, min, max } = row.measured;
    [
        row.label.clone(),
        figure(row.ours),
        row.reference.map_or_else(none, figure),
        format!("{} {} [{}-{}]", number(median), row.unit, number(min), number(max)),
        must,
        aim,
        row.verdict.word().to_owned(),
        row.stolen_percent.map_or_else(none, |stolen| format!("{:.1}-{:.1}", stolen.min, stolen.max)),
        row.processor_micros_per_event.map_or_else(none, number),
    ]
}

/// Three significant digits, and whole numbers from a hundred on with their thousands apart.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if !size.is_finite() => return value.to_string(),
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    if digits > 0 {
        return text;
    }
    let mut grouped = String::new();
    for (place, digit) in text.chars().enumerate() {
        let left = text.len() - place;
        if place > 0 && left % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A duration in microseconds.
pub fn micros(span: Duration) -> f64 {
    span.as_nanos() as f64 / 1e3
}

/// A duration in milliseconds.
pub fn millis(span: Duration) -> f64 {
    span.as_nanos() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_judged_on_the_right_side_of_its_goal() {
        let more = Goal::AtLeast { must: 0.5, aim: 0.65 };
        let less = Goal::AtMost { must: 80.0, aim: 40.0 };
        for (goal, value, want) in [
            (more, 0.49, Verdict::Short),
            (more, 0.5, Verdict::Pass),
            (more, 0.65, Verdict::Aim),
            (more, f64::NAN, Verdict::Short),
            (less, 80.1, Verdict::Short),
            (less, 80.0, Verdict::Pass),
            (less, 40.0, Verdict::Aim),
            (less, f64::NAN, Verdict::Short),
        ] {
            assert_eq!(goal.judge(value), want, "{goal:?} {value}");
        }
    }

    #[test]
    fn numbers_are_short() {
        for (value, want) in [
            (0.0, "0.00"),
            (0.654, "0.65"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1_234.5, "1,234"),
            (1_234_567.0, "1,234,567"),
            (-123_456.0, "-123,456"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(number(value), want);
        }
    }

    fn report(rows: Vec<Row>) -> Report {
        Report {
            machine: Machine::look(false),
            settings: Settings { rounds: 1, seconds: 1, quick: true, workers: 1 },
            raw_sync: vec![],
            stolen_percent: Some(0.5),
            rows,
            failures: vec![],
            skipped: vec![],
        }
    }

    #[test]
    fn the_ratio_is_the_median_of_the_ratios_of_the_pairs() {
        let pair = |ours: f64, reference| Pair { ours: ours.into(), reference, stolen_percent: Some(1.0) };
        // The ratio of the medians would be 1.0.
        let pairs = [pair(10.0, 40.0), pair(20.0, 20.0), pair(30.0, 10.0)];
        let goal = Goal::AtLeast { must: 0.5, aim: 1.0 };
        let row = Row::of_pairs("x".to_owned(), &pairs, ("events/s", "requests/s"), goal).unwrap();
        assert_eq!((row.measured.median, row.measured.min, row.measured.max), (1.0, 0.25, 3.0));
        assert_eq!((row.ours.value, row.reference.unwrap().value, row.verdict), (20.0, 20.0, Verdict::Aim));
        assert!(Row::of_pairs("x".to_owned(), &[], ("", ""), goal).is_none());
    }

    #[test]
    fn a_short_row_or_a_failure_does_not_pass() {
        let goal = Some(Goal::AtMost { must: 10.0, aim: 4.0 });
        let row = |value| Row::of_values("latency".to_owned(), &[value], "ms", goal).unwrap();
        assert!(report(vec![row(5.0)]).passes());
        assert!(!report(vec![row(5.0), row(11.0)]).passes());
        let failure = Failure { workload: "replay".to_owned(), reason: "no".to_owned() };
        let failed = Report { failures: vec![failure], ..report(vec![row(5.0)]) };
        assert!(!failed.passes());
        assert!(failed.table().contains("FAILED: replay: no"), "{}", failed.table());
    }

    #[test]
    fn what_is_left_out_is_named_and_no_failure() {
        let absent = super::super::error::BenchError::Absent { program: "nginx" };
        let skipped = Failure { workload: "gateway-warm".to_owned(), reason: absent.to_string() };
        let report = Report { skipped: vec![skipped], ..report(vec![]) };
        assert!(report.passes());
        assert!(report.table().contains("SKIPPED: gateway-warm: nginx is not installed"), "{}", report.table());
    }

    #[test]
    fn table_and_json_show_the_row() {
        let row = Row::of_values("latency".to_owned(), &[5.0], "ms", Some(Goal::AtMost { must: 10.0, aim: 4.0 }));
        let report = report(vec![row.unwrap().note("planned times")]);
        let table = report.table();
        let line = table.lines().find(|line| line.starts_with("latency")).unwrap();
        for part in ["5.00 ms [5.00-5.00]", "<= 10.0", "<= 4.00", "pass"] {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(table.contains("note: latency: planned times"));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["rows"][0]["verdict"], "pass");
        assert_eq!(json["rows"][0]["goal"]["at-most"]["must"], 10.0);
    }
}
