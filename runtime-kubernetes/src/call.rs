//! One call of the cluster's API.

use std::future::Future;
use std::io;
use std::time::Duration;

use pelton_serving_gateway::runtime::RuntimeError;
use tokio::time::timeout;

/// How long an answer may take. Kubernetes itself gives a call 60 s; whoever waits for an instance would not.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Why a call did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The API says no.
    #[error("{message}")]
    Refused {
        /// The status code.
        code: u16,
        /// Why, in the API's words.
        message: String,
    },
    /// The API was not reached, or what came from it was not understood.
    #[error("the API of the cluster did not answer: {0}")]
    Unreached(String),
    /// There was no answer in time.
    #[error("the API of the cluster did not answer within {} s", ANSWER_WITHIN.as_secs())]
    Late,
}

impl CallError {
    /// Whether there is no such object.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// Whether the state that was asked for is over and has to be listed again.
    pub const fn is_expired(&self) -> bool {
        matches!(self, Self::Refused { code: 410, .. })
    }

    /// Whether the same call may go well a moment later.
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Refused { code, .. } => matches!(*code, 408 | 409 | 429 | 500..),
            Self::Unreached(_) | Self::Late => true,
        }
    }

    /// The same, as an error of a runtime.
    pub fn failed(self, what: impl Into<String>) -> RuntimeError {
        RuntimeError::Failed { what: what.into(), source: io::Error::other(self) }
    }
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                let message = if status.message.is_empty() { status.reason.clone() } else { status.message.clone() };
                Self::Refused { code: status.code, message }
            }
            other => Self::Unreached(text_of(&other)),
        }
    }
}

/// An error and its causes, unless it tells of them itself.
pub fn text_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}

/// Makes a call.
///
/// # Errors
/// [`CallError`].
pub async fn call<T>(answer: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match timeout(ANSWER_WITHIN, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(CallError::Late),
    }
}
