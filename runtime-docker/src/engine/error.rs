//! Why the engine did not do what it was asked.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;

/// Why the engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nobody could be asked.
    #[error("no engine can be reached at {}", .socket.display())]
    Connect {
        /// Where.
        socket: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It was asked, and its answer did not come or broke off. What was asked for may have been done.
    #[error("the engine gave no whole answer to {call}")]
    NoAnswer {
        /// What was asked.
        call: String,
        /// How it broke off.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It was asked, and its answer took too long. What was asked for may have been done.
    #[error("the engine did not answer {call} within {within:?}")]
    TooLate {
        /// What was asked.
        call: String,
        /// How long was waited.
        within: Duration,
    },
    /// It said no.
    #[error("the engine refused {call} with {status}: {message}")]
    Refused {
        /// What was asked.
        call: String,
        /// The status of its answer.
        status: StatusCode,
        /// What it said, for people.
        message: String,
    },
    /// It answered something else than the API says.
    #[error("the engine's answer to {call} is not understood: {why}")]
    NotUnderstood {
        /// What was asked.
        call: String,
        /// What is wrong with it.
        why: String,
    },
}

impl EngineError {
    /// Whether the engine has no such container or image.
    pub fn is_not_found(&self) -> bool {
        self.has_status(StatusCode::NOT_FOUND)
    }

    /// Whether what was asked for goes against what the engine is doing already.
    pub fn is_conflict(&self) -> bool {
        self.has_status(StatusCode::CONFLICT)
    }

    /// Whether it is certain that nothing was done.
    pub fn nothing_was_done(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Refused { .. })
    }

    fn has_status(&self, want: StatusCode) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == want)
    }
}
