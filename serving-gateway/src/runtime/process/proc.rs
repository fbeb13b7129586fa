//! What the kernel tells of processes, in `/proc`.

use std::fs;
use std::io::{self, Read as _};

use rustix::process::Pid;

/// How much of a process's environment is looked at.
const ENVIRONMENT_BYTES: u64 = 256 * 1024;

/// What is told of a process, of `proc_pid_stat(5)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// `Z` or `X` for one that has ended.
    pub state: u8,
    /// Its process group.
    pub group: i32,
    /// When it began, in ticks since the machine did. With its number, this is the process and no other.
    pub start_ticks: u64,
}

impl Stat {
    /// Of the process with this number. `None` when there is none.
    pub fn of(pid: Pid) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // The second field is a name in parentheses, in which anything may stand.
        let after_name = text.iter().rposition(|byte| *byte == b')')? + 1;
        let rest = std::str::from_utf8(text.get(after_name..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        // By their numbers in the manual: the first of these is field 3.
        let state = *fields.next()?.as_bytes().first()?;
        let group = fields.nth(5 - 4)?.parse().ok()?;
        let start_ticks = fields.nth(22 - 6)?.parse().ok()?;
        Some(Self { state, group, start_ticks })
    }

    /// Whether it has ended, and only its number is left.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// All processes that are seen from here.
pub fn pids() -> io::Result<impl Iterator<Item = Pid>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?)))
}

/// The environment with which a process began, unless it wrote over it, or it is not ours to see.
pub fn environment(pid: Pid) -> Option<Vec<u8>> {
    let file = fs::File::open(format!("/proc/{}/environ", pid.as_raw_pid())).ok()?;
    let mut bytes = Vec::new();
    file.take(ENVIRONMENT_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// What makes this start of the machine different from others. Empty when it cannot be told.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_the_name_is() {
        let tail = "7 11 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 100 200 18446744073709551615";
        let want = Stat { state: b'S', group: 11, start_ticks: 987_654 };
        for name in ["sh", "a b", "a) S (b", ") Z 1 2 3", ""] {
            let text = format!("42 ({name}) S {tail}\n");
            assert_eq!(Stat::parse(text.as_bytes()), Some(want), "{name:?}");
        }
        for wrong in ["", "42", "42 (sh)", "42 (sh) S 7 11 12", "42 (sh) S 7 x 12"] {
            assert_eq!(Stat::parse(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn this_process_is_seen() {
        let me = rustix::process::getpid();
        let stat = Stat::of(me).unwrap();
        assert!(!stat.has_ended() && stat.start_ticks > 0, "{stat:?}");
        assert_eq!(stat.group, rustix::process::getpgrp().as_raw_pid());
        assert!(pids().unwrap().any(|pid| pid == me));
        assert!(environment(me).is_some());
    }
}
