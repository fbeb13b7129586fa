//! The Route: hosts, and which Revisions answer there.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::template::refuse_autoscaling;
use super::traffic::{self, TrafficOf, TrafficTarget};
use super::{validate_meta, validate_visibility};
use crate::annotations;
use crate::broker::is_default;
use crate::conditions::{ConditionWriter, Conditions, ROUTE_CONDITIONS};
use crate::defaults::Defaults;
use crate::destination::Addressable;
use crate::field_error::FieldErrors;
use crate::meta::{Kind, ObjectMeta};
use crate::time::Time;

/// A Route (`serving.knative.dev/v1`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its name and place.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: RouteSpec,
    /// What is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub status: RouteStatus,
}

/// What is wanted of a Route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteSpec {
    /// Who gets which share. The shares sum to 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<TrafficTarget>,
}

/// What is true of a Route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteStatus {
    /// The `metadata.generation` that the conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds and what does not.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// More about the state: how far rollouts are, and what is for tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Where people reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where events are sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Addressable>,
    /// Which Revisions answer now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<TrafficTarget>,
}

impl RouteStatus {
    /// Writes conditions at the moment `now`.
    pub fn write_conditions(&mut self, now: Time) -> ConditionWriter<'_> {
        self.conditions.write(ROUTE_CONDITIONS, now)
    }
}

impl Route {
    pub(crate) fn set_defaults(&mut self, defaults: &Defaults) {
        defaults.apply_to(&mut self.metadata);
        traffic::set_defaults(&mut self.spec.traffic);
    }

    pub(crate) fn validate(&self, errors: &mut FieldErrors) {
        validate_meta(&self.metadata, errors);
        annotations::validate(Kind::Route, &self.metadata, errors);
        refuse_autoscaling(&self.metadata.annotations, errors);
        validate_visibility(&self.metadata, errors);
        traffic::validate(&self.spec.traffic, TrafficOf::Route, &self.metadata.name, "spec.traffic", errors);
    }
}
