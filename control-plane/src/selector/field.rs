//! Field selectors.

use std::borrow::Cow;

use super::error::SelectorError;

/// What fields of an object have to be. The empty selector takes every object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    field: String,
    operator: FieldOperator,
    value: String,
}

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldOperator {
    /// `=` and `==`
    Equals,
    /// `!=`
    NotEquals,
}

impl FieldSelector {
    /// Reads `a.b=x,c==y,d!=z`. In a value a backslash stands before each comma, equals sign and backslash. Nothing is
    /// trimmed, and an empty term is skipped, as in Kubernetes.
    ///
    /// Which fields there are depends on the kind: that is for the caller to check, with [`fields`](Self::fields).
    ///
    /// # Errors
    /// When the text is too long, a term has no operator or no field, or a value is not escaped as it should be.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        super::check_length(text)?;
        terms(text).filter(|term| !term.is_empty()).map(requirement).collect::<Result<_, _>>().map(Self)
    }

    /// Whether every object is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is asked: field, operator, value.
    pub fn fields(&self) -> impl Iterator<Item = (&str, FieldOperator, &str)> {
        self.0.iter().map(|Requirement { field, operator, value }| (field.as_str(), *operator, value.as_str()))
    }

    /// Whether an object with these fields is taken. A field that it does not have is empty.
    pub fn matches<'a>(&self, lookup: impl Fn(&str) -> Option<Cow<'a, str>>) -> bool {
        self.fields().all(|(field, operator, value)| {
            let is_equal = lookup(field).unwrap_or_default() == value;
            match operator {
                FieldOperator::Equals => is_equal,
                FieldOperator::NotEquals => !is_equal,
            }
        })
    }

    /// The only name that an object may have to be taken, if there is one: the caller need not look at any other. All
    /// else that is asked is still to be checked.
    #[must_use]
    pub fn only_name(&self) -> Option<&str> {
        self.fields().find_map(|(field, operator, value)| {
            (field == "metadata.name" && operator == FieldOperator::Equals).then_some(value)
        })
    }
}

/// The text between commas that no backslash precedes, with its backslashes.
fn terms(text: &str) -> impl Iterator<Item = &str> {
    let mut is_escaped = false;
    text.split(move |c| {
        let splits = c == ',' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        splits
    })
}

/// The first operator of a term splits it; the field has none and no escapes.
fn requirement(term: &str) -> Result<Requirement, SelectorError> {
    let unreadable = || SelectorError::Term { term: term.to_owned() };
    let at = term.find(['=', '!']).filter(|&at| at > 0).ok_or_else(unreadable)?;
    let (field, rest) = term.split_at(at);
    let operators = [("!=", FieldOperator::NotEquals), ("==", FieldOperator::Equals), ("=", FieldOperator::Equals)];
    let (value, operator) = operators
        .into_iter()
        .find_map(|(sign, operator)| rest.strip_prefix(sign).map(|value| (value, operator)))
        .ok_or_else(unreadable)?;
    let value =
        unescape(value).ok_or_else(|| SelectorError::Escape { field: field.to_owned(), value: value.to_owned() })?;
    Ok(Requirement { field: field.to_owned(), operator, value })
}

fn unescape(value: &str) -> Option<String> {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        plain.push(match c {
            '\\' => characters.next().filter(|c| ['\\', ',', '='].contains(c))?,
            ',' | '=' => return None,
            c => c,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::MAX_SELECTOR_BYTES;
    use super::FieldOperator::{Equals, NotEquals};
    use super::*;

    #[test]
    fn terms_are_field_operator_and_value() {
        let rows = [
            ("", vec![]),
            (",,", vec![]),
            ("metadata.name=x", vec![("metadata.name", Equals, "x")]),
            ("metadata.name==x", vec![("metadata.name", Equals, "x")]),
            ("metadata.name!=x", vec![("metadata.name", NotEquals, "x")]),
            ("a=b,c!=d,e==f,", vec![("a", Equals, "b"), ("c", NotEquals, "d"), ("e", Equals, "f")]),
            ("a=", vec![("a", Equals, "")]),
            ("a!=,b=", vec![("a", NotEquals, ""), ("b", Equals, "")]),
            (r"a=b\,c\=d\\", vec![("a", Equals, r"b,c=d\")]),
            (r"a=\\,b=c", vec![("a", Equals, r"\"), ("b", Equals, "c")]),
            (" a = b ", vec![(" a ", Equals, " b ")]),
            ("a=b!c ü", vec![("a", Equals, "b!c ü")]),
        ];
        for (text, want) in rows {
            let selector = FieldSelector::parse(text).unwrap();
            assert_eq!(selector.fields().collect::<Vec<_>>(), want, "{text}");
            assert_eq!(selector.is_empty(), want.is_empty(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for term in ["a", "=b", "!=b", "a!b", "a.b.c", "a!", "a!b=c", r"a\,b"] {
            assert_eq!(FieldSelector::parse(term), Err(SelectorError::Term { term: term.to_owned() }), "{term}");
        }
        for value in ["b=c", r"b\c", r"b\", "==", r"\n"] {
            let want = SelectorError::Escape { field: "a".to_owned(), value: value.to_owned() };
            assert_eq!(FieldSelector::parse(&format!("x!=y,a!={value}")), Err(want), "{value}");
        }
        let long = format!("a={}", "b".repeat(MAX_SELECTOR_BYTES - 2));
        assert!(FieldSelector::parse(&long).is_ok());
        let want = SelectorError::TooLong { size_bytes: MAX_SELECTOR_BYTES + 1, limit_bytes: MAX_SELECTOR_BYTES };
        assert_eq!(FieldSelector::parse(&format!("{long}b")), Err(want));
    }

    #[test]
    fn a_name_that_is_asked_for_is_the_only_one() {
        let rows = [
            ("metadata.name=x", Some("x")),
            ("type!=t,metadata.name==x,metadata.name=y", Some("x")),
            ("metadata.name!=x", None),
            ("metadata.namespace=x", None),
            ("", None),
        ];
        for (text, want) in rows {
            assert_eq!(FieldSelector::parse(text).unwrap().only_name(), want, "{text}");
        }
    }

    #[test]
    fn a_field_that_is_missing_is_empty() {
        let rows = [("a=", true), ("a!=", false), ("a=x", false), ("a!=x", true), ("b=x", true), ("a=,b!=x", false)];
        for (text, want) in rows {
            let selector = FieldSelector::parse(text).unwrap();
            assert_eq!(selector.matches(|field| (field == "b").then_some("x".into())), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_holds(
            asked in vec(("[a-b]", any::<bool>(), r"[x,=\\! ]{0,3}"), 0..5),
            fields in prop::collection::btree_map("[a-b]", r"[x,=\\! ]{0,2}", 0..3),
        ) {
            let write = |(field, is_equal, value): &(String, bool, String)| {
                let value = value.replace('\\', r"\\").replace(',', r"\,").replace('=', r"\=");
                format!("{field}{}{value}", if *is_equal { "=" } else { "!=" })
            };
            let selector = FieldSelector::parse(&asked.iter().map(write).collect::<Vec<_>>().join(",")).unwrap();
            let read: Vec<_> = selector.fields().map(|(f, op, v)| (f.to_owned(), op == Equals, v.to_owned())).collect();
            prop_assert_eq!(&read, &asked);
            let value = |field: &str| fields.get(field).map(String::as_str);
            let want = asked.iter().all(|(f, is_equal, v)| (value(f).unwrap_or_default() == v.as_str()) == *is_equal);
            prop_assert_eq!(selector.matches(|field| value(field).map(Cow::Borrowed)), want);
        }

        #[test]
        fn any_text_is_read_or_refused(text in r"[a,=!\\é ]{0,16}") {
            if let Ok(selector) = FieldSelector::parse(&text) {
                prop_assert!(selector.fields().all(|(field, _, _)| !field.is_empty() && !field.contains(['=', '!'])));
            }
        }
    }
}
