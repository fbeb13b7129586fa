//! Changes, written down: a file of JSON lines that has a bound, and another one with those that were refused. Who may nothing
//! can fill the latter, and nothing that was done is pushed out by that.
//!
//! A thread for each writes, so that a disk that hangs holds up no request. A line that cannot be written, because the disk
//! is full or hangs for longer than the lines that wait here are few, is lost: it is counted, it is said in the log, and the
//! change it was about is made all the same. What is refused is not the change but its record, as a cluster that takes no
//! changes could not be mended.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use metrics::counter;

use super::AccessError;

/// The largest file, in bytes. Then another is begun.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// How many older files are kept.
const OLDER_FILES: u32 = 4;

/// Lines that wait to be written.
const MAX_WAITING: usize = 1024;

/// How often it is said in the log that lines are lost.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// How long a stop waits for the last lines.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

const LOST: &str = "pelton_api_audit_lines_lost_total";

/// What the name of the file with refusals has more.
const REFUSED: &str = ".refused";

/// The audit log.
#[derive(Debug)]
pub struct Audit {
    done: Lines,
    refused: Lines,
}

/// Where lines of one file are handed over.
#[derive(Debug)]
struct Lines(SyncSender<Message>);

enum Message {
    Line(String),
    Flush(tokio::sync::oneshot::Sender<()>),
}

impl Audit {
    /// Goes on with the files, or begins them.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn open(path: &Path) -> Result<Self, AccessError> {
        Ok(Self { done: Lines::open(path)?, refused: Lines::open(&with_end(path, REFUSED))? })
    }

    /// Hands a line over, without its end. Nobody waits for it.
    pub fn write(&self, line: String) {
        self.done.write(line);
    }

    /// The same with a line about what nobody has done.
    pub fn write_refused(&self, line: String) {
        self.refused.write(line);
    }

    /// Waits for the lines that were handed over, for a while.
    pub async fn flush(&self) {
        let _ =
            tokio::time::timeout(FLUSH_WITHIN, async { tokio::join!(self.done.flush(), self.refused.flush()) }).await;
    }
}

impl Lines {
    fn open(path: &Path) -> Result<Self, AccessError> {
        let failed = |source| AccessError::Audit { file: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let log = Log::open(path.to_owned(), MAX_FILE_BYTES).map_err(failed)?;
        let (lines, waiting) = sync_channel(MAX_WAITING);
        let thread = std::thread::Builder::new().name("pelton-audit".to_owned());
        thread.spawn(move || write_all(log, &waiting)).map_err(failed)?;
        Ok(Self(lines))
    }

    fn write(&self, line: String) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.0.try_send(Message::Line(line)) {
            counter!(LOST).increment(1);
        }
    }

    async fn flush(&self) {
        let (done, flushed) = tokio::sync::oneshot::channel();
        if self.0.try_send(Message::Flush(done)).is_ok() {
            let _ = flushed.await;
        }
    }
}

fn write_all(mut log: Log, waiting: &Receiver<Message>) {
    let mut said = None::<Instant>;
    while let Ok(message) = waiting.recv() {
        match message {
            Message::Line(line) => {
                let Err(error) = log.write(&line) else { continue };
                counter!(LOST).increment(1);
                if said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
                    said = Some(Instant::now());
                    tracing::error!(%error, file = %log.path.display(), "lines of the audit log are lost");
                }
            }
            // Whoever asked may have gone.
            Message::Flush(done) => drop(done.send(())),
        }
    }
}

/// The file that is written to, and those before it.
struct Log {
    path: PathBuf,
    max_bytes: u64,
    file: File,
    size_bytes: u64,
    /// Whether the last line has no end.
    is_torn: bool,
}

impl Log {
    fn open(path: PathBuf, max_bytes: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let size_bytes = file.metadata()?.len();
        // The process before this one may have been killed within a line.
        let is_torn = ends_within_a_line(&path)?;
        Ok(Self { path, max_bytes, file, size_bytes, is_torn })
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.size_bytes > 0 && self.size_bytes + line.len() as u64 >= self.max_bytes {
            self.begin_another()?;
        }
        let begin = if self.is_torn { "\n" } else { "" };
        let bytes = format!("{begin}{line}\n");
        let written = self.file.write_all(bytes.as_bytes());
        // After a failure some of it may be there.
        self.is_torn = written.is_err() && ends_within_a_line(&self.path).unwrap_or(true);
        match &written {
            Ok(()) => self.size_bytes += bytes.len() as u64,
            Err(_) => self.size_bytes = self.file.metadata().map_or(self.size_bytes, |is| is.len()),
        }
        written
    }

    /// Begins another file. It can be called again when it failed, and that costs no older file: only what is in the way is
    /// moved, up to the first number that is free.
    fn begin_another(&mut self) -> io::Result<()> {
        let older = |number: u32| with_end(&self.path, &format!(".{number}"));
        // It is not there when somebody has moved it, or when the new one could not be begun.
        if self.path.try_exists()? {
            let free = (1..OLDER_FILES).find(|number| !older(*number).exists()).unwrap_or(OLDER_FILES);
            for number in (1..free).rev() {
                std::fs::rename(older(number), older(number + 1))?;
            }
            std::fs::rename(&self.path, older(1))?;
        }
        *self = Self::open(self.path.clone(), self.max_bytes)?;
        Ok(())
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn ends_within_a_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn lines_are_added_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join("audit.log");
        for line in ["one", "two"] {
            let audit = Audit::open(&path).unwrap();
            audit.write(line.to_owned());
            audit.flush().await;
        }
        assert_eq!(lines(&path), ["one", "two"]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn files_have_a_bound_and_so_has_their_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut log = Log::open(path.clone(), 10).unwrap();
        for number in 0..20 {
            log.write(&format!("line {number:02}")).unwrap();
        }
        let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["audit.log", "audit.log.1", "audit.log.2", "audit.log.3", "audit.log.4"]);
        assert_eq!(lines(&path), ["line 19"]);
        assert_eq!(lines(&folder.path().join("audit.log.4")), ["line 15"]);
    }

    #[test]
    fn a_file_that_cannot_be_begun_costs_no_older_one_and_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut log = Log::open(path.clone(), 10).unwrap();
        for number in 0..5 {
            log.write(&format!("line {number:02}")).unwrap();
        }
        let older = |number: u32| lines(&with_end(&path, &format!(".{number}")));
        // As when the last rename was done and the file could not be opened.
        for number in (1..4).rev() {
            std::fs::rename(with_end(&path, &format!(".{number}")), with_end(&path, &format!(".{}", number + 1)))
                .unwrap();
        }
        std::fs::rename(&path, with_end(&path, ".1")).unwrap();
        log.write("line 05").unwrap();
        assert_eq!(lines(&path), ["line 05"]);
        for number in 1..=4 {
            assert_eq!(older(number), [format!("line {:02}", 5 - number)]);
        }
    }

    #[test]
    fn a_file_that_somebody_moved_away_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut log = Log::open(path.clone(), 10).unwrap();
        log.write("line 00").unwrap();
        log.write("line 01").unwrap();
        std::fs::rename(&path, folder.path().join("mine")).unwrap();
        log.write("line 02").unwrap();
        assert_eq!(lines(&path), ["line 02"]);
        assert_eq!(lines(&with_end(&path, ".1")), ["line 00"]);
    }

    #[test]
    fn what_was_not_written_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut log = Log::open(path.clone(), 20).unwrap();
        log.write("one").unwrap();
        let good = std::mem::replace(&mut log.file, File::open(&path).unwrap());
        for _ in 0..10 {
            assert!(log.write("lost").is_err());
        }
        log.file = good;
        log.write("two").unwrap();
        assert_eq!(lines(&path), ["one", "two"]);
    }

    #[tokio::test]
    async fn what_was_refused_is_in_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Audit::open(&path).unwrap();
        audit.write("one".to_owned());
        audit.write_refused("two".to_owned());
        audit.flush().await;
        assert_eq!(lines(&path), ["one"]);
        assert_eq!(lines(&with_end(&path, ".refused")), ["two"]);
    }

    #[test]
    fn a_line_that_is_lost_does_not_run_into_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut log = Log::open(path.clone(), 1000).unwrap();
        log.write("one").unwrap();
        // What cannot be written to stands for a disk that is full.
        let good = std::mem::replace(&mut log.file, File::open(&path).unwrap());
        assert!(log.write("lost").is_err());
        log.file = good;
        log.write("two").unwrap();
        assert_eq!(lines(&path), ["one", "two"]);
        // One that was written in part, as when the process is killed, ends before the next begins.
        log.file.write_all(b"thr").unwrap();
        Log::open(path.clone(), 1000).unwrap().write("four").unwrap();
        assert_eq!(lines(&path), ["one", "two", "thr", "four"]);
    }
}
