//! The DomainMapping: a domain of one's own for a Service or Route.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::naming::{CLUSTER_DOMAIN, is_domain_name};
use crate::annotations;
use crate::broker::is_default;
use crate::conditions::{ConditionWriter, Conditions, DOMAIN_MAPPING_CONDITIONS};
use crate::defaults::Defaults;
use crate::destination::{Addressable, KReference};
use crate::field_error::{FieldError, FieldErrors, child};
use crate::meta::{Kind, ObjectMeta, SERVING_API_VERSION, validate_annotations_size, validate_name};
use crate::time::Time;

/// A DomainMapping (`serving.knative.dev/v1beta1`). Its name is the domain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainMapping {
    /// Its name and place.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: DomainMappingSpec,
    /// What is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub status: DomainMappingStatus,
}

/// What is wanted of a DomainMapping. A certificate of its own (`tls`) is refused when a manifest is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("required" = ["ref"]))]
pub struct DomainMappingSpec {
    /// The Service or Route that answers, in the same namespace.
    #[serde(rename = "ref", default)]
    pub reference: KReference,
}

/// What is true of a DomainMapping.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainMappingStatus {
    /// The `metadata.generation` that the conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds and what does not.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// More about the state, for tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Where people reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where events are sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Addressable>,
}

impl DomainMappingStatus {
    /// Writes conditions at the moment `now`.
    pub fn write_conditions(&mut self, now: Time) -> ConditionWriter<'_> {
        self.conditions.write(DOMAIN_MAPPING_CONDITIONS, now)
    }
}

impl DomainMapping {
    pub(crate) fn set_defaults(&mut self, defaults: &Defaults) {
        defaults.apply_to(&mut self.metadata);
        self.spec.reference.set_defaults(&self.metadata.namespace);
    }

    pub(crate) fn validate(&self, errors: &mut FieldErrors) {
        self.validate_domain(errors);
        validate_name(&self.metadata.namespace, "metadata.namespace", errors);
        validate_annotations_size(&self.metadata.annotations, "metadata", errors);
        annotations::validate(Kind::DomainMapping, &self.metadata, errors);
        self.validate_reference(errors);
    }

    fn validate_domain(&self, errors: &mut FieldErrors) {
        let (name, path) = (self.metadata.name.as_str(), "metadata.name");
        let is_local = name.strip_suffix(CLUSTER_DOMAIN).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if name.is_empty() {
            errors.push(FieldError::missing(path));
        } else if !is_domain_name(name) {
            let why = "the name is the domain: lower-case labels with dots between them, such as shop.example.com";
            errors.push(FieldError::invalid(name, path).with_details(why));
        } else if is_local {
            let why = format!("names below {CLUSTER_DOMAIN} are those of Services and Routes");
            errors.push(FieldError::invalid(name, path).with_details(why));
        }
    }

    fn validate_reference(&self, errors: &mut FieldErrors) {
        let (reference, path) = (&self.spec.reference, "spec.ref");
        reference.validate(path, errors);
        if reference.address.is_some() {
            errors.push(FieldError::disallowed(child(path, "address")));
        }
        let is_complete = !reference.kind.is_empty() && !reference.api_version.is_empty();
        let kind = Kind::of(&reference.api_version, &reference.kind);
        if is_complete && !matches!(kind, Some(Kind::Service | Kind::Route)) {
            let found = format!("{} ({})", reference.kind, reference.api_version);
            let why = format!("expected Service or Route ({SERVING_API_VERSION})");
            errors.push(FieldError::invalid(found, path).with_details(why));
        }
        if !reference.name.is_empty() {
            validate_name(&reference.name, &child(path, "name"), errors);
        }
        if !reference.namespace.is_empty() && reference.namespace != self.metadata.namespace {
            let error = FieldError::invalid(&reference.namespace, child(path, "namespace"));
            errors.push(error.with_details("what answers must be in the namespace of the DomainMapping"));
        }
    }
}

#[cfg(test)]
mod tests;
