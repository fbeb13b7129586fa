//! Answers that say no, as problem JSON (RFC 9457).

use bytes::Bytes;
use http::{Response, StatusCode};
use pelton_client::{ApplyError, OperationError, ReadError};

use super::view::ProblemView;
use crate::http::response;

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    errors: Vec<String>,
}

impl Problem {
    /// A problem with one sentence.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), errors: Vec::new() }
    }

    /// A request that cannot be understood.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Something that is not there.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// What it says.
    #[cfg(test)]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The same problem with every single mistake.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<String>) -> Self {
        self.errors = errors;
        self
    }

    /// The answer.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        let view = ProblemView {
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            errors: self.errors,
        };
        let body = serde_json::to_vec(&view).expect("texts and numbers are JSON");
        response(self.status, "application/problem+json", body)
    }
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        let status = match &error {
            ApplyError::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            ApplyError::Conflict { .. } => StatusCode::CONFLICT,
            ApplyError::NotFound { .. } => StatusCode::NOT_FOUND,
            ApplyError::AlreadyExists { .. } => StatusCode::CONFLICT,
            ApplyError::TooMuch { .. } => StatusCode::FORBIDDEN,
            ApplyError::NotLeader { .. } | ApplyError::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ApplyError::OutcomeUnknown => StatusCode::GATEWAY_TIMEOUT,
        };
        match error {
            ApplyError::Invalid { kind, name, errors } => Self::new(status, format!("{kind} {name} is not valid"))
                .with_errors(errors.lines().map(str::to_owned).collect()),
            other => Self::new(status, other.to_string()),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let status = match &error {
            ReadError::Purged { .. } => StatusCode::GONE,
            ReadError::UnknownGroup(_) => StatusCode::NOT_FOUND,
            ReadError::Storage(_) => StatusCode::INTERNAL_SERVER_ERROR,
            ReadError::NotLeader { .. } | ReadError::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl From<OperationError> for Problem {
    fn from(error: OperationError) -> Self {
        let status = match &error {
            OperationError::UnknownTrigger | OperationError::UnknownDeadLetter | OperationError::UnknownGroup(_) => {
                StatusCode::NOT_FOUND
            }
            OperationError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            OperationError::NotLeader { .. } | OperationError::SessionEnded | OperationError::Unavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            OperationError::OutcomeUnknown => StatusCode::GATEWAY_TIMEOUT,
        };
        Self::new(status, error.to_string())
    }
}
