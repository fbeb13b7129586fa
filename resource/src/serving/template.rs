//! What a Revision is made of: the template in a Service or Configuration, and the `spec` of the Revision itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::container::{self, Container};
use super::settings::{RUNTIME, RuntimeKind};
use super::{ServingDefaults, autoscaling, differences, naming, settings};
use crate::annotations;
use crate::field_error::{FieldError, FieldErrors, annotation_path, child};
use crate::meta::{Kind, validate_annotations_size};

/// A Revision to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionTemplateSpec {
    /// What its metadata is to be.
    #[serde(default, skip_serializing_if = "TemplateMeta::is_empty")]
    pub metadata: TemplateMeta,
    /// What it is to be.
    #[serde(default)]
    pub spec: RevisionSpec,
}

/// The metadata of a template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateMeta {
    /// The name of the Revision. Empty: it is made of the Configuration's name and generation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Labels of the Revision.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Revision: how it scales, and by which runtime it is run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl TemplateMeta {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is wanted of a Revision. It never changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["containers"]))]
pub struct RevisionSpec {
    /// What is run: one container, see [`Self::serving_container`].
    #[serde(default)]
    #[schemars(
        description = "What is run. The container that takes requests is the only one, or the one with a port."
    )]
    pub containers: Vec<Container>,
    /// The most requests that one instance gets at once; 0 sets no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_concurrency: Option<i64>,
    /// The longest that a request may take, in seconds. 0 is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
    /// The longest until the response begins, in seconds. Missing or 0: only the request as a whole has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_start_timeout_seconds: Option<i64>,
    /// The longest without a byte of the response, in seconds. Missing or 0: only the request as a whole has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_seconds: Option<i64>,
}

impl RevisionSpec {
    /// The container that takes requests: the only one, or the one with a port.
    #[must_use]
    pub fn serving_container(&self) -> Option<&Container> {
        match self.containers.as_slice() {
            [only] => Some(only),
            several => several.iter().find(|container| !container.ports.is_empty()),
        }
    }

    pub(super) fn set_defaults(&mut self, defaults: &ServingDefaults) {
        container::set_defaults(&mut self.containers);
        self.container_concurrency.get_or_insert(defaults.container_concurrency);
        let timeout = match self.timeout_seconds {
            None | Some(0) => *self.timeout_seconds.insert(defaults.revision_timeout_seconds),
            Some(seconds) => seconds,
        };
        let response_start = defaults.revision_response_start_timeout_seconds;
        if self.response_start_timeout_seconds.is_none() && 0 < response_start && response_start < timeout {
            self.response_start_timeout_seconds = Some(response_start);
        }
        if self.idle_timeout_seconds.is_none() && defaults.revision_idle_timeout_seconds > 0 {
            self.idle_timeout_seconds = Some(defaults.revision_idle_timeout_seconds);
        }
    }

    pub(super) fn validate(
        &self,
        runtime: RuntimeKind,
        defaults: &ServingDefaults,
        path: &str,
        errors: &mut FieldErrors,
    ) {
        container::validate(&self.containers, runtime, &child(path, "containers"), errors);
        let concurrency =
            (i64::from(!defaults.allow_container_concurrency_zero), defaults.container_concurrency_max_limit);
        let timeout = (0, defaults.max_revision_timeout_seconds);
        let bounded = [
            (self.container_concurrency, concurrency, "containerConcurrency"),
            (self.timeout_seconds, timeout, "timeoutSeconds"),
            (self.response_start_timeout_seconds, timeout, "responseStartTimeoutSeconds"),
            (self.idle_timeout_seconds, timeout, "idleTimeoutSeconds"),
        ];
        for (value, (min, max), field) in bounded {
            if let Some(value) = value.filter(|value| !(min..=max).contains(value)) {
                errors.push(FieldError::out_of_bounds(value, min, max, child(path, field)));
            }
        }
    }
}

impl RevisionTemplateSpec {
    /// Which runtime the Revision is for. A value that validation would have refused counts as missing.
    #[must_use]
    pub fn runtime(&self) -> RuntimeKind {
        RuntimeKind::of_annotations(&self.metadata.annotations)
    }

    /// The runtime is written down, so that a later change of the configuration does not move what runs already.
    pub(super) fn set_defaults(&mut self, defaults: &ServingDefaults) {
        let runtime = || defaults.runtime.as_str().to_owned();
        self.metadata.annotations.entry(RUNTIME.to_owned()).or_insert_with(runtime);
        self.spec.set_defaults(defaults);
    }

    /// Checks the template of the Configuration of that name.
    pub(super) fn validate(
        &self,
        configuration: &str,
        defaults: &ServingDefaults,
        path: &str,
        errors: &mut FieldErrors,
    ) {
        let meta_path = child(path, "metadata");
        let name = &self.metadata.name;
        if !name.is_empty() && !naming::is_revision_name_of(configuration, name) {
            let why = format!("expected {configuration}- and then lower-case letters, digits and hyphens, 63 in all");
            errors.push(FieldError::invalid(name, child(&meta_path, "name")).with_details(why));
        }
        validate_annotations_size(&self.metadata.annotations, &meta_path, errors);
        validate_annotations(&self.metadata.annotations, defaults, &meta_path, errors);
        self.spec.validate(self.runtime(), defaults, &child(path, "spec"), errors);
    }

    /// A name that is given stands for one template only.
    pub(super) fn validate_change(&self, old: &Self, path: &str, errors: &mut FieldErrors) {
        let name = &self.metadata.name;
        if !name.is_empty() && *name == old.metadata.name && self != old {
            let message = "Saw the following changes without a name change (-old +new)";
            let changes =
                differences(old, self, path).into_iter().map(|(path, was, is)| format!("{path}\n-: {was}\n+: {is}"));
            let details = changes.collect::<Vec<_>>().join("\n");
            errors.push(FieldError::new(message, child(path, "metadata.name")).with_details(details));
        }
    }
}

/// Checks the annotations of a Revision, or of the template of one.
pub(super) fn validate_annotations(
    annotations: &BTreeMap<String, String>,
    defaults: &ServingDefaults,
    path: &str,
    errors: &mut FieldErrors,
) {
    annotations::validate_at(Kind::Revision, annotations, path, errors);
    autoscaling::validate(annotations, &defaults.autoscaling, path, errors);
    settings::validate(annotations, path, errors);
}

/// Refuses autoscaling annotations where they would have no effect.
pub(super) fn refuse_autoscaling(annotations: &BTreeMap<String, String>, errors: &mut FieldErrors) {
    for key in annotations.keys().filter(|key| key.starts_with(autoscaling::PREFIX)) {
        let message = "autoscaling annotations must be put under \"spec.template.metadata.annotations\" to work";
        errors.push(FieldError::new(message, annotation_path(key)));
    }
}
