//! How fast a replica that lacks much is sent what it lacks.
//!
//! A replica that is made again is sent gigabytes. As fast as it can take them they would take processors and disks from
//! the events that come in meanwhile. Nobody waits for them as long as the others are a quorum; so then they have a rate.

use std::time::Duration;

/// Old bytes a second, of one group to one replica, beside what new entries ask for: a gigabyte in a minute.
const BYTES_PER_SECOND: u64 = 16 << 20;

/// Entries that a replica may lack and not count as one that lacks much: more are never on their way to one that keeps up.
const KEEPS_UP: u64 = 64;

/// One request, as far as its pace is concerned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// The index of its last entry.
    pub(super) last: u64,
    /// How far the group has committed.
    pub(super) committed: u64,
    /// The index of the newest entry in the leader's log.
    pub(super) newest: u64,
}

/// The pace of one stream.
#[derive(Debug, Default)]
pub(super) struct Pace {
    before: Option<Sent>,
}

impl Pace {
    /// How long to wait before a request is sent.
    pub(super) fn pause(&mut self, now: Sent) -> Duration {
        let before = self.before.replace(now);
        if now.newest.saturating_sub(now.last) < KEEPS_UP {
            return Duration::ZERO;
        }
        // When nothing is committed although something waits for it, a quorum may need this very replica.
        let needs_no_other =
            now.committed >= now.newest || before.is_some_and(|before| now.committed > before.committed);
        if !needs_no_other {
            return Duration::ZERO;
        }
        // Twice what comes in, so that the end is reached however much that is.
        let came_in = now.newest - before.map_or(now.newest, |before| before.newest.min(now.newest));
        let allowed = 2 * came_in * (now.bytes / now.entries.max(1));
        Duration::from_secs_f64(now.bytes.saturating_sub(allowed) as f64 / BYTES_PER_SECOND as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEGABYTE: Sent = Sent { entries: 4, bytes: 1 << 20, last: 100, committed: 10_000, newest: 10_000 };
    const ITS_TIME: Duration = Duration::from_nanos(62_500_000);

    /// The pause before the second of two requests.
    fn pause(first: Sent, second: Sent) -> Duration {
        let mut pace = Pace::default();
        pace.pause(first);
        pace.pause(second)
    }

    #[test]
    fn what_is_old_has_a_rate_while_nobody_waits_for_it() {
        let waiting = Sent { newest: 10_003, ..MEGABYTE };
        let rows = [
            ("nothing new", MEGABYTE, MEGABYTE, ITS_TIME),
            ("new entries, and they are committed", waiting, Sent { committed: 10_001, ..waiting }, ITS_TIME),
            ("new entries, and a quorum may need this replica", waiting, waiting, Duration::ZERO),
            ("it keeps up", MEGABYTE, Sent { last: 9_950, ..MEGABYTE }, Duration::ZERO),
            (
                "a quarter of it came in",
                MEGABYTE,
                Sent { newest: 10_001, ..Sent { committed: 10_001, ..MEGABYTE } },
                ITS_TIME / 2,
            ),
            (
                "more came in than was sent",
                MEGABYTE,
                Sent { newest: 10_009, ..Sent { committed: 10_009, ..MEGABYTE } },
                Duration::ZERO,
            ),
        ];
        for (row, first, second, want) in rows {
            assert_eq!(pause(first, second), want, "{row}");
        }
    }
}
