//! The Broker: takes events in and keeps them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::annotations::{self, BROKER_CLASS};
use crate::conditions::{BROKER_CONDITIONS, ConditionWriter, Conditions};
use crate::defaults::Defaults;
use crate::delivery::DeliverySpec;
use crate::destination::{Addressable, KReference};
use crate::field_error::{FieldError, FieldErrors, annotation_path};
use crate::meta::{Kind, ObjectMeta};
use crate::time::Time;

/// A Broker (`eventing.knative.dev/v1`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broker {
    /// Its name and place.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: BrokerSpec,
    /// What is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub status: BrokerStatus,
}

/// What is wanted of a Broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokerSpec {
    /// Configuration of the implementation elsewhere. Kept for other tools, and not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<KReference>,
    /// How events are delivered to Triggers that do not say so themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliverySpec>,
}

/// What is true of a Broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrokerStatus {
    /// The `metadata.generation` that the conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds and what does not.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// More about the state, for tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Where to send events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Addressable>,
    /// All addresses, when there is more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Addressable>,
    /// The resolved `spec.delivery.deadLetterSink`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_sink_uri: Option<String>,
    /// Certificates of authorities to trust with the dead-letter sink, in PEM.
    #[serde(rename = "deadLetterSinkCACerts", default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_sink_ca_certs: Option<String>,
    /// The OIDC audience of the dead-letter sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_sink_audience: Option<String>,
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl BrokerStatus {
    /// Writes conditions at the moment `now`.
    pub fn write_conditions(&mut self, now: Time) -> ConditionWriter<'_> {
        self.conditions.write(BROKER_CONDITIONS, now)
    }
}

impl Broker {
    /// The Broker class, from its annotation.
    #[must_use]
    pub fn class(&self) -> Option<&str> {
        self.metadata.annotation(BROKER_CLASS).filter(|class| !class.is_empty())
    }

    pub(crate) fn set_defaults(&mut self, defaults: &Defaults) {
        defaults.apply_to(&mut self.metadata);
        if self.class().is_none() {
            self.metadata.annotations.insert(BROKER_CLASS.to_owned(), defaults.broker_class.clone());
        }
        let namespace = &self.metadata.namespace;
        if let Some(config) = &mut self.spec.config {
            config.set_defaults(namespace);
        }
        self.spec.delivery.get_or_insert_with(|| defaults.delivery.clone()).set_defaults(namespace);
    }

    pub(crate) fn validate(&self, errors: &mut FieldErrors) {
        self.metadata.validate(errors);
        if self.class().is_none() {
            errors.push(FieldError::missing(annotation_path(BROKER_CLASS)));
        }
        annotations::validate(Kind::Broker, &self.metadata, errors);
        if let Some(config) = &self.spec.config {
            config.validate("spec.config", errors);
        }
        if let Some(delivery) = &self.spec.delivery {
            delivery.validate("spec.delivery", errors);
        }
    }

    /// Everything in `spec` but `delivery` is immutable, and so is the class.
    pub(crate) fn validate_change(&self, old: &Self, errors: &mut FieldErrors) {
        if self.spec.config != old.spec.config {
            let text = |config: &Option<KReference>| {
                config
                    .as_ref()
                    .map_or(String::new(), |c| format!("{}/{} {}/{}", c.api_version, c.kind, c.namespace, c.name))
            };
            errors.push(FieldError::immutable("spec.config", &text(&old.spec.config), &text(&self.spec.config)));
        }
        let (was, is) = (old.class().unwrap_or(""), self.class().unwrap_or(""));
        if was != is {
            errors.push(FieldError::immutable(annotation_path(BROKER_CLASS), was, is));
        }
    }
}
