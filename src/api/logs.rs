//! What instances printed, as this node's gateway keeps it: JSON, an object a line ([`LogRecord`]).
//!
//! | query | what |
//! | --- | --- |
//! | `follow=true` | goes on with what is printed from now on, until the Service or Revision is deleted |
//! | `tail=N` | no more than the last N lines of what there is |
//! | `since=D` | of what there is only the lines of the last so long, by the node's clock |

mod reading;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use http::{HeaderValue, Response, StatusCode, header};
use pelton_client::{Client, Resources};
use pelton_env::UnixMillis;
use pelton_resource::conditions::{READY, RESOURCES_AVAILABLE};
use pelton_resource::serving::Revision;
use pelton_resource::{ConditionStatus, ResourceKey};
use pelton_serving_gateway::logs::{Followed, Logs};
use tokio::sync::{OwnedSemaphorePermit, watch};

use self::reading::Reading;
use super::gateway::revisions_of;
use super::problem::Problem;
use super::router::{Outcome, query_value};
use super::serving_view::LogRecord;
use super::{Api, rfc3339};
use crate::config::parse_duration;
use crate::http::Body;
use crate::terminal::escape;

/// How many logs may be read at once. Each holds a connection, and a file and some 64 KiB a Revision.
pub const READERS: usize = 32;

/// How many Revisions of a Service are read together: the newest. An older one is read by itself.
const REVISIONS: usize = 64;

/// The largest `tail`. The places of so many lines are held in memory while they are looked for: 24 bytes each.
const MAX_TAIL: u64 = 100_000;

/// Records are sent together up to about so many bytes, when they are there already.
const PIECE_BYTES: usize = 64 * 1024;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    follow: bool,
    tail: Option<u64>,
    since: Option<Duration>,
}

impl Asked {
    fn read(query: &str) -> Result<Self, Problem> {
        let follow = match query_value(query, "follow").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => return Err(Problem::bad_request(format!("follow: expected true or false, got {other:?}"))),
        };
        let tail = query_value(query, "tail").map(|text| {
            text.parse().ok().filter(|tail| *tail <= MAX_TAIL).ok_or_else(|| {
                Problem::bad_request(format!("tail: expected a number from 0 to {MAX_TAIL}, got {text:?}"))
            })
        });
        let since = query_value(query, "since")
            .map(|text| parse_duration(&text).map_err(|error| Problem::bad_request(format!("since: {error}"))));
        Ok(Self { follow, tail: tail.transpose()?, since: since.transpose()? })
    }
}

/// The logs of a Service's Revisions, or of one Revision.
pub async fn show<C: Client>(api: &Api<C>, key: ResourceKey, query: &str) -> Outcome {
    let asked = Asked::read(query)?;
    let mut resources = api.client.resources();
    let mut revisions = revisions_of(&resources.borrow_and_update(), &key)?;
    let logs = api.own_gateway()?.logs();
    let permit = Arc::clone(&api.log_readers).try_acquire_owned().map_err(|_| {
        let detail = format!("{READERS} logs are being read already, and no more may be at once");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    revisions.truncate(REVISIONS);
    let since = asked.since.map_or(UnixMillis(0), |age| api.clock.now().minus(age));
    let opened = Reading::open(logs, &revisions, asked.follow, since, asked.tail).await;
    let reading = opened.map_err(|error| unreadable(&key, &error))?;
    if !asked.follow && reading.is_empty() && !revisions.iter().any(|revision| came_up(revision)) {
        return Err(Problem::not_found(never_ran(&key, &revisions)));
    }
    let known = revisions.iter().map(|revision| revision.metadata.name.clone()).collect();
    let answer = Answer {
        reading,
        follow: asked.follow,
        resources,
        key,
        logs: logs.clone(),
        known,
        end: VecDeque::new(),
        _permit: permit,
    };
    let pieces = stream::unfold(answer, |mut answer| async move {
        let piece = answer.piece().await.transpose()?;
        Some((piece, answer))
    });
    let mut response = Response::new(Body::pieces(pieces));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

fn unreadable(key: &ResourceKey, error: &io::Error) -> Problem {
    tracing::error!(%key, %error, "a log could not be read");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the logs of {key} cannot be read: {error}"))
}

/// Whether instances of it ever ran as they should.
fn came_up(revision: &Revision) -> bool {
    revision.status.conditions.status(RESOURCES_AVAILABLE) == ConditionStatus::True
}

/// Why there is nothing to read.
fn never_ran(key: &ResourceKey, revisions: &[Arc<Revision>]) -> String {
    let mut text = format!("{key} has not run yet, so that nothing was printed");
    let Some(newest) = revisions.first() else { return text + ": it has no Revision yet" };
    let name = &newest.metadata.name;
    match newest.status.conditions.find(READY).filter(|ready| !ready.reason.is_empty()) {
        Some(ready) => {
            let message =
                if ready.message.is_empty() { String::new() } else { format!(", {}", escape(&ready.message)) };
            let _ = write!(text, "; {name}: {}{message}", ready.reason);
        }
        None => {
            let _ = write!(text, "; {name} is being started");
        }
    }
    text
}

/// An answer that goes on.
struct Answer {
    reading: Reading,
    follow: bool,
    resources: watch::Receiver<Arc<Resources>>,
    key: ResourceKey,
    logs: Logs,
    /// Revisions that are read or were.
    known: BTreeSet<String>,
    /// What is said at the very end.
    end: VecDeque<LogRecord>,
    _permit: OwnedSemaphorePermit,
}

impl Answer {
    /// The next records, as they are sent. `None` at the end.
    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        let mut piece = Vec::new();
        let Some(record) = self.record().await? else { return Ok(None) };
        write(&mut piece, &record);
        // What is there already goes along.
        while piece.len() < PIECE_BYTES
            && let Some(next) = self.reading.next().now_or_never()
        {
            let Some((revision, followed)) = next? else { break };
            write(&mut piece, &record_of(revision, followed));
        }
        Ok(Some(piece.into()))
    }

    async fn record(&mut self) -> io::Result<Option<LogRecord>> {
        loop {
            tokio::select! {
                biased;
                next = self.reading.next() => return Ok(match next? {
                    Some((revision, followed)) => Some(record_of(revision, followed)),
                    None => self.end.pop_front(),
                }),
                changed = self.resources.changed(), if self.follow => match changed {
                    Ok(()) => self.look().await?,
                    // Nobody tells any more: this process is ending.
                    Err(_) => self.finish(),
                },
            }
        }
    }

    /// Looks for new Revisions, and whether what is followed is still there.
    async fn look(&mut self) -> io::Result<()> {
        let resources = Arc::clone(&self.resources.borrow_and_update());
        let Ok(revisions) = revisions_of(&resources, &self.key) else {
            self.end.push_back(LogRecord::Deleted);
            self.finish();
            return Ok(());
        };
        let is_there = |name: &str| revisions.iter().any(|revision| revision.metadata.name == name);
        self.reading.keep(is_there);
        self.known.retain(|name| is_there(name));
        for revision in revisions.iter().take(REVISIONS).filter(|it| !self.known.contains(&it.metadata.name)) {
            self.reading.add(&self.logs, revision).await?;
        }
        self.known.extend(revisions.iter().map(|revision| revision.metadata.name.clone()));
        Ok(())
    }

    /// Reads what is stored, and waits for nothing more.
    fn finish(&mut self) {
        self.follow = false;
        self.reading.finish();
    }
}

fn record_of(revision: String, followed: Followed) -> LogRecord {
    match followed {
        Followed::Line(line) => LogRecord::Line {
            at: rfc3339(line.at),
            revision,
            instance: line.instance.to_string(),
            stream: line.stream.to_string(),
            goes_on: line.goes_on,
            text: String::from_utf8_lossy(&line.text).into_owned(),
        },
        Followed::Missing(lines) => LogRecord::Missing { revision, lines },
    }
}

fn write(piece: &mut Vec<u8>, record: &LogRecord) {
    serde_json::to_writer(&mut *piece, record).expect("texts and numbers are JSON");
    piece.push(b'\n');
}
