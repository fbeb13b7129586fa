//! The binary form of progress, cursors and dead letters, in stored entries and between nodes.
//!
//! Little-endian; what there may be very many of (ranges, attempts) in LEB128 numbers, each relative to the one before.
//! Whoever puts these together writes a version first. Nothing here reserves memory for more than is there.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pelton_env::UnixMillis;

use crate::{
    Cause, Cursor, CursorUpdate, DeadLetter, GroupId, LastAnswer, Offset, Position, Progress, RangeSet, Selection,
    TriggerId, Upto,
};

/// The bytes cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// They end too early, or say what cannot be.
    #[error("cut short or malformed")]
    Malformed,
    /// They were written by a newer program.
    #[error("of version {0}, which this program does not know")]
    Version(u8),
}

impl From<bytes::TryGetError> for Undecodable {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Malformed
    }
}

type Result<T> = std::result::Result<T, Undecodable>;

/// Writes a trigger's cursor.
pub fn put_cursor(out: &mut BytesMut, trigger: TriggerId, cursor: &Cursor) {
    out.put_u128_le(trigger.0);
    out.put_u64_le(cursor.epoch);
    out.put_u64_le(cursor.changed);
    put_upto(out, cursor.upto);
    let pending: Vec<_> = cursor.pending.ranges().collect();
    put_ranges(out, &pending);
    let attempts: Vec<_> = cursor.attempts.iter().map(|(offset, count)| (*offset, *count)).collect();
    put_attempts(out, &attempts);
}

/// Reads what [`put_cursor`] wrote.
///
/// # Errors
/// The bytes are not such a thing.
pub fn get_cursor(bytes: &mut Bytes) -> Result<(TriggerId, Cursor)> {
    let trigger = TriggerId(bytes.try_get_u128_le()?);
    let (epoch, changed, upto) = (bytes.try_get_u64_le()?, bytes.try_get_u64_le()?, get_upto(bytes)?);
    let mut pending = RangeSet::new();
    get_ranges(bytes)?.into_iter().for_each(|(from, to)| pending.insert_range(from, to));
    let attempts = get_attempts(bytes)?.into_iter().collect();
    Ok((trigger, Cursor { epoch, changed, upto, pending, attempts }))
}

/// Writes what a dispatcher did.
pub fn put_progress(out: &mut BytesMut, progress: &Progress) {
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

/// Reads what [`put_progress`] wrote, of `group`.
///
/// # Errors
/// The bytes are not such a thing.
pub fn get_progress(bytes: &mut Bytes, group: GroupId) -> Result<Progress> {
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

/// Writes how long a list is.
pub fn put_length(out: &mut BytesMut, length: usize) {
    out.put_u32_le(u32::try_from(length).expect("lists are bounded far below 2^32"));
}

/// Reads a counted list. Memory grows with what is really there, not with the count that is claimed.
///
/// # Errors
/// The bytes are not such a thing.
pub fn get_list<T>(bytes: &mut Bytes, mut get: impl FnMut(&mut Bytes) -> Result<T>) -> Result<Vec<T>> {
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

/// Writes where a trigger begins: an offset, or after the last event there is.
pub fn put_start(out: &mut BytesMut, at: Option<Offset>) {
    put_upto(out, at.map_or(Upto::Scanned, Upto::At));
}

/// Reads what [`put_start`] wrote.
///
/// # Errors
/// The bytes are not such a thing.
pub fn get_start(bytes: &mut Bytes) -> Result<Option<Offset>> {
    Ok(match get_upto(bytes)? {
        Upto::Scanned => None,
        Upto::At(offset) => Some(offset),
    })
}

/// A number in LEB128: seven bits a byte, the lowest first.
pub fn put_number(out: &mut BytesMut, number: impl Into<u128>) {
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

/// Reads what [`put_number`] wrote, of 64 bits at most.
///
/// # Errors
/// The bytes are not such a thing.
pub fn get_u64(bytes: &mut Bytes) -> Result<u64> {
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

/// Writes bytes with their length before them.
pub fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.put_slice(bytes);
}

/// Reads what [`put_bytes`] wrote, sharing its memory.
///
/// # Errors
/// The bytes are not such a thing.
pub fn get_bytes(bytes: &mut Bytes) -> Result<Bytes> {
    let length = bytes.try_get_u32_le()? as usize;
    if length > bytes.len() { Err(Undecodable::Malformed) } else { Ok(bytes.split_to(length)) }
}

/// Writes a dead letter, without its group.
pub fn put_letter(out: &mut BytesMut, letter: &DeadLetter) {
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

/// Reads what [`put_letter`] wrote, of `group`.
///
/// # Errors
/// The bytes are not such a thing.
pub fn get_letter(bytes: &mut Bytes, group: GroupId) -> Result<DeadLetter> {
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

/// Writes which dead letters an operation means, without their group.
pub fn put_selection(out: &mut BytesMut, selection: Selection) {
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

/// Reads what [`put_selection`] wrote, of `group`.
///
/// # Errors
/// The bytes are not such a thing.
pub fn get_selection(bytes: &mut Bytes, group: GroupId) -> Result<Selection> {
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
mod tests;
