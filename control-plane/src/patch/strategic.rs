//! Strategic merge patch, for the core kinds.
//!
//! A merge patch in which some lists are merged by a key of their items, with directives for what else is to be done.
//! Against Kubernetes: `$setElementOrder` is ignored, so that items keep their places and new ones come last.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::error::{PatchError, excerpt};
use super::merge::make_object;
use super::type_of;

/// How a list is merged. A list that is not in [`LISTS`] is replaced.
#[derive(Clone, Copy)]
enum ListKind {
    /// Objects, told apart by this field.
    Keyed(&'static str),
    /// Scalars, each once.
    Set,
}

/// The lists of the core kinds that are merged: ServiceAccount has the secrets, Service the ports, every kind the rest.
const LISTS: &[(&[&str], ListKind)] = &[
    (&["metadata", "ownerReferences"], ListKind::Keyed("uid")),
    (&["metadata", "finalizers"], ListKind::Set),
    (&["secrets"], ListKind::Keyed("name")),
    (&["imagePullSecrets"], ListKind::Keyed("name")),
    (&["spec", "ports"], ListKind::Keyed("port")),
];

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList/";

/// What `$patch` asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

/// Applies a strategic merge patch. No directive of the patch is left in the target, nor a null.
///
/// # Errors
/// When the patch is no object, or a directive or a merged list in it is wrong. The target may then have been changed
/// in part: the caller drops it.
pub fn strategic(target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let Value::Object(patch) = patch else { return Err(PatchError::NotAnObject { found: type_of(patch) }) };
    merge_fields(make_object(target), patch, &mut Vec::new())
}

/// Recursion ends with the patch, and its parser bounds how deep that is.
fn merge_fields<'a>(
    target: &mut Map<String, Value>,
    patch: &'a Map<String, Value>,
    path: &mut Vec<&'a str>,
) -> Result<(), PatchError> {
    match directive(patch, path)? {
        Directive::Merge => {}
        Directive::Replace => target.clear(),
        Directive::Delete => {
            target.clear();
            return Ok(());
        }
    }
    if let Some(kept) = patch.get(RETAIN_KEYS) {
        retain_keys(target, patch, kept, path)?;
    }
    // What is deleted from a list goes first, so that the result does not depend on the order of keys.
    for (key, values) in patch {
        if let Some(name) = key.strip_prefix(DELETE_FROM_PRIMITIVE_LIST) {
            let Value::Array(values) = values else { return Err(fault(path, key, "a list")) };
            let gone: BTreeSet<_> = values.iter().map(Value::to_string).collect();
            if let Some(Value::Array(items)) = target.get_mut(name) {
                items.retain(|item| !gone.contains(&item.to_string()));
            }
        }
    }
    for (key, change) in patch.iter().filter(|(key, _)| !is_directive(key)) {
        path.push(key);
        merge_field(target, key, change, path)?;
        path.pop();
    }
    Ok(())
}

fn merge_field<'a>(
    target: &mut Map<String, Value>,
    key: &str,
    change: &'a Value,
    path: &mut Vec<&'a str>,
) -> Result<(), PatchError> {
    match change {
        Value::Null => drop(target.remove(key)),
        Value::Object(change) if directive(change, path)? == Directive::Delete => drop(target.remove(key)),
        // Into an empty object if there is none, so that no directive is taken for a field.
        Value::Object(change) => merge_fields(make_object(target.entry(key).or_insert(Value::Null)), change, path)?,
        Value::Array(change) => {
            let Some((_, kind)) = LISTS.iter().find(|(place, _)| place == path) else {
                target.insert(key.to_owned(), Value::Array(change.clone()));
                return Ok(());
            };
            let old = match target.remove(key) {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            };
            let merged = match kind {
                ListKind::Keyed(field) => merge_keyed(old, change, field, path)?,
                ListKind::Set => merge_set(old, change, path)?,
            };
            target.insert(key.to_owned(), Value::Array(merged));
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => drop(target.insert(key.to_owned(), change.clone())),
    }
    Ok(())
}

/// Each item changes the first one that has the same key, or is a new one.
fn merge_keyed<'a>(
    mut items: Vec<Value>,
    patch: &'a [Value],
    field: &'static str,
    path: &mut Vec<&'a str>,
) -> Result<Vec<Value>, PatchError> {
    let mut gone = BTreeSet::new();
    let mut changes = Vec::new();
    for change in patch {
        let Value::Object(change) = change else { return Err(here(path, "a list of objects")) };
        let key = || key_of(change, field).ok_or_else(|| no_key(path, field));
        match directive(change, path)? {
            Directive::Merge => changes.push((key()?, change)),
            Directive::Delete => drop(gone.insert(key()?)),
            // This item stands for the whole list, whatever else it has.
            Directive::Replace => items.clear(),
        }
    }
    let item_key = |item: &Value| item.as_object().and_then(|item| key_of(item, field));
    items.retain(|item| item_key(item).is_none_or(|key| !gone.contains(&key)));
    let mut places = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        if let Some(key) = item_key(item) {
            places.entry(key).or_insert(at);
        }
    }
    for (key, change) in changes {
        let at = *places.entry(key).or_insert(items.len());
        if at == items.len() {
            items.push(Value::Null);
        }
        merge_fields(make_object(&mut items[at]), change, path)?;
    }
    Ok(items)
}

fn merge_set(mut items: Vec<Value>, patch: &[Value], path: &[&str]) -> Result<Vec<Value>, PatchError> {
    if patch.iter().any(|value| !is_scalar(value)) {
        return Err(here(path, "a list of strings or numbers"));
    }
    let mut seen = BTreeSet::new();
    items.extend_from_slice(patch);
    items.retain(|item| seen.insert(item.to_string()));
    Ok(items)
}

/// Takes out what is not kept. What the patch sets has to be kept.
fn retain_keys(
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    kept: &Value,
    path: &[&str],
) -> Result<(), PatchError> {
    let kept: Option<BTreeSet<_>> = kept.as_array().and_then(|keys| keys.iter().map(Value::as_str).collect());
    let kept = kept.ok_or_else(|| fault(path, RETAIN_KEYS, "a list of strings"))?;
    let is_kept = |(key, value): (&String, &Value)| is_directive(key) || value.is_null() || kept.contains(key.as_str());
    if !patch.iter().all(is_kept) {
        return Err(fault(path, RETAIN_KEYS, "every key that the patch sets beside it"));
    }
    target.retain(|key, _| kept.contains(key.as_str()));
    Ok(())
}

fn directive(patch: &Map<String, Value>, path: &[&str]) -> Result<Directive, PatchError> {
    match patch.get(PATCH).map(Value::as_str) {
        None | Some(Some("merge")) => Ok(Directive::Merge),
        Some(Some("replace")) => Ok(Directive::Replace),
        Some(Some("delete")) => Ok(Directive::Delete),
        Some(_) => Err(fault(path, PATCH, "merge, replace or delete")),
    }
}

fn is_directive(key: &str) -> bool {
    [PATCH, RETAIN_KEYS].contains(&key)
        || key.starts_with(SET_ELEMENT_ORDER)
        || key.starts_with(DELETE_FROM_PRIMITIVE_LIST)
}

/// The key of an item as JSON text, for a string and a number are never the same key.
fn key_of(item: &Map<String, Value>, field: &str) -> Option<String> {
    item.get(field).filter(|value| is_scalar(value)).map(Value::to_string)
}

fn is_scalar(value: &Value) -> bool {
    value.is_string() || value.is_number()
}

fn no_key(path: &[&str], field: &'static str) -> PatchError {
    PatchError::NoMergeKey { path: excerpt(&path.join(".")), field }
}

fn here(path: &[&str], expected: &'static str) -> PatchError {
    PatchError::Strategic { path: excerpt(&path.join(".")), expected }
}

fn fault(path: &[&str], key: &str, expected: &'static str) -> PatchError {
    here(&[path, &[key]].concat(), expected)
}

#[cfg(test)]
mod tests;
