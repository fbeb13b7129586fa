//! The Service: a Configuration and a Route, under one name.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::configuration::ConfigurationSpec;
use super::route::RouteSpec;
use super::template::{RevisionTemplateSpec, refuse_autoscaling};
use super::traffic::{self, TrafficOf, TrafficTarget};
use super::{validate_meta, validate_visibility};
use crate::annotations;
use crate::broker::is_default;
use crate::conditions::{ConditionWriter, Conditions, SERVICE_CONDITIONS};
use crate::defaults::Defaults;
use crate::destination::Addressable;
use crate::field_error::FieldErrors;
use crate::meta::{Kind, ObjectMeta};
use crate::time::Time;

/// A Service (`serving.knative.dev/v1`). A core Service (`v1`) is something else, and not known here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name and place.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: ServiceSpec,
    /// What is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub status: ServiceStatus,
}

/// What is wanted of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceSpec {
    /// What its next Revision is made of.
    #[serde(default)]
    pub template: RevisionTemplateSpec,
    /// Who gets which share. The shares sum to 100. Empty: all to the latest ready Revision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<TrafficTarget>,
}

/// What is true of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
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
    /// The Revision made last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub latest_created_revision_name: String,
    /// The newest Revision that has been Ready.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub latest_ready_revision_name: String,
    /// Which Revisions answer now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<TrafficTarget>,
}

impl ServiceStatus {
    /// Writes conditions at the moment `now`.
    pub fn write_conditions(&mut self, now: Time) -> ConditionWriter<'_> {
        self.conditions.write(SERVICE_CONDITIONS, now)
    }
}

impl Service {
    /// What its Configuration, which has its name, is to be.
    #[must_use]
    pub fn configuration_spec(&self) -> ConfigurationSpec {
        ConfigurationSpec { template: self.spec.template.clone() }
    }

    /// What its Route, which has its name, is to be: targets that name no Revision mean the latest of its Configuration.
    #[must_use]
    pub fn route_spec(&self) -> RouteSpec {
        let mut traffic = self.spec.traffic.clone();
        for target in traffic.iter_mut().filter(|target| target.revision_name.is_empty()) {
            target.configuration_name.clone_from(&self.metadata.name);
        }
        RouteSpec { traffic }
    }

    pub(crate) fn set_defaults(&mut self, defaults: &Defaults) {
        defaults.apply_to(&mut self.metadata);
        self.spec.template.set_defaults(&defaults.serving);
        if self.spec.traffic.is_empty() {
            self.spec.traffic.push(TrafficTarget::all_to_latest());
        }
        traffic::set_defaults(&mut self.spec.traffic);
    }

    pub(crate) fn validate(&self, defaults: &Defaults, errors: &mut FieldErrors) {
        let name = &self.metadata.name;
        validate_meta(&self.metadata, errors);
        annotations::validate(Kind::Service, &self.metadata, errors);
        refuse_autoscaling(&self.metadata.annotations, errors);
        validate_visibility(&self.metadata, errors);
        self.spec.template.validate(name, &defaults.serving, "spec.template", errors);
        traffic::validate(&self.spec.traffic, TrafficOf::Service, name, "spec.traffic", errors);
    }

    /// A Revision name that the template gives must change with the template.
    pub(crate) fn validate_change(&self, old: &Self, errors: &mut FieldErrors) {
        self.spec.template.validate_change(&old.spec.template, "spec.template", errors);
    }
}

#[cfg(test)]
mod tests;
