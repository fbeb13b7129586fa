//! How much of the processors the host kept for others while we measured.
//!
//! A virtual machine under full load loses up to a third of its time this way, in phases. A ratio from such a phase
//! says little, so it is printed beside every figure and pairs taken above a limit are repeated.

/// Above this share of stolen time a pair is taken again, percent.
pub const CALM_PERCENT: f64 = 3.0;

/// The machine's processor times since it started, in ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessorTimes {
    total: u64,
    stolen: u64,
}

impl ProcessorTimes {
    /// Reads the times now; `None` where the system does not tell.
    pub fn now() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// Reads the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal. Guest time, after
    /// those, is counted in user already.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
        let mut times = [0_u64; 8];
        for time in &mut times {
            *time = fields.next()?.parse().ok()?;
        }
        Some(Self { total: times.iter().sum(), stolen: times[7] })
    }

    /// The share of time stolen between `earlier` and this, percent.
    pub fn stolen_percent_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total);
        if total == 0 {
            return 0.0;
        }
        100.0 * self.stolen.saturating_sub(earlier.stolen) as f64 / total as f64
    }
}

/// Stolen time from its making on.
#[derive(Debug, Clone, Copy)]
pub struct StealWatch(Option<ProcessorTimes>);

impl StealWatch {
    /// Starts to watch.
    pub fn start() -> Self {
        Self(ProcessorTimes::now())
    }

    /// The share stolen since the start, percent; `None` where the system does not tell.
    pub fn percent(self) -> Option<f64> {
        Some(ProcessorTimes::now()?.stolen_percent_since(self.0?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_read() {
        let text = "cpu  10 20 30 400 5 6 7 8 900 1000\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(ProcessorTimes::parse(text), Some(ProcessorTimes { total: 486, stolen: 8 }));
        for bad in ["", "cpu  1 2 3\n", "cpu0 1 2 3 4 5 6 7 8\n", "cpu  a 2 3 4 5 6 7 8\n"] {
            assert_eq!(ProcessorTimes::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_share_is_of_the_time_between() {
        let earlier = ProcessorTimes { total: 1_000, stolen: 10 };
        let later = ProcessorTimes { total: 1_200, stolen: 16 };
        assert!((later.stolen_percent_since(earlier) - 3.0).abs() < 1e-9);
        assert!(earlier.stolen_percent_since(earlier).abs() < 1e-9);
    }
}
