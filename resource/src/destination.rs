//! Where events are sent: a reference, a URI, or both (Knative, "Destination Resolution").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::field_error::{FieldError, FieldErrors, child};
use crate::limits::MAX_URI_BYTES;
use crate::meta::{Kind, ResourceKey};

/// A reference to a resource by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["apiVersion", "kind", "name"]))]
pub struct KReference {
    /// What it is, such as `Broker`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Where it is. Defaults to the namespace of the resource that refers to it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The group and version of its kind, such as `eventing.knative.dev/v1`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// The group alone. An experiment of Knative that is off by default; refused here.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Which of the named `status.addresses` is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl KReference {
    /// The resource meant, when its kind is one of ours.
    #[must_use]
    pub fn key(&self) -> Option<ResourceKey> {
        let kind = Kind::of(&self.api_version, &self.kind)?;
        Some(ResourceKey::new(kind, self.namespace.clone(), self.name.clone()))
    }

    pub(crate) fn set_defaults(&mut self, namespace: &str) {
        if self.namespace.is_empty() {
            namespace.clone_into(&mut self.namespace);
        }
    }

    /// `kind`, `name` and `apiVersion` must be there. Whether the resource exists is for a condition to say.
    pub(crate) fn validate(&self, path: &str, errors: &mut FieldErrors) {
        for (value, field) in [(&self.name, "name"), (&self.api_version, "apiVersion"), (&self.kind, "kind")] {
            if value.is_empty() {
                errors.push(FieldError::missing(child(path, field)));
            }
        }
        if !self.group.is_empty() {
            errors.push(FieldError::disallowed(child(path, "group")));
        }
    }
}

/// Where to send: `ref`, an absolute `uri`, or `ref` with a relative `uri` that is resolved against its URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Destination {
    /// A resource that has an address.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<KReference>,
    /// A URL, absolute unless there is a `ref`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Certificates of authorities to trust, in PEM. They are used with https only, which is not supported yet.
    #[serde(rename = "CACerts", default, skip_serializing_if = "Option::is_none")]
    pub ca_certs: Option<String>,
    /// The OIDC audience. Kept, and not used: no tokens are sent yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// Why a valid [`Destination`] has no URL now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// The resource is not there, or has no address yet.
    #[error("{kind} {namespace}/{name} does not exist or has no address")]
    NotFound {
        /// Its kind.
        kind: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// References to that kind are not understood here.
    #[error("references to {kind} ({api_version}) cannot be resolved here; use a uri")]
    UnsupportedKind {
        /// The group and version of the kind.
        api_version: String,
        /// The kind.
        kind: String,
    },
    /// Neither a `ref` nor a URL that can be used; validation refuses it.
    #[error("{uri:?} is no URL that events can be sent to")]
    InvalidUri {
        /// The text in question.
        uri: String,
    },
}

impl Unresolved {
    /// The reason for a condition: one CamelCase word.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "ReferenceNotFound",
            Self::UnsupportedKind { .. } => "ReferenceKindUnsupported",
            Self::InvalidUri { .. } => "InvalidURI",
        }
    }
}

impl Destination {
    /// A destination that is a URL.
    pub fn from_uri(uri: impl Into<String>) -> Self {
        Self { uri: Some(uri.into()), ..Self::default() }
    }

    /// The URL to send to. `address_of` tells the `status.address.url` of a resource of ours, if it has one.
    ///
    /// # Errors
    /// See [`Unresolved`]. It belongs into a condition: the resource may appear later.
    pub fn resolve(&self, address_of: impl FnOnce(&ResourceKey) -> Option<String>) -> Result<String, Unresolved> {
        let uri = self.uri.as_deref().unwrap_or("");
        let Some(reference) = &self.reference else {
            return match split_scheme(uri) {
                Some(_) if has_host(uri) && Url::parse(uri).is_ok() => Ok(uri.to_owned()),
                _ => Err(Unresolved::InvalidUri { uri: uri.to_owned() }),
            };
        };
        let Some(key) = reference.key() else {
            let (api_version, kind) = (reference.api_version.clone(), reference.kind.clone());
            return Err(Unresolved::UnsupportedKind { api_version, kind });
        };
        let Some(base) = address_of(&key) else {
            let ResourceKey { kind, namespace, name } = key;
            return Err(Unresolved::NotFound { kind: kind.to_string(), namespace, name });
        };
        if uri.is_empty() {
            return Ok(base);
        }
        let joined = Url::parse(&base).and_then(|base| base.join(uri));
        joined.map(String::from).map_err(|_| Unresolved::InvalidUri { uri: uri.to_owned() })
    }

    pub(crate) fn set_defaults(&mut self, namespace: &str) {
        if let Some(reference) = &mut self.reference {
            reference.set_defaults(namespace);
        }
    }

    pub(crate) fn validate(&self, path: &str, errors: &mut FieldErrors) {
        let uri = self.uri.as_deref().filter(|uri| !uri.is_empty());
        let (ref_path, uri_path) = (child(path, "ref"), child(path, "uri"));
        match (&self.reference, uri) {
            // The value is too long to be repeated.
            (_, Some(uri)) if uri.len() > MAX_URI_BYTES => errors.push(
                FieldError::new("invalid value", uri_path).with_details(format!("at most {MAX_URI_BYTES} bytes")),
            ),
            (None, None) => errors.push(FieldError {
                message: "expected at least one, got none".to_owned(),
                paths: vec![ref_path, uri_path],
                details: String::new(),
            }),
            (Some(reference), uri) => {
                reference.validate(&ref_path, errors);
                if let Some(uri) = uri {
                    validate_relative(uri, ref_path, uri_path, errors);
                }
            }
            (None, Some(uri)) => validate_absolute(uri, uri_path, errors),
        }
        if let Some(pem) = &self.ca_certs
            && let Err(why) = check_pem(pem)
        {
            // The value is a page of text; the reason alone helps.
            errors.push(FieldError::new("invalid value", child(path, "CACerts")).with_details(why));
        }
    }
}

/// The scheme of an absolute URI (RFC 3986, section 3.1); `None` for a relative one.
fn split_scheme(uri: &str) -> Option<&str> {
    let (scheme, _) = uri.split_once(':')?;
    let mut chars = scheme.chars();
    let first = chars.next()?;
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (first.is_ascii_alphabetic() && chars.all(rest)).then_some(scheme)
}

/// Whether a host stands where it belongs. The URL parser alone would mend `http:a` and `http:///a`.
fn has_host(uri: &str) -> bool {
    let Some((_, rest)) = uri.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or("");
    let host = authority.rsplit('@').next().unwrap_or("");
    !host.is_empty() && !host.starts_with(':')
}

fn validate_relative(uri: &str, ref_path: String, uri_path: String, errors: &mut FieldErrors) {
    if split_scheme(uri).is_some() {
        errors.push(FieldError {
            message: "Absolute URI is not allowed when Ref or [apiVersion, kind, name] is present".to_owned(),
            paths: vec![ref_path, uri_path],
            details: String::new(),
        });
    } else if uri.starts_with("//") || Url::parse("http://host/").is_ok_and(|base| base.join(uri).is_err()) {
        errors.push(FieldError::invalid(uri, uri_path).with_details("expected a path, such as /orders"));
    }
}

fn validate_absolute(uri: &str, path: String, errors: &mut FieldErrors) {
    let Some(scheme) = split_scheme(uri) else {
        let why = "Relative URI is not allowed when Ref and [apiVersion, kind, name] is absent";
        errors.push(FieldError::invalid(uri, path).with_details(why));
        return;
    };
    let is_https = scheme.eq_ignore_ascii_case("https");
    if !is_https && !scheme.eq_ignore_ascii_case("http") {
        errors.push(FieldError::invalid(uri, path).with_details("the scheme must be http or https"));
    } else if !has_host(uri) {
        errors.push(FieldError::invalid(uri, path).with_details("the URI has no host"));
    } else if let Err(why) = Url::parse(uri) {
        errors.push(FieldError::invalid(uri, path).with_details(why.to_string()));
    } else if is_https {
        refuse_https(uri, path, errors);
    }
}

/// Deliveries are made without TLS in this version. The only place that says so: to support it, remove the call.
fn refuse_https(uri: &str, path: String, errors: &mut FieldErrors) {
    let why = if path.ends_with("deadLetterSink.uri") {
        "https dead letter sinks are not supported yet"
    } else {
        "https subscribers are not supported yet"
    };
    errors.push(FieldError::invalid(uri, path).with_details(why));
}

/// Whether a text is one or more certificates in PEM (RFC 7468): framing, base64, and one DER sequence each. Whether
/// a certificate can be trusted is for TLS to say.
fn check_pem(text: &str) -> Result<(), String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut rest = text;
    let mut count = 0;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        count += 1;
        let (body, after) = after.split_once(END).ok_or_else(|| format!("certificate {count} has no end line"))?;
        let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(body).map_err(|_| format!("certificate {count} is not base64"))?;
        if !is_der_sequence(&der) {
            return Err(format!("certificate {count} is not an X.509 certificate"));
        }
        rest = after;
    }
    if count == 0 { Err("expected certificates in PEM".to_owned()) } else { Ok(()) }
}

/// Whether the bytes are exactly one DER SEQUENCE, as every X.509 certificate is (RFC 5280, section 4.1).
fn is_der_sequence(der: &[u8]) -> bool {
    let [0x30, first, rest @ ..] = der else { return false };
    if *first < 0x80 {
        return rest.len() == usize::from(*first) && !rest.is_empty();
    }
    let digits = usize::from(*first & 0x7f);
    if digits == 0 || digits > 4 || rest.len() < digits {
        return false;
    }
    let (length, content) = rest.split_at(digits);
    let length = length.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    length == content.len() as u64
}

/// An address that events can be sent to, in `status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Addressable {
    /// Tells it from the others in `status.addresses`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Certificates of authorities to trust, in PEM.
    #[serde(rename = "CACerts", default, skip_serializing_if = "Option::is_none")]
    pub ca_certs: Option<String>,
    /// The OIDC audience.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

#[cfg(test)]
mod tests;
