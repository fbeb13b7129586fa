//! Whether the logs of all replicas say the same, and what they say, read from the data folders of nodes that have
//! stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pelton_env::{OsChance, SystemClock};
use pelton_event::Event;
use pelton_log::{Entry, GroupId, GroupView, Identity, Log, LogIndex, OnDamage, OpenError, Options, RealDisk, verify};

use crate::support::event::TYPE_A;
use crate::support::{TestEvent, wait_for};

const REGISTRY: GroupId = GroupId(0);

/// Bytes of entries that are read at a time.
const READ_BYTES: u64 = 1 << 20;

/// An event as it stands in the log of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy {
    pub group: u64,
    pub offset: u64,
    /// Of the leader that wrote it.
    pub term: u64,
}

/// The copies of each event.
pub type Copies = BTreeMap<u64, Vec<Copy>>;

/// What the logs say.
#[derive(Debug, Default)]
pub struct Agreed {
    /// How many events there are, each place in a group counted once.
    pub events: u64,
    /// Where those of the producers are.
    pub copies: Copies,
}

/// One replica of a group, as its node's log has it.
#[derive(Debug)]
struct Replica {
    data: PathBuf,
    view: GroupView,
    /// A hash of everything that an entry says.
    entries: BTreeMap<u64, u64>,
    /// Events in them.
    events: u64,
    /// The producers' events and their terms, by offset.
    numbers: BTreeMap<u64, (u64, u64)>,
}

/// Asserts that every log is whole, that every entry which two replicas have committed is the same in both, and that
/// all replicas of a group have the same events.
#[track_caller]
pub fn agree<'a>(data: impl IntoIterator<Item = &'a Path>, on_damage: OnDamage) -> Agreed {
    let mut groups = BTreeMap::<GroupId, Vec<Replica>>::new();
    for data in data {
        for (group, replica) in replicas(data, on_damage) {
            groups.entry(group).or_default().push(replica);
        }
    }
    let mut agreed = Agreed::default();
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
        agreed.events += replicas.iter().map(|replica| replica.events).max().unwrap_or_default();
        let numbers: BTreeMap<_, _> = replicas.iter().flat_map(|replica| &replica.numbers).collect();
        for (offset, (number, term)) in numbers {
            let copy = Copy { group: u64::from(group.0), offset: *offset, term: *term };
            agreed.copies.entry(*number).or_default().push(copy);
        }
    }
    agreed
}

/// The versions in which entries that hold no events were written.
#[derive(Debug, PartialEq, Eq)]
pub struct Written {
    /// Changes of groups.
    pub changes: BTreeSet<u8>,
    /// The registry's commands.
    pub commands: BTreeSet<u8>,
}

/// As a log says that nobody has open.
#[track_caller]
pub fn written(data: &Path) -> Written {
    /// `broker/src/command.rs`.
    const CHANGE: u8 = 18;
    /// `broker/src/registry/commands.rs`.
    const COMMANDS: std::ops::RangeInclusive<u8> = 16..=18;
    let log = open(data, OnDamage::Refuse);
    let mut written = Written { changes: BTreeSet::new(), commands: BTreeSet::new() };
    for group in log.groups() {
        for_each(&log, group, |entry| match group {
            REGISTRY if COMMANDS.contains(&entry.kind) => drop(written.commands.insert(entry.body[0])),
            REGISTRY => {}
            _ if entry.kind == CHANGE => drop(written.changes.insert(entry.body[0])),
            _ => {}
        });
    }
    log.shutdown();
    written
}

/// The ids of all events in a log that nobody has open.
#[track_caller]
pub fn events(data: &Path) -> BTreeSet<String> {
    let log = open(data, OnDamage::Refuse);
    let mut ids = BTreeSet::new();
    for group in log.groups() {
        for_each(&log, group, |entry| ids.extend(events_of(entry).map(|event| event.id().to_owned())));
    }
    log.shutdown();
    ids
}

#[track_caller]
fn replicas(data: &Path, on_damage: OnDamage) -> Vec<(GroupId, Replica)> {
    let log = open(data, on_damage);
    let found = log.groups().into_iter().map(|group| (group, replica(data, &log, group))).collect();
    log.shutdown();
    found
}

/// Whose log it is: one that is opened under no name says it in its refusal.
fn identity(data: &Path) -> Option<Identity> {
    let disk = Arc::new(RealDisk::existing(data.join("log")).unwrap());
    unlocked(data, || {
        let options = Options::new(Identity::default());
        match Log::open(disk.clone(), Arc::new(SystemClock), Arc::new(OsChance), options) {
            Err(OpenError::Identity { found, .. }) => Ok(Some(found)),
            other => other.map(|_| None),
        }
    })
}

/// Opens a log that has to be whole, or that was damaged and repaired.
#[track_caller]
fn open(data: &Path, on_damage: OnDamage) -> Log {
    let identity = match on_damage {
        OnDamage::Refuse => {
            let report = unlocked(data, || verify(&RealDisk::existing(data.join("log")).unwrap()));
            assert!(report.is_whole(), "{data:?}: {report:?}");
            report.identity
        }
        // What was damaged is still there, beside the copies that took its place.
        OnDamage::Keep => identity(data),
    };
    let options = Options::new(identity.expect("a log that was written says whose it is"));
    let options = Options { on_damage, ..options };
    let disk = || Arc::new(RealDisk::existing(data.join("log")).unwrap());
    unlocked(data, || Log::open(disk(), Arc::new(SystemClock), Arc::new(OsChance), options.clone())).0
}

/// Another scenario that is starting a process just now may hold the lock of a log that this one has had open, from its
/// fork to its exec.
#[track_caller]
fn unlocked<T>(data: &Path, open: impl Fn() -> Result<T, OpenError>) -> T {
    wait_for(&format!("the log in {data:?}"), || match open() {
        Err(OpenError::Locked) => Err("locked".to_owned()),
        other => Ok(other.unwrap()),
    })
}

#[track_caller]
fn replica(data: &Path, log: &Log, group: GroupId) -> Replica {
    let (view, numbers) = (log.group(group), BTreeMap::new());
    let mut replica = Replica { data: data.to_owned(), view, entries: BTreeMap::new(), events: 0, numbers };
    for_each(log, group, |entry| {
        replica.entries.insert(entry.index.0, hash(entry));
        replica.events += u64::from(entry.event_count);
        for (offset, event) in (entry.first_offset.0..).zip(events_of(entry)) {
            if let Some(number) = TestEvent::number_of(event.id()).filter(|_| event.ty() == TYPE_A) {
                replica.numbers.insert(offset, (number, entry.term.0));
            }
        }
    });
    replica
}

/// The events in an entry, decoded.
#[track_caller]
fn events_of(entry: &Entry) -> impl Iterator<Item = Event> {
    let body = if entry.event_count == 0 { bytes::Bytes::new() } else { entry.body.clone() };
    pelton_client::records(body).map(|record| record.unwrap().event().unwrap())
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
