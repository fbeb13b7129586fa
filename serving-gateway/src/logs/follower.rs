//! Reading a log while it is written.

use std::io;
use std::path::PathBuf;

use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use super::files::{Extent, path};
use super::line::{Line, Record};

/// How much is read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// What a follower reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// The next line.
    Line(Line),
    /// So many lines are missing here. They were rotated away before they were read, or never written.
    Missing(u64),
}

/// Reads the log of a revision, and waits for what comes. It keeps the file that it reads, so that one which is slow loses
/// only whole files that it has not begun.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    changes: watch::Receiver<Extent>,
    /// The number of the line that is wanted next.
    next: u64,
    /// The number of the line before which it ends, if it is not to wait for what comes.
    until: Option<u64>,
    reading: Option<Reading>,
}

/// A file that is read.
#[derive(Debug)]
struct Reading {
    file: File,
    first: u64,
    /// The number of the line that begins at `begin` of `bytes`.
    at: u64,
    bytes: Vec<u8>,
    begin: usize,
}

impl Follower {
    /// From the last `last` lines on, as far as they are there.
    pub(super) fn of_last(folder: PathBuf, mut changes: watch::Receiver<Extent>, last: u64) -> Self {
        let extent = changes.borrow_and_update().clone();
        let first = extent.files.first().copied().unwrap_or(extent.next);
        let next = extent.next.saturating_sub(last).max(first);
        Self { folder, changes, next, until: None, reading: None }
    }

    /// From the line of that number on.
    pub(super) fn of_line(folder: PathBuf, changes: watch::Receiver<Extent>, line: u64) -> Self {
        Self { folder, changes, next: line, until: None, reading: None }
    }

    /// Ends before the line of that number; with `None` it waits for whatever comes, as it does when nothing is said.
    pub fn end_before(&mut self, line: Option<u64>) {
        self.until = line;
    }

    /// The number of the line that it gives next, if that is not missing.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next
    }

    /// How many lines were ever stored, those that were rotated away included: the number of the line that comes next.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.changes.borrow().next
    }

    /// Whether all that is stored, or is to be read of it, has been read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        let extent = self.changes.borrow();
        extent.is_removed || self.next >= self.until.unwrap_or(extent.next)
    }

    /// Waits for the next line. `None` when the log was deleted, or has been read as far as it was to be. Nothing is lost
    /// when it is dropped and called again.
    ///
    /// # Errors
    /// The files cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<Followed>> {
        loop {
            let extent = self.changes.borrow_and_update().clone();
            if extent.is_removed || self.until.is_some_and(|until| self.next >= until) {
                return Ok(None);
            }
            if self.next >= extent.next {
                if self.changes.changed().await.is_err() {
                    return Ok(None);
                }
                continue;
            }
            let Some(reading) = &mut self.reading else {
                if let Some(missing) = self.open(&extent).await? {
                    return Ok(Some(Followed::Missing(missing)));
                }
                continue;
            };
            // What stands behind the end of a file was not written whole: another file begins with that line.
            let goes_on_elsewhere = extent.files.iter().any(|first| *first > reading.first && *first <= reading.at);
            match if goes_on_elsewhere { None } else { reading.line().await? } {
                None => {
                    let is_next = |first: &u64| *first > reading.first;
                    let end = extent.files.iter().copied().find(is_next).unwrap_or(extent.next);
                    self.reading = None;
                    // The files after it are gone, or somebody else made it shorter.
                    if self.next < end {
                        return Ok(Some(Followed::Missing(self.skip_to(end))));
                    }
                }
                // On the way to the first line that is wanted.
                Some(_) if reading.at <= self.next => {}
                Some(line) => {
                    self.next = reading.at;
                    return Ok(Some(followed(line)));
                }
            }
        }
    }

    /// Opens the file in which the wanted line is. Says how many lines are missing before the first that there is.
    async fn open(&mut self, extent: &Extent) -> io::Result<Option<u64>> {
        let Some(&oldest) = extent.files.first() else { return Ok(Some(self.skip_to(extent.next))) };
        if self.next < oldest {
            return Ok(Some(self.skip_to(oldest)));
        }
        let first = extent.files.iter().copied().rfind(|first| *first <= self.next).unwrap_or(oldest);
        match File::open(path(&self.folder, first)).await {
            Ok(file) => {
                self.reading = Some(Reading { file, first, at: first, bytes: Vec::new(), begin: 0 });
                Ok(None)
            }
            // It was rotated away meanwhile, and the next look at the extent says so; or somebody else deleted it.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                let has_changed = self.changes.has_changed().unwrap_or(false);
                let next_file = extent.files.iter().copied().find(|next| *next > first).unwrap_or(extent.next);
                Ok(if has_changed { None } else { Some(self.skip_to(next_file)) })
            }
            Err(why) => Err(why),
        }
    }

    fn skip_to(&mut self, number: u64) -> u64 {
        number - std::mem::replace(&mut self.next, number)
    }
}

impl Reading {
    /// The next line of the file. `None` at its end.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let rest = &self.bytes[self.begin..];
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest[..end].to_vec();
                self.begin += end + 1;
                self.at += 1;
                return Ok(Some(line));
            }
            self.bytes.drain(..self.begin);
            self.begin = 0;
            let length = self.bytes.len();
            self.bytes.reserve(PIECE_BYTES);
            if self.file.read_buf(&mut self.bytes).await? == 0 {
                // Only the last line of a gateway that was killed has no end.
                if length == 0 {
                    return Ok(None);
                }
                self.at += 1;
                return Ok(Some(std::mem::take(&mut self.bytes)));
            }
        }
    }
}

fn followed(line: Vec<u8>) -> Followed {
    match Record::parse(&line) {
        Some(Record::Line(line)) => Followed::Line(line),
        Some(Record::Dropped(lines)) => Followed::Missing(lines),
        None => Followed::Missing(1),
    }
}
