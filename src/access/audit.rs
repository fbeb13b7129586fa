//! Changes, written down: a file of JSON lines that has a bound.
//!
//! A thread of its own writes, so that a disk that hangs holds up no request. A line that cannot be written, because the disk
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

/// The audit log.
#[derive(Debug)]
pub struct Audit(SyncSender<Message>);

enum Message {
    Line(String),
    Flush(tokio::sync::oneshot::Sender<()>),
}

impl Audit {
    /// Goes on with the file, or begins it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open(path: &Path) -> Result<Self, AccessError> {
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

    /// Hands a line over, without its end. Nobody waits for it.
    pub fn write(&self, line: String) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.0.try_send(Message::Line(line)) {
            counter!(LOST).increment(1);
        }
    }

    /// Waits for the lines that were handed over, for a while.
    pub async fn flush(&self) {
        let (done, flushed) = tokio::sync::oneshot::channel();
        if self.0.try_send(Message::Flush(done)).is_ok() {
            let _ = tokio::time::timeout(FLUSH_WITHIN, flushed).await;
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
        self.size_bytes += bytes.len() as u64;
        written
    }

    fn begin_another(&mut self) -> io::Result<()> {
        let older = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..OLDER_FILES).rev() {
            match std::fs::rename(older(number), older(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, older(1))?;
        *self = Self::open(self.path.clone(), self.max_bytes)?;
        Ok(())
    }
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
