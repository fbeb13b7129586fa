//! What the process uses, under the names that Prometheus client libraries agree on.

use std::sync::OnceLock;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use pelton_env::{Clock as _, SystemClock, UnixMillis};

static STARTED: OnceLock<UnixMillis> = OnceLock::new();

/// Describes the metrics and notes that the process has started.
pub fn describe() {
    STARTED.get_or_init(|| SystemClock.now());
    describe_gauge!("process_resident_memory_bytes", Unit::Bytes, "Memory of the process that is in RAM");
    describe_gauge!("process_virtual_memory_bytes", Unit::Bytes, "Address space of the process");
    describe_gauge!("process_open_fds", "File descriptors that are open");
    describe_gauge!("process_max_fds", "File descriptors that may be open");
    describe_gauge!("process_threads", "Threads of the process");
    describe_counter!("process_cpu_seconds_total", "Processor time used, user and system together");
    describe_gauge!("process_start_time_seconds", Unit::Seconds, "When the process started, in seconds since 1970");
    describe_gauge!("pelton_build_info", "Always 1; the labels say what runs");
}

/// Reads it all once. What the system does not tell is left out.
pub fn observe() {
    if let Some(started) = STARTED.get() {
        gauge!("process_start_time_seconds").set(started.0 as f64 / 1000.0);
    }
    gauge!("pelton_build_info", "version" => env!("CARGO_PKG_VERSION"), "revision" => REVISION).set(1.0);
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    counter!("process_cpu_seconds_total").absolute(u64::try_from(now.tv_sec).unwrap_or(0));
    if let Some((virtual_bytes, resident_bytes)) = memory() {
        gauge!("process_virtual_memory_bytes").set(virtual_bytes as f64);
        gauge!("process_resident_memory_bytes").set(resident_bytes as f64);
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        // The listing itself holds one.
        gauge!("process_open_fds").set(entries.count().saturating_sub(1) as f64);
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/task") {
        gauge!("process_threads").set(entries.count() as f64);
    }
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        gauge!("process_max_fds").set(limit as f64);
    }
}

/// The source revision, when the build was told.
pub const REVISION: &str = match option_env!("PELTON_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Address space and resident memory in bytes, from `/proc/self/statm` (proc(5)).
fn memory() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split_ascii_whitespace().map(str::parse::<u64>);
    let (total, resident) = (pages.next()?.ok()?, pages.next()?.ok()?);
    let page = rustix::param::page_size() as u64;
    Some((total * page, resident * page))
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn the_memory_of_this_process_is_known() {
        let (total, resident) = super::memory().unwrap();
        assert!(resident > 0 && resident <= total, "{resident} of {total}");
    }
}
