//! How a command ends.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::admin::AdminError;
use crate::command::print_error;
use crate::config::ConfigError;
use crate::contexts::{BadConfig, NoTarget};
use crate::http::{BadUrl, CallError};
use crate::kube::KubeError;
use crate::kube::kinds::UnknownKind;
use crate::manifests::BadManifests;
use crate::terminal::escape_block;

/// The process could not store what it had to: the storage of the log failed (`EX_SOFTWARE` of sysexits.h).
pub const STORAGE_FAILED: u8 = 70;

/// The process could not go on, and its storage is sound: it may be started again (`EX_TEMPFAIL` of sysexits.h).
pub const NODE_FAILED: u8 = 75;

/// Ended by a second signal while stopping (128 + SIGINT, as shells count).
pub const INTERRUPTED: u8 = 130;

/// For the help text. The documentation has the same table.
pub const HELP: &str = "Exit codes:\n  \
    0    done\n  \
    1    refused, or tried and failed\n  \
    2    wrong usage, configuration or manifest: nothing was tried\n  \
    3    no answer\n  \
    70   the storage of the log failed\n  \
    75   a part of the node failed, and its storage is sound: start it again\n  \
    130  ended by a second signal while stopping";

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was typed, configured or written in a manifest is wrong.
    #[error("{0}")]
    Usage(String),
    /// It was tried and did not work, or the other side said no.
    #[error("{0}")]
    Failed(String),
    /// The other side could not be asked, or did not answer.
    #[error("{0}")]
    NoAnswer(String),
}

impl Failure {
    /// Something that did not work, with its causes.
    pub fn failed(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Failed(format!("{what}: {}", with_causes(error)))
    }

    /// Nothing, when nothing failed; else everything that did, said together.
    ///
    /// # Errors
    /// The failures as one, which ends with the code of the first, or with that of no answer when one is that.
    pub fn all(failures: Vec<Self>) -> Result<(), Self> {
        let text = failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let one =
            failures.into_iter().reduce(|first, next| if matches!(next, Self::NoAnswer(_)) { next } else { first });
        match one {
            None => Ok(()),
            Some(Self::Usage(_)) => Err(Self::Usage(text)),
            Some(Self::Failed(_)) => Err(Self::Failed(text)),
            Some(Self::NoAnswer(_)) => Err(Self::NoAnswer(text)),
        }
    }

    /// The API does not answer.
    fn unreached(error: CallError) -> Self {
        match error {
            // What TLS has against the server is no question of where it runs.
            CallError::Connect { authority, source } if source.kind() != std::io::ErrorKind::InvalidData => {
                Self::NoAnswer(format!(
                    "cannot connect to {authority}: {source}\n\
                 is `pelton up` running at {authority}? --api, PELTON_API or --context names another place"
                ))
            }
            error => Self::from(error),
        }
    }

    /// The code that the process ends with.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NoAnswer(_) => 3,
        }
    }

    /// Says it on standard error.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        print_error(&format!("pelton: {}", escape_block(&self.to_string())));
        ExitCode::from(self.code())
    }
}

/// An error with its causes, each after a colon. A cause that the error already ends with is not said twice.
#[must_use]
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::NoAnswer(error) => Self::unreached(error),
            AdminError::Refused(problem) => {
                let mut text = problem.detail;
                for error in problem.errors {
                    let _ = write!(text, "\n  {error}");
                }
                Self::Failed(text)
            }
            error @ AdminError::NotUnderstood { .. } => Self::Failed(with_causes(&error)),
        }
    }
}

impl From<KubeError> for Failure {
    fn from(error: KubeError) -> Self {
        match error {
            KubeError::NoAnswer(error) => Self::unreached(error),
            error @ (KubeError::Refused(_) | KubeError::NotUnderstood { .. }) => Self::Failed(with_causes(&error)),
        }
    }
}

impl From<NoTarget> for Failure {
    fn from(error: NoTarget) -> Self {
        Self::Usage(with_causes(&error))
    }
}

impl From<BadConfig> for Failure {
    fn from(error: BadConfig) -> Self {
        Self::Usage(with_causes(&error))
    }
}

impl From<UnknownKind> for Failure {
    fn from(error: UnknownKind) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::NoAnswer(with_causes(&error))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<BadManifests> for Failure {
    fn from(error: BadManifests) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<BadUrl> for Failure {
    fn from(error: BadUrl) -> Self {
        Self::Usage(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Level {
        text: &'static str,
        source: Option<Box<Level>>,
    }

    #[test]
    fn causes_are_told_once() {
        let chain = |texts: &[&'static str]| {
            let mut error = None;
            for text in texts.iter().rev() {
                error = Some(Box::new(Level { text, source: error }));
            }
            with_causes(&*error.unwrap())
        };
        assert_eq!(chain(&["a"]), "a");
        assert_eq!(chain(&["a", "b", "c"]), "a: b: c");
        assert_eq!(chain(&["a: b", "b", "c"]), "a: b: c");
    }

    #[test]
    fn several_failures_end_with_one_code() {
        let failed = || Failure::Failed("failed".to_owned());
        let usage = || Failure::Usage("usage".to_owned());
        let no_answer = || Failure::NoAnswer("no answer".to_owned());
        assert!(Failure::all(Vec::new()).is_ok());
        for (failures, code, text) in [
            (vec![failed()], 1, "failed"),
            (vec![usage(), failed()], 2, "usage\nfailed"),
            (vec![failed(), failed(), no_answer()], 3, "failed\nfailed\nno answer"),
            (vec![no_answer(), failed()], 3, "no answer\nfailed"),
        ] {
            let all = Failure::all(failures).unwrap_err();
            assert_eq!((all.code(), all.to_string().as_str()), (code, text));
        }
    }

    /// The help text and the page name the same codes.
    #[test]
    fn the_documentation_has_every_code() {
        let page = include_str!("../docs/configuration.md");
        let failures =
            [Failure::Failed(String::new()), Failure::Usage(String::new()), Failure::NoAnswer(String::new())];
        for code in failures.iter().map(Failure::code).chain([0, STORAGE_FAILED, NODE_FAILED, INTERRUPTED]) {
            assert!(page.contains(&format!("| {code} |")), "{code}");
            assert!(HELP.contains(&code.to_string()), "{code}");
        }
    }
}
