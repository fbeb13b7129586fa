//! Which triggers of a broker an event matches, without asking each of them.

use std::hash::Hash;

use foldhash::{HashMap, HashMapExt};
use pelton_event::Event;
use pelton_resource::Filter;

use super::{Predicate, necessary_values};

/// Most lists that one trigger may be in.
const MAX_LISTS: usize = 64;

/// The triggers of one broker, by what their filters demand of `type` and `source`.
///
/// A filter that demands one of few types is looked at for events of those types only; else one that demands one of
/// few sources for those; the rest are asked for every event. What is looked at is then evaluated in full, so the
/// index decides the cost and never the outcome. `K` names a trigger.
#[derive(Debug)]
pub struct MatchIndex<K> {
    triggers: HashMap<K, Entry>,
    by_type: HashMap<Box<str>, Bucket<K>>,
    by_source: HashMap<Box<str>, Vec<K>>,
    rest: Vec<K>,
}

#[derive(Debug)]
struct Entry {
    predicate: Predicate,
    types: Option<Box<[Box<str>]>>,
    sources: Option<Box<[Box<str>]>>,
}

#[derive(Debug)]
struct Bucket<K> {
    any_source: Vec<K>,
    by_source: HashMap<Box<str>, Vec<K>>,
}

impl<K> Default for Bucket<K> {
    fn default() -> Self {
        Self { any_source: Vec::new(), by_source: HashMap::new() }
    }
}

impl<K> Default for MatchIndex<K> {
    fn default() -> Self {
        Self { triggers: HashMap::new(), by_type: HashMap::new(), by_source: HashMap::new(), rest: Vec::new() }
    }
}

impl<K: Copy + Eq + Hash> MatchIndex<K> {
    /// Adds a trigger, or gives it another filter.
    pub fn insert(&mut self, key: K, filter: &Filter) {
        self.remove(key);
        let values = |attribute| {
            necessary_values(filter, attribute).map(|values| values.into_iter().map(Box::from).collect::<Box<[_]>>())
        };
        let mut entry =
            Entry { predicate: Predicate::compile(filter), types: values("type"), sources: values("source") };
        if let (Some(types), Some(sources)) = (&entry.types, &entry.sources)
            && types.len() * sources.len() > MAX_LISTS
        {
            entry.sources = None;
        }
        self.change_lists(&entry, |list| list.push(key));
        self.triggers.insert(key, entry);
    }

    /// Takes a trigger out. `false` when it was not there.
    pub fn remove(&mut self, key: K) -> bool {
        let Some(entry) = self.triggers.remove(&key) else { return false };
        self.change_lists(&entry, |list| {
            // From the end: what goes in bulk mostly came in bulk.
            if let Some(at) = list.iter().rposition(|other| *other == key) {
                list.swap_remove(at);
            }
        });
        true
    }

    /// How many triggers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.triggers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.triggers.is_empty()
    }

    /// Calls `found` for each trigger whose filter the event passes, once each, in no order.
    pub fn matches(&self, event: &Event, mut found: impl FnMut(K)) {
        let mut look = |keys: &[K]| {
            for key in keys {
                if self.triggers.get(key).is_some_and(|entry| entry.predicate.matches(event)) {
                    found(*key);
                }
            }
        };
        if let Some(bucket) = self.by_type.get(event.ty()) {
            look(&bucket.any_source);
            if !bucket.by_source.is_empty()
                && let Some(keys) = bucket.by_source.get(event.source())
            {
                look(keys);
            }
        }
        if !self.by_source.is_empty()
            && let Some(keys) = self.by_source.get(event.source())
        {
            look(keys);
        }
        look(&self.rest);
    }

    /// Whether one trigger's filter lets the event pass. `false` for one that is not here.
    #[must_use]
    pub fn matches_one(&self, key: K, event: &Event) -> bool {
        self.triggers.get(&key).is_some_and(|entry| entry.predicate.matches(event))
    }

    /// Changes every list that an entry belongs in. A value is in a list once, so a trigger is found once for an event.
    fn change_lists(&mut self, entry: &Entry, change: impl Fn(&mut Vec<K>)) {
        let Some(types) = &entry.types else {
            let Some(sources) = &entry.sources else { return change(&mut self.rest) };
            return change_each(&mut self.by_source, sources, &change);
        };
        for ty in types {
            let bucket = self.by_type.entry(ty.clone()).or_default();
            match &entry.sources {
                None => change(&mut bucket.any_source),
                Some(sources) => change_each(&mut bucket.by_source, sources, &change),
            }
            if bucket.any_source.is_empty() && bucket.by_source.is_empty() {
                self.by_type.remove(ty);
            }
        }
    }
}

fn change_each<K>(lists: &mut HashMap<Box<str>, Vec<K>>, values: &[Box<str>], change: &impl Fn(&mut Vec<K>)) {
    for value in values {
        let list = lists.entry(value.clone()).or_default();
        change(list);
        if list.is_empty() {
            lists.remove(value);
        }
    }
}

#[cfg(test)]
mod tests;
