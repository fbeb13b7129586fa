//! What has changed lately, for those who watch resources and were away for a moment.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use pelton_resource::{Kind, Resource, ResourceKey};

/// Changes that are kept at most.
pub const MAX_CHANGES: usize = 10_000;

/// Bytes of objects that are kept at most, in JSON. A few large Secrets must not take the memory of a node.
pub const MAX_CHANGES_BYTES: usize = 16 * 1024 * 1024;

/// One change of one resource.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// The `resourceVersion` that it made.
    pub version: u64,
    /// What was changed.
    pub key: ResourceKey,
    /// What may be selected by, as it was. `None` when it was not there.
    pub before: Option<Selectable>,
    /// The same as it is now. `None` when it is gone.
    pub after: Option<Selectable>,
    /// The object in JSON, as it is now; as it was last, with this version, when it is gone.
    pub object: Bytes,
}

/// What it is about and no more: a Secret is not for logs.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Change");
        shown.field("version", &self.version).field("key", &self.key);
        shown.field("before", &self.before.is_some()).field("after", &self.after.is_some()).finish_non_exhaustive()
    }
}

/// What a resource may be selected by besides its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selectable {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Of a Namespace its `status.phase`; other fields that may be selected by do not change.
    pub phase: Option<String>,
}

impl Selectable {
    /// That of a resource.
    #[must_use]
    pub fn of(resource: &Resource) -> Self {
        let phase = match resource {
            Resource::Core(object) if object.kind == Kind::Namespace => object.text("/status/phase").map(str::to_owned),
            _ => None,
        };
        Self { labels: resource.meta().labels.clone(), phase }
    }
}

impl Change {
    /// A resource was put in the place of another, or of none. It has its version.
    #[must_use]
    pub fn put(before: Option<&Resource>, after: &Resource) -> Self {
        Self {
            version: version_of(after),
            key: after.key(),
            before: before.map(Selectable::of),
            after: Some(Selectable::of(after)),
            object: json(after),
        }
    }

    /// A resource was taken out.
    #[must_use]
    pub fn take(mut before: Resource, version: u64) -> Self {
        before.meta_mut().resource_version = Some(version.to_string());
        Self { version, key: before.key(), before: Some(Selectable::of(&before)), after: None, object: json(&before) }
    }
}

fn json(resource: &Resource) -> Bytes {
    serde_json::to_vec(resource).expect("a resource has no map whose keys are no texts").into()
}

fn version_of(resource: &Resource) -> u64 {
    resource.meta().resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// The last changes, in order. Clones are handles of the same one.
#[derive(Clone, Default)]
pub struct History(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// Everything after this version is here.
    since: u64,
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
}

impl History {
    /// Whether both are handles of the same one.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Notes a change. Versions grow.
    pub fn record(&self, change: Change) {
        let mut kept = self.0.lock();
        kept.bytes += change.object.len();
        kept.changes.push_back(Arc::new(change));
        while kept.changes.len() > MAX_CHANGES || kept.bytes > MAX_CHANGES_BYTES {
            let Some(oldest) = kept.changes.pop_front() else { break };
            kept.bytes -= oldest.object.len();
            kept.since = oldest.version;
        }
    }

    /// What was before `version` is not known any more, as when everything came anew.
    pub fn begin(&self, version: u64) {
        *self.0.lock() = Kept { since: version, ..Kept::default() };
    }

    /// The changes after `version`, the oldest first, about `limit` of them: those of one version come together. `None` when
    /// it is too long ago.
    #[must_use]
    pub fn after(&self, version: u64, limit: usize) -> Option<Vec<Arc<Change>>> {
        let kept = self.0.lock();
        if version < kept.since {
            return None;
        }
        let from = kept.changes.partition_point(|change| change.version <= version);
        let mut last = None;
        let some = kept.changes.range(from..).enumerate().take_while(|(i, change)| {
            let is_wanted = *i < limit || last == Some(change.version);
            last = Some(change.version);
            is_wanted
        });
        Some(some.map(|(_, change)| Arc::clone(change)).collect())
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.0.lock();
        f.debug_struct("History").field("since", &kept.since).field("changes", &kept.changes.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(version: u64, bytes: usize) -> Change {
        Change {
            version,
            key: ResourceKey::new(Kind::Broker, "default", format!("b{version}")),
            before: None,
            after: Some(Selectable::default()),
            object: vec![b' '; bytes].into(),
        }
    }

    fn versions(history: &History, after: u64, limit: usize) -> Option<Vec<u64>> {
        history.after(after, limit).map(|changes| changes.iter().map(|change| change.version).collect())
    }

    #[test]
    fn what_came_after_a_version_is_told_as_long_as_it_is_kept() {
        let history = History::default();
        history.begin(10);
        for version in 11..=20 {
            history.record(change(version, 1));
        }
        for (after, limit, want) in [
            (9, 100, None),
            (10, 100, Some((11..=20).collect::<Vec<_>>())),
            (15, 2, Some(vec![16, 17])),
            (20, 100, Some(vec![])),
            (99, 100, Some(vec![])),
        ] {
            assert_eq!(versions(&history, after, limit), want, "after {after}");
        }
    }

    #[test]
    fn changes_of_one_version_come_together() {
        let history = History::default();
        [1, 2, 2, 2, 3].into_iter().for_each(|version| history.record(change(version, 1)));
        assert_eq!(versions(&history, 0, 1), Some(vec![1]));
        assert_eq!(versions(&history, 0, 2), Some(vec![1, 2, 2, 2]));
        assert_eq!(versions(&history, 2, 9), Some(vec![3]));
    }

    #[test]
    fn changes_have_a_bound_in_number_and_in_bytes() {
        let history = History::default();
        for version in 1..=MAX_CHANGES as u64 + 1 {
            history.record(change(version, 1));
        }
        assert_eq!(versions(&history, 0, 1), None);
        assert_eq!(versions(&history, 1, 1), Some(vec![2]));
        let next = MAX_CHANGES as u64 + 2;
        history.record(change(next, MAX_CHANGES_BYTES));
        assert_eq!(versions(&history, next - 1, 10), Some(vec![next]));
        assert_eq!(versions(&history, next - 2, 10), None);
    }
}
