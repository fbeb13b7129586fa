//! What every resource has: a kind, a name, a place, labels and annotations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::field_error::{FieldError, FieldErrors, child};
use crate::limits::{MAX_ANNOTATIONS_BYTES, MAX_DOMAIN_BYTES, MAX_FINALIZERS, MAX_LABELS, MAX_NAME_BYTES, MAX_OWNERS};
use crate::raw_json::RawJson;
use crate::time::Time;
use crate::trigger::BROKER_LABEL;

/// The namespace of a resource that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// The `apiVersion` of the core kinds of Kubernetes.
pub const CORE_API_VERSION: &str = "v1";

/// The `apiVersion` of the kinds of Knative Eventing.
pub const EVENTING_API_VERSION: &str = "eventing.knative.dev/v1";

/// The `apiVersion` of the kinds of Knative Serving, but for DomainMapping.
pub const SERVING_API_VERSION: &str = "serving.knative.dev/v1";

/// The `apiVersion` of a DomainMapping.
pub const SERVING_BETA_API_VERSION: &str = "serving.knative.dev/v1beta1";

/// What a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Takes events in and keeps them.
    Broker,
    /// Asks a Broker for the events that pass its filter.
    Trigger,
    /// A Configuration and a Route under one name.
    Service,
    /// Makes a Revision of each change of its template.
    Configuration,
    /// One unchanging version of what is run.
    Revision,
    /// Says which Revisions answer at its hosts.
    Route,
    /// Gives a Service or Route a domain of one's own.
    DomainMapping,
    /// A scope for names.
    Namespace,
    /// Configuration for others to read.
    ConfigMap,
    /// Data that is not for everybody's eyes.
    Secret,
    /// A program that calls the API.
    ServiceAccount,
    /// The core kind `Service` (`v1`): another name for a host. The one of Knative is [`Kind::Service`].
    CoreService,
    /// What happened to an object.
    Event,
}

impl Kind {
    /// Every kind, Brokers first: a Trigger applied after its Broker is ready sooner. Of two with one name the one that
    /// is meant by it comes first.
    pub const ALL: [Self; 13] = [
        Self::Broker,
        Self::Trigger,
        Self::Service,
        Self::Configuration,
        Self::Revision,
        Self::Route,
        Self::DomainMapping,
        Self::Namespace,
        Self::ConfigMap,
        Self::Secret,
        Self::ServiceAccount,
        Self::CoreService,
        Self::Event,
    ];

    /// The `apiVersion` that manifests of this kind carry.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Broker | Self::Trigger => EVENTING_API_VERSION,
            Self::Service | Self::Configuration | Self::Revision | Self::Route => SERVING_API_VERSION,
            Self::DomainMapping => SERVING_BETA_API_VERSION,
            Self::Namespace
            | Self::ConfigMap
            | Self::Secret
            | Self::ServiceAccount
            | Self::CoreService
            | Self::Event => CORE_API_VERSION,
        }
    }

    /// The name in manifests: `Broker`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broker => "Broker",
            Self::Trigger => "Trigger",
            Self::Service | Self::CoreService => "Service",
            Self::Configuration => "Configuration",
            Self::Revision => "Revision",
            Self::Route => "Route",
            Self::DomainMapping => "DomainMapping",
            Self::Namespace => "Namespace",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::ServiceAccount => "ServiceAccount",
            Self::Event => "Event",
        }
    }

    /// The name in paths of the API: `brokers`.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Broker => "brokers",
            Self::Trigger => "triggers",
            Self::Service | Self::CoreService => "services",
            Self::Configuration => "configurations",
            Self::Revision => "revisions",
            Self::Route => "routes",
            Self::DomainMapping => "domainmappings",
            Self::Namespace => "namespaces",
            Self::ConfigMap => "configmaps",
            Self::Secret => "secrets",
            Self::ServiceAccount => "serviceaccounts",
            Self::Event => "events",
        }
    }

    /// The name that is this kind's alone, for what is stored and sent: [`as_str`](Self::as_str) but for
    /// [`Kind::CoreService`]. [`Kind::of_id`] reads it.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::CoreService => "v1.Service",
            other => other.as_str(),
        }
    }

    /// The kind of that [`id`](Self::id).
    #[must_use]
    pub fn of_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.id() == id)
    }

    /// Whether it is one of Kubernetes itself, kept as [`CoreObject`](crate::CoreObject).
    #[must_use]
    pub const fn is_core(self) -> bool {
        matches!(
            self,
            Self::Namespace | Self::ConfigMap | Self::Secret | Self::ServiceAccount | Self::CoreService | Self::Event
        )
    }

    /// Whether its objects are in namespaces.
    #[must_use]
    pub const fn is_namespaced(self) -> bool {
        !matches!(self, Self::Namespace)
    }

    /// Shorter names that people type: Knative's, and ours.
    const fn short_names(self) -> &'static [&'static str] {
        match self {
            Self::Broker | Self::Trigger => &[],
            Self::Service => &["kservice", "ksvc"],
            Self::Configuration => &["config", "cfg"],
            Self::Revision => &["rev"],
            Self::Route => &["rt"],
            Self::DomainMapping => &["dm"],
            Self::Namespace => &["ns"],
            Self::ConfigMap => &["cm"],
            Self::Secret => &[],
            Self::ServiceAccount => &["sa"],
            Self::CoreService => &["svc"],
            Self::Event => &["ev"],
        }
    }

    /// The kind that an `apiVersion` and a `kind` name together.
    #[must_use]
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.api_version() == api_version && k.as_str() == kind)
    }

    /// The kind that a path of the API names.
    #[must_use]
    pub fn of_plural(plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.plural() == plural)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no kind of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a kind known here; there are {kinds}", kinds = Kind::ALL.map(Kind::plural).join(", "))]
pub struct UnknownKind(pub String);

impl FromStr for Kind {
    type Err = UnknownKind;

    /// Reads what people type: `Broker`, `broker`, `brokers`; `ksvc`.
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let is_name = |name: &str| text.eq_ignore_ascii_case(name);
        Self::ALL
            .into_iter()
            .find(|k| is_name(k.as_str()) || is_name(k.plural()) || k.short_names().iter().any(|name| is_name(name)))
            .ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// What names one resource among all. Prints as `Trigger default/orders`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceKey {
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

impl ResourceKey {
    /// The key of the resource of that kind, namespace and name.
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind.is_namespaced() {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        } else {
            write!(f, "{} {}", self.kind, self.name)
        }
    }
}

/// Who made a resource, and takes it along when it goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference {
    /// The group and version of its kind.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its name, in the same namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its uid: another of the same name is no owner.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Whether it is the one that says what the resource should be. There is one of them at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Whether it waits for the resource to go before it goes. Kept for other tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

/// `metadata`. The server writes `uid`, `generation`, `resourceVersion` and the two timestamps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectMeta {
    /// A DNS label, or the domain of a DomainMapping; unique for the kind within the namespace.
    #[serde(default)]
    pub name: String,
    /// What the name is to begin with, when the server is to choose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate_name: Option<String>,
    /// A DNS label. Empty means not given yet: defaulting fills it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// For selecting.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// For settings that the specification has no field for, and for other tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Tells a resource from an earlier one of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Grows by one with each change of `spec`, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Changes with each change of anything. Opaque to clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// When it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Time>,
    /// When its deletion was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Time>,
    /// How long it was given to go: zero, as nothing here needs time for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_grace_period_seconds: Option<i64>,
    /// Who has work to do before it may go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owner_references: Vec<OwnerReference>,
    /// Who set which field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_fields: Option<RawJson>,
}

impl ObjectMeta {
    /// The value of an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }

    pub(crate) fn validate(&self, errors: &mut FieldErrors) {
        for (value, path) in [(&self.name, "metadata.name"), (&self.namespace, "metadata.namespace")] {
            validate_name(value, path, errors);
        }
        self.validate_rest(errors);
    }

    /// Everything but name and namespace, whose shapes differ: labels, annotations, finalizers, owners.
    pub(crate) fn validate_rest(&self, errors: &mut FieldErrors) {
        validate_annotations_size(&self.annotations, "metadata", errors);
        for key in self.annotations.keys().filter(|key| !is_qualified_name(&key.to_ascii_lowercase())) {
            errors.push(FieldError::invalid_key(key, "metadata.annotations"));
        }
        if self.labels.len() > MAX_LABELS {
            let why = format!("at most {MAX_LABELS} labels");
            errors.push(FieldError::new("invalid value", "metadata.labels").with_details(why));
        }
        // That of a Trigger's Broker is its name, which has a rule of its own.
        for (key, value) in self.labels.iter().filter(|(key, _)| *key != BROKER_LABEL) {
            if !is_qualified_name(key) {
                errors.push(FieldError::invalid_key(key, "metadata.labels"));
            }
            if !is_label_value(value) {
                let error = FieldError::invalid(value, format!("metadata.labels[{key}]"));
                errors.push(error.with_details("a label value has up to 63 letters, digits, '-', '_' and '.'"));
            }
        }
        self.validate_finalizers(errors);
        self.validate_owners(errors);
    }

    fn validate_finalizers(&self, errors: &mut FieldErrors) {
        const PATH: &str = "metadata.finalizers";
        if self.finalizers.len() > MAX_FINALIZERS {
            errors.push(FieldError::new("invalid value", PATH).with_details(format!("at most {MAX_FINALIZERS}")));
            return;
        }
        let mut seen = BTreeSet::new();
        for (i, finalizer) in self.finalizers.iter().enumerate() {
            if !is_qualified_name(finalizer) {
                errors.push(FieldError::invalid(finalizer, format!("{PATH}[{i}]")));
            }
            if !seen.insert(finalizer) {
                errors.push(FieldError::new(format!("{finalizer:?} is given more than once"), format!("{PATH}[{i}]")));
            }
        }
    }

    fn validate_owners(&self, errors: &mut FieldErrors) {
        const PATH: &str = "metadata.ownerReferences";
        if self.owner_references.len() > MAX_OWNERS {
            errors.push(FieldError::new("invalid value", PATH).with_details(format!("at most {MAX_OWNERS}")));
            return;
        }
        for (i, owner) in self.owner_references.iter().enumerate() {
            let OwnerReference { api_version, kind, name, uid, .. } = owner;
            for (field, value) in [("apiVersion", api_version), ("kind", kind), ("name", name), ("uid", uid)] {
                if value.is_empty() {
                    errors.push(FieldError::missing(format!("{PATH}[{i}].{field}")));
                }
            }
        }
        if self.owner_references.iter().filter(|owner| owner.controller == Some(true)).count() > 1 {
            let why = "only one reference can have controller set to true";
            errors.push(FieldError::new("invalid value", PATH).with_details(why));
        }
    }
}

/// Whether a text is a qualified name of Kubernetes: up to 63 letters, digits, `-`, `_` and `.` with a letter or digit at either
/// end, after a DNS subdomain and a slash or without.
#[must_use]
pub fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns_subdomain(prefix) && !name.is_empty() && is_label_value(name),
        None => !text.is_empty() && is_label_value(text),
    }
}

/// Whether a text may be the value of a label. It may be empty.
fn is_label_value(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_end = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    bytes.len() <= MAX_NAME_BYTES
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Whether a text is a lower-case DNS label (RFC 1123): letters, digits and inner hyphens, 1 to 63 bytes.
#[must_use]
pub fn is_dns_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    bytes.len() <= MAX_NAME_BYTES
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
}

/// Whether a text is a lower-case DNS subdomain (RFC 1123): labels of any length separated by dots, 253 bytes at most.
#[must_use]
pub fn is_dns_subdomain(text: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(alphanumeric)
            && bytes.last().is_some_and(alphanumeric)
            && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
    };
    text.len() <= MAX_DOMAIN_BYTES && text.split('.').all(is_label)
}

/// All annotations together have a bound. Their owner stands at `meta_path`.
pub(crate) fn validate_annotations_size(
    annotations: &BTreeMap<String, String>,
    meta_path: &str,
    errors: &mut FieldErrors,
) {
    let bytes: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > MAX_ANNOTATIONS_BYTES {
        errors.push(
            FieldError::invalid(format_args!("{bytes} bytes"), child(meta_path, "annotations"))
                .with_details(format!("all annotations together may have {MAX_ANNOTATIONS_BYTES} bytes")),
        );
    }
}

/// A name must be there and must be a DNS label: it becomes part of paths, hosts and file names.
pub(crate) fn validate_name(value: &str, path: &str, errors: &mut FieldErrors) {
    if value.is_empty() {
        errors.push(FieldError::missing(path));
    } else if !is_dns_label(value) {
        let shape = "a name has 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end";
        errors.push(FieldError::invalid(value, path).with_details(shape));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        let long = "a".repeat(63);
        for good in ["a", "0", "default", "a-b", "a--b", "9-lives", long.as_str()] {
            assert!(is_dns_label(good), "{good}");
        }
        let too_long = "a".repeat(64);
        for bad in ["", "-", "a-", "-a", "A", "a.b", "a_b", "a/b", "ä", "a b", "..", too_long.as_str()] {
            assert!(!is_dns_label(bad), "{bad}");
        }
    }

    /// Kubernetes, "Labels and Selectors", "Finalizers", "Owners and Dependents".
    #[test]
    fn metadata_is_what_kubernetes_takes() {
        let errors = |json: serde_json::Value| {
            let meta: ObjectMeta = serde_json::from_value(json).unwrap();
            let mut errors = FieldErrors::new();
            meta.validate_rest(&mut errors);
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        let owner = serde_json::json!({"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u", "controller": true});
        let many = |count: usize| (0..count).map(|i| format!("a/f{i}")).collect::<Vec<_>>();
        for (json, want) in [
            (serde_json::json!({"labels": {"a.b/c": "D_e.f-9", "x": ""}, "annotations": {"A/b": "any thing"}}), ""),
            (serde_json::json!({"labels": {"-a": "b"}}), "metadata.labels"),
            (serde_json::json!({"labels": {"a/": "b"}}), "metadata.labels"),
            (serde_json::json!({"labels": {"a": "b c"}}), "metadata.labels[a]"),
            (serde_json::json!({"labels": {"a": "x".repeat(64)}}), "metadata.labels[a]"),
            (serde_json::json!({"annotations": {"a b": ""}}), "metadata.annotations"),
            (serde_json::json!({"finalizers": ["orphan", "a.b/c"]}), ""),
            (serde_json::json!({"finalizers": ["a b"]}), "metadata.finalizers[0]"),
            (serde_json::json!({"finalizers": ["a/b", "a/b"]}), "more than once: metadata.finalizers[1]"),
            (serde_json::json!({"finalizers": many(MAX_FINALIZERS)}), ""),
            (serde_json::json!({"finalizers": many(MAX_FINALIZERS + 1)}), "metadata.finalizers"),
            (serde_json::json!({"ownerReferences": [owner]}), ""),
            (serde_json::json!({"ownerReferences": [owner, owner]}), "only one reference"),
            (serde_json::json!({"ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n"}]}), "[0].uid"),
        ] {
            let found = errors(json.clone());
            assert!(found.contains(want) && found.is_empty() == want.is_empty(), "{json}: {found}");
        }
    }

    #[test]
    fn kinds_are_known_by_what_people_type() {
        let rows = [
            ("Broker", Kind::Broker),
            ("triggers", Kind::Trigger),
            ("TRIGGER", Kind::Trigger),
            ("service", Kind::Service),
            ("services", Kind::Service),
            ("ksvc", Kind::Service),
            ("kservice", Kind::Service),
            ("configuration", Kind::Configuration),
            ("config", Kind::Configuration),
            ("cfg", Kind::Configuration),
            ("revision", Kind::Revision),
            ("rev", Kind::Revision),
            ("Routes", Kind::Route),
            ("rt", Kind::Route),
            ("DomainMapping", Kind::DomainMapping),
            ("domainmappings", Kind::DomainMapping),
            ("dm", Kind::DomainMapping),
        ];
        for (text, want) in rows {
            assert_eq!(text.parse(), Ok(want), "{text}");
        }
        let want = "\"channel\" is not a kind known here; there are brokers, triggers, services, configurations, \
                    revisions, routes, domainmappings, namespaces, configmaps, secrets, serviceaccounts, services, events";
        assert_eq!("channel".parse::<Kind>().unwrap_err().to_string(), want);
    }

    #[test]
    fn every_name_of_a_kind_names_it_alone() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(kind.api_version(), kind.as_str()), Some(kind));
            assert_eq!(Kind::of_id(kind.id()), Some(kind));
            if kind == Kind::CoreService {
                continue;
            }
            assert_eq!(Kind::of_plural(kind.plural()), Some(kind));
            for name in [kind.as_str(), kind.plural()].iter().chain(kind.short_names()) {
                assert_eq!(name.parse(), Ok(kind), "{name}");
            }
        }
        assert_eq!(Kind::of_plural("Brokers"), None);
    }

    /// A Service of Kubernetes itself is something else than one of Knative.
    #[test]
    fn a_kind_is_known_by_its_api_version_too() {
        let rows = [
            ("eventing.knative.dev/v1beta1", "Broker"),
            ("v1", "Broker"),
            ("", "Service"),
            ("serving.knative.dev/v1beta1", "Service"),
            ("serving.knative.dev/v1", "DomainMapping"),
            ("route.openshift.io/v1", "Route"),
            ("serving.knative.dev/v1", "service"),
        ];
        for (api_version, kind) in rows {
            assert_eq!(Kind::of(api_version, kind), None, "{api_version} {kind}");
        }
    }
}
