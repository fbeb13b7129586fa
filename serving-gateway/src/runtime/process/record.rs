//! What a gateway that was killed leaves to the next: a folder for each instance, and beside it a note of its process.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::super::InstanceId;
use super::proc::{Stat, boot_id};
use super::strays;
use crate::readable::readable;

/// How often it is looked for processes that were begun by those that are being killed.
const MOST_ROUNDS: usize = 5;

/// What the name of a note ends with. No instance is called so: its own name ends with digits.
const NOTE: &str = ".process";

/// Where the folders of instances are.
#[derive(Debug, Clone)]
pub struct Folders(PathBuf);

impl Folders {
    /// Below `folder`, which is the runtime's own.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let folders = folder.join("instances");
        fs::create_dir_all(&folders)?;
        std::path::absolute(folders).map(Self)
    }

    /// Makes the folder of a new instance. It is an error when there is one of that name.
    pub fn make(&self, id: &InstanceId) -> io::Result<PathBuf> {
        let folder = self.of(id);
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// Removes the folder of an instance that is gone, with all that it put there. There need not be one.
    pub fn remove(&self, id: &InstanceId) -> io::Result<()> {
        let none_is_fine = |why: io::Error| if why.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(why) };
        fs::remove_dir_all(self.of(id)).or_else(none_is_fine)?;
        // After the folder: as long as that is there the process may be looked for.
        fs::remove_file(self.note_of(id)).or_else(none_is_fine)
    }

    /// Notes which process an instance is.
    pub fn note(&self, id: &InstanceId, pid: Pid) -> io::Result<()> {
        let stat = Stat::of(pid).ok_or(io::ErrorKind::NotFound)?;
        let record = Record { pid, start_ticks: stat.start_ticks, boot_id: boot_id() };
        fs::write(self.note_of(id), record.to_text())
    }

    fn of(&self, id: &InstanceId) -> PathBuf {
        self.0.join(&*id.0)
    }

    fn note_of(&self, id: &InstanceId) -> PathBuf {
        self.0.join(format!("{id}{NOTE}"))
    }

    /// Kills all that instances of a former life left running, and removes their folders. Says how many there were.
    pub async fn reap(&self) -> io::Result<usize> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(&self.0)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.insert(name.strip_suffix(NOTE).unwrap_or(&name).to_owned());
            }
        }
        let ids: Vec<_> = names.into_iter().map(|name| InstanceId(Arc::from(name))).collect();
        for id in &ids {
            let note = fs::read_to_string(self.note_of(id));
            let record = note.ok().and_then(|text| Record::parse(&text));
            if let Some(process) = record.and_then(|record| record.find()) {
                process.kill().await;
            }
        }
        // Without a note, too: it is written a moment after the process begins.
        let mut rounds = 0;
        while !ids.is_empty() && rounds < MOST_ROUNDS && strays::kill_by_name(&ids).await > 0 {
            rounds += 1;
        }
        for id in &ids {
            if let Err(error) = self.remove(id) {
                tracing::warn!(%id, %error, "the folder of an instance that is gone cannot be removed");
            }
        }
        Ok(ids.len())
    }
}

/// Which process an instance is: `pid start_ticks boot_id`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    pid: Pid,
    start_ticks: u64,
    boot_id: String,
}

/// The process of a record, still there, and held.
struct Leftover {
    pid: Pid,
    held: std::os::fd::OwnedFd,
}

impl Record {
    fn to_text(&self) -> String {
        format!("{} {} {}\n", self.pid.as_raw_pid(), self.start_ticks, self.boot_id)
    }

    /// A note that was not written to its end is none.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.strip_suffix('\n')?.split(' ');
        let pid = Pid::from_raw(fields.next()?.parse().ok().filter(|pid: &i32| *pid > 1)?)?;
        let start_ticks = fields.next()?.parse().ok()?;
        let boot_id = fields.next()?.to_owned();
        Some(Self { pid, start_ticks, boot_id })
    }

    /// That very process, if it still runs: no other that got its number, before or after the machine was started again.
    fn find(&self) -> Option<Leftover> {
        let held = pidfd_open(self.pid, PidfdFlags::empty()).ok()?;
        let stat = Stat::of(self.pid)?;
        let is_it = stat.start_ticks == self.start_ticks && boot_id() == self.boot_id && !stat.has_ended();
        // It leads its group from its first moment on.
        (is_it && stat.group == self.pid.as_raw_pid()).then_some(Leftover { pid: self.pid, held })
    }
}

impl Leftover {
    async fn kill(self) {
        let _ = kill_process_group(self.pid, Signal::KILL);
        if let Ok(fd) = readable(self.held) {
            let _ = tokio::time::timeout(strays::DIES_WITHIN, fd.readable()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_or_not_at_all() {
        let record = Record { pid: Pid::from_raw(42).unwrap(), start_ticks: 7, boot_id: "b".to_owned() };
        assert_eq!(Record::parse(&record.to_text()), Some(record));
        for wrong in ["", "42 7 b", "42 7\n", "42\n", "x 7 b\n", "0 7 b\n", "1 7 b\n", "-42 7 b\n", "42 x b\n"] {
            assert_eq!(Record::parse(wrong), None, "{wrong:?}");
        }
    }

    /// Were one of these wrong, the test would not live to tell.
    #[tokio::test]
    async fn a_process_that_only_has_the_number_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::new(folder.path()).unwrap();
        let me = rustix::process::getpid();
        let start_ticks = Stat::of(me).unwrap().start_ticks;
        for (id, record) in [
            ("later", Record { pid: me, start_ticks: start_ticks - 1, boot_id: boot_id() }),
            ("another-start", Record { pid: me, start_ticks, boot_id: "another".to_owned() }),
        ] {
            let id = InstanceId(Arc::from(id));
            folders.make(&id).unwrap();
            std::fs::write(folders.note_of(&id), record.to_text()).unwrap();
        }
        assert_eq!(folders.reap().await.unwrap(), 2);
        assert_eq!(std::fs::read_dir(&folders.0).unwrap().count(), 0);
    }
}
