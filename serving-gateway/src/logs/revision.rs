//! The log of one revision: what waits for the disk, and the lines that came last.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_env::Clock;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::sync::watch;

use super::LogOptions;
use super::files::{Extent, Files};
use super::follower::Follower;
use super::line::{Line, Record, Stream, write_dropped, write_line};
use super::writer::LineWriter;
use crate::runtime::InstanceId;

/// Of the lines that came last at least so many bytes are kept in memory, and at most twice as many.
const LAST_BYTES: usize = 32 * 1024;

/// What the instances of one revision print.
#[derive(Debug)]
pub struct RevisionLog {
    options: LogOptions,
    clock: Arc<dyn Clock>,
    to_disk: mpsc::Sender<Arc<Self>>,
    pending: Mutex<Pending>,
    has_room: Notify,
    /// Locked while the disk works: never by what must not wait for it.
    files: Arc<Mutex<Files>>,
}

/// What is not on the disk yet, and what came last.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    /// Lines that found no room after these bytes.
    dropped: u64,
    /// Whether the thread that writes has been told.
    is_told: bool,
    /// Lines that came last, on the disk or not.
    last: Vec<u8>,
}

impl RevisionLog {
    pub(super) fn new(
        folder: PathBuf,
        options: LogOptions,
        clock: Arc<dyn Clock>,
        to_disk: mpsc::Sender<Arc<Self>>,
    ) -> Self {
        let files = Arc::new(Mutex::new(Files::new(folder, options.file_bytes, options.files)));
        Self { options, clock, to_disk, pending: Mutex::default(), has_room: Notify::new(), files }
    }

    /// Takes what `instance` prints to `stream`.
    #[must_use]
    pub fn writer(self: &Arc<Self>, instance: &InstanceId, stream: Stream) -> LineWriter {
        LineWriter::new(self.clone(), instance.clone(), stream)
    }

    /// The last lines of an instance, or of all, oldest first: no more than `count`, and no more than there are within the
    /// last 32 KiB of the revision. They are in memory, whether the disk takes them or not.
    #[must_use]
    pub fn last_lines(&self, instance: Option<&InstanceId>, count: usize) -> Vec<Line> {
        let last = self.pending.lock().last.clone();
        let is_wanted = |line: &Line| instance.is_none_or(|instance| line.instance == *instance);
        let lines = last.split(|byte| *byte == b'\n').rev().filter_map(Record::parse);
        let lines = lines.filter_map(|record| match record {
            Record::Line(line) => Some(line),
            Record::Dropped(_) => None,
        });
        let mut lines: Vec<Line> = lines.filter(is_wanted).take(count).collect();
        lines.reverse();
        lines
    }

    /// Reads what is stored, from the last `last` lines on, and what comes after it.
    ///
    /// # Errors
    /// The files cannot be read.
    pub async fn follow(&self, last: u64) -> io::Result<Follower> {
        let (folder, extent) = self.opened().await?;
        Ok(Follower::of_last(folder, extent, last))
    }

    /// Reads from a line on, by its number: [`Follower::stored`] counts them.
    ///
    /// # Errors
    /// The files cannot be read.
    pub async fn follow_from(&self, line: u64) -> io::Result<Follower> {
        let (folder, extent) = self.opened().await?;
        Ok(Follower::of_line(folder, extent, line))
    }

    async fn opened(&self) -> io::Result<(PathBuf, watch::Receiver<Extent>)> {
        let files = self.files.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let mut files = files.lock();
            files.open()?;
            Ok((files.folder().to_owned(), files.extent()))
        });
        opened.await.unwrap_or_else(|gone| Err(io::Error::other(gone)))
    }

    /// Takes a line. `false` when there is no room for it.
    pub(super) fn push(self: &Arc<Self>, instance: &InstanceId, stream: Stream, text: &[u8], goes_on: bool) -> bool {
        let at = self.clock.now();
        let mut pending = self.pending.lock();
        // Time, stream and blanks are less than 40 bytes.
        if !pending.bytes.is_empty()
            && pending.bytes.len() + text.len() + instance.0.len() + 40 > self.options.pending_bytes
        {
            return false;
        }
        let begin = pending.bytes.len();
        write_line(&mut pending.bytes, at, instance, stream, goes_on, text);
        let Pending { bytes, last, .. } = &mut *pending;
        keep_last(last, &bytes[begin..]);
        if !std::mem::replace(&mut pending.is_told, true) {
            // The thread lives as long as anybody may send.
            let _ = self.to_disk.send(self.clone());
        }
        true
    }

    /// A line is not written. It is among those that came last all the same.
    pub(super) fn drop_one(&self, instance: &InstanceId, stream: Stream, text: &[u8], goes_on: bool) {
        let mut line = Vec::new();
        write_line(&mut line, self.clock.now(), instance, stream, goes_on, text);
        let mut pending = self.pending.lock();
        keep_last(&mut pending.last, &line);
        pending.dropped += 1;
        count_dropped(1);
    }

    /// Comes about once there is more room than at the time of the call.
    pub(super) fn room(&self) -> Notified<'_> {
        self.has_room.notified()
    }

    pub(super) fn patience(&self) -> Duration {
        self.options.patience
    }

    /// Until what is returned is dropped nothing is written.
    #[cfg(test)]
    pub(super) fn hold_the_disk(&self) -> mpsc::Sender<()> {
        let files = self.files.clone();
        let (is_held, held) = mpsc::channel::<()>();
        let (let_go, is_let_go) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            let _disk = files.lock();
            drop(is_held);
            let _ = is_let_go.recv();
        });
        let _ = held.recv();
        let_go
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        self.files.lock().remove()
    }
}

/// Writes what waits. Called by the one thread that writes.
pub(super) fn write_what_is_pending(log: &RevisionLog) {
    let mut files = log.files.lock();
    let mut pending = log.pending.lock();
    pending.is_told = false;
    let mut bytes = std::mem::take(&mut pending.bytes);
    let dropped = std::mem::take(&mut pending.dropped);
    drop(pending);
    log.has_room.notify_waiters();
    if dropped > 0 {
        write_dropped(&mut bytes, log.clock.now(), dropped);
    }
    match files.append(bytes, log.clock.now()) {
        Ok(()) => {}
        Err(failed) => {
            count_dropped(failed.lines);
            if failed.is_first {
                let folder = files.folder().display();
                tracing::warn!(%folder, error = %failed.source, "lines of a log cannot be written and are dropped");
            }
        }
    }
}

fn count_dropped(lines: u64) {
    metrics::counter!("pelton_instance_log_lines_dropped_total").increment(lines);
}

/// Adds a line, and forgets whole lines at the beginning once there are twice as many as must be kept.
fn keep_last(last: &mut Vec<u8>, line: &[u8]) {
    last.extend_from_slice(line);
    if last.len() > 2 * LAST_BYTES {
        let from = last.len() - LAST_BYTES;
        // The one that would be cut is kept whole: a line is far shorter than what is kept.
        let begin = last[..from].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        last.drain(..begin);
    }
}
