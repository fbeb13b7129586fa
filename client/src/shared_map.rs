//! A sorted map of which every version shares with the others what they have in common.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Index;
use std::slice;
use std::sync::Arc;

/// Entries of a leaf at most. A change copies one leaf and the list of leaves: with 10,000 entries both are short.
const LEAF_ENTRIES: usize = 64;

/// Leaves beside each other become one when they have no more entries than this together, so that a few taken out and put
/// in do not split and join them each time.
const JOINED_ENTRIES: usize = LEAF_ENTRIES / 2;

type Leaf<K, V> = Vec<(K, V)>;

/// A sorted map whose clone is one pointer. A change copies what leads to it and no more: the versions before and after
/// have the rest in common, and [`diff`](Self::diff) passes over that.
pub struct SharedMap<K, V> {
    /// In the order of their keys; none is empty.
    leaves: Arc<Vec<Arc<Leaf<K, V>>>>,
    len: usize,
}

/// What one key has in two versions of a map.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference<'a, K, T> {
    /// The key.
    pub key: &'a K,
    /// What it had; `None` when it was not there.
    pub before: Option<&'a Arc<T>>,
    /// What it has; `None` when it is gone.
    pub now: Option<&'a Arc<T>>,
}

impl<K, V> SharedMap<K, V> {
    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether both are the same one in memory. Two that are not may still be equal.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.leaves, &other.leaves)
    }

    /// The entries by key.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { leaf: [].iter(), leaves: self.leaves.iter() }
    }

    /// The keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// What the keys have, in their order.
    pub fn values(&self) -> impl Iterator<Item = &V> + Clone {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> SharedMap<K, V> {
    /// The only leaf that a key can be in.
    fn leaf_of<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        let after = self.leaves.partition_point(|leaf| leaf[0].0.borrow() <= key);
        after.saturating_sub(1)
    }

    /// What a key has.
    #[must_use]
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.get_by(|is| is.borrow().cmp(key))
    }

    /// What the key has of which `order` says that it is the one: how each key compares to it. Nothing needs to be made
    /// for asking.
    #[must_use]
    pub fn get_by(&self, order: impl Fn(&K) -> Ordering) -> Option<&V> {
        let after = self.leaves.partition_point(|leaf| order(&leaf[0].0).is_le());
        let leaf = self.leaves.get(after.checked_sub(1)?)?;
        let at = leaf.binary_search_by(|(is, _)| order(is)).ok()?;
        Some(&leaf[at].1)
    }

    /// Whether a key is there.
    #[must_use]
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// The entries from a key on.
    #[must_use]
    pub fn iter_from<Q: Ord + ?Sized>(&self, key: &Q) -> Iter<'_, K, V>
    where
        K: Borrow<Q>,
    {
        let at = self.leaf_of(key);
        let Some(leaf) = self.leaves.get(at) else { return self.iter() };
        let from = leaf.partition_point(|(is, _)| is.borrow() < key);
        Iter { leaf: leaf[from..].iter(), leaves: self.leaves[at + 1..].iter() }
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// Gives a key a value; gives the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let at = self.leaf_of(&key);
        let leaves = Arc::make_mut(&mut self.leaves);
        let Some(leaf) = leaves.get_mut(at) else {
            leaves.push(Arc::new(vec![(key, value)]));
            self.len = 1;
            return None;
        };
        let leaf = Arc::make_mut(leaf);
        match leaf.binary_search_by(|(is, _)| is.cmp(&key)) {
            Ok(place) => Some(std::mem::replace(&mut leaf[place].1, value)),
            Err(place) => {
                leaf.insert(place, (key, value));
                self.len += 1;
                if leaf.len() > LEAF_ENTRIES {
                    let rest = leaf.split_off(LEAF_ENTRIES / 2);
                    leaves.insert(at + 1, Arc::new(rest));
                }
                None
            }
        }
    }

    /// Takes a key out; gives what it had.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.leaf_of(key);
        let place = self.leaves.get(at)?.binary_search_by(|(is, _)| is.borrow().cmp(key)).ok()?;
        let leaves = Arc::make_mut(&mut self.leaves);
        let (_, value) = Arc::make_mut(&mut leaves[at]).remove(place);
        self.len -= 1;
        if leaves[at].is_empty() {
            leaves.remove(at);
        } else if let Some(next) = leaves.get(at + 1)
            && leaves[at].len() + next.len() <= JOINED_ENTRIES
        {
            let next = leaves.remove(at + 1);
            Arc::make_mut(&mut leaves[at]).extend(next.iter().cloned());
        }
        Some(value)
    }
}

impl<K: Ord, T> SharedMap<K, Arc<T>> {
    /// What is another than it was `before`, by key. Takes as long as there are leaves and changes.
    #[must_use]
    pub fn diff<'a>(&'a self, before: &'a Self) -> Vec<Difference<'a, K, T>> {
        let mut found = Vec::new();
        if self.is(before) {
            return found;
        }
        let (mut old, mut new) = (before.iter(), self.iter());
        loop {
            while old.passes_with(&mut new) {}
            let order = match (old.peek(), new.peek()) {
                (None, None) => return found,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((was, _)), Some((is, _))) => was.cmp(is),
            };
            let was = if order.is_le() { old.next() } else { None };
            let is = if order.is_ge() { new.next() } else { None };
            let is_same = matches!((was, is), (Some((_, was)), Some((_, is))) if Arc::ptr_eq(was, is));
            if let Some((key, _)) = is.or(was).filter(|_| !is_same) {
                found.push(Difference { key, before: was.map(|(_, was)| was), now: is.map(|(_, is)| is) });
            }
        }
    }
}

/// The entries of a [`SharedMap`] in order.
pub struct Iter<'a, K, V> {
    leaf: slice::Iter<'a, (K, V)>,
    leaves: slice::Iter<'a, Arc<Leaf<K, V>>>,
}

impl<'a, K, V> Iter<'a, K, V> {
    /// Goes to the next leaf when the present one is at its end.
    fn settle(&mut self) {
        if self.leaf.len() == 0
            && let Some(leaf) = self.leaves.next()
        {
            self.leaf = leaf.iter();
        }
    }

    fn peek(&mut self) -> Option<&'a (K, V)> {
        self.settle();
        self.leaf.as_slice().first()
    }

    /// Passes over a leaf that comes next in both, if there is one.
    fn passes_with(&mut self, other: &mut Self) -> bool {
        let next = |it: &Self| if it.leaf.len() == 0 { it.leaves.as_slice().first().map(Arc::as_ptr) } else { None };
        let is_same = next(self).is_some_and(|leaf| next(other) == Some(leaf));
        if is_same {
            self.leaves.next();
            other.leaves.next();
        }
        is_same
    }
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { leaf: self.leaf.clone(), leaves: self.leaves.clone() }
    }
}

impl<K, V> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        self.settle();
        self.leaf.next().map(|(key, value)| (key, value))
    }
}

impl<'a, K, V> IntoIterator for &'a SharedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl<K: Ord + Borrow<Q>, Q: Ord + ?Sized, V> Index<&Q> for SharedMap<K, V> {
    type Output = V;

    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("the key is there")
    }
}

impl<K, V> Clone for SharedMap<K, V> {
    fn clone(&self) -> Self {
        Self { leaves: Arc::clone(&self.leaves), len: self.len }
    }
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self { leaves: Arc::default(), len: 0 }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    type Map = SharedMap<u16, Arc<u8>>;

    /// The leaves that two maps do not have in common.
    fn copied(now: &Map, before: &Map) -> usize {
        let is_known = |leaf: &Arc<_>| before.leaves.iter().any(|known| Arc::ptr_eq(known, leaf));
        now.leaves.iter().filter(|leaf| !is_known(leaf)).count()
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_map_and_says_what_has_become_another(
            first in vec((0..400_u16, any::<Option<u8>>()), 0..600),
            then in vec((0..400_u16, any::<Option<u8>>()), 0..30),
            from in 0..400_u16,
        ) {
            let (mut map, mut model) = (Map::default(), BTreeMap::new());
            let change = |map: &mut Map, model: &mut BTreeMap<_, _>, key: u16, value: Option<u8>| match value.map(Arc::new) {
                Some(value) => assert_eq!(map.insert(key, value.clone()), model.insert(key, value)),
                None => assert_eq!(map.remove(&key), model.remove(&key)),
            };
            for (key, value) in first {
                change(&mut map, &mut model, key, value);
            }
            let (before, model_before) = (map.clone(), model.clone());
            for (key, value) in then {
                change(&mut map, &mut model, key, value);
            }
            prop_assert!(map.iter().eq(&model) && map.len() == model.len() && map.is_empty() == model.is_empty());
            prop_assert!(before.iter().eq(&model_before), "a version stays what it is");
            prop_assert!(map.iter_from(&from).eq(model.range(from..)));
            prop_assert!((0..400).all(|key| map.get(&key) == model.get(&key)));
            prop_assert!(map.leaves.iter().all(|leaf| (1..=LEAF_ENTRIES).contains(&leaf.len())));
            let of = |key| Difference { key, before: model_before.get(key), now: model.get(key) };
            let is_other = |it: &Difference<'_, _, _>| !matches!((it.before, it.now), (Some(a), Some(b)) if Arc::ptr_eq(a, b));
            let keys: BTreeSet<_> = model.keys().chain(model_before.keys()).collect();
            prop_assert_eq!(map.diff(&before), keys.into_iter().map(of).filter(is_other).collect::<Vec<_>>());
        }
    }

    /// What a change costs does not grow with what is there.
    #[test]
    fn a_change_copies_one_leaf() {
        let before: Map = (0..10_000).map(|key| (key, Arc::new(0))).collect();
        let mut now = before.clone();
        assert!(now.is(&before));
        now.insert(5_000, Arc::new(1));
        assert_eq!(copied(&now, &before), 1);
        assert_eq!(now.diff(&before).len(), 1);
        now.remove(&7_000);
        assert_eq!(copied(&now, &before), 2);
        let mut empty = before.clone();
        (0..10_000).for_each(|key| drop(empty.remove(&key)));
        assert_eq!((empty.len(), empty.leaves.len()), (0, 0), "nothing is left of what is gone");
    }
}
