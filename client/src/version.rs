//! What a `resourceVersion` is: the registry's log index, and the place within the entry.
//!
//! One entry may change many resources, as a manifest of several documents does. With the index alone they would share a
//! version, and who has seen the first of them and asks for what came after it would miss the others.

use pelton_resource::Resource;

/// Changes that one entry of the registry may hold. Beyond, resources must be given in parts.
pub const CHANGES_PER_ENTRY: u64 = 10_000;

/// The version of the change at `place` of the entry at `index`.
#[must_use]
pub fn version_at(index: u64, place: usize) -> u64 {
    index.saturating_mul(CHANGES_PER_ENTRY).saturating_add((place as u64).min(CHANGES_PER_ENTRY - 1))
}

/// The version as of which everything up to the entry at `index` is there, and nothing after it.
#[must_use]
pub fn version_after(index: u64) -> u64 {
    index.saturating_mul(CHANGES_PER_ENTRY).saturating_add(CHANGES_PER_ENTRY - 1)
}

/// The log index that a version belongs to.
#[must_use]
pub fn index_of(version: u64) -> u64 {
    version / CHANGES_PER_ENTRY
}

/// The version that a resource has, when it was stored.
#[must_use]
pub fn version_of(resource: &Resource) -> Option<u64> {
    resource.meta().resource_version.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_grow_within_an_entry_and_from_one_to_the_next() {
        let all = [version_at(1, 0), version_at(1, 1), version_at(1, 9_999), version_at(2, 0), version_at(2, 20_000)];
        assert!(all.is_sorted());
        assert_eq!(all.map(index_of), [1, 1, 1, 2, 2]);
        assert_eq!((version_after(1), version_after(2)), (all[2], all[4]));
        assert!(version_after(1) < version_at(2, 0));
    }
}
