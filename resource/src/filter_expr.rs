//! A filter ready to be evaluated.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::filter::{SubscriptionsApiFilter, TriggerFilter};

/// Which events pass. Comparisons are of text, byte for byte; an attribute that an event lacks matches nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Every attribute equals its value. Values are not empty.
    Exact(Vec<(String, String)>),
    /// Every attribute begins with its value. Values are not empty.
    Prefix(Vec<(String, String)>),
    /// Every attribute ends with its value. Values are not empty.
    Suffix(Vec<(String, String)>),
    /// Every one of these attributes is present and not empty.
    Present(Vec<String>),
    /// Every one passes. Without any, every event passes.
    All(Vec<Self>),
    /// At least one passes. Without any, no event passes.
    Any(Vec<Self>),
    /// It does not pass.
    Not(Box<Self>),
}

impl Filter {
    /// The filter that every event passes.
    #[must_use]
    pub const fn everything() -> Self {
        Self::All(Vec::new())
    }

    /// The filter that no event passes.
    #[must_use]
    pub const fn nothing() -> Self {
        Self::Any(Vec::new())
    }

    /// Whether this is [`Filter::everything`].
    #[must_use]
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::All(filters) if filters.is_empty())
    }

    /// Whether an event passes, whose attributes `attribute` looks up by name, in their canonical text. The meaning
    /// that faster evaluators must agree with.
    pub fn matches<'e>(&self, attribute: &impl Fn(&str) -> Option<Cow<'e, str>>) -> bool {
        let each = |pairs: &[(String, String)], test: fn(&str, &str) -> bool| {
            pairs.iter().all(|(name, want)| attribute(name).is_some_and(|value| test(&value, want)))
        };
        match self {
            Self::Exact(pairs) => each(pairs, |value, want| value == want),
            Self::Prefix(pairs) => each(pairs, |value, want| value.starts_with(want)),
            Self::Suffix(pairs) => each(pairs, |value, want| value.ends_with(want)),
            Self::Present(names) => names.iter().all(|name| attribute(name).is_some_and(|value| !value.is_empty())),
            Self::All(filters) => filters.iter().all(|filter| filter.matches(attribute)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(attribute)),
            Self::Not(filter) => !filter.matches(attribute),
        }
    }

    /// `all` of them, without the wrapper around a single one.
    fn all_of(mut filters: Vec<Self>) -> Self {
        if filters.len() == 1 { filters.remove(0) } else { Self::All(filters) }
    }

    /// A non-empty `filters` counts alone; else `filter.attributes`; else every event passes.
    pub(crate) fn of(filters: &[SubscriptionsApiFilter], filter: Option<&TriggerFilter>) -> Self {
        if !filters.is_empty() {
            return Self::all_of(filters.iter().map(Self::of_one).collect());
        }
        filter.map_or(Self::everything(), |filter| Self::of_attributes(&filter.attributes))
    }

    fn of_attributes(attributes: &BTreeMap<String, String>) -> Self {
        let (present, exact): (Vec<_>, Vec<_>) = attributes.iter().partition(|(_, value)| value.is_empty());
        let mut parts = Vec::new();
        if !exact.is_empty() {
            parts.push(Self::Exact(exact.into_iter().map(|(k, v)| (k.clone(), v.clone())).collect()));
        }
        if !present.is_empty() {
            parts.push(Self::Present(present.into_iter().map(|(k, _)| k.clone()).collect()));
        }
        Self::all_of(parts)
    }

    /// What cannot be built was refused at admission. Should it come here all the same, nothing passes: an event too
    /// many is a surprise for a subscriber, and the Trigger that gets none is looked at.
    fn of_one(filter: &SubscriptionsApiFilter) -> Self {
        let pairs = |map: &BTreeMap<String, String>| map.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let list = |list: &[SubscriptionsApiFilter]| list.iter().map(Self::of_one).collect::<Vec<_>>();
        match filter {
            SubscriptionsApiFilter { all: Some(all), .. } if !all.is_empty() => Self::all_of(list(all)),
            SubscriptionsApiFilter { any: Some(any), .. } if any.len() == 1 => Self::of_one(&any[0]),
            SubscriptionsApiFilter { any: Some(any), .. } => Self::Any(list(any)),
            SubscriptionsApiFilter { not: Some(not), .. } => Self::Not(Box::new(Self::of_one(not))),
            SubscriptionsApiFilter { exact: Some(map), .. } if !map.is_empty() => Self::Exact(pairs(map)),
            SubscriptionsApiFilter { prefix: Some(map), .. } if !map.is_empty() => Self::Prefix(pairs(map)),
            SubscriptionsApiFilter { suffix: Some(map), .. } if !map.is_empty() => Self::Suffix(pairs(map)),
            _ => Self::nothing(),
        }
    }
}

#[cfg(test)]
mod tests;
