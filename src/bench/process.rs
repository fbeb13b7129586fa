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

/// A child of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildProcess {
    /// Its id.
    pub pid: u32,
    /// Whether it is stopped from running.
    pub is_stopped: bool,
}

/// The children of the process that were not waited for yet. Empty where the system does not tell.
pub fn children(pid: u32) -> Vec<ChildProcess> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let relation = |child: u32| {
        let text = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        let (state, parent) = parse_relation(&text)?;
        (parent == pid).then_some(ChildProcess { pid: child, is_stopped: state == "T" })
    };
    pids.filter_map(relation).collect()
}

/// State and parent.
fn parse_relation(text: &str) -> Option<(&str, u32)> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    Some((fields.next()?, fields.next()?.parse().ok()?))
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
    fn the_parent_is_found_behind_an_odd_name() {
        assert_eq!(parse_relation("42 (a) b) T 7 42 42 0"), Some(("T", 7)));
        assert_eq!(parse_relation("42 (a)"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_child_is_found_until_it_is_waited_for() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let is_there = |pid| children(std::process::id()).iter().any(|child| child.pid == pid && !child.is_stopped);
        assert!(is_there(child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!is_there(child.id()));
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
