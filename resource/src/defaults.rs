//! What is filled in where a manifest says nothing, and how far it may go.

use crate::delivery::{BackoffPolicy, DEFAULT_BACKOFF_DELAY_ISO, DEFAULT_RETRY, DeliverySpec};
use crate::meta::{DEFAULT_NAMESPACE, ObjectMeta};
use crate::serving::ServingDefaults;

/// The Broker class of Brokers that name none.
pub const BROKER_CLASS_PELTON: &str = "Pelton";

/// What is filled in where a manifest says nothing, and how far it may go. The default is Knative's cluster default, with
/// our class and our runtime.
#[derive(Debug, Clone, PartialEq)]
pub struct Defaults {
    /// The namespace of resources that name none.
    pub namespace: String,
    /// The class of Brokers that name none.
    pub broker_class: String,
    /// The `delivery` of Brokers that have none.
    pub delivery: DeliverySpec,
    /// What Services and what they are made of get, and how far they may go.
    pub serving: ServingDefaults,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            namespace: DEFAULT_NAMESPACE.to_owned(),
            broker_class: BROKER_CLASS_PELTON.to_owned(),
            delivery: DeliverySpec {
                retry: i32::try_from(DEFAULT_RETRY).ok(),
                backoff_policy: Some(BackoffPolicy::default().as_str().to_owned()),
                backoff_delay: Some(DEFAULT_BACKOFF_DELAY_ISO.to_owned()),
                ..DeliverySpec::default()
            },
            serving: ServingDefaults::default(),
        }
    }
}

impl Defaults {
    pub(crate) fn apply_to(&self, meta: &mut ObjectMeta) {
        if meta.namespace.is_empty() {
            self.namespace.clone_into(&mut meta.namespace);
        }
    }
}
