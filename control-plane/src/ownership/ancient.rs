//! A bound to how many owners an object names.

use super::managed::{Entry, Operation};

/// Most owners by other writes than apply; beyond it those that wrote longest ago are put together (apimachinery,
/// `capmanagers.go`).
const MAX_UPDATERS: usize = 10;

/// Whom what they own belongs to then.
const ANCIENT: &str = "ancient-changes";

/// Puts the oldest updaters together, those of one version and subresource each, until there are few enough.
pub(super) fn put_together(entries: &mut Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    let is_updater = |entry: &Entry| entry.operation == Operation::Update;
    while entries.iter().filter(|entry| is_updater(entry)).count() > MAX_UPDATERS {
        let by_age = |place: &usize| (entries[*place].time.clone(), entries[*place].manager.clone());
        let named =
            (0..entries.len()).filter(|place| is_updater(&entries[*place]) && entries[*place].manager != ANCIENT);
        let Some(oldest) = named.min_by_key(by_age) else { return };
        let oldest = Entry { manager: ANCIENT.to_owned(), ..entries.remove(oldest) };
        match entries.iter_mut().find(|entry| entry.is_same_owner(&oldest)) {
            Some(bucket) => {
                bucket.fields.extend(oldest.fields.iter().cloned());
                bucket.time = bucket.time.take().max(oldest.time);
            }
            None => entries.push(oldest),
        }
    }
}
