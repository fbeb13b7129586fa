//! The files of a revision's log. Each is called by the number of its first line, so that nothing else has to be stored.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use pelton_env::UnixMillis;
use tokio::sync::watch;

use super::line::{Record, write_dropped};

/// What there is to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extent {
    /// The number of the first line of each file, ascending.
    pub files: Vec<u64>,
    /// The number of the line that comes next.
    pub next: u64,
    /// Whether the log was deleted.
    pub is_removed: bool,
}

/// Where the file is that begins with line `first`.
pub fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.log"))
}

/// The files of one revision, as they are written.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    file_bytes: u64,
    most_files: usize,
    /// Whether it is known what was there before.
    is_open: bool,
    /// The file that is written, and its length.
    current: Option<(File, u64)>,
    /// Lines that could not be written, after all that were.
    unwritten: u64,
    extent: watch::Sender<Extent>,
}

/// Lines could not be written.
#[derive(Debug)]
pub struct AppendError {
    /// How many.
    pub lines: u64,
    /// Whether those before them could.
    pub is_first: bool,
    /// Why.
    pub source: io::Error,
}

impl Files {
    /// The files in `folder`; nothing is looked at yet.
    pub fn new(folder: PathBuf, file_bytes: u64, most_files: usize) -> Self {
        let extent = watch::Sender::new(Extent::default());
        Self { folder, file_bytes, most_files, is_open: false, current: None, unwritten: 0, extent }
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What there is to read, once it is opened.
    pub fn extent(&self) -> watch::Receiver<Extent> {
        self.extent.subscribe()
    }

    /// Finds out what is there.
    pub fn open(&mut self) -> io::Result<()> {
        if self.is_open || self.extent.borrow().is_removed {
            return Ok(());
        }
        let mut files = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            // Nothing was ever written. Reading does not change that.
            Err(why) if why.kind() == io::ErrorKind::NotFound => None,
            entries => Some(entries?),
        };
        for entry in entries.into_iter().flatten() {
            let name = entry?.file_name();
            let first = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse::<u64>().ok());
            files.extend(first.filter(|first| path(&self.folder, *first).file_name() == Some(&name)));
        }
        files.sort_unstable();
        let next = match files.last() {
            Some(&last) => last + lines(&fs::read(path(&self.folder, last))?),
            None => 0,
        };
        self.extent.send_replace(Extent { files, next, is_removed: false });
        self.is_open = true;
        Ok(())
    }

    /// Adds whole lines. Before them it says how many were lost since it last could.
    pub fn append(&mut self, mut bytes: Vec<u8>, now: UnixMillis) -> Result<(), AppendError> {
        if self.extent.borrow().is_removed {
            return Ok(());
        }
        let is_first = self.unwritten == 0;
        if !is_first {
            let mut said = Vec::new();
            write_dropped(&mut said, now, self.unwritten);
            said.append(&mut bytes);
            bytes = said;
        }
        let mut written = 0;
        let ended = self.open().and_then(|()| {
            while written < bytes.len() {
                written += self.append_to_one(&bytes[written..])?;
            }
            Ok(())
        });
        let lost = &bytes[written..];
        self.unwritten = lost.split(|byte| *byte == b'\n').filter_map(Record::parse).map(weight).sum();
        ended.map_err(|source| AppendError { lines: lines(lost), is_first, source })
    }

    /// Writes as many lines as one file takes, and says how many bytes these are.
    fn append_to_one(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file_bytes = self.file_bytes;
        let (file, length) = match &mut self.current {
            Some(current) => current,
            None => self.begin_file()?,
        };
        let room = usize::try_from(file_bytes.saturating_sub(*length)).unwrap_or(usize::MAX);
        let end = match whole_lines(bytes, room) {
            0 if *length > 0 => {
                self.current = None;
                return Ok(0);
            }
            0 => bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1),
            end => end,
        };
        if let Err(why) = file.write_all(&bytes[..end]) {
            // A part may have been written. Nobody reads it: what comes next is in another file, by its number.
            let _ = file.set_len(*length);
            self.current = None;
            return Err(why);
        }
        *length += end as u64;
        self.extent.send_modify(|extent| extent.next += lines(&bytes[..end]));
        Ok(end)
    }

    fn begin_file(&mut self) -> io::Result<&mut (File, u64)> {
        let first = self.extent.borrow().next;
        fs::create_dir_all(&self.folder)?;
        // One of this name has no line in it: nothing was written to it, or nothing that counts.
        let file = File::create(path(&self.folder, first))?;
        let mut too_many = Vec::new();
        self.extent.send_modify(|extent| {
            if extent.files.last() != Some(&first) {
                extent.files.push(first);
            }
            let excess = extent.files.len().saturating_sub(self.most_files.max(1));
            too_many.extend(extent.files.drain(..excess));
        });
        // After everybody can know: who does not find it looks again.
        for first in too_many {
            fs::remove_file(path(&self.folder, first)).or_else(none_is_fine)?;
        }
        Ok(self.current.insert((file, 0)))
    }

    /// Deletes all of them; nothing is written any more.
    pub fn remove(&mut self) -> io::Result<()> {
        self.current = None;
        self.extent.send_modify(|extent| extent.is_removed = true);
        fs::remove_dir_all(&self.folder).or_else(none_is_fine)
    }
}

fn none_is_fine(why: io::Error) -> io::Result<()> {
    if why.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(why) }
}

/// How many lines these are; the last may lack its end, as in a file of a gateway that was killed.
fn lines(bytes: &[u8]) -> u64 {
    let ends = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    ends + u64::from(bytes.last().is_some_and(|last| *last != b'\n'))
}

/// How long the whole lines within the first `room` bytes are.
fn whole_lines(bytes: &[u8], room: usize) -> usize {
    let within = &bytes[..room.min(bytes.len())];
    within.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

/// How many lines of instances a record stands for.
fn weight(record: Record) -> u64 {
    match record {
        Record::Line(_) => 1,
        Record::Dropped(lines) => lines,
    }
}
