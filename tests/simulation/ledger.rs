//! The state machine of the simulated groups: a list of what was committed, small enough to be compared whole.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use pelton_consensus::{Applied, StateMachine, Watermark};
use pelton_log::LogIndex;

use crate::oracle::Oracle;

/// How many indexes behind the applied one the log may be purged up to: few, so that new replicas need snapshots.
const KEPT: u64 = 40;

/// Watermarks are multiples of this: not every index is one.
const EVERY: u64 = 16;

const LINE_BYTES: usize = 36;

/// One applied command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub index: u64,
    pub term: u64,
    pub offset: u64,
    pub events: u32,
    /// The number that the client gave the command.
    pub id: u64,
}

/// What a replica of a group has applied. Tells the oracle of every step.
pub struct Ledger {
    pub node: u64,
    pub lines: Mutex<Vec<Line>>,
    pub oracle: Arc<Oracle>,
}

/// The body of a command: its number, and bytes that follow from it.
pub fn body(id: u64, padding_bytes: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + padding_bytes);
    out.put_u64_le(id);
    out.put_bytes(id.to_le_bytes()[0], padding_bytes);
    out.freeze()
}

pub fn id_of(mut body: &[u8]) -> u64 {
    body.try_get_u64_le().unwrap_or(u64::MAX)
}

fn encode(lines: &[Line]) -> Bytes {
    let mut out = BytesMut::with_capacity(lines.len() * LINE_BYTES);
    for line in lines {
        out.put_u64_le(line.index);
        out.put_u64_le(line.term);
        out.put_u64_le(line.offset);
        out.put_u32_le(line.events);
        out.put_u64_le(line.id);
    }
    out.freeze()
}

fn decode(mut bytes: Bytes) -> Vec<Line> {
    let mut lines = Vec::new();
    while bytes.remaining() >= LINE_BYTES {
        lines.push(Line {
            index: bytes.get_u64_le(),
            term: bytes.get_u64_le(),
            offset: bytes.get_u64_le(),
            events: bytes.get_u32_le(),
            id: bytes.get_u64_le(),
        });
    }
    lines
}

impl StateMachine for Ledger {
    fn protocol(&self) -> u32 {
        1
    }

    fn apply(&self, applied: Applied) {
        let line = Line {
            index: applied.index.0,
            term: applied.term.0,
            offset: applied.first_offset.0,
            events: applied.command.event_count,
            id: id_of(&applied.command.body),
        };
        let mut lines = self.lines.lock();
        let before = lines.last().copied();
        lines.push(line);
        drop(lines);
        self.oracle.applied(self.node, before, line);
    }

    fn checkpoint(&self) -> Bytes {
        encode(&self.lines.lock())
    }

    fn restore(&self, checkpoint: &Bytes, _watermark: Option<&Watermark>) -> Result<(), String> {
        let lines = decode(checkpoint.clone());
        self.oracle.loaded(self.node, &lines, None);
        *self.lines.lock() = lines;
        Ok(())
    }

    fn watermark(&self, applied: LogIndex) -> Option<Watermark> {
        let index = applied.0.checked_sub(KEPT)? / EVERY * EVERY;
        if index == 0 {
            return None;
        }
        let lines = self.lines.lock();
        let upto = lines.partition_point(|line| line.index <= index);
        Some(Watermark { index: LogIndex(index), state: encode(&lines[..upto]) })
    }

    fn install(&self, index: LogIndex, state: &Bytes) -> Result<(), String> {
        let lines = decode(state.clone());
        self.oracle.loaded(self.node, &lines, Some(index.0));
        *self.lines.lock() = lines;
        Ok(())
    }

    // Its watermark follows from the applied index alone.
    fn adopt(&self, _watermark: &Watermark) -> Result<(), String> {
        Ok(())
    }
}
