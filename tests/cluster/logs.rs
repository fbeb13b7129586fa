//! Whether the logs of all replicas say the same, read from the data folders of nodes that have stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pelton_env::{OsChance, SystemClock};
use pelton_log::{Entry, GroupId, GroupView, Log, LogIndex, Options, RealDisk, verify};

/// Bytes of entries that are read at a time.
const READ_BYTES: u64 = 1 << 20;

/// One replica of a group, as its node's log has it.
#[derive(Debug)]
struct Replica {
    data: PathBuf,
    view: GroupView,
    /// A hash of everything that an entry says.
    entries: BTreeMap<u64, u64>,
    /// Events in them.
    events: u64,
}

/// Asserts that every log is whole, that every entry which two replicas have committed is the same in both, and that
/// all replicas of a group have the same events. Gives the number of events that were compared, each once.
#[track_caller]
pub fn agree<'a>(data: impl IntoIterator<Item = &'a Path>) -> u64 {
    let mut groups = BTreeMap::<GroupId, Vec<Replica>>::new();
    for data in data {
        for (group, replica) in replicas(data) {
            groups.entry(group).or_default().push(replica);
        }
    }
    let mut events = 0;
    for (group, replicas) in &groups {
        let (first, others) = replicas.split_first().expect("it was found somewhere");
        for other in others {
            let upto = first.view.committed.min(other.view.committed).unwrap_or_default().0;
            for (index, hash) in first.entries.range(..=upto) {
                // What one of them no longer keeps is no difference.
                let same = other.entries.get(index).is_none_or(|theirs| theirs == hash);
                assert!(same, "{group:?}: entry {index} in {:?} is not the one in {:?}", first.data, other.data);
            }
            let ends = (first.view.next_offset, other.view.next_offset);
            assert_eq!(ends.0, ends.1, "{group:?}: the next event of {:?} and of {:?}", first.data, other.data);
        }
        events += replicas.iter().map(|replica| replica.events).max().unwrap_or_default();
    }
    events
}

/// The ids of all events in a log that nobody has open.
#[track_caller]
pub fn events(data: &Path) -> BTreeSet<String> {
    let log = open(data);
    let mut events = BTreeSet::new();
    for group in log.groups() {
        for_each(&log, group, |entry| {
            if entry.event_count == 0 {
                return;
            }
            for record in pelton_client::records(entry.body.clone()) {
                events.insert(record.unwrap().event().unwrap().id().to_owned());
            }
        });
    }
    log.shutdown();
    events
}

#[track_caller]
fn replicas(data: &Path) -> Vec<(GroupId, Replica)> {
    let log = open(data);
    let found = log.groups().into_iter().map(|group| (group, replica(data, &log, group))).collect();
    log.shutdown();
    found
}

/// Opens a log that has to be whole.
#[track_caller]
fn open(data: &Path) -> Log {
    let disk = RealDisk::existing(data.join("log")).unwrap();
    let report = verify(&disk).unwrap();
    assert!(report.is_whole(), "{data:?}: {report:?}");
    let options = Options::new(report.identity.expect("a log that was written says whose it is"));
    let (log, _) = Log::open(Arc::new(disk), Arc::new(SystemClock), Arc::new(OsChance), options).unwrap();
    log
}

#[track_caller]
fn replica(data: &Path, log: &Log, group: GroupId) -> Replica {
    let view = log.group(group);
    let mut replica = Replica { data: data.to_owned(), view, entries: BTreeMap::new(), events: 0 };
    for_each(log, group, |entry| {
        replica.entries.insert(entry.index.0, hash(entry));
        replica.events += u64::from(entry.event_count);
    });
    replica
}

/// Looks at every entry of a group, in order.
#[track_caller]
fn for_each(log: &Log, group: GroupId, mut look: impl FnMut(&Entry)) {
    let view = log.group(group);
    let (Some(mut next), Some((_, _, last))) = (view.first, view.last) else { return };
    while next <= last {
        let entries = log.read(group, next, LogIndex(last.0 + 1), READ_BYTES).unwrap();
        entries.iter().for_each(&mut look);
        next = LogIndex(entries.last().expect("there is one up to the last").index.0 + 1);
    }
}

fn hash(entry: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    (entry.term, entry.leader, entry.index, entry.kind, entry.first_offset, entry.event_count).hash(&mut hasher);
    entry.body.hash(&mut hasher);
    hasher.finish()
}
