//! The Trigger: asks a Broker for the events that pass its filter.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::annotations::{self, DEPENDENCY, INJECTION};
use crate::broker::is_default;
use crate::conditions::{ConditionWriter, Conditions, TRIGGER_CONDITIONS};
use crate::defaults::Defaults;
use crate::delivery::DeliverySpec;
use crate::destination::{Destination, KReference};
use crate::field_error::{FieldError, FieldErrors, annotation_path, child};
use crate::filter::{SubscriptionsApiFilter, TriggerFilter, validate_filters};
use crate::filter_expr::Filter;
use crate::meta::{EVENTING_API_VERSION, Kind, ObjectMeta, ResourceKey, validate_name};
use crate::time::Time;

/// The label that names the Broker of a Trigger, so that one can select by it.
pub const BROKER_LABEL: &str = "eventing.knative.dev/broker";

/// A Trigger (`eventing.knative.dev/v1`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// Its name and place.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: TriggerSpec,
    /// What is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub status: TriggerStatus,
}

/// What is wanted of a Trigger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["subscriber"]))]
pub struct TriggerSpec {
    /// The Broker, in the same namespace. Either this or `brokerRef`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub broker: String,
    /// The Broker as a reference. It has no namespace: a Broker elsewhere is not supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker_ref: Option<KReference>,
    /// The older form of a filter. Counts when `filters` is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<TriggerFilter>,
    /// Filters that must all pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<SubscriptionsApiFilter>,
    /// Who gets the events.
    #[serde(default)]
    pub subscriber: Destination,
    /// How events are delivered; replaces that of the Broker, except for `deadLetterSink`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliverySpec>,
}

/// What is true of a Trigger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TriggerStatus {
    /// The `metadata.generation` that the conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds and what does not.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// More about the state, for tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The resolved `spec.subscriber`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscriber_uri: Option<String>,
    /// Certificates of authorities to trust with the subscriber, in PEM.
    #[serde(rename = "subscriberCACerts", default, skip_serializing_if = "Option::is_none")]
    pub subscriber_ca_certs: Option<String>,
    /// The OIDC audience of the subscriber.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscriber_audience: Option<String>,
    /// The resolved dead-letter sink that applies, this Trigger's or its Broker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_sink_uri: Option<String>,
    /// Certificates of authorities to trust with the dead-letter sink, in PEM.
    #[serde(rename = "deadLetterSinkCACerts", default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_sink_ca_certs: Option<String>,
    /// The OIDC audience of the dead-letter sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_sink_audience: Option<String>,
}

impl TriggerStatus {
    /// Writes conditions at the moment `now`.
    pub fn write_conditions(&mut self, now: Time) -> ConditionWriter<'_> {
        self.conditions.write(TRIGGER_CONDITIONS, now)
    }
}

impl Trigger {
    /// The name of the Broker, however it is given. The Broker is in the Trigger's namespace.
    #[must_use]
    pub fn broker_name(&self) -> &str {
        match &self.spec.broker_ref {
            Some(reference) if self.spec.broker.is_empty() => &reference.name,
            _ => &self.spec.broker,
        }
    }

    /// The key of the Broker.
    #[must_use]
    pub fn broker_key(&self) -> ResourceKey {
        ResourceKey::new(Kind::Broker, self.metadata.namespace.clone(), self.broker_name())
    }

    /// What the annotation `knative.dev/dependency` names, in the Trigger's namespace. `None` when it is no reference to an
    /// object, and when there is none.
    #[must_use]
    pub fn dependency(&self) -> Option<KReference> {
        let mut reference: KReference = serde_json::from_str(self.metadata.annotation(DEPENDENCY)?).ok()?;
        self.metadata.namespace.clone_into(&mut reference.namespace);
        let is_whole = [&reference.kind, &reference.name, &reference.api_version].iter().all(|it| !it.is_empty());
        is_whole.then_some(reference)
    }

    /// Which events pass: a non-empty `filters` counts alone; else `filter.attributes`; else every event passes.
    #[must_use]
    pub fn filter_expr(&self) -> Filter {
        Filter::of(&self.spec.filters, self.spec.filter.as_ref())
    }

    pub(crate) fn set_defaults(&mut self, defaults: &Defaults) {
        defaults.apply_to(&mut self.metadata);
        let broker = self.broker_name().to_owned();
        if !broker.is_empty() {
            self.metadata.labels.insert(BROKER_LABEL.to_owned(), broker);
        }
        self.spec.filter.get_or_insert_default();
        self.spec.subscriber.set_defaults(&self.metadata.namespace);
        if let Some(delivery) = &mut self.spec.delivery {
            delivery.set_defaults(&self.metadata.namespace);
        }
    }

    pub(crate) fn validate(&self, errors: &mut FieldErrors) {
        self.metadata.validate(errors);
        annotations::validate(Kind::Trigger, &self.metadata, errors);
        if let Some(value) = self.metadata.annotation(DEPENDENCY) {
            validate_dependency(value, &self.metadata.namespace, errors);
        }
        if let Some(value) = self.metadata.annotation(INJECTION) {
            self.validate_injection(value, errors);
        }
        self.validate_broker(errors);
        if let Some(filter) = &self.spec.filter {
            filter.validate("spec.filter", errors);
        }
        validate_filters(&self.spec.filters, "spec.filters", errors);
        self.spec.subscriber.validate("spec.subscriber", errors);
        if let Some(delivery) = &self.spec.delivery {
            delivery.validate("spec.delivery", errors);
        }
    }

    fn validate_broker(&self, errors: &mut FieldErrors) {
        let paths = ["spec.broker".to_owned(), "spec.brokerRef".to_owned()];
        match (&self.spec.broker_ref, self.spec.broker.is_empty()) {
            (None, true) => errors.push(FieldError::missing_one_of(&paths)),
            (Some(_), false) => errors.push(FieldError::multiple_one_of(&paths)),
            (None, false) => validate_name(&self.spec.broker, "spec.broker", errors),
            (Some(reference), true) => validate_broker_ref(reference, errors),
        }
    }

    fn validate_injection(&self, value: &str, errors: &mut FieldErrors) {
        let path = annotation_path(INJECTION);
        if value != "enabled" && value != "disabled" {
            let message = format!(
                "The provided injection annotation value can only be \"enabled\" or \"disabled\", not {value:?}"
            );
            errors.push(FieldError::new(message, path.as_str()));
        }
        if self.broker_name() != "default" {
            let message = format!(
                "The provided injection annotation is only used for default broker, but non-default broker specified \
                 here: {:?}",
                self.broker_name()
            );
            errors.push(FieldError::new(message, path));
        }
    }

    /// The Broker is immutable, in whichever of the two fields it stands.
    pub(crate) fn validate_change(&self, old: &Self, errors: &mut FieldErrors) {
        let (was, is) = (old.broker_name(), self.broker_name());
        if was != is {
            let path = if self.spec.broker_ref.is_some() { "spec.brokerRef.name" } else { "spec.broker" };
            errors.push(FieldError::immutable(path, was, is));
        }
    }
}

fn validate_broker_ref(reference: &KReference, errors: &mut FieldErrors) {
    let path = "spec.brokerRef";
    if !reference.namespace.is_empty() {
        let error = FieldError::disallowed(child(path, "namespace"));
        errors.push(error.with_details("a Broker in another namespace is not supported"));
    }
    let is_broker = reference.key().is_some_and(|key| key.kind == Kind::Broker);
    let is_complete = !reference.kind.is_empty() && !reference.api_version.is_empty();
    reference.validate(path, errors);
    if is_complete && !is_broker {
        let found = format!("{} ({})", reference.kind, reference.api_version);
        errors.push(FieldError::invalid(found, path).with_details(format!("expected Broker ({EVENTING_API_VERSION})")));
    }
    if !reference.name.is_empty() {
        validate_name(&reference.name, &child(path, "name"), errors);
    }
}

/// The dependency annotation holds a Kubernetes object reference as JSON.
fn validate_dependency(text: &str, namespace: &str, errors: &mut FieldErrors) {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct ObjectReference {
        api_version: String,
        kind: String,
        name: String,
        namespace: String,
    }
    let path = annotation_path(DEPENDENCY);
    let reference: ObjectReference = match serde_json::from_str(text) {
        Ok(reference) => reference,
        Err(why) => {
            let message = format!("The provided annotation was not a corev1.ObjectReference: {text:?}");
            errors.push(FieldError::new(message, path).with_details(why.to_string()));
            return;
        }
    };
    if !reference.namespace.is_empty() && reference.namespace != namespace {
        let message = format!("Namespace must be empty or equal to the trigger namespace {namespace:?}");
        errors.push(FieldError::new(message, child(&path, "namespace")));
    }
    for (value, field) in [(reference.kind, "kind"), (reference.name, "name"), (reference.api_version, "apiVersion")] {
        if value.is_empty() {
            errors.push(FieldError::missing(child(&path, field)));
        }
    }
}

#[cfg(test)]
mod tests;
