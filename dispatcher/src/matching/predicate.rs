//! A filter compiled against the attributes of an event.

use pelton_event::{AttributeValue, Event};
use pelton_resource::Filter;

/// An attribute, its name resolved once.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Attribute {
    Id,
    Source,
    Type,
    Other(Box<str>),
}

impl Attribute {
    fn of(name: &str) -> Self {
        match name {
            "id" => Self::Id,
            "source" => Self::Source,
            "type" => Self::Type,
            other => Self::Other(other.into()),
        }
    }

    /// Whether the event has the attribute and its canonical text passes.
    fn passes(&self, event: &Event, test: impl FnOnce(&str) -> bool) -> bool {
        match self {
            Self::Id => test(event.id()),
            Self::Source => test(event.source()),
            Self::Type => test(event.ty()),
            Self::Other(name) => match event.attribute(name) {
                None => false,
                Some(AttributeValue::String(text)) => test(text),
                Some(value) => test(&value.to_canonical()),
            },
        }
    }
}

/// A filter ready to be asked. Same meaning as [`Filter::matches`], without a look-up by name for what every event has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predicate(Node);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Exact(Attribute, Box<str>),
    Prefix(Attribute, Box<str>),
    Suffix(Attribute, Box<str>),
    Present(Attribute),
    All(Box<[Self]>),
    Any(Box<[Self]>),
    Not(Box<Self>),
}

impl Predicate {
    /// Compiles a filter.
    #[must_use]
    pub fn compile(filter: &Filter) -> Self {
        Self(Node::of(filter))
    }

    /// Whether the event passes.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.0.matches(event)
    }
}

impl Node {
    fn of(filter: &Filter) -> Self {
        let each = |pairs: &[(String, String)], make: fn(Attribute, Box<str>) -> Self| {
            Self::all(pairs.iter().map(|(name, value)| make(Attribute::of(name), value.as_str().into())).collect())
        };
        match filter {
            Filter::Exact(pairs) => each(pairs, Self::Exact),
            Filter::Prefix(pairs) => each(pairs, Self::Prefix),
            Filter::Suffix(pairs) => each(pairs, Self::Suffix),
            Filter::Present(names) => Self::all(names.iter().map(|name| Self::Present(Attribute::of(name))).collect()),
            Filter::All(filters) => Self::all(filters.iter().map(Self::of).collect()),
            Filter::Any(filters) => Self::Any(filters.iter().map(Self::of).collect()),
            Filter::Not(filter) => Self::Not(Box::new(Self::of(filter))),
        }
    }

    fn all(mut nodes: Vec<Self>) -> Self {
        if nodes.len() == 1 { nodes.swap_remove(0) } else { Self::All(nodes.into()) }
    }

    fn matches(&self, event: &Event) -> bool {
        match self {
            Self::Exact(attribute, want) => attribute.passes(event, |value| value == &**want),
            Self::Prefix(attribute, want) => attribute.passes(event, |value| value.starts_with(&**want)),
            Self::Suffix(attribute, want) => attribute.passes(event, |value| value.ends_with(&**want)),
            Self::Present(attribute) => attribute.passes(event, |value| !value.is_empty()),
            Self::All(nodes) => nodes.iter().all(|node| node.matches(event)),
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(event)),
            Self::Not(node) => !node.matches(event),
        }
    }
}
