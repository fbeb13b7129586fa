//! Whether the logs of all replicas say the same, read from the data folders of nodes that have stopped.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pelton_env::{OsChance, SystemClock};
use pelton_log::{Entry, GroupId, GroupView, Identity, Log, LogIndex, OnDamage, OpenError, Options, RealDisk, verify};

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
pub fn agree<'a>(data: impl IntoIterator<Item = &'a Path>, on_damage: OnDamage) -> u64 {
    let mut groups = BTreeMap::<GroupId, Vec<Replica>>::new();
    for data in data {
        for (group, replica) in replicas(data, on_damage) {
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

#[track_caller]
fn replicas(data: &Path, on_damage: OnDamage) -> Vec<(GroupId, Replica)> {
    let disk = RealDisk::existing(data.join("log")).unwrap();
    let identity = match on_damage {
        OnDamage::Refuse => {
            let report = verify(&disk).unwrap();
            assert!(report.is_whole(), "{data:?}: {report:?}");
            report.identity
        }
        // What was damaged is still there, beside the copies that took its place.
        OnDamage::Keep => identity(&disk),
    };
    let options = Options::new(identity.expect("a log that was written says whose it is"));
    let options = Options { on_damage, ..options };
    let (log, _) = Log::open(Arc::new(disk), Arc::new(SystemClock), Arc::new(OsChance), options).unwrap();
    let found = log.groups().into_iter().map(|group| (group, replica(data, &log, group))).collect();
    log.shutdown();
    found
}

/// Whose log it is: one that is opened under no name says it in its refusal.
fn identity(disk: &RealDisk) -> Option<Identity> {
    let options = Options::new(Identity::default());
    match Log::open(Arc::new(disk.clone()), Arc::new(SystemClock), Arc::new(OsChance), options) {
        Err(OpenError::Identity { found, .. }) => Some(found),
        _ => None,
    }
}

#[track_caller]
fn replica(data: &Path, log: &Log, group: GroupId) -> Replica {
    let view = log.group(group);
    let mut replica = Replica { data: data.to_owned(), view, entries: BTreeMap::new(), events: 0 };
    let (Some(first), Some((_, _, last))) = (replica.view.first, replica.view.last) else { return replica };
    let mut next = first;
    while next <= last {
        let entries = log.read(group, next, LogIndex(last.0 + 1), READ_BYTES).unwrap();
        for entry in &entries {
            replica.entries.insert(entry.index.0, hash(entry));
            replica.events += u64::from(entry.event_count);
        }
        next = LogIndex(entries.last().expect("there is one up to the last").index.0 + 1);
    }
    replica
}

fn hash(entry: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    (entry.term, entry.leader, entry.index, entry.kind, entry.first_offset, entry.event_count).hash(&mut hasher);
    entry.body.hash(&mut hasher);
    hasher.finish()
}
