//! Why a request was not done, as a `Status` of `meta.k8s.io` (kube-api.md, section 6).

use std::ops::{Deref, DerefMut};

use http::StatusCode;
use pelton_access::{Attributes, Identity, Target};
use pelton_client::ApplyError;
use pelton_resource::{FieldErrors, Kind};
use serde_json::{Value, json};

use crate::kinds::Row;

/// When a client may ask again, in seconds: clients of Go try again by themselves when they are told.
const RETRY_AFTER_SECONDS: u32 = 1;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueRequired` and the like.
    pub reason: &'static str,
    /// What is wrong.
    pub message: String,
    /// The path of the field, without a dot before it. Empty when it is no field.
    pub field: String,
}

/// What it is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// The group of its kind.
    pub group: String,
    /// The plural of its kind; for mistakes in an object the kind itself.
    pub kind: String,
    /// Its uid.
    pub uid: String,
    /// Every mistake.
    pub causes: Vec<Cause>,
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct ApiError(Box<Failure>);

impl Deref for ApiError {
    type Target = Failure;

    fn deref(&self) -> &Failure {
        &self.0
    }
}

impl DerefMut for ApiError {
    fn deref_mut(&mut self) -> &mut Failure {
        &mut self.0
    }
}

/// What is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status.
    pub code: StatusCode,
    /// The word that clients look at.
    pub reason: &'static str,
    /// What people see.
    pub message: String,
    /// What it is about.
    pub details: Details,
    /// After how many seconds it is worth asking again.
    pub retry_after_seconds: Option<u32>,
}

impl ApiError {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        let details = Details::default();
        Self(Box::new(Failure { code, reason, message: message.into(), details, retry_after_seconds: None }))
    }

    /// The request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// Who asks is not known.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// The caller may not do that.
    pub fn forbidden(row: &Row, name: &str, why: impl AsRef<str>) -> Self {
        let what = row.qualified();
        let message = if name.is_empty() {
            format!("{what} is forbidden: {}", why.as_ref())
        } else {
            format!("{what} {name:?} is forbidden: {}", why.as_ref())
        };
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(row, name)
    }

    /// The caller may not do that, or has not shown who he is.
    pub fn refused(who: &Identity, wanted: &Attributes) -> Self {
        if !who.is_authenticated() {
            return Self::unauthorized();
        }
        let mut error = Self::new(StatusCode::FORBIDDEN, "Forbidden", wanted.refusal(&who.user));
        if let Target::Resource { group, resource, name, .. } = &wanted.target {
            let (name, group, kind) = (name.clone().unwrap_or_default(), group.clone(), resource.clone());
            error.details = Details { name, group, kind, ..Details::default() };
        }
        error
    }

    /// Nobody may act as somebody else.
    pub fn no_impersonation() -> Self {
        let message = "forbidden: nobody can act as somebody else here (Impersonate-User and the like)";
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
    }

    /// There is nothing at that path.
    pub fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
    }

    /// There is no such object.
    pub fn not_found(row: &Row, name: &str) -> Self {
        let message = format!("{} {name:?} not found", row.qualified());
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(row, name)
    }

    /// That cannot be done to it.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// None of the forms that were asked for can be given.
    pub fn not_acceptable() -> Self {
        let message = "only the following media types are accepted: application/json";
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// The body has a form that is not understood here.
    pub fn unsupported_media_type(accepted: &str) -> Self {
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// There is such an object already.
    pub fn already_exists(row: &Row, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", row.qualified());
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(row, name)
    }

    /// The object is another than the one that the request was made from.
    pub fn conflict(row: &Row, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", row.qualified());
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(row, name)
    }

    /// The object was changed since it was read.
    pub fn modified(row: &Row, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(row, name, why)
    }

    /// Others own fields that an apply wants to be otherwise.
    pub fn apply_conflict(message: String, causes: Vec<Cause>) -> Self {
        let mut error = Self::new(StatusCode::CONFLICT, "Conflict", message);
        error.details.causes = causes;
        error
    }

    /// A version or a page is too long ago: everything must be asked for anew.
    pub fn expired() -> Self {
        let message = "The resourceVersion is too old: what has changed since is no longer kept. List again.";
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// An object that cannot be, with every reason.
    pub fn invalid(row: &Row, name: &str, causes: Vec<Cause>) -> Self {
        let each: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let all = if each.len() == 1 { each.concat() } else { format!("[{}]", each.join(", ")) };
        let qualified = if row.group.is_empty() { row.kind.to_owned() } else { format!("{}.{}", row.kind, row.group) };
        let message = format!("{qualified} {name:?} is invalid: {all}");
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
        let (group, kind) = (row.group.to_owned(), row.kind.to_owned());
        error.details = Details { name: name.to_owned(), group, kind, uid: String::new(), causes };
        error
    }

    /// An object that cannot be, for one reason.
    pub fn invalid_field(row: &Row, name: &str, reason: &'static str, field: &str, message: &str) -> Self {
        Self::invalid(row, name, vec![Cause { reason, message: message.to_owned(), field: field.to_owned() }])
    }

    /// Options of a request that cannot be.
    pub fn invalid_options(kind: &str, field: &str, message: &str) -> Self {
        let text = format!("{kind}.meta.k8s.io \"\" is invalid: {field}: {message}");
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", text);
        let cause = Cause { reason: "FieldValueForbidden", message: message.to_owned(), field: field.to_owned() };
        let (group, kind) = ("meta.k8s.io".to_owned(), kind.to_owned());
        error.details = Details { group, kind, causes: vec![cause], ..Details::default() };
        error
    }

    /// A request of a kind that is not kept, for one reason.
    pub fn invalid_request(what: &str, cause: Cause) -> Self {
        let text = format!("{what} \"\" is invalid: {}: {}", cause.field, cause.message);
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", text);
        error.details.causes = vec![cause];
        error
    }

    /// An apply that does not say whose it is.
    pub fn no_manager() -> Self {
        let message =
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
        (error.details.group, error.details.kind) = ("meta.k8s.io".to_owned(), "PatchOptions".to_owned());
        error.with_cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
    }

    /// The patch does not fit the object.
    pub fn patch_failed(message: impl Into<String>) -> Self {
        let message = format!("the server rejected our request due to an error in our request: {}", message.into());
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
    }

    /// The object is too large to be kept.
    pub fn too_large(bytes: usize, limit: usize) -> Self {
        let message = format!("Request entity too large: the object has {bytes} bytes, and {limit} are allowed");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    /// Nobody takes changes now, or too much is asked at once. Nothing was done.
    pub fn unavailable(message: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message);
        error.retry_after_seconds = Some(RETRY_AFTER_SECONDS);
        error
    }

    /// A version was asked for that is not reached here yet.
    pub fn version_too_large(wanted: u64, is: u64) -> Self {
        let message = format!("Too large resource version: {wanted}, current: {is}");
        let mut error = Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message);
        let message = "Too large resource version".to_owned();
        error.details.causes = vec![Cause { reason: "ResourceVersionTooLarge", message, field: String::new() }];
        error.retry_after_seconds = Some(RETRY_AFTER_SECONDS);
        error
    }

    /// It was handed over, and whether it was done is not known. Not for trying again blindly.
    pub fn outcome_unknown() -> Self {
        let message = "the change was handed over and no answer came: it may or may not have been made";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message)
    }

    /// A fault of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        let message = format!("Internal error occurred: {}", message.into());
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// The same with one more cause.
    #[must_use]
    pub fn with_cause(mut self, reason: &'static str, message: impl Into<String>, field: impl Into<String>) -> Self {
        self.details.causes.push(Cause { reason, message: message.into(), field: field.into() });
        self
    }

    fn about(mut self, row: &Row, name: &str) -> Self {
        let (group, kind) = (row.group.to_owned(), row.plural.to_owned());
        self.details = Details { name: name.to_owned(), group, kind, ..Details::default() };
        self
    }

    /// What became of a write.
    pub fn of_write(error: ApplyError, row: &Row, name: &str) -> Self {
        match error {
            ApplyError::AlreadyExists { .. } => Self::already_exists(row, name),
            // The namespace that it was to be in went meanwhile.
            ApplyError::NotFound { kind, name } if kind == "Namespace" && row.kind != kind => {
                Self::not_found(row_of(Kind::Namespace), name.trim_start_matches('/'))
            }
            ApplyError::NotFound { .. } => Self::not_found(row, name),
            ApplyError::TooMuch { .. } => Self::forbidden(row, name, format!("exceeded quota: {error}")),
            ApplyError::Conflict { .. } => Self::modified(row, name),
            ApplyError::Invalid { errors, .. } => {
                Self::invalid_field(row, name, "FieldValueInvalid", "metadata", &errors)
            }
            ApplyError::NotLeader { .. } | ApplyError::Unavailable => {
                Self::unavailable("the registry has no leader that takes changes now")
            }
            ApplyError::OutcomeUnknown => Self::outcome_unknown(),
        }
    }

    /// As a document.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code.as_u16(),
        });
        let details = self.details_value();
        if details.as_object().is_some_and(|details| !details.is_empty()) {
            status["details"] = details;
        }
        status
    }

    fn details_value(&self) -> Value {
        let mut details = serde_json::Map::new();
        let Details { name, group, kind, uid, causes } = &self.details;
        for (field, text) in [("name", name), ("group", group), ("kind", kind), ("uid", uid)] {
            if !text.is_empty() {
                details.insert(field.to_owned(), Value::String(text.clone()));
            }
        }
        if !causes.is_empty() {
            let cause = |cause: &Cause| {
                let mut value = json!({"reason": cause.reason, "message": cause.message});
                if !cause.field.is_empty() {
                    value["field"] = Value::String(cause.field.clone());
                }
                value
            };
            details.insert("causes".to_owned(), causes.iter().map(cause).collect());
        }
        if let Some(seconds) = self.retry_after_seconds {
            details.insert("retryAfterSeconds".to_owned(), seconds.into());
        }
        Value::Object(details)
    }
}

/// It was done: what a deletion answers.
#[must_use]
pub fn success(row: &Row, name: &str, uid: &str) -> Value {
    let mut details = json!({"name": name, "kind": row.plural, "uid": uid});
    if !row.group.is_empty() {
        details["group"] = Value::String(row.group.to_owned());
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

/// Every mistake as a cause of its own, in Knative's words.
#[must_use]
pub fn causes(errors: &FieldErrors) -> Vec<Cause> {
    let mut causes = Vec::new();
    for error in errors.iter() {
        let mut message = error.message.clone();
        if !error.details.is_empty() {
            message = format!("{message} ({})", error.details.replace('\n', " "));
        }
        let reason = reason_of(&error.message);
        causes.extend(error.paths.iter().map(|path| Cause { reason, message: message.clone(), field: path.clone() }));
    }
    causes
}

fn reason_of(message: &str) -> &'static str {
    let begins = |with: &str| message.starts_with(with);
    if begins("missing field(s)")
        || begins("Required value")
        || message.ends_with("got none")
        || message.ends_with("neither")
    {
        "FieldValueRequired"
    } else if begins("must not set") || begins("Immutable") || message.contains("immutable") {
        "FieldValueForbidden"
    } else if begins("Unsupported value") {
        "FieldValueNotSupported"
    } else if message.contains("more than once") || begins("duplicate") {
        "FieldValueDuplicate"
    } else {
        "FieldValueInvalid"
    }
}

/// The rows whose objects are of that kind: for messages about kinds that are known by name only.
#[must_use]
pub fn row_of(kind: Kind) -> &'static Row {
    let stored = crate::kinds::Store::Stored(kind);
    crate::kinds::ROWS
        .iter()
        .find(|row| row.store == stored)
        .expect("every kind has a row, as a test of the table says")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// kube-api.md, section 6.
    #[test]
    fn messages_are_those_that_clients_know() {
        let row = row_of(Kind::Trigger);
        for (error, code, reason, message) in [
            (ApiError::not_found(row, "t"), 404, "NotFound", "triggers.eventing.knative.dev \"t\" not found"),
            (
                ApiError::already_exists(row, "t"),
                409,
                "AlreadyExists",
                "triggers.eventing.knative.dev \"t\" already exists",
            ),
            (
                ApiError::modified(row, "t"),
                409,
                "Conflict",
                "Operation cannot be fulfilled on triggers.eventing.knative.dev \"t\": the object has been modified; please \
                 apply your changes to the latest version and try again",
            ),
            (
                ApiError::invalid_field(row, "t", "FieldValueRequired", "spec.broker", "missing field(s)"),
                422,
                "Invalid",
                "Trigger.eventing.knative.dev \"t\" is invalid: spec.broker: missing field(s)",
            ),
            (ApiError::not_found(row_of(Kind::Secret), "s"), 404, "NotFound", "secrets \"s\" not found"),
        ] {
            let status = error.to_value();
            assert_eq!((status["code"].as_u64(), status["reason"].as_str()), (Some(code), Some(reason)));
            assert_eq!(status["message"].as_str(), Some(message));
        }
        let status = ApiError::unavailable("no leader").to_value();
        assert_eq!(status["details"]["retryAfterSeconds"], 1);
        let status = ApiError::not_found(row, "t").to_value();
        let details = serde_json::json!({"name": "t", "group": "eventing.knative.dev", "kind": "triggers"});
        assert_eq!(status["details"], details);
    }

    #[test]
    fn every_path_of_a_mistake_is_a_cause() {
        let text = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\nspec: {}\n";
        let mut trigger = pelton_resource::parse_documents(text, "test").unwrap().remove(0);
        let defaults = pelton_resource::Defaults::default();
        trigger.set_defaults(&defaults);
        let causes = causes(&trigger.validate(&defaults).unwrap_err());
        assert!(causes.iter().all(|cause| cause.reason == "FieldValueRequired"), "{causes:?}");
        assert!(causes.iter().any(|cause| cause.field == "spec.broker"), "{causes:?}");
    }
}
