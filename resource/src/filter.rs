//! `spec.filter` and `spec.filters` of a Trigger as written, and what of it is refused.
//!
//! Knative accepts filters that it cannot build and then lets every event pass. Here they are refused: an empty
//! object, an empty map or list, an empty value.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field_error::{FieldError, FieldErrors, child};
use crate::limits::{MAX_FILTER_ATTRIBUTES, MAX_FILTER_DEPTH, MAX_FILTER_NODES, MAX_FILTER_VALUE_BYTES};

/// `spec.filter`: the older form, exact matches of attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TriggerFilter {
    /// Every attribute must have exactly the value; the value `""` asks only that it is present and not empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// One element of `spec.filters`: exactly one of its fields is set (CloudEvents Subscriptions API, "Filters").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionsApiFilter {
    /// Every one passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<Vec<Self>>,
    /// At least one passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<Self>>,
    /// It does not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<Self>>,
    /// Every attribute equals its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<BTreeMap<String, String>>,
    /// Every attribute begins with its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<BTreeMap<String, String>>,
    /// Every attribute ends with its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<BTreeMap<String, String>>,
    /// A CloudEvents SQL expression. Not supported yet, and refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cesql: Option<String>,
}

/// An attribute name as Knative takes it: `[a-z][a-z0-9]*`.
fn is_attribute_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

const ATTRIBUTE_NAME: &str = "an attribute name starts with a letter and has lower-case letters and digits only";

impl TriggerFilter {
    pub(crate) fn validate(&self, path: &str, errors: &mut FieldErrors) {
        check_attributes(&self.attributes, &child(path, "attributes"), EmptyValue::MeansPresent, errors);
    }
}

/// What an empty value in a map of attributes is.
#[derive(Clone, Copy, PartialEq)]
enum EmptyValue {
    MeansPresent,
    Refused,
}

fn check_attributes(map: &BTreeMap<String, String>, path: &str, empty: EmptyValue, errors: &mut FieldErrors) {
    if map.len() > MAX_FILTER_ATTRIBUTES {
        let why = format!("at most {MAX_FILTER_ATTRIBUTES} attributes");
        errors.push(FieldError::invalid(format_args!("{} attributes", map.len()), path).with_details(why));
        return;
    }
    for (name, value) in map {
        let at = format!("{path}[{name}]");
        if !is_attribute_name(name) {
            errors.push(FieldError::invalid_key(name, path).with_details(ATTRIBUTE_NAME));
        }
        if value.len() > MAX_FILTER_VALUE_BYTES {
            let why = format!("at most {MAX_FILTER_VALUE_BYTES} bytes");
            errors.push(FieldError::invalid(format_args!("{} bytes", value.len()), at).with_details(why));
        } else if value.is_empty() && empty == EmptyValue::Refused {
            let why = "an empty value matches nothing in particular; leave the attribute out";
            errors.push(FieldError::invalid("\"\"", at).with_details(why));
        }
    }
}

/// Checks all elements of `spec.filters`.
pub(crate) fn validate_filters(filters: &[SubscriptionsApiFilter], path: &str, errors: &mut FieldErrors) {
    let mut walk = Walk { nodes: 0, errors };
    walk.list(filters, path, 1);
    if walk.nodes > MAX_FILTER_NODES {
        let why = format!("at most {MAX_FILTER_NODES} filters, nested ones counted");
        errors.push(FieldError::new("too many filters", path).with_details(why));
    }
}

/// One pass over the filters of a Trigger. Stops at the bounds, so a hostile tree costs no more than a large one.
struct Walk<'a> {
    nodes: usize,
    errors: &'a mut FieldErrors,
}

impl Walk<'_> {
    fn list(&mut self, filters: &[SubscriptionsApiFilter], path: &str, depth: usize) {
        for (i, filter) in filters.iter().enumerate() {
            self.one(filter, &format!("{path}[{i}]"), depth);
        }
    }

    fn one(&mut self, filter: &SubscriptionsApiFilter, path: &str, depth: usize) {
        self.nodes += 1;
        if self.nodes > MAX_FILTER_NODES {
            return;
        }
        if depth > MAX_FILTER_DEPTH {
            let why = format!("at most {MAX_FILTER_DEPTH} levels");
            self.errors.push(FieldError::new("filters are nested too deeply", path).with_details(why));
            return;
        }
        self.dialects(filter, path);
        for (list, field) in [(&filter.all, "all"), (&filter.any, "any")] {
            let path = child(path, field);
            match list {
                Some(list) if list.is_empty() => {
                    self.errors.push(FieldError::new(format!("{field} must contain at least one nested filter"), path));
                }
                Some(list) => self.list(list, &path, depth + 1),
                None => {}
            }
        }
        if let Some(inner) = &filter.not {
            self.one(inner, &child(path, "not"), depth + 1);
        }
        for (map, field) in [(&filter.exact, "exact"), (&filter.prefix, "prefix"), (&filter.suffix, "suffix")] {
            let path = child(path, field);
            match map {
                Some(map) if map.is_empty() => {
                    self.errors.push(FieldError::new(format!("{field} must contain at least one attribute"), path));
                }
                Some(map) => check_attributes(map, &path, EmptyValue::Refused, self.errors),
                None => {}
            }
        }
        if filter.cesql.is_some() {
            let why = "the cesql dialect is not supported yet: use exact, prefix, suffix, all, any and not";
            self.errors.push(FieldError::new(why, child(path, "cesql")));
        }
    }

    fn dialects(&mut self, filter: &SubscriptionsApiFilter, path: &str) {
        let set: Vec<String> = [
            (filter.all.is_some(), "all"),
            (filter.any.is_some(), "any"),
            (filter.not.is_some(), "not"),
            (filter.exact.is_some(), "exact"),
            (filter.prefix.is_some(), "prefix"),
            (filter.suffix.is_some(), "suffix"),
            (filter.cesql.is_some(), "cesql"),
        ]
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, field)| field.to_owned())
        .collect();
        match set.len() {
            1 => {}
            0 => self.errors.push(
                FieldError::new("empty filter, expected exactly one dialect", path)
                    .with_details("the dialects are all, any, not, exact, prefix and suffix"),
            ),
            _ => self.errors.push(
                FieldError::new("multiple dialects found, filters can have only one dialect set", path)
                    .with_details(format!("found {}", set.join(", "))),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
