//! Tokens of ServiceAccounts: `kubectl create token`.

use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode};
use pelton_access::account::{AUDIENCE, Account};
use pelton_access::limits::{MAX_TOKEN_SECONDS, MIN_TOKEN_SECONDS};
use pelton_access::{Attributes, Caller};
use pelton_client::Client;
use pelton_resource::Time;
use serde_json::{Map, Value, json};

use crate::ControlPlane;
use crate::body::{self, Answer};
use crate::incoming;
use crate::status::{ApiError, Cause};
use crate::target::Target;

const API_VERSION: &str = "authentication.k8s.io/v1";
const KIND: &str = "TokenRequest";

/// When nothing is asked for.
const DEFAULT_SECONDS: u64 = 3600;

/// Most audiences of a token, and the longest name of one.
const MAX_AUDIENCES: usize = 16;
const MAX_AUDIENCE_BYTES: usize = 256;

/// What a token is asked to be.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    audiences: Vec<String>,
    seconds: u64,
}

impl<C: Client> ControlPlane<C> {
    /// Makes a token of a ServiceAccount.
    ///
    /// # Errors
    /// There is no such account, it may do more than the caller, or nobody signs tokens here.
    pub(crate) async fn token(
        &self,
        target: &Target,
        parts: &Parts,
        body: Bytes,
        caller: &Caller,
    ) -> Result<Answer, ApiError> {
        let Some(keys) = self.account_keys.as_ref().filter(|_| parts.method == Method::POST) else {
            return Err(ApiError::method_not_allowed());
        };
        let key = keys.borrow().clone();
        let key = key.ok_or_else(|| ApiError::unavailable("the key that signs tokens is not known here yet"))?;
        let wanted = Wanted::read(incoming::decode(&incoming::media_type(&parts.headers), body).await?)?;
        let (row, name, namespace) = (target.row, target.name.as_str(), target.namespace.as_str());
        let account = target.key().and_then(|key| self.current().find(&key));
        let account = account.ok_or_else(|| ApiError::not_found(row, name))?;
        if !caller.may_be(namespace, name) {
            let (kind, whose) = ((row.group, row.version, row.plural), (Some(namespace), Some(name)));
            let asked = Attributes::resource("create", kind, "token", whose.0, whose.1);
            let why = asked.why_not(&caller.identity().user);
            return Err(ApiError::forbidden(row, name, format!("{why}: the account may do more than he")));
        }
        let uid = account.meta().uid.clone().unwrap_or_default();
        let now = self.clock.now().0 / 1000;
        let token = key.token_of(Account { namespace, name, uid: &uid }, &wanted.audiences, now, wanted.seconds);
        let at = |seconds: u64| Time::from_unix_millis(seconds.saturating_mul(1000)).to_string();
        let answer = json!({
            "kind": KIND, "apiVersion": API_VERSION,
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": at(now)},
            "spec": {"audiences": wanted.audiences, "expirationSeconds": wanted.seconds, "boundObjectRef": null},
            "status": {"token": token, "expirationTimestamp": at(now.saturating_add(wanted.seconds))},
        });
        Ok(body::json(StatusCode::CREATED, &answer))
    }
}

impl Wanted {
    fn read(value: Value) -> Result<Self, ApiError> {
        let Value::Object(object) = value else {
            return Err(ApiError::bad_request("the object provided is unrecognized: it is no JSON object"));
        };
        for (field, want) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            let is = object.get(field).and_then(Value::as_str).unwrap_or_default();
            if !is.is_empty() && is != want {
                return Err(ApiError::bad_request(format!("{field}: expected {want}, got {is}")));
            }
        }
        let nothing = Map::new();
        let spec = object.get("spec").and_then(Value::as_object).unwrap_or(&nothing);
        Ok(Self { audiences: audiences(spec)?, seconds: seconds(spec)? })
    }
}

fn audiences(spec: &Map<String, Value>) -> Result<Vec<String>, ApiError> {
    if spec.get("boundObjectRef").is_some_and(|it| !it.is_null()) {
        return Err(invalid(
            "FieldValueForbidden",
            "spec.boundObjectRef",
            "Forbidden: there are no objects to bind a token to",
        ));
    }
    let bad = || {
        let message =
            format!("Invalid value: expected at most {MAX_AUDIENCES} texts of at most {MAX_AUDIENCE_BYTES} bytes");
        invalid("FieldValueInvalid", "spec.audiences", &message)
    };
    let given = match spec.get("audiences") {
        None | Some(Value::Null) => return Ok(vec![AUDIENCE.to_owned()]),
        Some(Value::Array(given)) if given.is_empty() => return Ok(vec![AUDIENCE.to_owned()]),
        Some(Value::Array(given)) if given.len() <= MAX_AUDIENCES => given,
        Some(_) => return Err(bad()),
    };
    let text =
        |it: &Value| it.as_str().filter(|it| !it.is_empty() && it.len() <= MAX_AUDIENCE_BYTES).map(str::to_owned);
    given.iter().map(text).collect::<Option<_>>().ok_or_else(bad)
}

fn seconds(spec: &Map<String, Value>) -> Result<u64, ApiError> {
    let field = "spec.expirationSeconds";
    match spec.get("expirationSeconds") {
        None | Some(Value::Null) => Ok(DEFAULT_SECONDS),
        Some(given) => match given.as_u64() {
            Some(seconds) if seconds >= MIN_TOKEN_SECONDS => Ok(seconds.min(MAX_TOKEN_SECONDS)),
            // As Kubernetes words it.
            _ => Err(invalid(
                "FieldValueInvalid",
                field,
                &format!("Invalid value: {given}: may not specify a duration less than 10 minutes"),
            )),
        },
    }
}

fn invalid(reason: &'static str, field: &str, message: &str) -> ApiError {
    let cause = Cause { reason, message: message.to_owned(), field: field.to_owned() };
    ApiError::invalid_request("TokenRequest.authentication.k8s.io", cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_or_refused() {
        let wanted = |audiences: &[&str], seconds| {
            Ok(Wanted { audiences: audiences.iter().map(|it| (*it).to_owned()).collect(), seconds })
        };
        for (value, want) in [
            (json!({}), wanted(&[AUDIENCE], DEFAULT_SECONDS)),
            (json!({"apiVersion": API_VERSION, "kind": KIND, "spec": {"audiences": []}}), wanted(&[AUDIENCE], 3600)),
            (json!({"spec": {"audiences": ["a", "b"], "expirationSeconds": 600}}), wanted(&["a", "b"], 600)),
            (json!({"spec": {"expirationSeconds": 1u64 << 40}}), wanted(&[AUDIENCE], MAX_TOKEN_SECONDS)),
            (json!({"spec": {"expirationSeconds": 599}}), Err("may not specify a duration less than 10 minutes")),
            (json!({"spec": {"expirationSeconds": -1}}), Err("may not specify a duration less than 10 minutes")),
            (json!({"spec": {"audiences": [""]}}), Err("spec.audiences: Invalid value")),
            (json!({"spec": {"audiences": vec!["a"; MAX_AUDIENCES + 1]}}), Err("spec.audiences: Invalid value")),
            (json!({"spec": {"boundObjectRef": {"kind": "Pod"}}}), Err("spec.boundObjectRef: Forbidden")),
            (json!({"kind": "Secret"}), Err("kind: expected TokenRequest, got Secret")),
            (json!([]), Err("it is no JSON object")),
        ] {
            match (Wanted::read(value.clone()), want) {
                (Err(error), Err(why)) => assert!(error.message.contains(why), "{value}: {error}"),
                (got, want) => {
                    assert_eq!(got.map_err(|error| error.to_string()), want.map_err(str::to_owned), "{value}")
                }
            }
        }
    }
}
