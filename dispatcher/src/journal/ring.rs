//! The last so many attempts, in memory that does not grow. Pure.

use std::num::NonZeroU16;

use pelton_client::{Attempt, AttemptResult, GroupId, Moment, Offset, Position, Recipient, TriggerId};
use pelton_env::UnixMillis;

/// One attempt that ended, in 56 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    // In two halves, or its alignment would cost eight bytes an entry.
    trigger: [u64; 2],
    offset: u64,
    ended: u64,
    /// The offset of the reply, or when the next attempt is to be made; `u64::MAX` is neither.
    then: u64,
    /// The group of the reply; `u32::MAX` when `then` is a time.
    reply_group: u32,
    took_millis: u32,
    number: u16,
    code: Option<NonZeroU16>,
    asked: Recipient,
    result: AttemptResult,
}

// What the bounds of the rings are worth in memory.
const _: () = assert!(size_of::<Entry>() == 56);

const NOTHING: u64 = u64::MAX;
const A_TIME: u32 = u32::MAX;

impl Entry {
    /// An attempt for the event at `offset`, with no reply and none to follow.
    #[must_use]
    pub fn new(trigger: TriggerId, offset: Offset, asked: Recipient, number: u32, ended: UnixMillis) -> Self {
        Self {
            trigger: [(trigger.0 >> 64) as u64, trigger.0 as u64],
            offset: offset.0,
            ended: ended.0,
            then: NOTHING,
            reply_group: A_TIME,
            took_millis: 0,
            number: u16::try_from(number).unwrap_or(u16::MAX),
            code: None,
            asked,
            result: AttemptResult::Delivered,
        }
    }

    /// The same, that took so long.
    #[must_use]
    pub fn took(self, took: std::time::Duration) -> Self {
        Self { took_millis: u32::try_from(took.as_millis()).unwrap_or(u32::MAX), ..self }
    }

    /// The same, with what came of it.
    #[must_use]
    pub fn with(self, result: AttemptResult, code: Option<u16>) -> Self {
        Self { result, code: code.and_then(NonZeroU16::new), ..self }
    }

    /// The same, with another result.
    #[must_use]
    pub fn ending(self, result: AttemptResult) -> Self {
        Self { result, ..self }
    }

    /// The same, after which another follows.
    #[must_use]
    pub fn next_at(self, at: UnixMillis) -> Self {
        Self { then: at.0, reply_group: A_TIME, ..self }
    }

    /// The same, whose reply is stored there.
    #[must_use]
    pub fn replied(self, at: Position) -> Self {
        Self { then: at.offset.0, reply_group: at.group.0, ..self }
    }

    /// Which of both rings it is for: one that an operator rather looks for, or one of the many that went well.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        self.result == AttemptResult::Delivered && self.number == 1 && self.asked == Recipient::Subscriber
    }

    /// When it ended.
    #[must_use]
    pub fn ended(&self) -> UnixMillis {
        UnixMillis(self.ended)
    }

    /// Whether it is of that event of its own group.
    #[must_use]
    pub fn is_of(&self, offset: Offset) -> bool {
        self.offset == offset.0
    }

    /// Where its reply stands.
    #[must_use]
    pub fn reply(&self) -> Option<Position> {
        let there = self.reply_group != A_TIME && self.then != NOTHING;
        there.then_some(Position { group: GroupId(self.reply_group), offset: Offset(self.then) })
    }

    /// As it is told, of a journal of `group`.
    #[must_use]
    pub fn told(&self, group: GroupId) -> Attempt {
        let has_next = self.reply_group == A_TIME && self.then != NOTHING;
        Attempt {
            trigger: TriggerId((u128::from(self.trigger[0]) << 64) | u128::from(self.trigger[1])),
            event: Position { group, offset: Offset(self.offset) },
            asked: self.asked,
            number: u32::from(self.number),
            ended: Moment(self.ended),
            took_millis: self.took_millis,
            result: self.result,
            code: self.code.map(NonZeroU16::get),
            reply: self.reply(),
            next: has_next.then_some(Moment(self.then)),
        }
    }
}

/// The last so many entries.
#[derive(Debug)]
pub struct Ring {
    entries: Vec<Entry>,
    capacity: usize,
    /// Where the next one goes once it is full: the oldest stands there.
    next: usize,
    /// When the latest one ended that was written over.
    forgotten: UnixMillis,
}

impl Ring {
    /// An empty one. Its memory is asked for with the first entry, all at once.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { entries: Vec::new(), capacity: capacity.max(1), next: 0, forgotten: UnixMillis(0) }
    }

    /// Adds one, over the oldest when it is full.
    pub fn push(&mut self, entry: Entry) {
        if self.entries.len() < self.capacity {
            if self.entries.capacity() == 0 {
                self.entries.reserve_exact(self.capacity);
            }
            self.entries.push(entry);
            return;
        }
        let oldest = std::mem::replace(&mut self.entries[self.next], entry);
        self.forgotten = self.forgotten.max(oldest.ended());
        self.next = (self.next + 1) % self.capacity;
    }

    /// When the latest one ended that is forgotten; zero when none is.
    #[must_use]
    pub fn forgotten(&self) -> UnixMillis {
        self.forgotten
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Those at these places, in no order.
    pub fn part(&self, from: usize, count: usize) -> &[Entry] {
        let from = from.min(self.entries.len());
        &self.entries[from..(from + count).min(self.entries.len())]
    }
}
