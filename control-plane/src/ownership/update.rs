//! Ownership after any other write than apply.

use serde_json::Value;

use super::Writer;
use super::ancient::put_together;
use super::managed::{Entry, ManagedFields, Operation};
use super::tree::{Part, is_same, leaves};

/// Who owns what once `new` has replaced `old`; `None` when the object is new.
///
/// What was changed or added is the writer's alone, what was removed is nobody's. Only the part that the write can
/// reach is compared. The writer's time moves when its own set does. Of many owners the oldest are put together.
#[must_use]
pub fn update(old: Option<&Value>, new: &Value, managed: &ManagedFields, writer: &Writer<'_>) -> ManagedFields {
    let part = Part::of(writer.subresource);
    let old = old.unwrap_or(&Value::Null);
    let mut entries = managed.entries().to_vec();
    for entry in &mut entries {
        entry.fields.retain(|path| !part.covers(path) || is_same(path.steps(), old, new));
    }

    let blank = Entry::of(writer, Operation::Update);
    let place = managed.entries().iter().position(|entry| entry.is_same_owner(&blank)).unwrap_or_else(|| {
        entries.push(blank);
        entries.len() - 1
    });
    let written = leaves(new, part).into_iter().filter(|(path, _)| !is_same(path.steps(), old, new));
    entries[place].fields.extend(written.map(|(path, _)| path));
    if managed.entries().get(place).is_some_and(|before| before.fields != entries[place].fields) {
        entries[place].time = Some(writer.now.to_owned());
    }
    put_together(&mut entries);
    managed.after(entries)
}
