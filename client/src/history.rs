//! What has changed lately, for those who watch resources and were away for a moment.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use pelton_resource::{Kind, Resource, ResourceKey};
use serde_json::Value;

use crate::version::version_of;

/// Changes that are kept at most.
pub const MAX_CHANGES: usize = 10_000;

/// Bytes that they may take: a few large Secrets must not take the memory of a node.
pub const MAX_CHANGES_BYTES: usize = 16 * 1024 * 1024;

/// The same as long as nobody has asked for them: enough for who reads a version and watches from there.
pub const UNASKED_BYTES: usize = 3 * 512 * 1024;

/// What a change takes besides its object.
const CHANGE_BYTES: usize = 256;

/// One change of one resource.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// The `resourceVersion` that it made.
    pub version: u64,
    /// What was changed.
    pub key: ResourceKey,
    before: Before,
    is_there: bool,
    /// JSON, compressed: most of it is never asked for.
    object: Bytes,
}

/// What a resource was before a change.
#[derive(Clone, PartialEq, Eq)]
enum Before {
    /// It was not there.
    Absent,
    /// It was selected by what it is selected by now.
    Same,
    Other(Box<Selectable>),
}

/// What it is about and no more: a Secret is not for logs.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Change");
        shown.field("version", &self.version).field("key", &self.key).field("is_there", &self.is_there);
        shown.finish_non_exhaustive()
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

    /// That of an object.
    fn of_object(object: &Value) -> Self {
        let labels = object.pointer("/metadata/labels").and_then(|labels| serde_json::from_value(labels.clone()).ok());
        let phase = object.pointer("/status/phase").and_then(Value::as_str).map(str::to_owned);
        Self { labels: labels.unwrap_or_default(), phase }
    }
}

impl Change {
    /// A resource was put in the place of another, or of none. It has its version.
    #[must_use]
    pub fn put(before: Option<&Resource>, after: &Resource) -> Self {
        let is = Selectable::of(after);
        let before = match before.map(Selectable::of) {
            None => Before::Absent,
            Some(was) if was == is => Before::Same,
            Some(was) => Before::Other(Box::new(was)),
        };
        Self {
            version: version_of(after).unwrap_or(0),
            key: after.key(),
            before,
            is_there: true,
            object: folded(after),
        }
    }

    /// A resource was taken out. The change has it as it was last, with the version of its end.
    #[must_use]
    pub fn take(mut last: Resource, version: u64) -> Self {
        last.meta_mut().resource_version = Some(version.to_string());
        Self { version, key: last.key(), before: Before::Same, is_there: false, object: folded(&last) }
    }

    /// The object in JSON: as it is now, or as it was last when it is gone.
    #[must_use]
    pub fn object(&self) -> Vec<u8> {
        lz4_flex::block::decompress_size_prepended(&self.object).expect("it was compressed here")
    }

    /// Whether the resource was not there before.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.before == Before::Absent
    }

    /// Whether the resource is gone.
    #[must_use]
    pub fn is_end(&self) -> bool {
        !self.is_there
    }

    /// What may be selected by: as it was before the change, and as it is after it. `None` when it is not there. `object` is
    /// that of the change.
    #[must_use]
    pub fn selectable(&self, object: &Value) -> (Option<Selectable>, Option<Selectable>) {
        let is = Selectable::of_object(object);
        let was = match &self.before {
            Before::Absent => None,
            Before::Same => Some(is.clone()),
            Before::Other(was) => Some(was.as_ref().clone()),
        };
        (was, self.is_there.then_some(is))
    }

    fn bytes(&self) -> usize {
        self.object.len() + CHANGE_BYTES
    }
}

fn folded(resource: &Resource) -> Bytes {
    let json = serde_json::to_vec(resource).expect("a resource has no map whose keys are no texts");
    lz4_flex::block::compress_prepend_size(&json).into()
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
    /// Whether anybody has asked for them.
    is_asked: bool,
}

impl Kept {
    fn bound(&self) -> usize {
        if self.is_asked { MAX_CHANGES_BYTES } else { UNASKED_BYTES }
    }
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
        kept.bytes += change.bytes();
        kept.changes.push_back(Arc::new(change));
        while kept.changes.len() > MAX_CHANGES || kept.bytes > kept.bound() {
            let Some(oldest) = kept.changes.pop_front() else { break };
            kept.bytes -= oldest.bytes();
            kept.since = oldest.version;
        }
    }

    /// What was before `version` is not known any more, as when everything came anew.
    pub fn begin(&self, version: u64) {
        let mut kept = self.0.lock();
        *kept = Kept { since: version, is_asked: kept.is_asked, ..Kept::default() };
    }

    /// The changes after `version`, the oldest first, about `limit` of them: those of one version come together. `None` when
    /// it is too long ago.
    #[must_use]
    pub fn after(&self, version: u64, limit: usize) -> Option<Vec<Arc<Change>>> {
        let mut kept = self.0.lock();
        kept.is_asked = true;
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
            before: Before::Absent,
            is_there: true,
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
        // Before anybody asks, less is kept.
        let half = UNASKED_BYTES / 2 - CHANGE_BYTES;
        (1..=3).for_each(|version| history.record(change(version, half)));
        assert_eq!(versions(&history, 0, 9), None);
        assert_eq!(versions(&history, 1, 9), Some(vec![2, 3]));
        (4..=9).for_each(|version| history.record(change(version, half)));
        assert_eq!(versions(&history, 1, 9), Some((2..=9).collect()), "and more from then on");
        history.begin(0);
        for version in 1..=MAX_CHANGES as u64 + 1 {
            history.record(change(version, 1));
        }
        assert_eq!(versions(&history, 0, 1), None);
        assert_eq!(versions(&history, 1, 1), Some(vec![2]));
        let next = MAX_CHANGES as u64 + 2;
        history.record(change(next, MAX_CHANGES_BYTES - CHANGE_BYTES));
        assert_eq!(versions(&history, next - 1, 10), Some(vec![next]));
        assert_eq!(versions(&history, next - 2, 10), None);
    }

    #[test]
    fn a_change_knows_what_was_and_what_is() {
        let broker = |label: &str| {
            let text = format!(
                "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {{name: b, labels: {{l: {label}}}}}\n"
            );
            pelton_resource::parse_documents(&text, "test").unwrap().remove(0)
        };
        let labels = |of: &Option<Selectable>| of.as_ref().map(|it| it.labels["l"].clone());
        for (change, want) in [
            (Change::put(None, &broker("a")), (None, Some("a"))),
            (Change::put(Some(&broker("a")), &broker("a")), (Some("a"), Some("a"))),
            (Change::put(Some(&broker("a")), &broker("z")), (Some("a"), Some("z"))),
            (Change::take(broker("a"), 7), (Some("a"), None)),
        ] {
            let object = serde_json::from_slice(&change.object()).unwrap();
            let (was, is) = change.selectable(&object);
            assert_eq!((labels(&was).as_deref(), labels(&is).as_deref()), want, "{change:?}");
            assert_eq!((change.is_new(), change.is_end()), (want.0.is_none(), want.1.is_none()));
        }
        assert_eq!(Change::take(broker("a"), 7).version, 7);
    }
}
