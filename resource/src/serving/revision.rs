//! The Revision: one unchanging version of what is run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::labels::RoutingState;
use super::settings::{FIXED, RUNTIME, RuntimeKind};
use super::template::{self, RevisionSpec};
use super::{differences, labels, validate_meta};
use crate::broker::is_default;
use crate::conditions::{ConditionWriter, Conditions, REVISION_CONDITIONS};
use crate::defaults::Defaults;
use crate::field_error::{FieldError, FieldErrors, annotation_path};
use crate::meta::ObjectMeta;
use crate::time::Time;

/// A Revision (`serving.knative.dev/v1`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its name and place.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted. It cannot be changed.
    #[serde(default)]
    pub spec: RevisionSpec,
    /// What is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub status: RevisionStatus,
}

/// What is true of a Revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionStatus {
    /// The `metadata.generation` that the conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds and what does not.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// More about the state, for tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Where its logs are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_url: Option<String>,
    /// The images that were found for its containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub container_statuses: Vec<ContainerStatus>,
    /// The images that were found for its init containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub init_container_statuses: Vec<ContainerStatus>,
    /// How many instances are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual_replicas: Option<i32>,
    /// How many there should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
}

/// The image that was found for a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    /// The container's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The image with its digest, which names the same bytes for ever.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image_digest: String,
}

impl RevisionStatus {
    /// Writes conditions at the moment `now`. `Active` is no part of `Ready`: it is marked by
    /// [`ConditionWriter::inform`].
    pub fn write_conditions(&mut self, now: Time) -> ConditionWriter<'_> {
        self.conditions.write(REVISION_CONDITIONS, now)
    }
}

impl Revision {
    /// Which runtime it is run by. A value that validation would have refused counts as missing.
    #[must_use]
    pub fn runtime(&self) -> RuntimeKind {
        RuntimeKind::of_annotations(&self.metadata.annotations)
    }

    /// The name of the Configuration that made it, by its label.
    #[must_use]
    pub fn configuration_name(&self) -> Option<&str> {
        self.metadata.labels.get(labels::CONFIGURATION).map(String::as_str)
    }

    /// The name of the Service that it belongs to, by its label.
    #[must_use]
    pub fn service_name(&self) -> Option<&str> {
        self.metadata.labels.get(labels::SERVICE).map(String::as_str)
    }

    /// Whether traffic can reach it, by its label. A value that is none of them counts as missing.
    #[must_use]
    pub fn routing_state(&self) -> Option<RoutingState> {
        self.metadata.labels.get(labels::ROUTING_STATE).and_then(|text| RoutingState::of(text))
    }

    pub(crate) fn set_defaults(&mut self, defaults: &Defaults) {
        defaults.apply_to(&mut self.metadata);
        let runtime = || defaults.serving.runtime.as_str().to_owned();
        self.metadata.annotations.entry(RUNTIME.to_owned()).or_insert_with(runtime);
        self.spec.set_defaults(&defaults.serving);
    }

    pub(crate) fn validate(&self, defaults: &Defaults, errors: &mut FieldErrors) {
        validate_meta(&self.metadata, errors);
        template::validate_annotations(&self.metadata.annotations, &defaults.serving, "metadata", errors);
        self.spec.validate(self.runtime(), &defaults.serving, "spec", errors);
    }

    /// Nothing in `spec` may change, nor an annotation that says how it is run.
    pub(crate) fn validate_change(&self, old: &Self, errors: &mut FieldErrors) {
        for (path, was, is) in differences(&old.spec, &self.spec, "spec") {
            errors.push(FieldError::immutable(path, &was, &is));
        }
        for key in FIXED {
            let value = |revision: &Self| revision.metadata.annotation(key).unwrap_or("").to_owned();
            if value(self) != value(old) {
                errors.push(FieldError::immutable(annotation_path(key), &value(old), &value(self)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
