//! The resources of Pelton: Broker and Trigger as Knative Eventing defines them (`eventing.knative.dev/v1`), Service,
//! Configuration, Revision, Route and DomainMapping as Knative Serving defines them (`serving.knative.dev/v1`,
//! `v1beta1`), and the few core kinds of Kubernetes (`v1`) that its tools expect.
//!
//! Types, reading and writing, defaulting, validation and conditions, with no I/O and no clock. A manifest goes this
//! way:
//!
//! 1. [`parse_documents`] (a file) or [`Resource::from_manifest`] (one object) reads it and refuses unknown fields.
//! 2. [`Resource::set_defaults`] fills in what is missing.
//! 3. [`Resource::validate`] or [`Resource::validate_update`] refuses what cannot work, all mistakes together, worded
//!    as Knative words them.
//! 4. The data plane takes what it needs in types that cannot be wrong: [`Trigger::filter_expr`],
//!    [`effective_delivery`], [`effective_settings`], [`broker_settings`], [`serving::revision_settings`],
//!    [`serving::AutoscalingSettings`]. Defaults are written there, once.
//! 5. Controllers write `status` with `write_conditions` of its type, such as [`TriggerStatus::write_conditions`].
//!
//! Stricter than Knative on purpose: a filter that cannot be built is refused instead of letting everything pass, a
//! negative duration is refused, durations with years or months are refused, and so are unknown fields and unknown
//! annotations under `pelton.dev/` and `autoscaling.knative.dev/`.

pub mod annotations;
mod broker;
pub mod conditions;
mod core;
mod defaults;
mod delivery;
mod destination;
mod duration;
mod field_error;
mod filter;
mod filter_expr;
pub mod limits;
mod meta;
mod parse;
mod raw_json;
mod resource;
mod schema;
pub mod serving;
mod strict_value;
mod time;
mod trigger;

pub use annotations::{
    BrokerSettings, DeliveryOrder, HeaderEncoding, StartPosition, TriggerSettings, broker_settings, effective_settings,
};
pub use broker::{Broker, BrokerSpec, BrokerStatus};
pub use conditions::{Condition, ConditionStatus, ConditionWriter, Conditions, Severity};
pub use core::{CoreObject, NAMESPACE_NAME_LABEL};
pub use defaults::{BROKER_CLASS_PELTON, Defaults};
pub use delivery::{
    Backoff, BackoffPolicy, ContentMode, DEFAULT_BACKOFF_DELAY, DEFAULT_BACKOFF_DELAY_ISO, DEFAULT_BACKOFF_MAX,
    DEFAULT_RETRY, DEFAULT_RETRY_AFTER_MAX, DEFAULT_TIMEOUT, DeliveryPolicy, DeliverySpec, effective_delivery,
};
pub use destination::{Addressable, Destination, KReference, Unresolved};
pub use duration::{DurationError, parse_duration};
pub use field_error::{FieldError, FieldErrors};
pub use filter::{SubscriptionsApiFilter, TriggerFilter};
pub use filter_expr::Filter;
pub use meta::{
    CORE_API_VERSION, DEFAULT_NAMESPACE, EVENTING_API_VERSION, Kind, ObjectMeta, OwnerReference, ResourceKey,
    SERVING_API_VERSION, SERVING_BETA_API_VERSION, UnknownKind, is_dns_label, is_dns_subdomain,
};
pub use parse::{ParseError, ParseErrorKind, parse_documents, parse_objects, parse_value};
pub use raw_json::RawJson;
pub use resource::{ManifestError, Resource};
pub use schema::field_names;
pub use serving::{Configuration, DomainMapping, Revision, Route, Service};
pub use time::Time;
pub use trigger::{BROKER_LABEL, Trigger, TriggerSpec, TriggerStatus};
