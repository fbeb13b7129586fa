//! The attempts that an event had are kept: what is stored of them never goes back, and an event is given up after exactly
//! the policy's attempts, whoever made them; or one more for each session that began while its dead letter was on its way to
//! the sink, as only the subscriber's answer says why it goes there. (Knative Eventing, delivery: `retry`; "retry counter reset by failover" and
//! "dead letter before the last attempt is recorded" in the list of the fault catalogue.)

use std::collections::BTreeMap;

use pelton_client::{Cause, DeadLetter, GroupId, Offset, Progress, TriggerId};

use super::{Verdict, holds};
use crate::whole::triggers::{has_sink, retries};

const NAME: &str = "attempts are kept";

#[derive(Default)]
pub struct Attempts {
    stored: BTreeMap<(GroupId, TriggerId, Offset), u32>,
    /// How many sessions a group had.
    sessions: BTreeMap<GroupId, u32>,
}

impl Attempts {
    /// Progress was stored.
    pub fn progress(&mut self, group: GroupId, progress: &Progress) -> Verdict {
        for update in &progress.cursors {
            for (offset, attempts) in &update.attempts {
                let before = self.stored.insert((group, update.trigger, *offset), *attempts).unwrap_or(0);
                holds(before <= *attempts, NAME, || {
                    let trigger = update.trigger;
                    format!("{trigger} at {offset} of group {group} had {before} attempts and has {attempts}")
                })?;
            }
        }
        Ok(())
    }

    /// A dispatcher got the group.
    pub fn session(&mut self, group: GroupId) {
        *self.sessions.entry(group).or_default() += 1;
    }

    /// A dead letter is kept.
    pub fn letter(&self, trigger: u64, event: u64, letter: &DeadLetter) -> Verdict {
        let least = retries(trigger) + 1;
        let more = match has_sink(trigger) {
            true => self.sessions.get(&letter.position.group).map_or(0, |sessions| sessions.saturating_sub(1)),
            false => 0,
        };
        let all = letter.cause != Cause::RetriesExhausted || (least..=least + more).contains(&letter.attempts);
        holds(all, NAME, || format!("trigger {trigger} gave up event {event} after {} attempts", letter.attempts))
    }
}
