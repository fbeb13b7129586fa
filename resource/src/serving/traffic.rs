//! Traffic targets: which Revisions get how much of a Route's traffic.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::naming::{is_dns_1035_label, tagged_name};
use crate::field_error::{FieldError, FieldErrors, child};
use crate::limits::{MAX_NAME_BYTES, MAX_TRAFFIC_TARGETS};

/// One entry of `traffic`, in the `spec` or `status` of a Service or Route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficTarget {
    /// Gives the target hosts of its own: `{tag}-{name}.{namespace}.{domain}`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// The Revision, when it is to be this one for good.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub revision_name: String,
    /// The Configuration whose latest ready Revision is meant. A Service's own is meant by `latestRevision` alone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub configuration_name: String,
    /// Whether the latest ready Revision is meant. Defaulting fills it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_revision: Option<bool>,
    /// Its share, 0 to 100. A target that has none can be reached by its tag only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<i64>,
    /// Where the tag is reached. In `status` only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
}

/// Whose traffic it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrafficOf {
    /// A Service, which has a Configuration of its own.
    Service,
    /// A Route, which names others.
    Route,
}

impl TrafficTarget {
    /// All traffic to the latest ready Revision: what a Service does that says nothing.
    #[must_use]
    pub fn all_to_latest() -> Self {
        Self { latest_revision: Some(true), percent: Some(100), ..Self::default() }
    }

    /// Whether the latest ready Revision is meant, and not one by name.
    #[must_use]
    pub fn is_latest(&self) -> bool {
        self.latest_revision.unwrap_or(self.revision_name.is_empty())
    }

    fn validate(&self, of: TrafficOf, path: &str, errors: &mut FieldErrors) {
        let (revision, configuration) = (child(path, "revisionName"), child(path, "configurationName"));
        if let Some(latest) = self.latest_revision
            && latest != self.revision_name.is_empty()
        {
            let message = format!("may not set revisionName {:?} when latestRevision is {latest}", self.revision_name);
            errors.push(FieldError::new(message, child(path, "latestRevision")));
        }
        match (self.revision_name.is_empty(), self.configuration_name.is_empty(), of) {
            (_, false, TrafficOf::Service) => {
                let error = FieldError::disallowed(configuration);
                errors.push(error.with_details("a Service's traffic goes to its own Configuration"));
            }
            (false, false, TrafficOf::Route) => errors.push(FieldError::multiple_one_of(&[revision, configuration])),
            (true, true, TrafficOf::Route) => errors.push(FieldError::missing_one_of(&[revision, configuration])),
            (false, _, _) => validate_name(&self.revision_name, revision, errors),
            (true, false, TrafficOf::Route) => validate_name(&self.configuration_name, configuration, errors),
            (true, true, TrafficOf::Service) => {}
        }
        if let Some(percent) = self.percent.filter(|percent| !(0..=100).contains(percent)) {
            errors.push(FieldError::out_of_bounds(percent, 0, 100, child(path, "percent")));
        }
        if !self.url.is_empty() {
            errors.push(FieldError::disallowed(child(path, "url")));
        }
    }
}

fn validate_name(name: &str, path: String, errors: &mut FieldErrors) {
    if !is_dns_1035_label(name) {
        errors.push(FieldError::invalid(name, path).with_details(super::NAME_SHAPE));
    }
}

/// Fills in what is missing.
pub(super) fn set_defaults(traffic: &mut [TrafficTarget]) {
    for target in traffic {
        target.latest_revision = Some(target.is_latest());
    }
}

/// Checks the traffic of the Service or Route `name`: each target, tags that are used once and fit into a host, and a
/// sum of 100.
pub(super) fn validate(traffic: &[TrafficTarget], of: TrafficOf, name: &str, path: &str, errors: &mut FieldErrors) {
    if traffic.len() > MAX_TRAFFIC_TARGETS {
        let why = format!("at most {MAX_TRAFFIC_TARGETS} targets");
        errors.push(FieldError::invalid(format_args!("{} targets", traffic.len()), path).with_details(why));
        return;
    }
    let mut tags: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, target) in traffic.iter().enumerate() {
        target.validate(of, &format!("{path}[{i}]"), errors);
        let tag = target.tag.as_str();
        if tag.is_empty() {
            continue;
        }
        validate_tag(tag, name, format!("{path}[{i}].tag"), errors);
        if let Some(first) = tags.get(tag) {
            let paths = vec![format!("{path}[{i}].tag"), format!("{path}[{first}].tag")];
            errors.push(FieldError {
                message: format!("Multiple definitions for {tag:?}"),
                paths,
                details: String::new(),
            });
        } else {
            tags.insert(tag, i);
        }
    }
    let sum = traffic.iter().filter_map(|target| target.percent).fold(0i64, i64::saturating_add);
    if sum != 100 {
        errors.push(FieldError::new(format!("Traffic targets sum to {sum}, want 100"), path));
    }
}

fn validate_tag(tag: &str, name: &str, path: String, errors: &mut FieldErrors) {
    let host_label = tagged_name(tag, name);
    if !is_dns_1035_label(tag) {
        errors.push(FieldError::invalid(tag, path).with_details(super::NAME_SHAPE));
    } else if host_label.len() > MAX_NAME_BYTES {
        let why = format!("the host of the tag begins with {host_label:?}, which may have {MAX_NAME_BYTES} bytes");
        errors.push(FieldError::invalid(tag, path).with_details(why));
    }
}

#[cfg(test)]
mod tests;
