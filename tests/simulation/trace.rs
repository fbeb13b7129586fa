//! What happened in a run, to compare two runs of one seed.

use std::fmt;

/// Lines kept for the one who looks into a failure.
const KEPT: usize = 60;

/// The hash of every line, the number of lines, and the last ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub hash: u64,
    pub lines: u64,
    pub last: std::collections::VecDeque<String>,
    /// Print as it goes.
    pub loud: bool,
}

impl Trace {
    pub fn new(loud: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: 0, last: std::collections::VecDeque::new(), loud }
    }

    pub fn note(&mut self, millis: u64, what: fmt::Arguments<'_>) {
        let line = format!("{millis:>7} ms  {what}");
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.lines += 1;
        if self.loud {
            eprintln!("{line}");
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}
