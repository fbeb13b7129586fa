//! What may go: retention by age and by bytes, expiry of dead letters, checkpoints.
//!
//! A group's leader says how far its log is not needed, as an entry of it; each replica purges up to there.
//!
//! Nothing that a cursor still needs ever goes. When that keeps more than the limit on bytes, it is an alarm, not a
//! deletion. A full disk lets nothing go that would have been kept otherwise: new events are refused until there is
//! room.

use std::collections::BTreeMap;
use std::time::Duration;

use pelton_client::{Offset, PRODUCER_WINDOW};
use pelton_env::UnixMillis;
use pelton_log::{GroupId as LogGroupId, LogIndex};
use pelton_resource::annotations::DEFAULT_RETENTION;
use pelton_resource::broker_settings;
use tokio::time::Instant;

use crate::command::Change;
use crate::groups::DataGroup;
use crate::node::Shared;

/// How often the watermark is looked at.
const EVERY: Duration = Duration::from_secs(5);

/// How often, while the log is above its limit and that helps: each look lets one segment of 128 MiB go, and so
/// segments go faster than a disk can fill them.
const EVERY_ABOVE_LIMIT: Duration = Duration::from_millis(100);

/// Looks in a row that may find nothing to let go before it is taken that something holds the log. A segment that was
/// let go is gone a moment later.
const LOOKS_IN_VAIN: u32 = 10;

/// A checkpoint is stored once this many entries were applied since the last one, so that a restart re-applies few.
const CHECKPOINT_AFTER_ENTRIES: u64 = 2_048;

/// A checkpoint is also stored once the log has grown by so much since the last one: few entries may be many bytes,
/// and what is applied again is read again.
const CHECKPOINT_AFTER_BYTES: u64 = 64 << 20;

/// How often it is looked whether a checkpoint is due.
const LOOK_FOR_CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// The registry's log is purged once it holds this many entries.
const REGISTRY_PURGE_AFTER_ENTRIES: u64 = 1_024;

/// How long a group's leader waits for what it proposes, before the other groups have their turn: a group that lost its
/// quorum commits nothing.
const PROPOSE_WITHIN: Duration = Duration::from_secs(5);

/// Runs until the node shuts down.
pub(crate) async fn run(shared: Shared) {
    let mut alarmed = false;
    let mut checkpointed = BTreeMap::new();
    let mut registry_purged = 0;
    let mut looks_left = LOOKS_IN_VAIN;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut checkpoints = tokio::time::interval(LOOK_FOR_CHECKPOINT_EVERY);
    checkpoints.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = ticks.tick() => {}
            _ = checkpoints.tick() => {
                for (id, group) in shared.groups.all().iter() {
                    let checkpointed = checkpointed.entry(*id).or_default();
                    if let Err(error) = checkpoint_if_due(&shared, group, checkpointed).await {
                        tracing::warn!(group = %id, %error, "no checkpoint; tried again later");
                    }
                }
                continue;
            }
        }
        let groups = shared.groups.all();
        checkpointed.retain(|id, _| groups.contains_key(id));
        let before = (first_offsets(&shared), registry_purged);
        for (id, group) in groups.iter() {
            if let Err(error) = tend(&shared, group, checkpointed.entry(*id).or_default()).await {
                if let Hindrance::Read(error) = &error {
                    shared.metrics.read_failed(error);
                }
                tracing::warn!(group = %id, %error, "retention could not be applied; tried again later");
            }
        }
        report_groups(&shared);
        if let Err(error) = tend_registry(&shared, &mut registry_purged).await {
            tracing::warn!(%error, "the registry's log could not be purged; tried again later");
        }
        let now = (first_offsets(&shared), registry_purged);
        looks_left = if now == before { looks_left.saturating_sub(1) } else { LOOKS_IN_VAIN };
        if looks_left > 0 && over_limit(&shared) > 0 {
            ticks.reset_after(EVERY_ABOVE_LIMIT);
        }
        report_size(&shared, &mut alarmed, looks_left == 0);
    }
}

fn first_offsets(shared: &Shared) -> Vec<Offset> {
    shared.groups.all().values().map(|group| first_offset(shared, group.raft.id())).collect()
}

/// Where the last checkpoint of a group stood. None yet in this process: then one is due with the first entry.
#[derive(Debug, Clone, Copy, Default)]
struct Checkpointed(Option<Grown>);

/// How far a group had come.
#[derive(Debug, Clone, Copy)]
struct Grown {
    applied: u64,
    /// Of the whole log, since it was opened.
    log_bytes: u64,
}

impl Checkpointed {
    fn is_due(self, now: Grown) -> bool {
        self.0.is_none_or(|last| {
            now.applied > last.applied + CHECKPOINT_AFTER_ENTRIES
                || (now.applied > last.applied && now.log_bytes > last.log_bytes + CHECKPOINT_AFTER_BYTES)
        })
    }
}

fn grown(shared: &Shared, group: &DataGroup) -> Grown {
    Grown { applied: group.raft.applied().borrow().0, log_bytes: shared.log.stats().bytes }
}

async fn checkpoint_if_due(
    shared: &Shared,
    group: &DataGroup,
    checkpointed: &mut Checkpointed,
) -> Result<(), pelton_consensus::GroupError> {
    let now = grown(shared, group);
    if checkpointed.is_due(now) {
        let is_stored = group.raft.checkpoint().await?;
        if is_stored {
            checkpointed.0 = Some(now);
            shared.metrics.checkpoint();
        }
    }
    Ok(())
}

/// Why retention could not be applied this time.
#[derive(Debug, thiserror::Error)]
enum Hindrance {
    #[error(transparent)]
    Read(#[from] pelton_log::ReadError),
    #[error(transparent)]
    Group(#[from] pelton_consensus::GroupError),
    #[error(transparent)]
    Change(#[from] pelton_client::OperationError),
    #[error("the group did not commit it in time")]
    Slow(#[from] tokio::time::error::Elapsed),
    #[error("the task that reads the log ended")]
    Task(#[from] tokio::task::JoinError),
}

/// Lets go of what is not needed: the leader says how far, each replica follows.
async fn tend(shared: &Shared, group: &DataGroup, checkpointed: &mut Checkpointed) -> Result<(), Hindrance> {
    let now = shared.clock.now();
    // Of Brokers that are not known yet nobody can say how long their keys are kept.
    if shared.registry.was_current() {
        forget_keys(group, longest(shared).1);
    }
    #[cfg(feature = "bugs")]
    if pelton_env::bugs::Bug::CallsForgottenByClock.is_on() {
        group.state.prune_keys(Offset(0), offset_at(shared, group.raft.id(), now.minus(PRODUCER_WINDOW))?);
    }
    if group.raft.serves() {
        tokio::time::timeout(PROPOSE_WITHIN, propose(shared, group, now)).await??;
    }
    let (state, log) = (group.state.clone(), shared.log.clone());
    if shared.options.blocking.run(move || state.advance_trailing(&log)).await?? {
        let now = grown(shared, group);
        group.raft.purge_to_watermark().await?;
        checkpointed.0 = Some(now);
        shared.metrics.checkpoint();
    }
    Ok(())
}

/// Forgets the keys of events after `window`, and those of calls after theirs.
fn forget_keys(group: &DataGroup, window: Duration) {
    let (now, end) = (Instant::now(), group.state.with(|core| core.next));
    let mut ages = group.ages.lock();
    ages.note(now, end, window.max(PRODUCER_WINDOW));
    group.state.prune_keys(ages.older_than(now, window), ages.older_than(now, PRODUCER_WINDOW));
}

/// Expires dead letters and moves the trim mark, for all replicas.
async fn propose(shared: &Shared, group: &DataGroup, now: UnixMillis) -> Result<(), Hindrance> {
    let id = group.raft.id();
    let keep = keep_from(shared, id, now.minus(longest(shared).0))?;
    let (need, letters, trim) = group.state.with(|core| {
        let end = core.next;
        (core.group.cursors_need(end), core.group.letters.len(), core.trim)
    });
    if letters > 0 {
        let before = now.minus(shared.options.retention.dead_letters);
        // Dead letters give way to the limit on bytes, cursors do not: where one holds the oldest segment, no letter's
        // end would make room.
        let oldest = over_limit_segment(shared, id)?.filter(|end| *end <= need);
        let below = oldest.unwrap_or(Offset(0));
        let expired = group
            .state
            .with(|core| core.group.letters.iter().filter(|((_, offset), l)| l.at < before || *offset < below).count());
        if expired > 0 {
            let expired = group.proposer.change(&Change::Expire(before, below)).await?;
            shared.metrics.dead_letters_expired(expired);
        }
    }
    // Read before looking for the offset: what is applied in between must not be taken for old.
    let applied = group.raft.applied().borrow().0;
    let needed = group.state.with(|core| core.group.needed_from(core.next));
    // A cursor may stand below what was purged while it was being moved; it does not bring it back.
    let keep = keep.min(needed).max(first_offset(shared, id));
    let upto = match shared.log.index_of_offset(id, pelton_log::Offset(keep.0))? {
        Some(index) => index.0.saturating_sub(1),
        // Everything may go but what was not applied then.
        None => applied,
    };
    if upto > trim {
        group.proposer.change(&Change::Trim(upto)).await?;
    }
    Ok(())
}

async fn tend_registry(shared: &Shared, purged: &mut u64) -> Result<(), Hindrance> {
    let applied = shared.registry.raft.applied().borrow().0;
    let id = shared.registry.raft.id();
    // A few old entries of the registry would keep everybody's oldest segment.
    let holds = shared.log.holding_oldest().iter().any(|(group, _)| *group == id) && shared.log.size().segments > 3;
    if applied > *purged + REGISTRY_PURGE_AFTER_ENTRIES || (holds && applied > *purged) {
        shared.registry.raft.purge_to_watermark().await?;
        *purged = applied;
    }
    Ok(())
}

/// The longest retention and the longest deduplication window of any broker: brokers share segments.
fn longest(shared: &Shared) -> (Duration, Duration) {
    let resources = shared.registry.state.current();
    let settings: Vec<_> = resources.brokers.values().map(|broker| broker_settings(broker)).collect();
    let retention = settings.iter().map(|settings| settings.retention).max().unwrap_or(DEFAULT_RETENTION);
    let window = settings.iter().filter_map(|settings| settings.deduplication_window).max().unwrap_or_default();
    (retention, window)
}

/// The first offset that retention alone would keep.
fn keep_from(shared: &Shared, group: LogGroupId, oldest: UnixMillis) -> Result<Offset, pelton_log::ReadError> {
    let by_age = offset_at(shared, group, oldest)?;
    Ok(over_limit_segment(shared, group)?.map_or(by_age, |end| by_age.max(end)))
}

/// Where the oldest segment's events of `group` end, when the log is above its limit and they hold that segment. One
/// segment at a time: the next look sees what it freed.
fn over_limit_segment(shared: &Shared, group: LogGroupId) -> Result<Option<Offset>, pelton_log::ReadError> {
    if over_limit(shared) == 0 {
        return Ok(None);
    }
    let holds = shared.log.holding_oldest().into_iter().find(|(holder, _)| *holder == group);
    let Some((_, last)) = holds else { return Ok(None) };
    match shared.log.entry_meta(group, LogIndex(last.0 + 1)) {
        // Purged already; the segment goes once that is written.
        Err(pelton_log::ReadError::Purged { .. }) => Ok(None),
        after => Ok(after?.map(|meta| Offset(meta.first_offset.0))),
    }
}

fn offset_at(shared: &Shared, group: LogGroupId, time: UnixMillis) -> Result<Offset, pelton_log::ReadError> {
    Ok(Offset(shared.log.offset_at_time(group, time)?.0))
}

/// Bytes of records above the node's limit.
fn over_limit(shared: &Shared) -> u64 {
    shared.log.size().record_bytes.saturating_sub(shared.options.retention.bytes)
}

/// Tells the metrics what the groups that this node leads keep, and what all of them had to drop here.
pub(crate) fn report_groups(shared: &Shared) {
    let (mut kept, mut dropped, mut forgotten) = (0, 0, 0);
    for group in shared.groups.all().values() {
        let leads = group.raft.serves();
        group.state.with(|core| {
            kept += if leads { core.group.letters.len() } else { 0 };
            dropped += core.group.letters_dropped;
            forgotten += core.keys.forgotten() + core.calls.forgotten();
        });
    }
    shared.metrics.dead_letters(kept, dropped);
    shared.metrics.deduplication_keys(forgotten);
}

fn report_size(shared: &Shared, alarmed: &mut bool, is_held: bool) {
    let (size, over) = (shared.log.size(), over_limit(shared));
    shared.metrics.log_size(size.record_bytes, size.segments, over);
    if over > 0 && is_held && !*alarmed {
        let bytes = size.record_bytes;
        tracing::warn!(bytes, over, "the log holds more than its limit because triggers still need old events");
    }
    *alarmed = over > 0 && (is_held || *alarmed);
}

/// The first offset that a reader may still ask for.
pub(crate) fn first_offset(shared: &Shared, group: LogGroupId) -> Offset {
    Offset(shared.log.group(group).first_offset.0)
}

#[cfg(test)]
mod tests;
