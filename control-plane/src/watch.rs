//! Watches: what is there, and then every change, one line of JSON each (kube-api.md, section 7).
//!
//! A watcher is a position in the history of changes, and holds nothing else once it was told what is there. One that is slower than the changes come loses
//! its place when the history goes on beyond it, and is told to list anew.

mod line;
mod options;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use http::StatusCode;
use pelton_client::Resources;
use pelton_client::history::History;
use pelton_env::Clock;
use pelton_resource::ResourceKey;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

pub use self::line::Lines;
pub use self::options::{Options, Start, options};
use crate::body::{self, Answer, Body};
use crate::list::selected;
use crate::selection::Selection;
use crate::status::ApiError;
use crate::versions;

/// Changes that are read from the history at a time.
const CHANGES_AT_ONCE: usize = 256;

/// Bytes of objects that are there which are put into one piece of the answer.
const PIECE_BYTES: usize = 64 * 1024;

struct Watcher {
    resources: watch::Receiver<Arc<Resources>>,
    selection: Selection,
    lines: Lines,
    options: Options,
    clock: Arc<dyn Clock>,
    /// Up to here everything was told.
    version: u64,
    /// What was there at the beginning and is not told yet.
    there: Option<There>,
    /// Whose changes are followed.
    history: History,
    /// A piece that is to be sent before anything else.
    ready: Option<Bytes>,
    ends_at: Instant,
    bookmark_at: Instant,
    is_over: bool,
}

/// What was there at the beginning: the names, and the state that they are of, which is shared. Objects are written when they
/// can be sent.
struct There {
    resources: Arc<Resources>,
    keys: std::vec::IntoIter<ResourceKey>,
}

/// Begins a watch.
///
/// # Errors
/// It begins at a version that is not reached, or too long ago.
pub async fn begin(
    resources: watch::Receiver<Arc<Resources>>,
    selection: Selection,
    lines: Lines,
    options: Options,
    clock: Arc<dyn Clock>,
) -> Result<Answer, ApiError> {
    let now = Instant::now();
    let at_least = versions::Wanted::AtLeast(options.at_least);
    let seen = versions::reach(resources.clone(), at_least).await?;
    let (ends_at, bookmark_at) = (now + options.length, now + options::BOOKMARK_EVERY);
    let mut watcher = Watcher {
        resources,
        selection,
        lines,
        options,
        clock,
        version: versions::of(&seen),
        there: None,
        history: seen.history.clone(),
        ready: None,
        ends_at,
        bookmark_at,
        is_over: false,
    };
    match watcher.options.start {
        Start::Everything => {
            let keys = selected(&seen, &watcher.selection).into_iter();
            watcher.there = Some(There { resources: seen, keys });
        }
        Start::After(version) => watcher.version = version,
        Start::Now => {}
    }
    let stream = unfold(watcher, |mut watcher| async move { watcher.next().await.map(|piece| (piece, watcher)) });
    let mut answer = body::whole(StatusCode::OK, "application/json", Bytes::new());
    *answer.body_mut() = Body::Stream(stream.boxed());
    Ok(answer)
}

/// A watch of what is there and does not change.
pub fn of_what_stays(objects: &[Value], mut lines: Lines, options: Options, now_unix_millis: u64) -> Answer {
    let mut piece = Vec::new();
    if options.start == Start::Everything {
        objects.iter().for_each(|object| lines.there(object, now_unix_millis, &mut piece));
        if options.marks_initial_end {
            lines.bookmark(1, true, &mut piece);
        }
    }
    let first = futures_util::stream::iter([Bytes::from(piece)]);
    let rest = futures_util::stream::pending().take_until(tokio::time::sleep(options.length));
    let mut answer = body::whole(StatusCode::OK, "application/json", Bytes::new());
    *answer.body_mut() = Body::Stream(first.chain(rest).boxed());
    answer
}

impl Watcher {
    /// Some of what is there, and the end of it where that is asked for.
    fn tell_there(&mut self) -> Option<Bytes> {
        let there = self.there.as_mut()?;
        let (mut piece, now) = (Vec::new(), self.clock.now().0);
        while piece.len() < PIECE_BYTES {
            let Some(key) = there.keys.next() else {
                self.there = None;
                if self.options.marks_initial_end {
                    self.lines.bookmark(self.version, true, &mut piece);
                }
                break;
            };
            if let Some(resource) = there.resources.find(&key) {
                self.lines.added(&resource, now, &mut piece);
            }
        }
        Some(piece.into()).filter(|piece: &Bytes| !piece.is_empty())
    }

    /// What has changed since, or the word that it is too long ago.
    fn tell_changes(&mut self) -> Option<Bytes> {
        // Before the history is read: what is noted there later wakes this up again.
        let seen = self.resources.borrow_and_update().clone();
        // Another history knows nothing of what this one told last: a node's state came anew, or it follows another node.
        let changes = match seen.history.is(&self.history) {
            true => seen.history.after(self.version, CHANGES_AT_ONCE),
            false => None,
        };
        let Some(changes) = changes else {
            self.is_over = true;
            return Some(self.lines.error(&ApiError::expired()));
        };
        let Some(last) = changes.last() else {
            self.version = self.version.max(versions::of(&seen));
            return None;
        };
        self.version = last.version;
        let (mut piece, now) = (Vec::new(), self.clock.now().0);
        changes.iter().for_each(|change| self.lines.change(change, &self.selection, now, &mut piece));
        Some(piece.into())
    }

    /// The next piece of the answer, when there is one.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.ready.take().or_else(|| self.tell_there()) {
                return Some(piece);
            }
            if self.is_over {
                return None;
            }
            match self.tell_changes() {
                Some(piece) if piece.is_empty() => continue,
                Some(piece) => return Some(piece),
                None => {}
            }
            tokio::select! {
                biased;
                changed = self.resources.changed() => self.is_over = changed.is_err(),
                () = sleep_until(self.ends_at) => {
                    self.is_over = true;
                    self.push_bookmark();
                }
                () = sleep_until(self.bookmark_at) => {
                    self.bookmark_at = Instant::now() + options::BOOKMARK_EVERY;
                    self.push_bookmark();
                }
            }
        }
    }

    /// Says how far everything was told, to whoever wants to know. All that is known is in the history by now.
    fn push_bookmark(&mut self) {
        if self.options.allows_bookmarks {
            let mut piece = Vec::new();
            self.lines.bookmark(self.version, false, &mut piece);
            self.ready = Some(piece.into());
        }
    }
}
