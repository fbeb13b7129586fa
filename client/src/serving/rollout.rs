//! Gradual rollout: how the traffic of a Configuration moves to its new latest revision, step by step.
//!
//! One state machine for each pair of Configuration and tag (the empty tag is the Route's own host). Its state is kept
//! in the Route, as an annotation of its status ([`labels::ROLLOUT`](pelton_resource::serving::labels::ROLLOUT)), so that
//! whoever leads next goes on with it.
//!
//! 1. A new revision takes 1 % from the newest one before it that has traffic.
//! 2. Once gateways serve that, the length of a step follows from how long it took.
//! 3. Each step takes from the second newest backwards, until one revision is left.

use std::time::Duration;

use pelton_env::UnixMillis;
use serde::{Deserialize, Serialize};

/// The rollouts of one Route, sorted by tag and Configuration. One that is over stays: it tells which revision the next
/// one comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    configurations: Vec<ConfigurationRollout>,
}

/// How the traffic of one Configuration under one tag is shared out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationRollout {
    /// The Configuration.
    pub configuration_name: String,
    /// The tag; empty for the Route's own host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// What all shares add up to, 1 to 100.
    pub percent: u8,
    /// The shares, the newest revision last. Never empty, and none of several is zero, so there are at most 100.
    pub revisions: Vec<Share>,
    /// How it goes on; `None` when it is over: one revision has it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
}

/// What one revision gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// The revision.
    pub revision_name: String,
    /// Its percent of all requests to the host.
    pub percent: u8,
}

/// How a rollout goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Pace {
    /// The newest revision has its first percent, and gateways have yet to serve it.
    Starting {
        /// When it got it.
        #[serde(with = "moment")]
        start_time: UnixMillis,
    },
    /// One step after the other.
    Stepping {
        /// When the next step is due.
        #[serde(with = "moment")]
        next_step_time: UnixMillis,
        /// From one step to the next.
        step_duration: Duration,
        /// The percent that a step moves.
        step_size: u8,
    },
}

/// Where a Configuration's traffic is to go in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goal<'a> {
    /// The Configuration.
    pub configuration_name: &'a str,
    /// The tag; empty for the Route's own host.
    pub tag: &'a str,
    /// Its percent of all requests to the host, 0 to 100.
    pub percent: u8,
    /// Its latest ready revision.
    pub revision_name: &'a str,
}

/// What a rollout follows beside its goal.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// How long a rollout takes, in whole seconds; zero moves all traffic at once.
    pub duration: Duration,
    /// Whether gateways serve what they are told.
    pub is_served: bool,
    /// Whether there is a revision of that name.
    pub exists: &'a dyn Fn(&str) -> bool,
    /// The present moment.
    pub now: UnixMillis,
}

impl Rollout {
    /// Reads the annotation. `None` when it says what cannot be: it is better to begin anew than to send requests
    /// wherever such a text leads.
    #[must_use]
    pub fn from_annotation(text: &str) -> Option<Self> {
        let read: Self = serde_json::from_str(text).ok()?;
        read.configurations.iter().all(ConfigurationRollout::is_sound).then_some(read)
    }

    /// The annotation.
    #[must_use]
    pub fn to_annotation(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers can be written as JSON")
    }

    /// What follows from this one at `terms.now`. Asked again at the same moment it is the same.
    #[must_use]
    pub fn next(&self, goals: &[Goal<'_>], terms: Terms<'_>) -> Self {
        let with_traffic = goals.iter().filter(|goal| goal.percent > 0);
        let mut configurations: Vec<_> = with_traffic
            .map(|goal| match self.find(goal.configuration_name, goal.tag) {
                Some(before) => before.next(goal, terms),
                None => ConfigurationRollout::over(goal),
            })
            .collect();
        configurations.sort_by(|a, b| (&a.tag, &a.configuration_name).cmp(&(&b.tag, &b.configuration_name)));
        Self { configurations }
    }

    /// The rollout of a Configuration under a tag.
    #[must_use]
    pub fn find(&self, configuration_name: &str, tag: &str) -> Option<&ConfigurationRollout> {
        self.configurations.iter().find(|one| one.configuration_name == configuration_name && one.tag == tag)
    }

    /// The rollout under a tag. There is one at most: a tag names one target.
    #[must_use]
    pub fn of_tag(&self, tag: &str) -> Option<&ConfigurationRollout> {
        self.configurations.iter().find(|one| one.tag == tag)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigurationRollout> {
        self.configurations.iter()
    }

    /// Whether any of them has a step to do.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.configurations.iter().any(|one| one.pace.is_some())
    }

    /// When the next step is due, if one is.
    #[must_use]
    pub fn wake_at(&self) -> Option<UnixMillis> {
        let due = |one: &ConfigurationRollout| match one.pace? {
            Pace::Starting { .. } => None,
            Pace::Stepping { next_step_time, .. } => Some(next_step_time),
        };
        self.configurations.iter().filter_map(due).min()
    }
}

impl ConfigurationRollout {
    fn over(goal: &Goal<'_>) -> Self {
        Self {
            configuration_name: goal.configuration_name.to_owned(),
            tag: goal.tag.to_owned(),
            percent: goal.percent,
            revisions: vec![Share { revision_name: goal.revision_name.to_owned(), percent: goal.percent }],
            pace: None,
        }
    }

    fn is_sound(&self) -> bool {
        let total: u32 = self.revisions.iter().map(|share| u32::from(share.percent)).sum();
        let steps = match self.pace {
            Some(Pace::Stepping { step_duration, step_size, .. }) => step_size > 0 && !step_duration.is_zero(),
            Some(Pace::Starting { .. }) | None => true,
        };
        (1..=100).contains(&self.percent)
            && total == u32::from(self.percent)
            && self.revisions.iter().all(|share| share.percent > 0)
            && self.pace.is_some() == (self.revisions.len() > 1)
            && steps
    }

    fn next(&self, goal: &Goal<'_>, terms: Terms<'_>) -> Self {
        // A single percent cannot be divided.
        if terms.duration.is_zero() || goal.percent <= 1 {
            return Self::over(goal);
        }
        let mut next = self.clone();
        next.forget_gone(terms.exists);
        if next.revisions.is_empty() {
            return Self::over(goal);
        }
        next.adjust(goal.percent);
        if next.revisions.last().is_none_or(|newest| newest.revision_name != goal.revision_name) {
            next.begin(goal.revision_name, terms.now);
        }
        if terms.is_served {
            next.move_on(terms);
        }
        if next.revisions.len() == 1 {
            next.pace = None;
        }
        next
    }

    /// Gives the share of revisions that somebody deleted to the newest of the others.
    fn forget_gone(&mut self, exists: &dyn Fn(&str) -> bool) {
        self.revisions.retain(|share| exists(&share.revision_name));
        let left: u8 = self.revisions.iter().map(|share| share.percent).sum();
        if let Some(newest) = self.revisions.last_mut() {
            newest.percent += self.percent - left;
        }
    }

    /// More goes to the newest revision; less is taken from the oldest first.
    fn adjust(&mut self, percent: u8) {
        if let (Some(more), Some(newest)) = (percent.checked_sub(self.percent), self.revisions.last_mut()) {
            newest.percent += more;
        }
        let mut less = self.percent.saturating_sub(percent);
        for share in &mut self.revisions {
            let taken = share.percent.min(less);
            share.percent -= taken;
            less -= taken;
        }
        self.revisions.retain(|share| share.percent > 0);
        self.percent = percent;
    }

    /// A new latest revision gets its first percent, and the timers begin anew.
    fn begin(&mut self, revision_name: &str, now: UnixMillis) {
        if let Some(newest) = self.revisions.last_mut() {
            newest.percent -= 1;
        }
        // A name comes again when its Configuration was made anew; it is another revision then.
        let again: u8 = self.revisions.iter().filter(|s| s.revision_name == revision_name).map(|s| s.percent).sum();
        self.revisions.retain(|share| share.percent > 0 && share.revision_name != revision_name);
        self.revisions.push(Share { revision_name: revision_name.to_owned(), percent: 1 + again });
        self.pace = Some(Pace::Starting { start_time: now });
    }

    fn move_on(&mut self, terms: Terms<'_>) {
        match self.pace {
            None => {}
            Some(Pace::Starting { start_time }) => {
                self.pace = Some(pace(self.percent, terms.duration, terms.now.since(start_time), terms.now));
            }
            Some(Pace::Stepping { next_step_time, step_duration, step_size }) if terms.now >= next_step_time => {
                self.step(step_size);
                let next_step_time = terms.now.plus(step_duration);
                self.pace = Some(Pace::Stepping { next_step_time, step_duration, step_size });
            }
            Some(Pace::Stepping { .. }) => {}
        }
    }

    fn step(&mut self, size: u8) {
        let Some(mut newest) = self.revisions.pop() else { return };
        let mut left = size;
        for share in self.revisions.iter_mut().rev() {
            let taken = share.percent.min(left);
            share.percent -= taken;
            newest.percent += taken;
            left -= taken;
        }
        self.revisions.retain(|share| share.percent > 0);
        self.revisions.push(newest);
    }
}

/// How to go on when it took `until_served` until gateways served the first of `percent`: a step takes at least as long,
/// in whole seconds, and moves at least one percent.
fn pace(percent: u8, duration: Duration, until_served: Duration, now: UnixMillis) -> Pace {
    let shortest_secs = u64::try_from(until_served.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1);
    let left_secs = duration.as_secs().saturating_sub(shortest_secs).max(1);
    let to_move = u64::from(percent) - 1;
    let steps = (left_secs / shortest_secs).clamp(1, to_move);
    let step_size = (2 * to_move + steps) / (2 * steps);
    // Whole milliseconds, as the clock has.
    let step_duration = Duration::from_millis(left_secs.saturating_mul(1000) / steps);
    Pace::Stepping { next_step_time: now.plus(step_duration), step_duration, step_size: step_size as u8 }
}

/// A moment in JSON: milliseconds since 1970.
mod moment {
    use pelton_env::UnixMillis;
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
    pub(super) fn serialize<S: Serializer>(moment: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(moment.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMillis, D::Error> {
        u64::deserialize(deserializer).map(UnixMillis)
    }
}

#[cfg(test)]
mod tests;
