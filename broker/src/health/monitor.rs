//! Whether a node's disk lets it lead. Pure: looks at the log come in, with the time.
//!
//! All figures that decide it are here.

use std::time::Duration;

/// How often the log is looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// More between two looks than this is a process that was stopped, and not its disk.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// What was submitted has waited for so long without anything having been synced: the disk hangs. With a look and a
/// hand-over on top, a group is led elsewhere after about two seconds.
const STALLED_AFTER: Duration = Duration::from_millis(1_500);

/// A write and its sync take that long on average: the disk is slow.
const SLOW_SYNC: Duration = Duration::from_millis(150);

/// Over this time the average is taken.
const WINDOW: Duration = Duration::from_secs(1);

/// For so long it has to be slow before that counts.
const SLOW_AFTER: Duration = Duration::from_secs(5);

/// For so long a disk has to be well again. Twice as long each time that it is soon ailing again, up to the longest.
const WELL_FOR: Duration = Duration::from_secs(10);
const LONGEST_WELL_FOR: Duration = Duration::from_secs(300);

/// A disk that was well for so long begins anew with the shortest of these.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// What is wrong with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ailment {
    /// It has no room for an event.
    Full,
    /// It does not answer.
    Hung,
    /// It takes long.
    Slow,
}

/// How the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Health {
    /// What is wrong now.
    pub(crate) ailment: Option<Ailment>,
    /// Whether the node should lead groups: it does not as soon as something is wrong, and again once nothing has been
    /// for a while.
    pub(crate) is_fit: bool,
}

impl Default for Health {
    fn default() -> Self {
        Self { ailment: None, is_fit: true }
    }
}

/// The log at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// There is no room for an event, and there will be none by itself.
    pub(crate) is_full: bool,
    /// Something was submitted that is not durable.
    pub(crate) is_writing: bool,
    /// Flushes since the log was opened, and the time that they took.
    pub(crate) flushes: u64,
    pub(crate) flush_time: Duration,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Monitor {
    last: Option<(Duration, Look)>,
    /// Since something was last synced, while something waits.
    waits_for: Duration,
    /// The look that the window began with.
    window: Option<(Duration, Look)>,
    slow_for: Duration,
    health: Health,
    /// For how long nothing has been wrong.
    well_for: Duration,
    /// How long that has to be, when it is not the shortest time.
    demanded: Option<Duration>,
}

impl Monitor {
    /// How the disk is, by one more look at `now`: monotonic, counted from any one moment.
    pub(crate) fn look(&mut self, now: Duration, look: Look) -> Health {
        let (before, previous) = self.last.replace((now, look)).unwrap_or((now, look));
        let step = now.saturating_sub(before).min(LONGEST_LOOK);
        let is_stuck = look.is_writing && previous.is_writing && look.flushes == previous.flushes;
        self.waits_for = if is_stuck { self.waits_for + step } else { Duration::ZERO };
        self.average(now, look);
        let ailment = if look.is_full {
            Some(Ailment::Full)
        } else if self.waits_for >= STALLED_AFTER {
            Some(Ailment::Hung)
        } else if self.slow_for >= SLOW_AFTER {
            Some(Ailment::Slow)
        } else {
            None
        };
        self.judge(ailment, step);
        self.health
    }

    /// At the end of a window: whether it was a slow one.
    fn average(&mut self, now: Duration, look: Look) {
        let (begin, first) = *self.window.get_or_insert((now, look));
        let took = now.saturating_sub(begin);
        if took < WINDOW {
            return;
        }
        self.window = Some((now, look));
        let flushes = u32::try_from(look.flushes - first.flushes).unwrap_or(u32::MAX);
        // One that is still under way says nothing yet, and does not make up for those before it.
        let is_slow = match (look.flush_time - first.flush_time).checked_div(flushes) {
            Some(mean) => mean >= SLOW_SYNC,
            None => look.is_writing && self.slow_for > Duration::ZERO,
        };
        self.slow_for = if is_slow { self.slow_for + took.min(2 * WINDOW) } else { Duration::ZERO };
    }

    fn judge(&mut self, ailment: Option<Ailment>, step: Duration) {
        self.health.ailment = ailment;
        let demanded = self.demanded.unwrap_or(WELL_FOR);
        if ailment.is_some() {
            if self.health.is_fit {
                self.health.is_fit = false;
                let is_relapse = self.demanded.is_some() && self.well_for < FORGIVEN_AFTER;
                self.demanded = Some(if is_relapse { (2 * demanded).min(LONGEST_WELL_FOR) } else { WELL_FOR });
            }
            self.well_for = Duration::ZERO;
        } else {
            self.well_for += step;
            self.health.is_fit |= self.well_for >= demanded;
        }
    }
}

#[cfg(test)]
mod tests;
