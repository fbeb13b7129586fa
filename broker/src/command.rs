//! The commands of a log group, and their stored form.
//!
//! Little-endian, each beginning with a version byte, of the parts in `pelton_client::codec`. Batches of events are the
//! exception: their form is `pelton_client`'s record format as it stands, so that the dispatcher reads what the proposer
//! sealed.

use bytes::{Buf, BufMut, Bytes, BytesMut};
pub(crate) use pelton_client::codec::Undecodable;
use pelton_client::codec::{
    get_cursor, get_letter, get_list, get_progress, get_selection, get_start, put_cursor, put_length, put_letter,
    put_progress, put_selection, put_start,
};
use pelton_client::{GroupId, GroupState, Offset, Progress, Selection, TriggerId};
use pelton_consensus::Space;
use pelton_env::UnixMillis;

use crate::protocol::Forms;

/// A batch of events.
pub(crate) const EVENTS: u8 = 16;
/// A batch of events, some of them with a key of their own or of their call.
pub(crate) const EVENTS_WITH_KEYS: u8 = 17;
/// Everything else: a [`Change`].
pub(crate) const CHANGE: u8 = 18;

/// In version 2 of changes progress did not say in which session it was made, and a start or drop of triggers did not say
/// as of which resources.
const WITHOUT_SESSIONS: u8 = 2;

/// Of a group's state.
const STATE_VERSION: u8 = 2;

/// A change to a group's cursors, dead letters or watermark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// What a dispatcher did in a session that the leader of `term` gave. It counts only as an entry of that term: a
    /// leader of a later one may have given the group to another dispatcher, which starts from what is stored.
    Progress {
        /// 0 in what a program before sessions wrote: then there was one node, and one dispatcher.
        term: u64,
        /// What it did.
        progress: Progress,
    },
    /// Triggers that begin, each at an offset, or after the last event there is.
    Start {
        /// The version of the resources that list them.
        version: u64,
        triggers: Vec<(TriggerId, Option<Offset>)>,
    },
    /// A trigger that begins again elsewhere; `None` is after the last event there is.
    Rewind(TriggerId, Option<Offset>),
    /// Triggers that are gone.
    Drop {
        /// The version of the resources that list them no longer.
        version: u64,
        triggers: Vec<TriggerId>,
    },
    /// Dead letters to be sent again.
    Redrive(Selection),
    /// Dead letters to be dropped because someone said so.
    Discard(Selection),
    /// Dead letters to be dropped because they are too old: given up before the time, or of events below the offset.
    Expire(UnixMillis, Offset),
    /// Nothing at or below this log index is needed any more.
    Trim(u64),
}

type Result<T> = std::result::Result<T, Undecodable>;

impl Change {
    /// What of a full disk it may use: only what makes room may use all of it.
    pub(crate) fn space(&self) -> Space {
        match self {
            Self::Expire(..) | Self::Trim(_) | Self::Discard(_) => Space::Last,
            Self::Progress { .. } | Self::Start { .. } | Self::Rewind(..) | Self::Drop { .. } | Self::Redrive(_) => {
                Space::Reserve
            }
        }
    }

    /// For a cluster that is at this version of the protocol.
    pub(crate) fn encode(&self, protocol: u32) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        out.put_u8(Forms::of(protocol).change);
        match self {
            Self::Progress { term, progress } => {
                out.put_u8(1);
                out.put_u64_le(*term);
                put_progress(&mut out, progress);
            }
            Self::Start { version, triggers } => {
                out.put_u8(2);
                out.put_u64_le(*version);
                put_length(&mut out, triggers.len());
                for (trigger, at) in triggers {
                    out.put_u128_le(trigger.0);
                    put_start(&mut out, *at);
                }
            }
            Self::Rewind(trigger, at) => {
                out.put_u8(3);
                out.put_u128_le(trigger.0);
                put_start(&mut out, *at);
            }
            Self::Drop { version, triggers } => {
                out.put_u8(4);
                out.put_u64_le(*version);
                put_length(&mut out, triggers.len());
                triggers.iter().for_each(|trigger| out.put_u128_le(trigger.0));
            }
            Self::Redrive(selection) => {
                out.put_u8(5);
                put_selection(&mut out, *selection);
            }
            Self::Discard(selection) => {
                out.put_u8(6);
                put_selection(&mut out, *selection);
            }
            Self::Expire(before, below) => {
                out.put_u8(7);
                out.put_u64_le(before.0);
                out.put_u64_le(below.0);
            }
            Self::Trim(index) => {
                out.put_u8(8);
                out.put_u64_le(*index);
            }
        }
        out.freeze()
    }

    /// By a program that speaks the protocol up to this version.
    pub(crate) fn decode(bytes: &Bytes, group: GroupId, protocol: u32) -> Result<Self> {
        let mut bytes = bytes.clone();
        let version = bytes.try_get_u8()?;
        if !(WITHOUT_SESSIONS..=Forms::of(protocol).change).contains(&version) {
            return Err(Undecodable::Version(version));
        }
        let bytes = &mut bytes;
        let tag = bytes.try_get_u8()?;
        // What version 3 brought: a term, or the version of the resources.
        let since = if version > WITHOUT_SESSIONS && matches!(tag, 1 | 2 | 4) { bytes.try_get_u64_le()? } else { 0 };
        let change = match tag {
            1 => Self::Progress { term: since, progress: get_progress(bytes, group)? },
            2 => {
                let triggers = get_list(bytes, |b| Ok((TriggerId(b.try_get_u128_le()?), get_start(b)?)))?;
                Self::Start { version: since, triggers }
            }
            3 => Self::Rewind(TriggerId(bytes.try_get_u128_le()?), get_start(bytes)?),
            4 => Self::Drop { version: since, triggers: get_list(bytes, |b| Ok(TriggerId(b.try_get_u128_le()?)))? },
            5 => Self::Redrive(get_selection(bytes, group)?),
            6 => Self::Discard(get_selection(bytes, group)?),
            7 => Self::Expire(UnixMillis(bytes.try_get_u64_le()?), Offset(bytes.try_get_u64_le()?)),
            8 => Self::Trim(bytes.try_get_u64_le()?),
            _ => return Err(Undecodable::Malformed),
        };
        if bytes.is_empty() { Ok(change) } else { Err(Undecodable::Malformed) }
    }
}

/// The state of a group's cursors and dead letters, for checkpoints and snapshots.
pub(crate) fn put_state(out: &mut BytesMut, state: &GroupState) {
    out.put_u8(STATE_VERSION);
    out.put_u64_le(state.scanned.0);
    put_length(out, state.cursors.len());
    for (trigger, cursor) in &state.cursors {
        put_cursor(out, *trigger, cursor);
    }
    put_length(out, state.letters.len());
    state.letters.values().for_each(|letter| put_letter(out, letter));
}

/// Reads what [`put_state`] wrote.
pub(crate) fn get_state(bytes: &mut Bytes, group: GroupId) -> Result<GroupState> {
    let version = bytes.try_get_u8()?;
    if version != STATE_VERSION {
        return Err(Undecodable::Version(version));
    }
    let scanned = Offset(bytes.try_get_u64_le()?);
    let cursors = get_list(bytes, get_cursor)?;
    let letters = get_list(bytes, |b| get_letter(b, group))?;
    Ok(GroupState {
        scanned,
        cursors: cursors.into_iter().collect(),
        letters: letters.into_iter().map(|letter| ((letter.trigger, letter.position.offset), letter)).collect(),
        letters_dropped: 0,
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use pelton_client::{Cause, CursorUpdate, DeadLetter, LastAnswer, Position, Upto};

    use super::*;

    const GROUP: GroupId = GroupId(1);
    const PROTOCOL: u32 = 1;
    const VERSION: u8 = 3;

    fn letter() -> DeadLetter {
        DeadLetter {
            trigger: TriggerId(9),
            position: Position { group: GROUP, offset: Offset(77) },
            attempts: 4,
            cause: Cause::Reply,
            destination: "http://sink.example/".into(),
            answer: LastAnswer { code: None, detail: Bytes::from_static(b"refused") },
            at: UnixMillis(5),
        }
    }

    fn changes() -> Vec<Change> {
        let update = CursorUpdate {
            trigger: TriggerId(9),
            epoch: 3,
            upto: Upto::At(Offset(80)),
            matched: vec![(Offset(1), Offset(4))],
            done: vec![(Offset(2), Offset(3))],
            attempts: vec![(Offset(1), 2)],
            dead_letters: vec![letter()],
        };
        vec![
            Change::Progress { term: 3, progress: Progress { scanned: Offset(90), cursors: vec![update] } },
            Change::Start { version: 8, triggers: vec![(TriggerId(1), None), (TriggerId(u128::MAX), Some(Offset(3)))] },
            Change::Rewind(TriggerId(1), Some(Offset(0))),
            Change::Drop { version: 9, triggers: vec![TriggerId(2)] },
            Change::Redrive(Selection::One(TriggerId(9), letter().position)),
            Change::Discard(Selection::Trigger(TriggerId(9))),
            Change::Redrive(Selection::All),
            Change::Expire(UnixMillis(8), Offset(9)),
            Change::Trim(12),
        ]
    }

    #[test]
    fn every_change_reads_back() {
        for change in changes() {
            assert_eq!(Change::decode(&change.encode(PROTOCOL), GROUP, PROTOCOL), Ok(change.clone()), "{change:?}");
        }
    }

    #[test]
    fn a_change_cut_short_or_of_another_version_is_refused() {
        for change in changes() {
            let bytes = change.encode(PROTOCOL);
            for cut in 0..bytes.len() {
                assert!(Change::decode(&bytes.slice(..cut), GROUP, PROTOCOL).is_err(), "{change:?} cut at {cut}");
            }
            let mut newer = bytes.to_vec();
            newer[0] = VERSION + 1;
            assert_eq!(Change::decode(&newer.into(), GROUP, PROTOCOL), Err(Undecodable::Version(VERSION + 1)));
        }
    }

    /// Only a cluster that has gone on gets the next form, and only a program that speaks it reads it.
    #[cfg(debug_assertions)]
    #[test]
    fn a_newer_form_is_for_a_cluster_that_has_gone_on() {
        for change in changes() {
            let next = change.encode(PROTOCOL + 1);
            assert_eq!(Change::decode(&next, GROUP, PROTOCOL), Err(Undecodable::Version(VERSION + 1)));
            for bytes in [next, change.encode(PROTOCOL)] {
                assert_eq!(Change::decode(&bytes, GROUP, PROTOCOL + 1), Ok(change.clone()));
            }
        }
    }

    /// What a data directory of the program before sessions holds.
    #[test]
    fn changes_of_the_version_before_are_read() {
        for change in changes() {
            let mut older = change.encode(PROTOCOL).to_vec();
            older[0] = WITHOUT_SESSIONS;
            let want = match change.clone() {
                Change::Progress { progress, .. } => Change::Progress { term: 0, progress },
                Change::Start { triggers, .. } => Change::Start { version: 0, triggers },
                Change::Drop { triggers, .. } => Change::Drop { version: 0, triggers },
                other => other,
            };
            if want != change {
                older.drain(2..10);
            }
            assert_eq!(Change::decode(&older.into(), GROUP, PROTOCOL), Ok(want));
        }
        let oldest = Bytes::from_static(&[1, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Change::decode(&oldest, GROUP, PROTOCOL), Err(Undecodable::Version(1)));
    }

    /// Damage in one place of something sound, which gets further than mere noise does.
    fn spoil(bytes: &[u8], at: Index, with: u8) -> Bytes {
        let mut bytes = bytes.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = with;
        bytes.into()
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_change_or_a_state_panic(noise in vec(any::<u8>(), 0..256), tag in 1_u8..9) {
            let mut tagged = vec![WITHOUT_SESSIONS + u8::from(noise.len() % 2 == 0), tag];
            tagged.extend_from_slice(&noise);
            for bytes in [Bytes::from(tagged), Bytes::from(noise)] {
                if let Ok(change) = Change::decode(&bytes, GROUP, PROTOCOL) {
                    prop_assert_eq!(Change::decode(&change.encode(PROTOCOL), GROUP, PROTOCOL), Ok(change));
                }
                let _ = get_state(&mut bytes.clone(), GROUP);
            }
        }

        #[test]
        fn no_damage_makes_a_change_or_a_state_panic(nth in any::<Index>(), at in any::<Index>(), with in any::<u8>()) {
            let changes = changes();
            let spoilt = spoil(&changes[nth.index(changes.len())].encode(PROTOCOL), at, with);
            if let Ok(change) = Change::decode(&spoilt, GROUP, PROTOCOL) {
                prop_assert_eq!(Change::decode(&change.encode(PROTOCOL), GROUP, PROTOCOL), Ok(change));
            }
            let mut out = BytesMut::new();
            put_state(&mut out, &state());
            let _ = get_state(&mut spoil(&out, at, with), GROUP);
        }
    }

    fn state() -> GroupState {
        let mut state = GroupState::default();
        state.start(TriggerId(9), Offset(0), 4);
        let Change::Progress { progress, .. } = &changes()[0] else { unreachable!() };
        state.cursors.get_mut(&TriggerId(9)).unwrap().epoch = 3;
        state.progress(progress);
        state
    }

    #[test]
    fn a_groups_state_reads_back() {
        let state = state();
        let mut out = BytesMut::new();
        put_state(&mut out, &state);
        assert_eq!(get_state(&mut out.freeze(), GROUP), Ok(state));
    }
}
