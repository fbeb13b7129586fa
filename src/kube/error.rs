//! Why a request has no result.

use std::fmt::{self, Write as _};
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use crate::http::{Answer, CallError};

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum KubeError {
    /// It was not asked, or did not answer.
    #[error(transparent)]
    NoAnswer(#[from] CallError),
    /// It answered that it will not.
    #[error("{0}")]
    Refused(Box<Status>),
    /// It answered something that is not understood: probably another program listens there.
    #[error("the answer is not that of a Kubernetes API ({status}): {detail}")]
    NotUnderstood {
        /// The status.
        status: StatusCode,
        /// What is wrong with it.
        detail: String,
    },
}

impl KubeError {
    /// Whether it was refused with that code.
    #[must_use]
    pub fn has_code(&self, code: u16) -> bool {
        matches!(self, Self::Refused(status) if status.code == code)
    }

    /// Whether the refusal is about an object of that kind, by its plural, that is not there.
    #[must_use]
    pub fn misses(&self, plural: &str) -> bool {
        matches!(self, Self::Refused(status) if status.code == 404 && status.details.kind == plural)
    }

    /// What an answer that is no success says.
    pub(super) fn of(answer: &Answer) -> Self {
        match serde_json::from_slice::<Status>(&answer.body) {
            Ok(status) if status.kind == "Status" => Self::Refused(Box::new(status)),
            Ok(_) => Self::NotUnderstood { status: answer.status, detail: "it is no Status".to_owned() },
            Err(error) => Self::NotUnderstood { status: answer.status, detail: error.to_string() },
        }
    }
}

/// A refusal, as `meta.k8s.io/v1` has it. It prints as kubectl prints it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// `Status`.
    pub kind: String,
    /// The HTTP status.
    pub code: u16,
    /// One word for machines: `NotFound`.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// What it is about.
    pub details: Details,
}

/// What a refusal is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// The plural of its kind, or the kind.
    pub kind: String,
    /// Every mistake.
    pub causes: Vec<StatusCause>,
}

/// One mistake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StatusCause {
    /// The path of the field.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { name, kind, causes } = &self.details;
        if self.reason == "Invalid" && !kind.is_empty() && !causes.is_empty() {
            let mut each = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message));
            let which = if name.is_empty() { kind.clone() } else { format!("{kind} {name:?}") };
            return match causes.len() {
                1 => write!(f, "The {which} is invalid: {}", each.next().unwrap_or_default()),
                _ => {
                    let lines = each.fold(String::new(), |mut lines, line| {
                        let _ = write!(lines, "\n* {line}");
                        lines
                    });
                    write!(f, "The {which} is invalid:{lines}")
                }
            };
        }
        match self.reason.as_str() {
            "" => write!(f, "Error from server: {}", self.message),
            reason => write!(f, "Error from server ({reason}): {}", self.message),
        }
    }
}

/// After how long a server that has not done what was asked wants to be asked again. Only then may it be.
pub(super) fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if !matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        return None;
    }
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_read_as_those_of_kubectl() {
        let cause =
            |field: &str| json!({"field": field, "message": "missing field(s)", "reason": "FieldValueRequired"});
        let details =
            |causes: serde_json::Value| json!({"name": "x", "kind": "Trigger", "group": "g", "causes": causes});
        for (status, want) in [
            (
                json!({"reason": "NotFound", "code": 404, "message": "brokers.g \"x\" not found"}),
                "Error from server (NotFound): brokers.g \"x\" not found",
            ),
            (json!({"message": "who knows"}), "Error from server: who knows"),
            (
                json!({"reason": "Invalid", "code": 422, "message": "m", "details": details(json!([cause("spec.a")]))}),
                "The Trigger \"x\" is invalid: spec.a: missing field(s)",
            ),
            (
                json!({"reason": "Invalid", "code": 422, "message": "m", "details": details(json!([cause("a"), cause("b")]))}),
                "The Trigger \"x\" is invalid:\n* a: missing field(s)\n* b: missing field(s)",
            ),
            (json!({"reason": "Invalid", "message": "m"}), "Error from server (Invalid): m"),
        ] {
            let status: Status = serde_json::from_value(status).unwrap();
            assert_eq!(status.to_string(), want);
        }
    }

    #[test]
    fn only_what_was_not_done_is_asked_again() {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, "2".parse().unwrap())]);
        assert_eq!(retry_after(StatusCode::SERVICE_UNAVAILABLE, &headers), Some(Duration::from_secs(2)));
        assert_eq!(retry_after(StatusCode::TOO_MANY_REQUESTS, &headers), Some(Duration::from_secs(2)));
        assert_eq!(retry_after(StatusCode::GATEWAY_TIMEOUT, &headers), None);
        assert_eq!(retry_after(StatusCode::SERVICE_UNAVAILABLE, &HeaderMap::new()), None);
    }
}
