//! What the system says about one process: processor time and resident memory.

use std::time::Duration;

/// A tick of `/proc/PID/stat`. Linux gives user space 100 a second on every architecture that we run on (USER_HZ).
const TICK: Duration = Duration::from_millis(10);

/// Bytes in a kibibyte, the unit of `/proc/PID/status`.
const KIBIBYTE: u64 = 1024;

/// User and system time that the process has used; `None` where the system does not tell.
pub fn processor_time(pid: u32) -> Option<Duration> {
    parse_processor_time(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Resident memory, bytes: now, and the highest ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    /// Now.
    pub now_bytes: u64,
    /// The highest since the process started.
    pub peak_bytes: u64,
}

/// The resident memory of the process; `None` where the system does not tell.
pub fn resident(pid: u32) -> Option<Resident> {
    parse_resident(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn parse_processor_time(text: &str) -> Option<Duration> {
    // The second field is the name in brackets, and may hold spaces and brackets itself.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * user.checked_add(system)?)
}

fn parse_resident(text: &str) -> Option<Resident> {
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        kibibytes.checked_mul(KIBIBYTE)
    };
    Some(Resident { now_bytes: field("VmRSS:")?, peak_bytes: field("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_an_odd_name() {
        let text = "42 (a) b) S 1 42 42 0 -1 4194304 100 0 0 0 250 150 0 0 20 0 3 0 12345 1 2";
        assert_eq!(parse_processor_time(text), Some(Duration::from_secs(4)));
        assert_eq!(parse_processor_time("42 (a) S 1 2"), None);
        assert_eq!(parse_processor_time(""), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        let text = "Name:\tpelton\nVmPeak:\t  99 kB\nVmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse_resident(text), Some(Resident { now_bytes: 1 << 20, peak_bytes: 2 << 20 }));
        assert_eq!(parse_resident("Name:\tkthreadd\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_both() {
        assert!(resident(std::process::id()).unwrap().now_bytes > 0);
        assert!(processor_time(std::process::id()).is_some());
    }
}
