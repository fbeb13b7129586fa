//! Where a field is, and sets of such places.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, btree_set};
use std::fmt;
use std::ops::Bound;

use serde_json::Value;

/// How many steps a path has at most. A map that many steps down is one leaf. No kind goes half as deep, and the nested
/// maps that say who owns a path stay below the depth at which JSON is refused (128 in serde_json), whatever the object
/// is wrapped in.
pub(crate) const MAX_DEPTH: usize = 64;

/// One step down. In the order of Kubernetes: fields, then keys, then values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Into a map.
    Field(String),
    /// To the owner reference with that uid.
    Owner(String),
    /// To the finalizer of that name.
    Finalizer(String),
}

impl Step {
    /// Whether this is an item of a list and the step leads to it.
    pub(crate) fn leads_to(&self, item: &Value) -> bool {
        match self {
            Self::Field(_) => false,
            Self::Owner(uid) => item.get("uid").and_then(Value::as_str) == Some(uid),
            Self::Finalizer(name) => item.as_str() == Some(name),
        }
    }
}

/// A list whose items are owned one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyedList {
    /// `metadata.ownerReferences`
    Owners,
    /// `metadata.finalizers`
    Finalizers,
}

impl KeyedList {
    /// The list that belongs at a path, unless what is there is one leaf or a map.
    pub(crate) fn at(path: &[Step]) -> Option<Self> {
        let [Step::Field(parent), Step::Field(name)] = path else { return None };
        match (parent.as_str(), name.as_str()) {
            ("metadata", "ownerReferences") => Some(Self::Owners),
            ("metadata", "finalizers") => Some(Self::Finalizers),
            _ => None,
        }
    }

    /// The step to an item, if the item has what it takes.
    pub(crate) fn step(self, item: &Value) -> Option<Step> {
        match self {
            Self::Owners => item.get("uid").and_then(Value::as_str).map(|uid| Step::Owner(uid.to_owned())),
            Self::Finalizers => item.as_str().map(|name| Step::Finalizer(name.to_owned())),
        }
    }
}

/// Where a field is, from the root of the object.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Step>);

impl Path {
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The order in which Kubernetes lists paths: on each level those that end there first.
    pub(crate) fn listing_order(&self, other: &Self) -> Ordering {
        let level = self.0.iter().zip(&other.0).take_while(|(a, b)| a == b).count();
        let key = |path: &Self| (path.0.len() > level + 1, path.0.get(level).cloned());
        key(self).cmp(&key(other))
    }
}

impl From<&[Step]> for Path {
    fn from(steps: &[Step]) -> Self {
        Self(steps.to_vec())
    }
}

impl Borrow<[Step]> for Path {
    fn borrow(&self) -> &[Step] {
        &self.0
    }
}

/// As Kubernetes writes it: `.metadata.finalizers[="x"]`, `.metadata.ownerReferences[uid="u"]`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            Step::Field(name) => write!(f, ".{name}"),
            Step::Owner(uid) => write!(f, "[uid={uid:?}]"),
            Step::Finalizer(name) => write!(f, "[={name:?}]"),
        })
    }
}

/// The leaf paths that somebody owns. None leads through another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathSet(BTreeSet<Path>);

impl PathSet {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether exactly that path is in the set.
    #[must_use]
    pub fn contains(&self, path: &[Step]) -> bool {
        self.0.contains(path)
    }

    /// The paths, sorted.
    pub fn iter(&self) -> btree_set::Iter<'_, Path> {
        self.0.iter()
    }

    /// Adds a path. A map of which a member is owned is no leaf any more: of the two, the member stays.
    pub(crate) fn insert(&mut self, path: Path) {
        let after = (Bound::Excluded(path.steps()), Bound::Unbounded);
        if self.0.range::<[Step], _>(after).next().is_some_and(|next| next.0.starts_with(&path.0)) {
            return;
        }
        for len in 1..path.0.len() {
            self.0.remove(&path.0[..len]);
        }
        self.0.insert(path);
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&Path) -> bool) {
        self.0.retain(keep);
    }
}

impl Extend<Path> for PathSet {
    fn extend<I: IntoIterator<Item = Path>>(&mut self, paths: I) {
        paths.into_iter().for_each(|path| self.insert(path));
    }
}

impl FromIterator<Path> for PathSet {
    fn from_iter<I: IntoIterator<Item = Path>>(paths: I) -> Self {
        let mut set = Self::default();
        set.extend(paths);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(fields: &[&str]) -> Path {
        Path(fields.iter().map(|&name| Step::Field(name.to_owned())).collect())
    }

    #[test]
    fn no_path_of_a_set_leads_through_another() {
        let (map, member, neighbor) = (path(&["spec"]), path(&["spec", "a"]), path(&["spec2"]));
        for order in [[&map, &member, &neighbor], [&member, &neighbor, &map], [&neighbor, &map, &member]] {
            let set: PathSet = order.into_iter().cloned().collect();
            assert_eq!(set.iter().collect::<Vec<_>>(), [&member, &neighbor], "{order:?}");
        }
    }

    /// structured-merge-diff, `fieldpath/set.go`, `Iterate`: the members of a level, then what is below them.
    #[test]
    fn paths_are_listed_by_level() {
        let want = [
            path(&["z"]),
            path(&["metadata", "labels", "a"]),
            path(&["spec", "b"]),
            path(&["spec", "z"]),
            path(&["spec", "a", "x"]),
        ];
        let mut paths = want.to_vec();
        paths.sort();
        assert_ne!(paths, want);
        paths.sort_by(Path::listing_order);
        assert_eq!(paths, want);
    }
}
