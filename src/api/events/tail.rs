//! The events of a Broker as they are committed: JSON, an object a line ([`TailRecord`]).
//!
//! A reader that is slow is waited for: it holds a place in the log and nothing of it. When retention passes that place, the
//! answer says how many events went by unseen. It ends when the server stops, and with a reader that takes nothing for half a
//! minute, as of any answer.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select_all;
use futures_util::stream;
use http::{HeaderValue, Response, header};
use pelton_client::{BrokerName, Client, ClusterView, EventBatch, GroupId, Offset, ReadError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::asked::Asked;
use super::scan::{Scan, end_of};
use super::{known_broker, permit};
use crate::api::Api;
use crate::api::events_view::TailRecord;
use crate::api::problem::Problem;
use crate::api::router::Outcome;
use crate::http::Body;

/// How much of the log is read at a time.
const READ_BYTES: usize = 256 * 1024;

/// Records are sent together up to about so many bytes, when they are there already.
const PIECE_BYTES: usize = 64 * 1024;

/// How long a read may hold up the others: a group that has no leader is asked for long, and then again.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// The wait before a group that has no leader is asked for again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Follows a Broker's events, from now on or from `since`.
pub async fn tail<C: Client>(api: &Api<C>, namespace: &str, name: &str, query: &str) -> Outcome {
    let broker = known_broker(api, namespace, name)?;
    let asked = Asked::read(query, api.clock.now())?;
    if asked.until.is_some() {
        return Err(Problem::bad_request("until: what is followed has no end"));
    }
    let permit = permit(&api.tails, "follow the log")?;
    let mut begin = BTreeMap::new();
    if asked.since.is_some() {
        begin.extend(Scan::begin(&api.client, asked.since).await?.places());
    } else {
        for group in api.client.groups() {
            begin.insert(group, end_of(&api.client, group, api.client.first(group).await?).await?);
        }
    }
    let tail = Tail {
        client: api.client.clone(),
        cluster: api.client.cluster(),
        broker,
        asked,
        places: begin,
        watches: BTreeMap::new(),
        reads: Arc::clone(&api.tail_reads),
        _permit: permit,
    };
    let pieces = stream::unfold(tail, |mut tail| async move {
        let piece = tail.piece().await;
        Some((piece, tail))
    });
    let mut response = Response::new(Body::pieces(pieces));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

struct Tail<C: Client> {
    client: C,
    cluster: watch::Receiver<Arc<ClusterView>>,
    broker: BrokerName,
    asked: Asked,
    /// The next event of each group.
    places: BTreeMap<GroupId, Offset>,
    watches: BTreeMap<GroupId, watch::Receiver<Offset>>,
    /// Turns of all that follow the log.
    reads: Arc<Semaphore>,
    _permit: OwnedSemaphorePermit,
}

impl<C: Client> Tail<C> {
    /// The next records, as they are sent. Waits for them.
    async fn piece(&mut self) -> io::Result<Bytes> {
        let mut piece = Vec::new();
        loop {
            self.watch();
            let mut has_moved = false;
            let groups: Vec<GroupId> = self.watches.keys().copied().collect();
            for group in groups {
                has_moved |= self.read_on(group, &mut piece).await?;
                if piece.len() >= PIECE_BYTES {
                    return Ok(piece.into());
                }
            }
            match has_moved {
                // Others have their turn between two reads.
                true => tokio::task::yield_now().await,
                false if !piece.is_empty() => return Ok(piece.into()),
                false => self.wait().await,
            }
        }
    }

    /// Watches every group that there is now. One that came later is read from its beginning.
    fn watch(&mut self) {
        self.cluster.borrow_and_update();
        for group in self.client.groups() {
            self.places.entry(group).or_default();
            if !self.watches.contains_key(&group)
                && let Ok(committed) = self.client.committed(group)
            {
                self.watches.insert(group, committed);
            }
        }
    }

    /// Reads on in a group, if there is more. `false` when there is not, or it cannot be read now.
    async fn read_on(&mut self, group: GroupId, piece: &mut Vec<u8>) -> io::Result<bool> {
        let (Some(watch), Some(next)) = (self.watches.get_mut(&group), self.places.get_mut(&group)) else {
            return Ok(false);
        };
        if *watch.borrow_and_update() <= *next {
            return Ok(false);
        }
        let turn = self.reads.acquire().await;
        let read = timeout(READ_WITHIN, self.client.read(group, *next, READ_BYTES)).await;
        drop(turn);
        match read.unwrap_or(Err(ReadError::Unavailable)) {
            Ok(batches) => {
                let before = *next;
                for batch in &batches {
                    *next = look_through(batch, *next, &self.broker, &self.asked, piece);
                }
                Ok(*next > before)
            }
            Err(ReadError::Purged { first, .. }) if first > *next => {
                write(piece, &TailRecord::Missing { group: group.0, events: first.0 - next.0 });
                *next = first;
                Ok(true)
            }
            Err(ReadError::Storage(why)) => Err(io::Error::other(why)),
            // It has no leader now, or another one: it is watched anew.
            Err(_) => {
                self.watches.remove(&group);
                Ok(false)
            }
        }
    }

    /// Waits until a group goes on, or the cluster changes, or a group that could not be watched may be.
    async fn wait(&mut self) {
        let is_watched = |group: &GroupId| self.watches.contains_key(group);
        let all_are_watched = self.places.keys().all(is_watched);
        let mut ended = None;
        {
            let changes = self.watches.iter_mut().map(|(group, watch)| {
                let group = *group;
                Box::pin(async move { watch.changed().await.map_err(|_| group) })
            });
            let changes: Vec<_> = changes.collect();
            let any = async {
                match changes.is_empty() {
                    true => std::future::pending().await,
                    false => select_all(changes).await.0,
                }
            };
            tokio::select! {
                changed = any => ended = changed.err(),
                _ = self.cluster.changed() => {}
                () = sleep(AGAIN_AFTER), if !all_are_watched => {}
            }
        }
        if let Some(group) = ended {
            // Its leader has nothing more to tell. Whoever it is next may not be known yet.
            self.watches.remove(&group);
            sleep(AGAIN_AFTER).await;
        }
    }
}

/// Writes what is asked for of a batch. Returns where to go on.
fn look_through(batch: &EventBatch, next: Offset, broker: &BrokerName, asked: &Asked, piece: &mut Vec<u8>) -> Offset {
    let mut seen = next.max(batch.base);
    for record in batch.records() {
        let Ok((position, record)) = record else {
            // What is damaged cannot be told, and neither what stands behind it in the batch.
            write(piece, &TailRecord::Missing { group: batch.group.0, events: batch.end().0.saturating_sub(seen.0) });
            break;
        };
        seen = seen.max(position.offset.plus(1));
        if position.offset < next || record.broker() != broker.as_str() {
            continue;
        }
        if let Ok(event) = record.event()
            && asked.is_wanted(batch.sealed, &event)
        {
            let event = asked.view(position, record.broker(), batch.sealed, &event);
            write(piece, &TailRecord::Event(Box::new(event)));
        }
    }
    next.max(batch.end())
}

fn write(piece: &mut Vec<u8>, record: &TailRecord) {
    serde_json::to_writer(&mut *piece, record).expect("texts and numbers are JSON");
    piece.push(b'\n');
}
