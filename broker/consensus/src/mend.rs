//! Copies of damaged entries, and snapshots, from other replicas.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use pelton_log::{Damage, GroupId, Log, LogIndex, ReadError, Refused, Term};
use pelton_proto::consensus::v1 as proto;
use proto::fetch_response::Lack;

use crate::admission::room_for;
use crate::snapshot::SnapshotBytes;
use crate::storage::completed;
use crate::transport::NoAnswer;
use crate::types::Snapshot;
use crate::{NodeId, Peers, Space, chunks, fetch, wire};

/// How long one answer may take: about a MiB, or one record.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long a snapshot may take.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(60);

/// Stretches of damage that are told apart; behind them they are only counted.
const PLACES_SHOWN: usize = 8;

/// What of a replica's log cannot be read, until copies from other replicas take its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsound {
    /// Entries that cannot be read.
    pub entries: u64,
    /// Where they are: one for each of the first few stretches, with the offsets of all events in it.
    pub places: Vec<Damage>,
    /// Its checkpoint is lost, so that it needs another replica's snapshot.
    pub needs_snapshot: bool,
    /// Every other replica was asked, and some entry is sound on none.
    pub is_everywhere: bool,
}

impl Unsound {
    /// Whether everything is as it was written.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.entries == 0 && !self.needs_snapshot
    }
}

impl std::fmt::Display for Unsound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.needs_snapshot {
            return f.write_str("its checkpoint is damaged, and the log before it is purged");
        }
        write!(f, "{} damaged entries", self.entries)?;
        for (nth, place) in self.places.iter().enumerate() {
            f.write_str(if nth == 0 { ": " } else { "; " })?;
            match (place.index, place.offsets) {
                (Some(index), Some((from, to))) => {
                    write!(f, "from index {} on, offsets {} to below {}", index.0, from.0, to.0)?;
                }
                (Some(index), None) => write!(f, "from index {} on", index.0)?,
                (None, _) => {}
            }
            write!(f, " ({} at byte {})", place.file, place.position)?;
        }
        Ok(())
    }
}

/// What one replica said of the entries that it could not give.
#[derive(Debug)]
pub(crate) struct Peer {
    led: Option<Term>,
    last: LogIndex,
    committed: LogIndex,
    pub(crate) is_damaged: bool,
    pub(crate) lacks: BTreeMap<LogIndex, Lack>,
}

/// Asks other replicas for what is damaged here.
#[derive(Clone)]
pub(crate) struct Mend {
    pub(crate) log: Log,
    pub(crate) group: GroupId,
    pub(crate) node: NodeId,
    pub(crate) peers: Peers,
}

async fn within<T>(limit: Duration, answer: impl Future<Output = Result<T, NoAnswer>>) -> Result<T, NoAnswer> {
    tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| Err(NoAnswer::because("none in time")))
}

impl Mend {
    /// The damaged entries that are known.
    pub(crate) fn faulty(&self) -> Vec<LogIndex> {
        let stretches = self.log.faulty(self.group).into_iter();
        stretches.flat_map(|stretch| (stretch.start().0..=stretch.end().0).map(LogIndex)).collect()
    }

    /// What is known to be wrong.
    pub(crate) fn unsound(&self) -> Unsound {
        let stretches = self.log.faulty(self.group);
        let entries = stretches.iter().map(|stretch| stretch.end().0 - stretch.start().0 + 1).sum();
        let damage = |index: LogIndex| match self.log.read(self.group, index, LogIndex(index.0 + 1), 1) {
            Err(ReadError::Damaged(damage)) => Some(damage),
            _ => None,
        };
        let place = |stretch: &std::ops::RangeInclusive<LogIndex>| {
            let (first, last) = (damage(*stretch.start())?, damage(*stretch.end())?);
            let offsets = match (first.offsets, last.offsets) {
                (Some((from, _)), Some((_, to))) => Some((from, to)),
                (first, last) => first.or(last),
            };
            Some(Damage { offsets, ..first })
        };
        let places = stretches.iter().take(PLACES_SHOWN).filter_map(place).collect();
        Unsound { entries, places, ..Unsound::default() }
    }

    /// Asks one replica after the other for those of `wanted` that are still damaged, and puts what they give in place.
    /// Only those are in the answer that answered for all of them.
    pub(crate) async fn round(&self, from: &BTreeSet<NodeId>, wanted: &[LogIndex]) -> BTreeMap<NodeId, Peer> {
        let mut answers = BTreeMap::new();
        for node in from.iter().filter(|node| **node != self.node) {
            match self.ask(*node, wanted).await {
                Ok(peer) => drop(answers.insert(*node, peer)),
                Err(error) => {
                    let group = self.group.0;
                    tracing::debug!(group, %node, %error, "a replica does not help to repair this one");
                }
            }
        }
        answers
    }

    /// Whether a replica says that it is damaged.
    pub(crate) async fn is_damaged(&self, node: NodeId) -> bool {
        self.ask(node, &[]).await.is_ok_and(|peer| peer.is_damaged)
    }

    async fn ask(&self, node: NodeId, wanted: &[LogIndex]) -> Result<Peer, NoAnswer> {
        let mut peer: Option<Peer> = None;
        let faulty: BTreeSet<_> = self.faulty().into_iter().collect();
        let left: Vec<_> = wanted.iter().copied().filter(|index| faulty.contains(index)).collect();
        let mut left = &left[..];
        // Asked even when nothing is left: it says how it stands itself.
        loop {
            let wanted = fetch::wanted(&self.log, self.group, &left[..left.len().min(fetch::MAX_WANTED)]);
            let request = proto::FetchRequest { group: self.group.0, wanted: wanted.clone() };
            let transport = self.peers.transport()?;
            let response = within(ANSWER_WITHIN, transport.fetch(node, request)).await?;
            let answer = fetch::read(node, &wanted, response).map_err(NoAnswer::because)?;
            let peer = peer.get_or_insert_with(|| Peer {
                led: answer.led,
                last: answer.last,
                committed: answer.committed,
                is_damaged: answer.is_damaged,
                lacks: BTreeMap::new(),
            });
            if answer.found.is_empty() {
                break;
            }
            let Some(last) = wanted.get(answer.found.len() - 1) else { break };
            let done = left.iter().take_while(|index| index.0 <= last.index).count();
            left = &left[done..];
            let mut copies = Vec::new();
            for (wanted, found) in wanted.iter().zip(answer.found) {
                match found {
                    Ok(entry) => copies.push(entry),
                    Err(lack) => drop(peer.lacks.insert(LogIndex(wanted.index), lack)),
                }
            }
            let refused = self.put(node, copies).await;
            peer.lacks.extend(refused.into_iter().map(|index| (index, Lack::Damaged)));
            if left.is_empty() {
                break;
            }
        }
        peer.ok_or_else(|| NoAnswer::because("no answer"))
    }

    /// Puts copies in the places of damaged entries; those that were refused.
    async fn put(&self, from: NodeId, copies: Vec<pelton_log::Entry>) -> Vec<LogIndex> {
        let bytes = copies.iter().map(|entry| entry.body.len() as u64).sum();
        let indexes: Vec<_> = copies.iter().map(|entry| entry.index).collect();
        // An answer without copies waits for no room: it still says that nobody has them.
        if indexes.is_empty() {
            return Vec::new();
        }
        if !room_for(&self.log, Space::Reserve, bytes).await {
            return indexes;
        }
        let put = copies.into_iter().map(|entry| completed(|done| self.log.repair(self.group, entry, done)));
        let mut refused = Vec::new();
        let all = indexes.len();
        for (index, done) in indexes.into_iter().zip(join_all(put).await) {
            let Err(error) = done else { continue };
            let group = self.group.0;
            let is_other = error.get_ref().is_some_and(|inner| {
                let inner = inner.downcast_ref::<std::sync::Arc<std::io::Error>>();
                inner.and_then(|error| error.get_ref()?.downcast_ref::<Refused>()).is_some()
            });
            if is_other {
                tracing::error!(group, index = index.0, %from, %error, "a copy of a damaged entry is not taken");
            } else {
                tracing::warn!(group, index = index.0, %from, %error, "a damaged entry could not be repaired");
            }
            refused.push(index);
        }
        self.peers.note_repaired((all - refused.len()) as u64);
        refused
    }

    /// A snapshot of another replica that reaches to `at_least` or further.
    pub(crate) async fn snapshot(
        &self,
        from: &BTreeSet<NodeId>,
        at_least: LogIndex,
    ) -> Option<(Snapshot, SnapshotBytes)> {
        for node in from.iter().filter(|node| **node != self.node) {
            match self.ask_snapshot(*node).await {
                Ok((snapshot, bytes)) if bytes.index >= at_least => return Some((snapshot, bytes)),
                Ok((_, bytes)) => {
                    let (group, index) = (self.group.0, bytes.index.0);
                    tracing::debug!(group, %node, index, "a snapshot does not reach far enough");
                }
                Err(error) => {
                    let group = self.group.0;
                    tracing::debug!(group, %node, %error, "a replica gives no snapshot to repair this one");
                }
            }
        }
        None
    }

    async fn ask_snapshot(&self, node: NodeId) -> Result<(Snapshot, SnapshotBytes), NoAnswer> {
        let request = proto::FetchSnapshotRequest { group: self.group.0 };
        let transport = self.peers.transport()?;
        let collected = async {
            let chunks = transport.fetch_snapshot(node, request).await?;
            let own = |group: u32| {
                let is_own = group == self.group.0;
                if is_own { Ok(()) } else { Err(wire::BadMessage::OtherGroup.into()) }
            };
            chunks::collect(chunks, own).await.map_err(|refusal| NoAnswer::because(refusal.text))
        };
        let (head, bytes) = within(SNAPSHOT_WITHIN, collected).await?;
        wire::snapshot(head, bytes).map_err(|refusal| NoAnswer::because(refusal.text))
    }
}

/// Whether an entry that is damaged here, and that no replica has, is proved to be none that was committed.
///
/// Either a replica has committed another entry in its place. Or one that was elected leader, in a term not older than
/// any this replica took part in, does not have it: it had everything that was committed before, and has dropped nothing
/// since. What the next leaders commit, this replica had no part in, so that they send it again.
///
/// `known` is the entry, or where its term is not known, one behind it: then only a log that ends before both counts.
pub(crate) fn is_uncommitted(
    index: LogIndex,
    known: LogIndex,
    own_term: Term,
    answers: &BTreeMap<NodeId, Peer>,
) -> bool {
    answers.values().any(|peer| {
        let lack = peer.lacks.get(&index);
        let has_other = lack == Some(&Lack::Other) && known == index;
        let has_none = lack == Some(&Lack::Short) && (known == index || peer.last < index);
        let leads = peer.led.is_some_and(|term| term >= own_term);
        (has_other && peer.committed >= index) || ((has_other || has_none) && leads)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(led: Option<u64>, last: u64, committed: u64, lack: Lack) -> Peer {
        Peer {
            led: led.map(Term),
            last: LogIndex(last),
            committed: LogIndex(committed),
            is_damaged: false,
            lacks: BTreeMap::from([(LogIndex(10), lack)]),
        }
    }

    /// The entry at 10, of a replica that took part in term 5 last.
    #[test]
    fn an_entry_is_dropped_only_when_it_is_proved_uncommitted() {
        let rows = [
            ("a follower that ends before it", peer(None, 9, 9, Lack::Short), false, false),
            ("a leader of an older term that ends before it", peer(Some(4), 9, 9, Lack::Short), false, false),
            ("a leader of the same term that ends before it", peer(Some(5), 9, 9, Lack::Short), true, true),
            ("a leader of a later term that ends before it", peer(Some(6), 9, 9, Lack::Short), true, true),
            ("a follower with another, not committed", peer(None, 12, 9, Lack::Other), false, false),
            ("a follower with another, committed", peer(None, 12, 10, Lack::Other), true, false),
            ("a later leader with another", peer(Some(6), 12, 9, Lack::Other), true, false),
            ("a later leader whose log ends between the two", peer(Some(6), 10, 9, Lack::Short), true, false),
            ("a later leader that has it damaged", peer(Some(6), 12, 12, Lack::Damaged), false, false),
            ("a later leader that has purged it", peer(Some(6), 12, 12, Lack::Purged), false, false),
        ];
        for (row, peer, when_known, when_not) in rows {
            let answers = BTreeMap::from([(NodeId(2), peer)]);
            for (known, want) in [(10, when_known), (11, when_not)] {
                let found = is_uncommitted(LogIndex(10), LogIndex(known), Term(5), &answers);
                assert_eq!(found, want, "{row}, known at {known}");
            }
        }
        assert!(!is_uncommitted(LogIndex(10), LogIndex(10), Term(5), &BTreeMap::new()), "nobody answered");
    }
}
