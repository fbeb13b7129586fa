//! Where the value of a column is: the little of JSONPath that printer columns need.

use std::fmt;

use serde_json::Value;

/// A parsed `Column::path`: steps from the object to the value, and where else to look when nothing is there.
///
/// ```text
/// path  = steps *( "|" steps )
/// steps = 1*( "." name / "['" key "']" / "[" index "]" / "[?(@." name "==" DQUOTE text DQUOTE ")]" )
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path<'a> {
    /// Never empty.
    alternatives: Vec<Vec<Step<'a>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step<'a> {
    /// The entry of a map.
    Key(&'a str),
    /// The entry of a list, from 0.
    Index(usize),
    /// The first entry of a list whose field has that text.
    Where { field: &'a str, is: &'a str },
}

/// What is wrong with a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path {path:?}: expected {expected} at byte {at}")]
pub struct PathError {
    /// The whole path.
    pub path: String,
    /// Where reading stopped.
    pub at: usize,
    /// What would have been right there.
    pub expected: &'static str,
}

impl<'a> Path<'a> {
    /// Reads a path.
    ///
    /// # Errors
    /// Says where the text leaves the grammar above.
    pub fn parse(text: &'a str) -> Result<Self, PathError> {
        let mut reader = Reader { text, at: 0 };
        let mut alternatives = vec![reader.steps()?];
        while reader.eat("|") {
            alternatives.push(reader.steps()?);
        }
        if reader.at == text.len() {
            Ok(Self { alternatives })
        } else {
            Err(reader.expected("`.`, `[`, `|` or the end"))
        }
    }

    /// The values at all of its places.
    pub fn all<'v>(&'v self, object: &'v Value) -> impl Iterator<Item = &'v Value> {
        self.alternatives.iter().filter_map(move |steps| steps.iter().try_fold(object, |value, step| step.take(value)))
    }

    /// The value there. A null is as good as nothing, since Go's clients write times that are not set so.
    #[must_use]
    pub fn look_up<'v>(&self, object: &'v Value) -> Option<&'v Value> {
        self.alternatives.iter().find_map(|steps| {
            steps.iter().try_fold(object, |value, step| step.take(value)).filter(|found| !found.is_null())
        })
    }
}

/// The path in the words of a CustomResourceDefinition, which cannot say "or": the first place to look.
impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.alternatives[0].iter().try_for_each(|step| match *step {
            Step::Key(key) if key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => write!(f, ".{key}"),
            // Kubernetes splits at a dot even between quotes, unless there is a backslash before it.
            Step::Key(key) => write!(f, "['{}']", key.replace('.', r"\.")),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Where { field, is } => write!(f, r#"[?(@.{field}=="{is}")]"#),
        })
    }
}

impl Step<'_> {
    fn take<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match *self {
            Self::Key(key) => value.as_object()?.get(key),
            Self::Index(index) => value.as_array()?.get(index),
            Self::Where { field, is } => value.as_array()?.iter().find(|entry| entry[field] == is),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    /// Always between two characters.
    at: usize,
}

impl<'a> Reader<'a> {
    fn steps(&mut self) -> Result<Vec<Step<'a>>, PathError> {
        let mut steps = Vec::new();
        while let Some(step) = self.step()? {
            steps.push(step);
        }
        if steps.is_empty() { Err(self.expected("`.` or `[`")) } else { Ok(steps) }
    }

    /// The next step, or nothing where none begins.
    fn step(&mut self) -> Result<Option<Step<'a>>, PathError> {
        let step = if self.eat(".") {
            Step::Key(self.while_not(&['.', '[', '|'], "a name")?)
        } else if self.eat("['") {
            let key = self.while_not(&['\''], "a key")?;
            self.need("']")?;
            Step::Key(key)
        } else if self.eat("[?(@.") {
            let field = self.while_not(&['='], "a name")?;
            self.need("==\"")?;
            let is = self.while_not(&['"'], "a text")?;
            self.need("\")]")?;
            Step::Where { field, is }
        } else if self.eat("[") {
            let index = self.index()?;
            self.need("]")?;
            Step::Index(index)
        } else {
            return Ok(None);
        };
        Ok(Some(step))
    }

    fn index(&mut self) -> Result<usize, PathError> {
        let rest = &self.text[self.at..];
        let digits = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
        let index = digits.parse().map_err(|_| self.expected("an index, a key in quotes or a filter"))?;
        self.at += digits.len();
        Ok(index)
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.text[self.at..].starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn need(&mut self, token: &'static str) -> Result<(), PathError> {
        if self.eat(token) { Ok(()) } else { Err(self.expected(token)) }
    }

    /// The text up to one of `ends`, or to the end: one character at least.
    fn while_not(&mut self, ends: &[char], expected: &'static str) -> Result<&'a str, PathError> {
        let rest = &self.text[self.at..];
        let taken = &rest[..rest.find(ends).unwrap_or(rest.len())];
        if taken.is_empty() {
            return Err(self.expected(expected));
        }
        self.at += taken.len();
        Ok(taken)
    }

    fn expected(&self, expected: &'static str) -> PathError {
        PathError { path: self.text.to_owned(), at: self.at, expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::ROWS;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_path_leads_to_its_value() {
        let object = json!({
            "a": {"b": "deep", "x.y/z": "quoted", "none": null, "empty": ""},
            "list": ["zero", {"n": "one"}],
            "conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}, {"type": 7}, 8],
        });
        let rows = [
            (".a.b", Some("deep")),
            (".a['x.y/z']", Some("quoted")),
            ("['a']['b']", Some("deep")),
            (".list[0]", Some("zero")),
            (".list[1].n", Some("one")),
            (r#".conditions[?(@.type=="Ready")].status"#, Some("True")),
            (r#".conditions[?(@.type=="Nope")].status"#, None),
            (r#".a[?(@.type=="Ready")]"#, None),
            (".list[2]", None),
            (".list.n", None),
            (".a[0]", None),
            (".a.b.c", None),
            (".nowhere", None),
            (".a.none", None),
            (".nowhere|.a.none|.a.b|.list[0]", Some("deep")),
            // An empty text is there.
            (".a.empty|.a.b", Some("")),
        ];
        for (path, want) in rows {
            let found = Path::parse(path).unwrap().look_up(&object).and_then(Value::as_str);
            assert_eq!(found, want, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_says_where() {
        let rows = [
            ("", 0),
            ("a", 0),
            (".", 1),
            (".a.", 3),
            (".a b|", 5),
            (".a||.b", 3),
            (".a[", 3),
            (".a[x]", 3),
            (".a[-1]", 3),
            (".a['']", 4),
            (".a['k'", 5),
            (".a[0", 4),
            (".a[0]b", 5),
            (".a[99999999999999999999999]", 3),
            (".a[?(@.type=Ready)]", 11),
            (r#".a[?(@.type=="")]"#, 14),
            (r#".a[?(@.type=="Ready")"#, 19),
        ];
        for (path, at) in rows {
            let error = Path::parse(path).expect_err(path);
            assert_eq!(error.at, at, "{error}");
        }
    }

    #[test]
    fn every_column_has_a_path() {
        for row in ROWS {
            for column in row.columns {
                assert_eq!(Path::parse(column.path).err(), None, "{} {}", row.kind, column.name);
            }
        }
    }

    #[test]
    fn definitions_get_the_first_place_with_dots_escaped() {
        let rows = [
            (".spec.broker|.spec.brokerRef.name", ".spec.broker"),
            (".metadata.labels['a.b/c']", r".metadata.labels['a\.b/c']"),
            (r#".list[1].conditions[?(@.type=="Ready")]"#, r#".list[1].conditions[?(@.type=="Ready")]"#),
        ];
        for (path, want) in rows {
            assert_eq!(Path::parse(path).unwrap().to_string(), want);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r#"[\[\]().|'"?@=a0é]{0,24}"#) {
            match Path::parse(&text) {
                Ok(path) => prop_assert!(path.alternatives.iter().all(|steps| !steps.is_empty())),
                Err(error) => prop_assert!(text.is_char_boundary(error.at)),
            }
        }

        #[test]
        fn without_dots_in_keys_a_path_is_shown_as_it_was_written(
            path in r#"(\.[a-z]{1,5}|\[[0-9]{1,2}\]|\[\?\(@\.[a-z]{1,4}=="[A-Z]{1,4}"\)\]){1,6}"#,
        ) {
            // Leading zeros of an index are not kept.
            prop_assume!(!path.contains("[0"));
            prop_assert_eq!(Path::parse(&path).unwrap().to_string(), path);
        }
    }
}
