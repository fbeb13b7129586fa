//! The commands of a log group, and their stored form.
//!
//! Little-endian, each beginning with a version byte; what there may be very many of (ranges, attempts) in LEB128
//! numbers, each relative to the one before. Batches of events are the exception: their form is
//! `pelton_client`'s record format as it stands, so that the dispatcher reads what the proposer sealed.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pelton_client::{
    Cause, Cursor, CursorUpdate, DeadLetter, GroupId, GroupState, LastAnswer, Offset, Position, Progress, RangeSet,
    Selection, TriggerId, Upto,
};
use pelton_consensus::Space;
use pelton_env::UnixMillis;

/// A batch of events.
pub(crate) const EVENTS: u8 = 16;
/// A batch of events, some of them with a key in the deduplication window.
pub(crate) const EVENTS_WITH_KEYS: u8 = 17;
/// Everything else: a [`Change`].
pub(crate) const CHANGE: u8 = 18;

const VERSION: u8 = 2;

/// A change to a group's cursors, dead letters or watermark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// What a dispatcher did.
    Progress(Progress),
    /// Triggers that begin, each at an offset, or after the last event there is.
    Start(Vec<(TriggerId, Option<Offset>)>),
    /// A trigger that begins again elsewhere; `None` is after the last event there is.
    Rewind(TriggerId, Option<Offset>),
    /// Triggers that are gone.
    Drop(Vec<TriggerId>),
    /// Dead letters to be sent again.
    Redrive(Selection),
    /// Dead letters to be dropped because someone said so.
    Discard(Selection),
    /// Dead letters to be dropped because they are too old: given up before the time, or of events below the offset.
    Expire(UnixMillis, Offset),
    /// Nothing at or below this log index is needed any more.
    Trim(u64),
}

/// A stored command cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Undecodable {
    #[error("cut short or malformed")]
    Malformed,
    #[error("of version {0}, which this program does not know")]
    Version(u8),
}

impl From<bytes::TryGetError> for Undecodable {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Malformed
    }
}

type Result<T> = std::result::Result<T, Undecodable>;

impl Change {
    /// What of a full disk it may use: only what makes room may use all of it.
    pub(crate) fn space(&self) -> Space {
        match self {
            Self::Expire(..) | Self::Trim(_) | Self::Discard(_) => Space::Last,
            Self::Progress(_) | Self::Start(_) | Self::Rewind(..) | Self::Drop(_) | Self::Redrive(_) => Space::Reserve,
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        out.put_u8(VERSION);
        match self {
            Self::Progress(progress) => {
                out.put_u8(1);
                put_progress(&mut out, progress);
            }
            Self::Start(starts) => {
                out.put_u8(2);
                put_length(&mut out, starts.len());
                for (trigger, at) in starts {
                    out.put_u128_le(trigger.0);
                    put_start(&mut out, *at);
                }
            }
            Self::Rewind(trigger, at) => {
                out.put_u8(3);
                out.put_u128_le(trigger.0);
                put_start(&mut out, *at);
            }
            Self::Drop(triggers) => {
                out.put_u8(4);
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

    pub(crate) fn decode(bytes: &Bytes, group: GroupId) -> Result<Self> {
        let mut bytes = bytes.clone();
        let version = bytes.try_get_u8()?;
        if version != VERSION {
            return Err(Undecodable::Version(version));
        }
        let bytes = &mut bytes;
        let change = match bytes.try_get_u8()? {
            1 => Self::Progress(get_progress(bytes, group)?),
            2 => Self::Start(get_list(bytes, |b| Ok((TriggerId(b.try_get_u128_le()?), get_start(b)?)))?),
            3 => Self::Rewind(TriggerId(bytes.try_get_u128_le()?), get_start(bytes)?),
            4 => Self::Drop(get_list(bytes, |b| Ok(TriggerId(b.try_get_u128_le()?)))?),
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
    out.put_u8(VERSION);
    out.put_u64_le(state.scanned.0);
    put_length(out, state.cursors.len());
    for (trigger, cursor) in &state.cursors {
        out.put_u128_le(trigger.0);
        out.put_u64_le(cursor.epoch);
        out.put_u64_le(cursor.changed);
        put_upto(out, cursor.upto);
        let pending: Vec<_> = cursor.pending.ranges().collect();
        put_ranges(out, &pending);
        let attempts: Vec<_> = cursor.attempts.iter().map(|(offset, count)| (*offset, *count)).collect();
        put_attempts(out, &attempts);
    }
    put_length(out, state.letters.len());
    state.letters.values().for_each(|letter| put_letter(out, letter));
}

/// Reads what [`put_state`] wrote.
pub(crate) fn get_state(bytes: &mut Bytes, group: GroupId) -> Result<GroupState> {
    let version = bytes.try_get_u8()?;
    if version != VERSION {
        return Err(Undecodable::Version(version));
    }
    let scanned = Offset(bytes.try_get_u64_le()?);
    let cursors = get_list(bytes, |b| {
        let trigger = TriggerId(b.try_get_u128_le()?);
        let (epoch, changed, upto) = (b.try_get_u64_le()?, b.try_get_u64_le()?, get_upto(b)?);
        let mut pending = RangeSet::new();
        get_ranges(b)?.into_iter().for_each(|(from, to)| pending.insert_range(from, to));
        let attempts = get_attempts(b)?.into_iter().collect();
        Ok((trigger, Cursor { epoch, changed, upto, pending, attempts }))
    })?;
    let letters = get_list(bytes, |b| get_letter(b, group))?;
    Ok(GroupState {
        scanned,
        cursors: cursors.into_iter().collect(),
        letters: letters.into_iter().map(|letter| ((letter.trigger, letter.position.offset), letter)).collect(),
        letters_dropped: 0,
    })
}

fn put_progress(out: &mut BytesMut, progress: &Progress) {
    out.put_u64_le(progress.scanned.0);
    put_length(out, progress.cursors.len());
    for update in &progress.cursors {
        out.put_u128_le(update.trigger.0);
        out.put_u64_le(update.epoch);
        put_upto(out, update.upto);
        put_ranges(out, &update.matched);
        put_ranges(out, &update.done);
        put_attempts(out, &update.attempts);
        put_length(out, update.dead_letters.len());
        update.dead_letters.iter().for_each(|letter| put_letter(out, letter));
    }
}

fn get_progress(bytes: &mut Bytes, group: GroupId) -> Result<Progress> {
    let scanned = Offset(bytes.try_get_u64_le()?);
    let cursors = get_list(bytes, |b| {
        Ok(CursorUpdate {
            trigger: TriggerId(b.try_get_u128_le()?),
            epoch: b.try_get_u64_le()?,
            upto: get_upto(b)?,
            matched: get_ranges(b)?,
            done: get_ranges(b)?,
            attempts: get_attempts(b)?,
            dead_letters: get_list(b, |b| get_letter(b, group))?,
        })
    })?;
    Ok(Progress { scanned, cursors })
}

fn put_length(out: &mut BytesMut, length: usize) {
    out.put_u32_le(u32::try_from(length).expect("lists are bounded far below 2^32"));
}

/// Reads a counted list. Memory grows with what is really there, not with the count that is claimed.
fn get_list<T>(bytes: &mut Bytes, mut get: impl FnMut(&mut Bytes) -> Result<T>) -> Result<Vec<T>> {
    let count = bytes.try_get_u32_le()? as usize;
    let mut list = Vec::with_capacity(count.min(bytes.len()).min(4096));
    for _ in 0..count {
        list.push(get(bytes)?);
    }
    Ok(list)
}

fn put_upto(out: &mut BytesMut, upto: Upto) {
    match upto {
        Upto::Scanned => out.put_u8(0),
        Upto::At(offset) => {
            out.put_u8(1);
            out.put_u64_le(offset.0);
        }
    }
}

fn get_upto(bytes: &mut Bytes) -> Result<Upto> {
    match bytes.try_get_u8()? {
        0 => Ok(Upto::Scanned),
        1 => Ok(Upto::At(Offset(bytes.try_get_u64_le()?))),
        _ => Err(Undecodable::Malformed),
    }
}

fn put_start(out: &mut BytesMut, at: Option<Offset>) {
    put_upto(out, at.map_or(Upto::Scanned, Upto::At));
}

fn get_start(bytes: &mut Bytes) -> Result<Option<Offset>> {
    Ok(match get_upto(bytes)? {
        Upto::Scanned => None,
        Upto::At(offset) => Some(offset),
    })
}

/// A number in LEB128: seven bits a byte, the lowest first.
fn put_number(out: &mut BytesMut, number: impl Into<u128>) {
    let mut number = number.into();
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn get_number(bytes: &mut Bytes) -> Result<u128> {
    let mut number = 0;
    // Ten bytes hold more than any number written here.
    for shift in (0..70).step_by(7) {
        let byte = bytes.try_get_u8()?;
        number |= u128::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Undecodable::Malformed)
}

fn get_u64(bytes: &mut Bytes) -> Result<u64> {
    u64::try_from(get_number(bytes)?).map_err(|_| Undecodable::Malformed)
}

/// Each range as its distance from the end of the one before, and its length. Events that stand alone close to each
/// other take one byte each: the lowest bit of the distance says that the length is not 1 and follows.
fn put_ranges(out: &mut BytesMut, ranges: &[(Offset, Offset)]) {
    let in_order = |ranges: &[(Offset, Offset)]| {
        ranges.iter().all(|(from, to)| from < to) && ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0)
    };
    if !in_order(ranges) {
        // They mean a set, whatever their order.
        let mut set = RangeSet::new();
        ranges.iter().for_each(|(from, to)| set.insert_range(*from, *to));
        return put_ranges(out, &set.ranges().collect::<Vec<_>>());
    }
    put_length(out, ranges.len());
    let mut end = 0;
    for (from, to) in ranges {
        let (distance, length) = (u128::from(from.0 - end) << 1, to.0 - from.0);
        if length == 1 {
            put_number(out, distance);
        } else {
            put_number(out, distance | 1);
            put_number(out, length);
        }
        end = to.0;
    }
}

fn get_ranges(bytes: &mut Bytes) -> Result<Vec<(Offset, Offset)>> {
    let mut end = 0_u64;
    get_list(bytes, |b| {
        let number = get_number(b)?;
        let distance = u64::try_from(number >> 1).map_err(|_| Undecodable::Malformed)?;
        let length = if number & 1 == 0 { 1 } else { get_u64(b)? };
        let from = end.checked_add(distance).ok_or(Undecodable::Malformed)?;
        end = from.checked_add(length).ok_or(Undecodable::Malformed)?;
        Ok((Offset(from), Offset(end)))
    })
}

fn put_attempts(out: &mut BytesMut, attempts: &[(Offset, u32)]) {
    put_length(out, attempts.len());
    let mut before = 0;
    for (offset, count) in attempts {
        // Wrapping, so that any order will do.
        put_number(out, offset.0.wrapping_sub(before));
        put_number(out, *count);
        before = offset.0;
    }
}

fn get_attempts(bytes: &mut Bytes) -> Result<Vec<(Offset, u32)>> {
    let mut before = 0_u64;
    get_list(bytes, |b| {
        before = before.wrapping_add(get_u64(b)?);
        let count = u32::try_from(get_number(b)?).map_err(|_| Undecodable::Malformed)?;
        Ok((Offset(before), count))
    })
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.put_slice(bytes);
}

fn get_bytes(bytes: &mut Bytes) -> Result<Bytes> {
    let length = bytes.try_get_u32_le()? as usize;
    if length > bytes.len() { Err(Undecodable::Malformed) } else { Ok(bytes.split_to(length)) }
}

fn put_letter(out: &mut BytesMut, letter: &DeadLetter) {
    out.put_u128_le(letter.trigger.0);
    out.put_u64_le(letter.position.offset.0);
    out.put_u32_le(letter.attempts);
    let cause = Cause::ALL.iter().position(|cause| *cause == letter.cause).expect("every cause is in the list");
    out.put_u8(cause as u8);
    put_bytes(out, letter.destination.as_bytes());
    out.put_u16_le(letter.answer.code.unwrap_or(0));
    put_bytes(out, &letter.answer.detail);
    out.put_u64_le(letter.at.0);
}

fn get_letter(bytes: &mut Bytes, group: GroupId) -> Result<DeadLetter> {
    let trigger = TriggerId(bytes.try_get_u128_le()?);
    let position = Position { group, offset: Offset(bytes.try_get_u64_le()?) };
    let attempts = bytes.try_get_u32_le()?;
    let cause = *Cause::ALL.get(usize::from(bytes.try_get_u8()?)).ok_or(Undecodable::Malformed)?;
    let destination = String::from_utf8(get_bytes(bytes)?.to_vec()).map_err(|_| Undecodable::Malformed)?;
    let code = Some(bytes.try_get_u16_le()?).filter(|code| *code != 0);
    // Copied: a letter may be kept for days and must not keep the entry's memory.
    let detail = Bytes::copy_from_slice(&get_bytes(bytes)?);
    let at = UnixMillis(bytes.try_get_u64_le()?);
    Ok(DeadLetter { trigger, position, attempts, cause, destination, answer: LastAnswer { code, detail }, at })
}

fn put_selection(out: &mut BytesMut, selection: Selection) {
    match selection {
        Selection::One(trigger, position) => {
            out.put_u8(0);
            out.put_u128_le(trigger.0);
            out.put_u64_le(position.offset.0);
        }
        Selection::Trigger(trigger) => {
            out.put_u8(1);
            out.put_u128_le(trigger.0);
        }
        Selection::All => out.put_u8(2),
    }
}

fn get_selection(bytes: &mut Bytes, group: GroupId) -> Result<Selection> {
    Ok(match bytes.try_get_u8()? {
        0 => {
            let trigger = TriggerId(bytes.try_get_u128_le()?);
            Selection::One(trigger, Position { group, offset: Offset(bytes.try_get_u64_le()?) })
        }
        1 => Selection::Trigger(TriggerId(bytes.try_get_u128_le()?)),
        2 => Selection::All,
        _ => return Err(Undecodable::Malformed),
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    const GROUP: GroupId = GroupId(1);

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
            Change::Progress(Progress { scanned: Offset(90), cursors: vec![update] }),
            Change::Start(vec![(TriggerId(1), None), (TriggerId(u128::MAX), Some(Offset(3)))]),
            Change::Rewind(TriggerId(1), Some(Offset(0))),
            Change::Drop(vec![TriggerId(2)]),
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
            assert_eq!(Change::decode(&change.encode(), GROUP), Ok(change.clone()), "{change:?}");
        }
    }

    #[test]
    fn a_change_cut_short_or_of_another_version_is_refused() {
        for change in changes() {
            let bytes = change.encode();
            for cut in 0..bytes.len() {
                assert!(Change::decode(&bytes.slice(..cut), GROUP).is_err(), "{change:?} cut at {cut}");
            }
            let mut newer = bytes.to_vec();
            newer[0] = VERSION + 1;
            assert_eq!(Change::decode(&newer.into(), GROUP), Err(Undecodable::Version(VERSION + 1)));
        }
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
            let mut tagged = vec![VERSION, tag];
            tagged.extend_from_slice(&noise);
            for bytes in [Bytes::from(tagged), Bytes::from(noise)] {
                if let Ok(change) = Change::decode(&bytes, GROUP) {
                    prop_assert_eq!(Change::decode(&change.encode(), GROUP), Ok(change));
                }
                let _ = get_state(&mut bytes.clone(), GROUP);
            }
        }

        #[test]
        fn no_damage_makes_a_change_or_a_state_panic(nth in any::<Index>(), at in any::<Index>(), with in any::<u8>()) {
            let changes = changes();
            let spoilt = spoil(&changes[nth.index(changes.len())].encode(), at, with);
            if let Ok(change) = Change::decode(&spoilt, GROUP) {
                prop_assert_eq!(Change::decode(&change.encode(), GROUP), Ok(change));
            }
            let mut out = BytesMut::new();
            put_state(&mut out, &state());
            let _ = get_state(&mut spoil(&out, at, with), GROUP);
        }
    }

    fn state() -> GroupState {
        let mut state = GroupState::default();
        state.start(TriggerId(9), Offset(0), 4);
        let Change::Progress(progress) = &changes()[0] else { unreachable!() };
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

    fn encoded(put: impl FnOnce(&mut BytesMut)) -> Bytes {
        let mut out = BytesMut::new();
        put(&mut out);
        out.freeze()
    }

    proptest::proptest! {
        /// Any ranges read back as the set that they are; those of a set read back as they are. Nothing is left over.
        #[test]
        fn ranges_read_back(ranges in proptest::collection::vec((proptest::num::u64::ANY, 0_u64..300), 0..40), near: bool) {
            let ranges: Vec<_> = ranges
                .into_iter()
                .map(|(from, length)| if near { (from % 2_000, length) } else { (from, length) })
                .map(|(from, length)| (Offset(from), Offset(from.saturating_add(length))))
                .collect();
            let mut set = RangeSet::new();
            ranges.iter().for_each(|(from, to)| set.insert_range(*from, *to));
            let set: Vec<_> = set.ranges().collect();
            let mut bytes = encoded(|out| put_ranges(out, &ranges));
            let mut read = RangeSet::new();
            get_ranges(&mut bytes).unwrap().into_iter().for_each(|(from, to)| read.insert_range(from, to));
            proptest::prop_assert_eq!(read.ranges().collect::<Vec<_>>(), set.clone());
            proptest::prop_assert!(bytes.is_empty());
            let mut bytes = encoded(|out| put_ranges(out, &set));
            proptest::prop_assert_eq!(get_ranges(&mut bytes), Ok(set));
        }

        #[test]
        fn attempts_read_back(attempts in proptest::collection::vec((proptest::num::u64::ANY, proptest::num::u32::ANY), 0..40)) {
            let attempts: Vec<_> = attempts.into_iter().map(|(offset, count)| (Offset(offset), count)).collect();
            let mut bytes = encoded(|out| put_attempts(out, &attempts));
            proptest::prop_assert_eq!(get_attempts(&mut bytes), Ok(attempts));
            proptest::prop_assert!(bytes.is_empty());
        }

        /// What comes from a disk is refused or read, and never more than is there.
        #[test]
        fn no_bytes_make_reading_ranges_fail_otherwise(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            let _ = get_ranges(&mut Bytes::from(bytes.clone()));
            let _ = get_attempts(&mut Bytes::from(bytes));
        }
    }
}
