//! Whoever reads a group's cursors sees what its committed entries add up to, from the first one on to one of them, wherever
//! the state came from: a snapshot, a checkpoint, another leader. Progress counts only as an entry of the term whose leader gave the session: what a
//! dispatcher did in an earlier one is never stored. (Ours: `broker/src/command.rs`; fencing tokens, as in Kleppmann, "How to
//! do distributed locking", 2016.)

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, Bytes};
use pelton_client::codec::{Undecodable, get_list, get_progress, get_start};
use pelton_client::{Cursor, GroupCursors, GroupId, GroupState, Offset, Progress, TriggerId};
use pelton_log::Entry;

use super::{Verdict, Violation, holds};

const NAME: &str = "cursors are what the log says";

/// What the entries of a group add up to.
#[derive(Default)]
struct Model {
    state: GroupState,
    triggers_as_of: u64,
    /// The hashes of all states that there were.
    seen: BTreeSet<u64>,
}

fn hash(scanned: Offset, cursors: &BTreeMap<TriggerId, Cursor>) -> u64 {
    let text = format!("{scanned:?} {cursors:?}");
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[derive(Default)]
pub struct Models {
    groups: BTreeMap<GroupId, Model>,
}

/// A change that concerns cursors. (The form of the disk: `broker/src/command.rs`, version 3.)
enum Change {
    Progress { term: u64, progress: Progress },
    Start { version: u64, triggers: Vec<(TriggerId, Option<Offset>)> },
    Drop { version: u64, triggers: Vec<TriggerId> },
    Other,
}

fn decode(bytes: &mut Bytes, group: GroupId) -> Result<Change, Undecodable> {
    let version = bytes.try_get_u8()?;
    if version != 3 {
        return Err(Undecodable::Version(version));
    }
    let tag = bytes.try_get_u8()?;
    if !matches!(tag, 1 | 2 | 4) {
        return Ok(Change::Other);
    }
    let of = bytes.try_get_u64_le()?;
    Ok(match tag {
        1 => Change::Progress { term: of, progress: get_progress(bytes, group)? },
        2 => {
            let trigger = |bytes: &mut Bytes| Ok((TriggerId(bytes.try_get_u128_le()?), get_start(bytes)?));
            Change::Start { version: of, triggers: get_list(bytes, trigger)? }
        }
        _ => {
            let trigger = |bytes: &mut Bytes| Ok(TriggerId(bytes.try_get_u128_le()?));
            Change::Drop { version: of, triggers: get_list(bytes, trigger)? }
        }
    })
}

impl Models {
    /// A change is committed, the next one of its group; events below `next` are before it. Gives progress that counts.
    pub fn change(&mut self, group: GroupId, entry: &Entry, next: Offset) -> Result<Option<Progress>, Violation> {
        let change = decode(&mut entry.body.clone(), group);
        let change = change.map_err(|error| Violation { invariant: NAME, what: error.to_string() })?;
        let Model { state, triggers_as_of, seen } = self.groups.entry(group).or_default();
        let mut counts = None;
        match change {
            Change::Progress { term, .. } if term != entry.term.0 => {}
            Change::Progress { progress, .. } => {
                state.progress(&progress);
                counts = Some(progress);
            }
            Change::Start { version, triggers } => {
                *triggers_as_of = version.max(*triggers_as_of);
                triggers.iter().for_each(|(trigger, at)| state.start(*trigger, at.unwrap_or(next), entry.index.0));
            }
            Change::Drop { version, triggers } if version >= *triggers_as_of => {
                *triggers_as_of = version;
                triggers.iter().for_each(|trigger| state.drop_trigger(*trigger));
            }
            Change::Drop { .. } | Change::Other => {}
        }
        seen.insert(hash(state.scanned, &state.cursors));
        Ok(counts)
    }

    /// Somebody read these cursors from the group's leader; all that it may have applied by then is known here.
    pub fn read(&self, group: GroupId, cursors: &GroupCursors) -> Verdict {
        let Some(Model { state, seen, .. }) = self.groups.get(&group) else { return Ok(()) };
        let is_one = cursors.cursors.is_empty() || seen.contains(&hash(cursors.scanned, &cursors.cursors));
        holds(is_one, NAME, || {
            let wanted = state.cursors.iter().find(|(id, cursor)| cursors.cursors.get(id) != Some(cursor));
            let got = wanted.map(|(id, _)| cursors.cursors.get(id));
            let scanned = (state.scanned, cursors.scanned);
            format!("group {group}: by the log {wanted:?} now, at the leader {got:?}; scanned {scanned:?}")
        })
    }

    /// These are the cursors of the group's leader, when nothing happens any more.
    pub fn check(&self, group: GroupId, cursors: &GroupCursors) -> Verdict {
        let Some(Model { state, .. }) = self.groups.get(&group) else { return Ok(()) };
        let is_same = state.cursors == cursors.cursors && state.scanned == cursors.scanned;
        holds(is_same, NAME, || format!("group {group}: by the log {state:?}, at the leader {cursors:?}"))
    }
}
