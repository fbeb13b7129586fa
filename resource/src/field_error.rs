//! Mistakes in a resource, worded as Knative words them (`knative.dev/pkg/apis`, type `FieldError`).

use std::fmt;

/// One mistake: what is wrong, at which fields.
///
/// Prints as `message: path, path`, and `details` on a line of its own when there are some.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub struct FieldError {
    /// What is wrong, such as `missing field(s)`.
    pub message: String,
    /// The fields concerned, from the root: `spec.delivery.retry`, `spec.filters[2].exact`.
    pub paths: Vec<String>,
    /// More for a reader: what would be right, or the change that was refused. Empty when there is no more to say.
    pub details: String,
}

impl FieldError {
    /// A mistake at one field.
    pub fn new(message: impl Into<String>, path: impl Into<String>) -> Self {
        Self { message: message.into(), paths: vec![path.into()], details: String::new() }
    }

    /// A field that must be there is not.
    pub fn missing(path: impl Into<String>) -> Self {
        Self::new("missing field(s)", path)
    }

    /// A field is there that must not be.
    pub fn disallowed(path: impl Into<String>) -> Self {
        Self::new("must not set the field(s)", path)
    }

    /// A field has a value that it cannot have.
    pub fn invalid(value: impl fmt::Display, path: impl Into<String>) -> Self {
        Self::new(format!("invalid value: {value}"), path)
    }

    /// A number is lower or higher than it may be.
    pub fn out_of_bounds<T: fmt::Display>(value: T, low: T, high: T, path: impl Into<String>) -> Self {
        Self::new(format!("expected {low} <= {value} <= {high}"), path)
    }

    /// A key of a map is not a name that it can have.
    pub fn invalid_key(key: &str, path: impl Into<String>) -> Self {
        Self::new(format!("invalid key name {key:?}"), path)
    }

    /// None of a group of fields is set, and one must be.
    #[must_use]
    pub fn missing_one_of(paths: &[String]) -> Self {
        let message = "expected exactly one, got neither".to_owned();
        Self { message, paths: paths.to_vec(), details: String::new() }
    }

    /// More than one of a group of fields is set, and one must be.
    #[must_use]
    pub fn multiple_one_of(paths: &[String]) -> Self {
        let message = "expected exactly one, got both".to_owned();
        Self { message, paths: paths.to_vec(), details: String::new() }
    }

    /// A field was changed that may not change after creation.
    pub fn immutable(path: impl Into<String>, old: &str, new: &str) -> Self {
        Self::new("Immutable fields changed (-old +new)", path).with_details(format!("-: {old:?}\n+: {new:?}"))
    }

    /// The same mistake with more for a reader.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.message, self.paths.join(", "))?;
        if self.details.is_empty() { Ok(()) } else { write!(f, "\n{}", self.details) }
    }
}

/// All mistakes of one resource, one a line, in the order of the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// No mistakes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more mistake. The same mistake at further fields joins the one that is there, as Knative merges them.
    pub fn push(&mut self, error: FieldError) {
        let same = self.0.iter_mut().find(|e| e.message == error.message && e.details == error.details);
        match same {
            Some(known) => {
                for path in error.paths {
                    if !known.paths.contains(&path) {
                        known.paths.push(path);
                    }
                }
            }
            None => self.0.push(error),
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many different mistakes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The mistakes, in the order found.
    pub fn iter(&self) -> std::slice::Iter<'_, FieldError> {
        self.0.iter()
    }

    /// Nothing when nothing is wrong.
    ///
    /// # Errors
    /// All mistakes, when there are any.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl IntoIterator for FieldErrors {
    type Item = FieldError;
    type IntoIter = std::vec::IntoIter<FieldError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a FieldErrors {
    type Item = &'a FieldError;
    type IntoIter = std::slice::Iter<'a, FieldError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// `parent.field`, or `field` at the root.
pub(crate) fn child(parent: &str, field: &str) -> String {
    if parent.is_empty() { field.to_owned() } else { format!("{parent}.{field}") }
}

/// The path of one annotation of a resource.
pub(crate) fn annotation_path(key: &str) -> String {
    annotation_path_in("metadata", key)
}

/// The path of one annotation in the metadata at `meta_path`.
pub(crate) fn annotation_path_in(meta_path: &str, key: &str) -> String {
    format!("{meta_path}.annotations[{key}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_print_as_knative_prints_them() {
        let rows = [
            (FieldError::missing("spec.broker"), "missing field(s): spec.broker"),
            (FieldError::disallowed("spec.x"), "must not set the field(s): spec.x"),
            (
                FieldError::invalid("foo", "spec.delivery.backoffPolicy"),
                "invalid value: foo: spec.delivery.backoffPolicy",
            ),
            (FieldError::missing_one_of(&["ref".into(), "uri".into()]), "expected exactly one, got neither: ref, uri"),
            (FieldError::multiple_one_of(&["a".into(), "b".into()]), "expected exactly one, got both: a, b"),
            (FieldError::out_of_bounds(601, 0, 600, "spec.timeout"), "expected 0 <= 601 <= 600: spec.timeout"),
            (FieldError::invalid_key("A", "spec").with_details("why"), "invalid key name \"A\": spec\nwhy"),
            (
                FieldError::immutable("spec.broker", "a", "b"),
                "Immutable fields changed (-old +new): spec.broker\n-: \"a\"\n+: \"b\"",
            ),
        ];
        for (error, want) in rows {
            assert_eq!(error.to_string(), want);
        }
    }

    #[test]
    fn the_same_mistake_at_two_fields_is_one_line() {
        let mut errors = FieldErrors::new();
        errors.push(FieldError::missing("a"));
        errors.push(FieldError::invalid("x", "c"));
        errors.push(FieldError::missing("b"));
        errors.push(FieldError::missing("b"));
        assert_eq!(errors.to_string(), "missing field(s): a, b\ninvalid value: x: c");
        assert_eq!(errors.len(), 2);
    }
}
