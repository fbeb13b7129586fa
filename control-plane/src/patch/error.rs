//! Why a patch was refused.

/// Why a patch was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// A JSON patch is a list.
    #[error("a JSON patch is a list of operations, not {found}")]
    NotAList {
        /// What it is.
        found: &'static str,
    },
    /// A JSON patch has more than [`MAX_OPERATIONS`](super::MAX_OPERATIONS).
    #[error("the patch has {count} operations, above the limit of {limit}")]
    TooManyOperations {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// One operation of a JSON patch is wrong, whatever it is applied to.
    #[error("operation {index} ({op} {path:?}) is malformed: {fault}")]
    MalformedOperation {
        /// Its place in the patch, from 0.
        index: usize,
        /// Its `op`, as far as it can be read and shortened when it is long.
        op: String,
        /// Its `path`, likewise.
        path: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// One operation of a JSON patch is right, but not for this object.
    #[error("operation {index} ({op} {path:?}) does not apply: {mismatch}")]
    DoesNotApply {
        /// Its place in the patch, from 0.
        index: usize,
        /// Its `op`.
        op: &'static str,
        /// Its `path`, shortened when it is long.
        path: String,
        /// Where it and the object disagree.
        mismatch: Mismatch,
    },
    /// A strategic merge patch is an object.
    #[error("a strategic merge patch is an object, not {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// A directive or a list of a strategic merge patch is wrong.
    #[error("{path}: expected {expected}")]
    Strategic {
        /// Where it is, with dots, shortened when it is long.
        path: String,
        /// What should be there.
        expected: &'static str,
    },
    /// An item of a merged list does not say which one it is.
    #[error("{path}: an item has no {field}, which tells the items apart")]
    NoMergeKey {
        /// Where the list is, with dots.
        path: String,
        /// The field that is missing.
        field: &'static str,
    },
}

impl PatchError {
    /// Whether the patch itself is wrong (400). Otherwise it does not apply to this object (422).
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        match self {
            Self::NotAList { .. }
            | Self::TooManyOperations { .. }
            | Self::MalformedOperation { .. }
            | Self::NotAnObject { .. }
            | Self::Strategic { .. }
            | Self::NoMergeKey { .. } => true,
            Self::DoesNotApply { .. } => false,
        }
    }
}

/// What is wrong with an operation of a JSON patch, whatever it is applied to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is no object.
    #[error("an operation is an object, not {0}")]
    NotAnObject(&'static str),
    /// A member that the operation needs is missing, or is no string where one is needed.
    #[error("`{0}` is missing or not a string")]
    Text(&'static str),
    /// `add`, `replace` and `test` need a value; null is one.
    #[error("`value` is missing")]
    NoValue,
    /// No such operation.
    #[error("`op` is none of add, remove, replace, move, copy, test")]
    UnknownOp,
    /// Not a JSON pointer (RFC 6901).
    #[error("`{0}` is no JSON pointer: it starts with / and has ~0 for ~ and ~1 for /")]
    Pointer(&'static str),
    /// RFC 6902, section 4.4.
    #[error("a value cannot be moved into itself")]
    IntoItself,
    /// Nothing would be left.
    #[error("the whole object cannot be removed by a patch")]
    RemovesAll,
}

/// Where an operation of a JSON patch and the object disagree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Nothing is at this pointer.
    #[error("there is nothing at {0:?}")]
    Missing(String),
    /// What is at this pointer has nothing inside.
    #[error("there is neither an object nor a list at {0:?}")]
    NotAContainer(String),
    /// A list has no such place.
    #[error("{index:?} is no place in a list of {len}")]
    Index {
        /// What the pointer ends with, shortened when it is long.
        index: String,
        /// How many items the list has.
        len: usize,
    },
    /// A `test` failed.
    #[error("the value there is not the one tested for")]
    NotEqual,
    /// The object would nest deeper than [`MAX_NESTING`](super::MAX_NESTING).
    #[error("the object would be nested deeper than {limit} levels")]
    TooDeep {
        /// How deep it may be.
        limit: usize,
    },
    /// The operations so far write more than [`MAX_WRITTEN_BYTES`](super::MAX_WRITTEN_BYTES).
    #[error("the patch writes more than {limit} B")]
    TooLarge {
        /// How much it may write.
        limit: usize,
    },
}

/// Foreign text for a message: its first 128 characters, which is more than any real path has.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(128) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
