//! Why a figure could not be taken. "Too slow" is a figure; these are not.

use std::time::Duration;

use super::response::HeadError;

/// Why a workload gave no figure.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A process that we started ended by itself.
    #[error("{name} ended ({status}); its last words: {last_words}")]
    Died {
        /// Which process.
        name: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of what it wrote.
        last_words: String,
    },
    /// Something that had to happen did not.
    #[error("{what}: not within {limit:?}")]
    TooLate {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// A set-up request was answered, with a refusal.
    #[error("{request} was answered {status}: {text}")]
    Refused {
        /// Method and path.
        request: String,
        /// HTTP status.
        status: u16,
        /// Start of the answer's body.
        text: String,
    },
    /// A peer does not speak the HTTP that the generator reads.
    #[error("the answer of {peer} cannot be read: {source}")]
    Answer {
        /// Who answered.
        peer: String,
        /// What is wrong with it.
        source: HeadError,
    },
    /// A file or answer lacks what its contract promises.
    #[error("{place} has no usable {field:?}")]
    Missing {
        /// Where it was looked for.
        place: String,
        /// What was looked for.
        field: String,
    },
    /// A program of others is not installed. The row is left out, which is no failure.
    #[error("{program} is not installed here (looked for in PATH and in the folders of system programs)")]
    Absent {
        /// Which.
        program: &'static str,
    },
    /// The load itself went wrong, so that a figure from it would be wrong too.
    #[error("the load does not count: {reason}")]
    Load {
        /// What went wrong.
        reason: String,
    },
}

/// Names what was being done when an I/O error came.
pub trait Doing<T> {
    /// Turns an I/O error into a [`BenchError`] that says what was being done.
    ///
    /// # Errors
    /// [`BenchError::Io`], with the cause.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, BenchError>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, BenchError> {
        self.map_err(|source| BenchError::Io { what: what(), source })
    }
}
