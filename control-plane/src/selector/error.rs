//! Why a selector could not be read.

use super::names::NameError;

/// Why a selector could not be read. Whatever it is, the caller sent it: 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Longer than [`MAX_SELECTOR_BYTES`](super::MAX_SELECTOR_BYTES).
    #[error("the selector is {size_bytes} B, above the limit of {limit_bytes} B")]
    TooLong {
        /// How long it is.
        size_bytes: usize,
        /// How long it may be.
        limit_bytes: usize,
    },
    /// A label selector that does not follow the grammar.
    #[error("unable to parse requirement: found '{found}', expected: {expected}")]
    Unexpected {
        /// What is there; empty at the end of the text.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// What cannot be the key of a label.
    #[error("invalid label key {key:?}: {reason}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: NameError,
    },
    /// What cannot be the value of a label.
    #[error("invalid value {value:?} of label {key:?}: {reason}")]
    Value {
        /// The key that it is asked of.
        key: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: NameError,
    },
    /// A term of a field selector that has no operator, or no field before it.
    #[error("invalid field selector: can't understand '{term}': a term is FIELD=VALUE, FIELD==VALUE or FIELD!=VALUE")]
    Term {
        /// The term.
        term: String,
    },
    /// A value of a field selector with a comma, an equals sign or a backslash that is not escaped, or an escape of
    /// anything else.
    #[error("invalid value '{value}' of field {field:?}: write \\, for comma, \\= for equals sign, \\\\ for backslash")]
    Escape {
        /// The field that it is asked of.
        field: String,
        /// The value as it was written.
        value: String,
    },
}
