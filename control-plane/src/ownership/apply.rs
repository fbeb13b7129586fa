//! Server-side apply.

use serde_json::Value;

use super::Writer;
use super::conflict::ConflictOf;
use super::managed::{Entry, ManagedFields, Operation};
use super::path::{PathSet, Step};
use super::tree::{Part, at, is_map, is_same, leaves, put, take_out, without_nulls};

/// Applies `applied` to the live object, or makes a new one of it, and says who owns what then.
///
/// A null in the applied object is the same as a field left out. What was not written is in the merged object as it was
/// in the live one, also its `metadata.managedFields`: what belongs there is the second result. Paths of `owned_anyway`
/// are taken from their owners without a conflict; with `force` all paths are.
///
/// When nothing was changed, both results are equal to what went in.
///
/// # Errors
/// The paths that others own and that would change, sorted by owner and path.
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    managed: &ManagedFields,
    writer: &Writer<'_>,
    force: bool,
    owned_anyway: &PathSet,
) -> Result<(Value, ManagedFields), Vec<ConflictOf>> {
    let part = Part::of(writer.subresource);
    let applied = without_nulls(applied);
    let leaves = leaves(&applied, part);
    let live = live.cloned().unwrap_or_else(|| identity(&applied));
    let mut merged = live.clone();
    for (path, leaf) in &leaves {
        put(&mut merged, path.steps(), leaf);
    }

    let mut entry = Entry::of(writer, Operation::Apply);
    let (before, mut others): (Vec<_>, Vec<_>) =
        managed.entries().iter().cloned().partition(|other| other.is_same_owner(&entry));
    if !force {
        let conflicts = conflicts(&others, part, &live, &merged, owned_anyway);
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
    }
    for other in &mut others {
        other.fields.retain(|path| !part.covers(path) || is_same(path.steps(), &live, &merged));
    }

    entry.fields = leaves.into_iter().map(|(path, _)| path).collect();
    if let Some(before) = before.first() {
        drop_abandoned(&mut merged, part, &before.fields, &entry.fields, &others);
        if before.fields == entry.fields && before.api_version == entry.api_version {
            entry.time.clone_from(&before.time);
        }
    }
    others.push(entry);
    Ok((merged, managed.after(others)))
}

/// What a new object is before anything is applied to it: the fields that name it.
fn identity(applied: &Value) -> Value {
    let pick = |from: Option<&Value>, fields: [&str; 2]| -> Value {
        let found = |field: &str| Some((field.to_owned(), from?.get(field)?.clone()));
        Value::Object(fields.into_iter().filter_map(found).collect())
    };
    let mut object = pick(Some(applied), ["apiVersion", "kind"]);
    object["metadata"] = pick(applied.get("metadata"), ["name", "namespace"]);
    object
}

/// What others own and would lose. What is not there any more is no loss.
fn conflicts(others: &[Entry], part: Part, live: &Value, merged: &Value, owned_anyway: &PathSet) -> Vec<ConflictOf> {
    let mut found = Vec::new();
    for other in others {
        let lost = other.fields.iter().filter(|path| {
            let steps = path.steps();
            let is_lost = at(live, steps).is_some() && !is_same(steps, live, merged);
            part.covers(path) && is_lost && !owned_anyway.contains(steps)
        });
        found.extend(lost.map(|path| (other, path)));
    }
    found
        .sort_by(|(a, a_path), (b, b_path)| a.identity().cmp(&b.identity()).then_with(|| a_path.listing_order(b_path)));
    found.into_iter().map(|(owner, path)| ConflictOf::new(owner, path)).collect()
}

/// Takes out what the applier owned, applies no more, and nobody else owns. A map in which something is left stays.
fn drop_abandoned(merged: &mut Value, part: Part, before: &PathSet, now: &PathSet, others: &[Entry]) {
    let is_owned = |path: &[Step]| now.contains(path) || others.iter().any(|other| other.fields.contains(path));
    for path in before.iter().filter(|path| part.covers(path)) {
        let steps = path.steps();
        let is_in_use = |value: &Value| is_map(steps, value) && value.as_object().is_some_and(|map| !map.is_empty());
        if !is_owned(steps) && !at(merged, steps).is_some_and(is_in_use) {
            take_out(merged, steps, &is_owned);
        }
    }
}
