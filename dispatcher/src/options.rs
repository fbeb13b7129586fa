//! The bounds of a dispatcher, each with its default.

use std::time::Duration;

/// The longest wait before an attempt, and the longest attempt, whatever a trigger says: a policy may ask for more than
/// a clock can add.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The bounds of a dispatcher. Memory, connections and work that is lost in a crash are all limited by these.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many bytes are read from the log in one call.
    pub read_bytes: usize,
    /// How many bytes of recently read batches are kept, for each log group.
    pub cache_bytes: usize,
    /// How often progress is stored at most.
    pub progress_every: Duration,
    /// Progress is stored earlier when so many deliveries ended.
    pub progress_completions: usize,
    /// No attempt starts while so many ended deliveries of a log group are not stored. A crash repeats at most these
    /// and the attempts that were on their way.
    pub max_unsaved: usize,
    /// Attempts on their way at one target, and so connections to it, of all triggers. A trigger may have as many as it
    /// leaves free: half of these when it is alone, less beside others, and always one. So triggers that hang never
    /// take the last place, and this is passed by at most one for each trigger.
    pub max_connections: usize,
    /// Bytes of events whose attempts are on their way, at all targets, shared by the same rule. At the bound a trigger
    /// waits, and spends no attempt by it. An event above 64 KiB shares the memory of its batch, which may be 256 KiB.
    pub sending_bytes: usize,
    /// Bytes of replies that are being read or are not stored yet, from all targets, shared by the same rule. A reply
    /// for which there is no room is a failed attempt.
    pub reply_bytes: usize,
    /// How long connecting may take, within an attempt's own timeout.
    pub connect_timeout: Duration,
    /// How long a connection is kept that nobody uses.
    pub idle_timeout: Duration,
    /// How long attempts that are on their way may take before a planned hand-over. Those that take longer are made again
    /// by whoever delivers next. The leader waits for half a second, within which progress has to be stored, too.
    pub finish_within: Duration,
    /// When a target's circuit opens.
    pub circuit: CircuitOptions,
    /// First attempts that went well and that are remembered, for each log group that this process has delivered. Each
    /// takes 56 bytes; the memory is asked for once, and used as it fills.
    pub remembered_successes: usize,
    /// Other attempts that are remembered: those that failed, those after a failure, those that brought a reply. 56 bytes
    /// each, for each log group.
    pub remembered_attempts: usize,
    /// How often a trigger's gauges are set when nothing happens to it.
    pub gauges_every: Duration,
    /// Triggers that have metrics of their own; the others share one set labelled `other`.
    pub max_labelled_triggers: usize,
    /// Targets whose circuit is shown in metrics, once it has opened; the others are not shown.
    pub max_labelled_targets: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            read_bytes: 512 * 1024,
            cache_bytes: 64 * 1024 * 1024,
            progress_every: Duration::from_millis(100),
            progress_completions: 4_096,
            max_unsaved: 16_384,
            max_connections: 512,
            sending_bytes: 64 * 1024 * 1024,
            reply_bytes: 32 * 1024 * 1024,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            finish_within: Duration::from_millis(300),
            circuit: CircuitOptions::default(),
            remembered_successes: 32_768,
            remembered_attempts: 16_384,
            gauges_every: Duration::from_secs(5),
            max_labelled_triggers: 200,
            max_labelled_targets: 300,
        }
    }
}

/// When a target's circuit opens, and when it is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitOptions {
    /// Failures in a row that open it.
    pub failures: u32,
    /// Different events that must be among them: one poison event does not speak against its target.
    pub events: usize,
    /// The time that must lie between the first and the last of them.
    pub span: Duration,
    /// The wait before the first probe. It doubles with each that fails.
    pub first_probe: Duration,
    /// The longest wait between two probes.
    pub last_probe: Duration,
}

impl Default for CircuitOptions {
    fn default() -> Self {
        Self {
            failures: 20,
            events: 5,
            span: Duration::from_secs(5),
            first_probe: Duration::from_secs(1),
            last_probe: Duration::from_secs(30),
        }
    }
}
