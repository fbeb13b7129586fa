//! Objects of the core kinds of Kubernetes: Namespace, ConfigMap, Secret, ServiceAccount, Service, Event.
//!
//! Nothing in the path of an event reads them but the Services of type ExternalName, so they are kept as the JSON that
//! they are, with rules for what must hold.

mod rules;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::conditions::Conditions;
use crate::field_error::{FieldError, FieldErrors};
use crate::meta::{DEFAULT_NAMESPACE, Kind, ObjectMeta};

/// The label that every Namespace has, with its own name.
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// An object of a core kind.
#[derive(Clone, PartialEq, Eq)]
pub struct CoreObject {
    /// Which: one for which [`Kind::is_core`] holds.
    pub kind: Kind,
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Every other field but `apiVersion` and `kind`.
    pub content: Map<String, Value>,
}

/// What it is called and no more: a Secret is not for logs, and an annotation may hold all of it.
impl fmt::Debug for CoreObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectMeta { namespace, name, resource_version, .. } = &self.metadata;
        let mut shown = f.debug_struct("CoreObject");
        shown.field("kind", &self.kind).field("namespace", namespace).field("name", name);
        shown.field("resource_version", resource_version).finish_non_exhaustive()
    }
}

/// What core kinds have in the place of conditions.
pub(crate) static NO_CONDITIONS: Conditions = Conditions::NONE;

impl CoreObject {
    /// A Namespace of that name, with its defaults.
    #[must_use]
    pub fn namespace(name: &str) -> Self {
        let metadata = ObjectMeta { name: name.to_owned(), ..ObjectMeta::default() };
        let mut namespace = Self { kind: Kind::Namespace, metadata, content: Map::new() };
        namespace.set_defaults();
        namespace
    }

    /// Reads what has `metadata` and any other fields.
    pub(crate) fn of_value(kind: Kind, value: Value) -> Result<Self, serde_json::Error> {
        let mut content: Map<String, Value> = serde_json::from_value(value)?;
        content.remove("apiVersion");
        content.remove("kind");
        let metadata = content.remove("metadata").unwrap_or_else(|| json!({}));
        Ok(Self { kind, metadata: serde_json::from_value(metadata)?, content })
    }

    /// A text of the content, by its path: `/spec/type`.
    #[must_use]
    pub fn text(&self, pointer: &str) -> Option<&str> {
        let mut names = pointer.trim_start_matches('/').split('/');
        let first = self.content.get(names.next()?)?;
        names.try_fold(first, |value, name| value.get(name))?.as_str()
    }

    /// Whether a Namespace is on its way out.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.kind == Kind::Namespace && self.metadata.deletion_timestamp.is_some()
    }

    /// The URL that a Service of type ExternalName stands for: `http`, or `https` at port 443.
    #[must_use]
    pub fn external_url(&self) -> Option<String> {
        if self.kind != Kind::CoreService {
            return None;
        }
        let name = self.text("/spec/externalName").filter(|name| !name.is_empty())?;
        let port = self.content.get("spec")?.get("ports").and_then(|ports| ports.get(0)?.get("port")?.as_u64());
        Some(match port {
            None | Some(80) => format!("http://{name}"),
            Some(443) => format!("https://{name}"),
            Some(port) => format!("http://{name}:{port}"),
        })
    }

    pub(crate) fn set_defaults(&mut self) {
        if self.kind.is_namespaced() && self.metadata.namespace.is_empty() {
            DEFAULT_NAMESPACE.clone_into(&mut self.metadata.namespace);
        }
        match self.kind {
            Kind::Namespace => self.default_namespace(),
            Kind::Secret => self.default_secret(),
            Kind::CoreService => {
                let spec = self.content.entry("spec").or_insert_with(|| json!({}));
                if let Some(spec) = spec.as_object_mut() {
                    spec.entry("sessionAffinity").or_insert_with(|| json!("None"));
                    spec.entry("type").or_insert_with(|| json!("ClusterIP"));
                }
                self.content.entry("status").or_insert_with(|| json!({"loadBalancer": {}}));
            }
            _ => {}
        }
    }

    fn default_namespace(&mut self) {
        self.metadata.namespace.clear();
        self.metadata.labels.insert(NAMESPACE_NAME_LABEL.to_owned(), self.metadata.name.clone());
        self.content.insert("spec".to_owned(), json!({"finalizers": ["kubernetes"]}));
        self.tell_phase();
    }

    /// What its status says follows from whether its end was asked for.
    pub fn tell_phase(&mut self) {
        let phase = if self.is_terminating() { "Terminating" } else { "Active" };
        self.content.insert("status".to_owned(), json!({"phase": phase}));
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        fn of(value: &Value) -> usize {
            match value {
                Value::String(text) => text.len() + 2,
                Value::Array(items) => items.iter().map(of).sum::<usize>() + 2,
                Value::Object(map) => map.iter().map(|(key, value)| key.len() + 4 + of(value)).sum::<usize>() + 2,
                Value::Null | Value::Bool(_) | Value::Number(_) => 8,
            }
        }
        let meta = &self.metadata;
        let texts = meta.annotations.iter().chain(&meta.labels).map(|(key, value)| key.len() + value.len() + 6);
        self.content.iter().map(|(key, value)| key.len() + of(value)).sum::<usize>() + texts.sum::<usize>() + 256
    }

    /// `stringData` becomes `data` and is not kept.
    fn default_secret(&mut self) {
        self.content.entry("type").or_insert_with(|| json!("Opaque"));
        let Some(Value::Object(texts)) = self.content.remove("stringData") else { return };
        let data = self.content.entry("data").or_insert_with(|| json!({}));
        let Some(data) = data.as_object_mut() else { return };
        for (key, text) in texts {
            if let Value::String(text) = text {
                data.insert(key, Value::String(STANDARD.encode(text)));
            }
        }
    }

    pub(crate) fn validate(&self, errors: &mut FieldErrors) {
        rules::check(self, errors);
    }

    pub(crate) fn validate_change(&self, old: &Self, errors: &mut FieldErrors) {
        let is_immutable = |of: &Self| of.content.get("immutable") == Some(&Value::Bool(true));
        let mut fixed: Vec<&str> = Vec::new();
        match self.kind {
            Kind::Secret => {
                fixed.push("type");
                if is_immutable(old) {
                    fixed.extend(["data", "immutable"]);
                }
            }
            // They are selected by these.
            Kind::Event => fixed.extend(["involvedObject", "reason", "type", "source", "reportingComponent"]),
            Kind::ConfigMap if is_immutable(old) => fixed.extend(["data", "binaryData", "immutable"]),
            _ => {}
        }
        for field in fixed {
            if self.content.get(field) != old.content.get(field) {
                errors.push(FieldError::new("field is immutable", field));
            }
        }
    }

    /// The status is written apart where there is one.
    pub(crate) fn keep_status_of(&mut self, old: &Self) {
        if matches!(self.kind, Kind::Namespace | Kind::CoreService) {
            match old.content.get("status") {
                Some(status) => drop(self.content.insert("status".to_owned(), status.clone())),
                None => drop(self.content.remove("status")),
            }
        }
    }
}

#[cfg(test)]
mod tests;
