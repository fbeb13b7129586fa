//! JSON pointers (RFC 6901).

use std::borrow::Cow;

use serde_json::Value;

use super::error::{Mismatch, excerpt};

/// A pointer whose form was checked. Each place has one spelling only, so that pointers compare as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pointer<'a>(&'a str);

impl<'a> Pointer<'a> {
    /// Empty, or each token behind a `/`; `~` stands only in `~0` and `~1`.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let starts_well = text.is_empty() || text.starts_with('/');
        let escapes_well = text.split('~').skip(1).all(|behind| behind.starts_with(['0', '1']));
        (starts_well && escapes_well).then_some(Self(text))
    }

    /// Whether it points at the whole document.
    pub(super) fn is_root(self) -> bool {
        self.0.is_empty()
    }

    /// Whether it points at something around what the other points at.
    pub(super) fn is_around(self, other: Self) -> bool {
        other.0.strip_prefix(self.0).is_some_and(|behind| behind.starts_with('/'))
    }

    /// How many containers what it points at is in.
    pub(super) fn depth(self) -> usize {
        self.tokens().count()
    }

    /// The container and the name in it; none for the whole document.
    pub(super) fn split(self) -> Option<(Self, Cow<'a, str>)> {
        self.0.rsplit_once('/').map(|(parent, token)| (Self(parent), unescape(token)))
    }

    pub(super) fn find(self, document: &Value) -> Result<&Value, Mismatch> {
        self.tokens()
            .try_fold(document, |value, token| match value {
                Value::Object(fields) => fields.get(&*token),
                Value::Array(items) => items.get(index(&token)?),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            })
            .ok_or_else(|| self.missing())
    }

    pub(super) fn find_mut(self, document: &mut Value) -> Result<&mut Value, Mismatch> {
        self.tokens()
            .try_fold(document, |value, token| match value {
                Value::Object(fields) => fields.get_mut(&*token),
                Value::Array(items) => items.get_mut(index(&token)?),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            })
            .ok_or_else(|| self.missing())
    }

    pub(super) fn missing(self) -> Mismatch {
        Mismatch::Missing(self.to_string())
    }

    fn tokens(self) -> impl Iterator<Item = Cow<'a, str>> {
        self.0.split('/').skip(1).map(unescape)
    }
}

/// As it was written, shortened when it is long.
impl std::fmt::Display for Pointer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&excerpt(self.0))
    }
}

fn unescape(token: &str) -> Cow<'_, str> {
    // `~1` first: `~01` is the two characters `~1` (RFC 6901, section 4).
    if token.contains('~') { Cow::Owned(token.replace("~1", "/").replace("~0", "~")) } else { Cow::Borrowed(token) }
}

/// A place in a list: digits without a leading zero.
pub(super) fn index(token: &str) -> Option<usize> {
    let has_form = token == "0" || (!token.starts_with('0') && token.bytes().all(|b| b.is_ascii_digit()));
    if has_form { token.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// RFC 6901, section 5.
    #[test]
    fn the_table_of_the_rfc() {
        let document = json!({
            "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7,
            "m~n": 8, "~1": 9
        });
        let rows = [
            ("", document.clone()),
            ("/foo", json!(["bar", "baz"])),
            ("/foo/0", json!("bar")),
            ("/", json!(0)),
            ("/a~1b", json!(1)),
            ("/c%d", json!(2)),
            ("/e^f", json!(3)),
            ("/g|h", json!(4)),
            ("/i\\j", json!(5)),
            ("/k\"l", json!(6)),
            ("/ ", json!(7)),
            ("/m~0n", json!(8)),
            ("/~01", json!(9)),
        ];
        for (text, want) in rows {
            let pointer = Pointer::parse(text).unwrap();
            assert_eq!(pointer.find(&document), Ok(&want), "{text}");
            assert_eq!(pointer.find_mut(&mut document.clone()), Ok(&mut want.clone()), "{text}");
        }
        for text in ["/nosuch", "/foo/2", "/foo/-", "/foo/00", "/foo/01", "/foo/+1", "/foo/-1", "/foo/", "/foo/0/0"] {
            let missing = Err(Mismatch::Missing(text.to_owned()));
            assert_eq!(Pointer::parse(text).unwrap().find(&document), missing, "{text}");
        }
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for text in ["a", "a/b", "/~", "/~2", "/a~", "~0", "/~/b", "/~~0"] {
            assert_eq!(Pointer::parse(text), None, "{text}");
        }
    }
}
