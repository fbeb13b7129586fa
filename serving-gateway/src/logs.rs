//! What instances print: one store for all runtimes.
//!
//! A runtime asks [`Logs`] for the [`RevisionLog`] of a revision and gives what each instance prints to a [`LineWriter`].
//! A thread of its own writes it to files of that revision, in text, a line for a line. A [`Follower`] reads these files,
//! so that one that is slow costs nothing and loses lines only when they are rotated away; it is told how many.
//!
//! **Invariant:** no instance waits for the disk longer than [`LogOptions::patience`]. What finds no room then, or cannot
//! be written, is dropped, counted, and its number is written once there is room. (`logs/tests.rs`)
//!
//! **Bounds**, for each revision: [`LogOptions::files`] of [`LogOptions::file_bytes`] on the disk, twice
//! [`LogOptions::pending_bytes`] of memory while the disk is slow, and 64 KiB for the lines that came last.

mod capture;
mod files;
mod follower;
mod line;
mod revision;
mod sweep;
#[cfg(test)]
mod tests;
mod writer;

pub use capture::capture;
pub use follower::{Followed, Follower};
pub use line::{Line, MAX_LINE_BYTES, Stream};
pub use revision::RevisionLog;
pub(crate) use sweep::Sweep;
pub use writer::LineWriter;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_env::Clock;

use self::revision::write_what_is_pending;

/// The bounds of the logs of one revision.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// How large a file may grow. A line that is longer has a file of its own.
    pub file_bytes: u64,
    /// How many files there are at most, the one that is written counted. At least 1.
    pub files: usize,
    /// How much may wait for the disk.
    pub pending_bytes: usize,
    /// How long an instance may wait for room.
    pub patience: Duration,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            file_bytes: 10 * 1024 * 1024,
            files: 3,
            pending_bytes: 1024 * 1024,
            patience: Duration::from_millis(100),
        }
    }
}

/// The logs of all revisions. Clones are the same logs.
#[derive(Debug, Clone)]
pub struct Logs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    options: LogOptions,
    clock: Arc<dyn Clock>,
    revisions: Mutex<BTreeMap<(String, String), Arc<RevisionLog>>>,
    to_disk: mpsc::Sender<Arc<RevisionLog>>,
}

impl Logs {
    /// Keeps logs in `folder`, which is made if need be. What is there already is kept and can be followed.
    ///
    /// # Errors
    /// The folder cannot be made, or the system gives no thread.
    pub fn open(folder: &Path, options: LogOptions, clock: Arc<dyn Clock>) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        // No more than one entry for each revision waits in it.
        let (to_disk, waiting) = mpsc::channel::<Arc<RevisionLog>>();
        std::thread::Builder::new().name("logs".to_owned()).spawn(move || {
            for log in waiting {
                write_what_is_pending(&log);
            }
        })?;
        let revisions = Mutex::default();
        Ok(Self(Arc::new(Shared { folder: folder.to_owned(), options, clock, revisions, to_disk })))
    }

    /// The log of a revision. Nothing is read or written before it is needed.
    #[must_use]
    pub fn revision(&self, namespace: &str, revision: &str) -> Arc<RevisionLog> {
        let Shared { folder, options, clock, revisions, to_disk } = &*self.0;
        let new = || {
            let folder = folder.join(component(namespace)).join(component(revision));
            Arc::new(RevisionLog::new(folder, options.clone(), clock.clone(), to_disk.clone()))
        };
        revisions.lock().entry((namespace.to_owned(), revision.to_owned())).or_insert_with(new).clone()
    }

    /// The namespaces and names of revisions that something is stored of. Blocks.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn stored(&self) -> io::Result<Vec<(String, String)>> {
        let mut stored = Vec::new();
        for namespace in std::fs::read_dir(&self.0.folder)? {
            let namespace = namespace?;
            if !namespace.file_type()?.is_dir() {
                continue;
            }
            for revision in std::fs::read_dir(namespace.path())? {
                let names = (namespace.file_name().into_string(), revision?.file_name().into_string());
                if let (Ok(namespace), Ok(revision)) = names {
                    stored.push((namespace, revision));
                }
            }
        }
        Ok(stored)
    }

    /// Deletes the log of a revision that there will not be again. Those who follow it come to its end. Blocks.
    ///
    /// # Errors
    /// A file could not be deleted.
    pub fn remove(&self, namespace: &str, revision: &str) -> io::Result<()> {
        let log = self.revision(namespace, revision);
        self.0.revisions.lock().remove(&(namespace.to_owned(), revision.to_owned()));
        log.remove()
    }
}

/// A name as one component of a path. Names of resources already are; whatever else comes must not lead elsewhere.
fn component(name: &str) -> String {
    let safe: String = name.chars().map(|c| if matches!(c, '/' | '\0') { '_' } else { c }).collect();
    match safe.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None if safe.is_empty() => "_".to_owned(),
        None => safe,
    }
}
