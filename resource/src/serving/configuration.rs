//! The Configuration: a template, and a Revision for each change of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::template::{RevisionTemplateSpec, refuse_autoscaling};
use super::validate_meta;
use crate::annotations;
use crate::broker::is_default;
use crate::conditions::{CONFIGURATION_CONDITIONS, ConditionWriter, Conditions};
use crate::defaults::Defaults;
use crate::field_error::FieldErrors;
use crate::meta::{Kind, ObjectMeta};
use crate::time::Time;

/// A Configuration (`serving.knative.dev/v1`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Its name and place.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: ConfigurationSpec,
    /// What is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub status: ConfigurationStatus,
}

/// What is wanted of a Configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationSpec {
    /// What its next Revision is made of.
    #[serde(default)]
    pub template: RevisionTemplateSpec,
}

/// What is true of a Configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationStatus {
    /// The `metadata.generation` that the conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds and what does not.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// More about the state, for tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The Revision made last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub latest_created_revision_name: String,
    /// The newest Revision that has been Ready. It never goes back to an older one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub latest_ready_revision_name: String,
}

impl ConfigurationStatus {
    /// Writes conditions at the moment `now`. There is only `Ready`, so it is marked itself.
    pub fn write_conditions(&mut self, now: Time) -> ConditionWriter<'_> {
        self.conditions.write(CONFIGURATION_CONDITIONS, now)
    }
}

impl Configuration {
    pub(crate) fn set_defaults(&mut self, defaults: &Defaults) {
        defaults.apply_to(&mut self.metadata);
        self.spec.template.set_defaults(&defaults.serving);
    }

    pub(crate) fn validate(&self, defaults: &Defaults, errors: &mut FieldErrors) {
        validate_meta(&self.metadata, errors);
        annotations::validate(Kind::Configuration, &self.metadata, errors);
        refuse_autoscaling(&self.metadata.annotations, errors);
        self.spec.template.validate(&self.metadata.name, &defaults.serving, "spec.template", errors);
    }

    /// A Revision name that the template gives must change with the template.
    pub(crate) fn validate_change(&self, old: &Self, errors: &mut FieldErrors) {
        self.spec.template.validate_change(&old.spec.template, "spec.template", errors);
    }
}
