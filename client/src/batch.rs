//! A batch of events as it stands in the log: what the proposer seals, the log stores and the dispatcher reads.
//!
//! Little-endian, one record after the other:
//!
//! `length u32 | hops u8 | broker length u8 | flags u16 | dedup u128 (when flag 1) | producer u64 | sequence u64 (both
//! when flag 2) | broker | frame`
//!
//! `length` counts the bytes after itself. `broker` is `namespace/name`; the frame is that of `pelton_event`.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pelton_event::{Event, FrameError};

use crate::{BrokerName, GroupId, Offset, Position, ProducerKey};

/// Bytes that a record takes besides its broker name and frame, at most.
pub const RECORD_OVERHEAD_BYTES: usize = 40;

const FLAG_DEDUP: u16 = 1;
const FLAG_PRODUCER: u16 = 2;

/// How many more times an event may pass a broker as the reply to another: the `knativebrokerttl` of Knative's
/// brokers, 255 for an event that a producer sent (Knative Eventing, broker ingress).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hops(pub u8);

impl Hops {
    /// What an event has that did not come as a reply.
    pub const FULL: Self = Self(255);

    /// What a reply to an event with this count gets. `None` when it may go no further.
    #[must_use]
    pub fn lowered(self) -> Option<Self> {
        match self.0 {
            0 | 1 => None,
            n => Some(Self(n - 1)),
        }
    }
}

/// Broker, `source` and `id` of an event as one number, for the deduplication window: 128 bits, so that two different
/// events never share one in practice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DedupKey(pub u128);

/// Appends one record to `batch`. `producer` goes with the first record of a call: it stands for all of them.
pub fn encode_record(
    batch: &mut BytesMut,
    broker: &BrokerName,
    hops: Hops,
    dedup: Option<DedupKey>,
    producer: Option<ProducerKey>,
    event: &Event,
) {
    let (name, frame) = (broker.as_str().as_bytes(), event.as_frame());
    let length = 4 + dedup.map_or(0, |_| 16) + producer.map_or(0, |_| 16) + name.len() + frame.len();
    batch.reserve(4 + length);
    batch.put_u32_le(u32::try_from(length).expect("an event is far below 4 GiB"));
    batch.put_u8(hops.0);
    batch.put_u8(u8::try_from(name.len()).expect("both parts of a broker's name are DNS labels"));
    let flags = dedup.map_or(0, |_| FLAG_DEDUP) | producer.map_or(0, |_| FLAG_PRODUCER);
    batch.put_u16_le(flags);
    if let Some(DedupKey(key)) = dedup {
        batch.put_u128_le(key);
    }
    if let Some(ProducerKey { producer, sequence }) = producer {
        batch.put_u64_le(producer);
        batch.put_u64_le(sequence);
    }
    batch.put_slice(name);
    batch.put_slice(frame);
}

/// The bytes are not a sequence of whole records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record at byte {at} of the batch is damaged")]
pub struct BadBatch {
    /// Where in the body the first bad record begins.
    pub at: usize,
}

/// One record of a batch, not yet looked into.
#[derive(Debug, Clone)]
pub struct Record {
    /// Hops left.
    pub hops: Hops,
    /// The key in the deduplication window, when the broker has one.
    pub dedup: Option<DedupKey>,
    /// The key of the call that it is the first record of, when it was made with one.
    pub producer: Option<ProducerKey>,
    broker: Bytes,
    frame: Bytes,
}

impl Record {
    /// `namespace/name` of the broker the event belongs to.
    #[must_use]
    pub fn broker(&self) -> &str {
        std::str::from_utf8(&self.broker).unwrap_or("")
    }

    /// The event, sharing the batch's memory.
    ///
    /// # Errors
    /// The frame is damaged.
    pub fn event(&self) -> Result<Event, FrameError> {
        Event::from_frame(self.frame.clone())
    }

    /// The size of the event's frame in bytes.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        self.frame.len()
    }
}

/// A committed batch: consecutive events of one group.
#[derive(Debug, Clone)]
pub struct EventBatch {
    /// The group.
    pub group: GroupId,
    /// The offset of the first event.
    pub base: Offset,
    /// How many events.
    pub count: u32,
    /// When its leader sealed it, by that node's clock.
    pub sealed: pelton_env::UnixMillis,
    /// The records.
    pub body: Bytes,
}

impl EventBatch {
    /// The offset after the last event.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.base.plus(u64::from(self.count))
    }

    /// The records with their positions, in order. Ends after the first damaged one.
    pub fn records(&self) -> impl Iterator<Item = Result<(Position, Record), BadBatch>> + use<> {
        let (group, base) = (self.group, self.base);
        records(self.body.clone())
            .enumerate()
            .map(move |(i, record)| record.map(|record| (Position { group, offset: base.plus(i as u64) }, record)))
    }
}

/// The records of a batch's body. Ends after the first damaged one.
pub fn records(body: Bytes) -> impl Iterator<Item = Result<Record, BadBatch>> {
    let whole = body.len();
    let mut rest = body;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = whole - rest.len();
        let record = next_record(&mut rest);
        if record.is_none() {
            rest.clear();
        }
        Some(record.ok_or(BadBatch { at }))
    })
}

fn next_record(rest: &mut Bytes) -> Option<Record> {
    let length = rest.try_get_u32_le().ok()? as usize;
    if length > rest.len() {
        return None;
    }
    let mut record = rest.split_to(length);
    let hops = Hops(record.try_get_u8().ok()?);
    let name_length = usize::from(record.try_get_u8().ok()?);
    let flags = record.try_get_u16_le().ok()?;
    let dedup = if flags & FLAG_DEDUP == 0 { None } else { Some(DedupKey(record.try_get_u128_le().ok()?)) };
    let producer = if flags & FLAG_PRODUCER == 0 {
        None
    } else {
        Some(ProducerKey { producer: record.try_get_u64_le().ok()?, sequence: record.try_get_u64_le().ok()? })
    };
    if name_length > record.len() {
        return None;
    }
    let broker = record.split_to(name_length);
    Some(Record { hops, dedup, producer, broker, frame: record })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_with_each_of_its_keys_and_none_is_made_of_a_part() {
        let broker = BrokerName::new("default", "a");
        let event = Event::builder().id("1").source("/s").ty("t").build().unwrap();
        let (dedup, producer) = (DedupKey(u128::MAX - 3), ProducerKey { producer: 7, sequence: u64::MAX });
        for keys in [(None, None), (Some(dedup), None), (None, Some(producer)), (Some(dedup), Some(producer))] {
            let mut batch = BytesMut::new();
            encode_record(&mut batch, &broker, Hops(9), keys.0, keys.1, &event);
            assert!(batch.len() <= RECORD_OVERHEAD_BYTES + broker.as_str().len() + event.as_frame().len());
            let body = batch.freeze();
            let read: Vec<_> = records(body.clone()).map(Result::unwrap).collect();
            assert_eq!(read.len(), 1);
            assert_eq!((read[0].hops, read[0].dedup, read[0].producer), (Hops(9), keys.0, keys.1));
            assert_eq!((read[0].broker(), read[0].event().unwrap().id()), ("default/a", "1"));
            for cut in 1..body.len() {
                assert!(records(body.slice(..cut)).any(|record| record.is_err()), "cut at {cut}");
            }
        }
    }
}
