//! The kinds of Knative Serving: Service, Configuration, Revision and Route (`serving.knative.dev/v1`) and
//! DomainMapping (`serving.knative.dev/v1beta1`).
//!
//! - A [`Service`] is a [`Configuration`] and a [`Route`] under one name. Each change of the Configuration's template
//!   makes a [`Revision`]; the Route says which Revisions answer at its hosts ([`naming`]). A [`DomainMapping`] gives
//!   a Service or Route a domain of one's own.
//! - The data plane takes what it needs in types that cannot be wrong: [`revision_settings`],
//!   [`AutoscalingSettings::of`], [`RevisionSpec::serving_container`].
//! - How they know each other is in [`labels`].
//!
//! What runs is said in the container, and the annotation `pelton.dev/runtime` says by whom. Fields that are not
//! supported are refused when a manifest is read, with a sentence that says so.

use crate::field_error::{FieldError, FieldErrors};
use crate::meta::{ObjectMeta, validate_annotations_size, validate_name};

pub mod autoscaling;
mod configuration;
pub mod container;
mod defaults;
mod difference;
mod domain_mapping;
mod go_duration;
mod image;
pub mod labels;
pub mod naming;
mod probe;
mod quantity;
mod revision;
mod route;
mod service;
pub mod settings;
mod template;
mod traffic;

pub use autoscaling::{Aggregation, AutoscalerClass, AutoscalingDefaults, AutoscalingSettings, Metric, ScalingKey};
pub use configuration::{Configuration, ConfigurationSpec, ConfigurationStatus};
pub use container::{Container, ContainerPort, EnvVar, Protocol, ResourceRequirements};
pub use defaults::ServingDefaults;
use difference::differences;
pub use domain_mapping::{DomainMapping, DomainMappingSpec, DomainMappingStatus};
pub use go_duration::{GoDurationError, parse_go_duration};
pub use labels::{RoutingState, Visibility};
pub use probe::{ExecAction, GrpcAction, HttpGetAction, Probe, ProbePort, TcpSocketAction};
pub use quantity::{Quantity, QuantityError};
pub use revision::{ContainerStatus, Revision, RevisionStatus};
pub use route::{Route, RouteSpec, RouteStatus};
pub use service::{Service, ServiceSpec, ServiceStatus};
pub use settings::{IdleTime, RevisionSettings, RuntimeKind, TimeoutMode, revision_settings};
pub use template::{RevisionSpec, RevisionTemplateSpec, TemplateMeta};
pub use traffic::TrafficTarget;

/// What a name is that must begin a host.
const NAME_SHAPE: &str = "a name has 1 to 63 lower-case letters, digits and hyphens, begins with a letter and does not \
                          end with a hyphen";

/// Checks the metadata of all kinds but DomainMapping, whose name is a domain.
fn validate_meta(meta: &ObjectMeta, errors: &mut FieldErrors) {
    let (name, path) = (&meta.name, "metadata.name");
    if name.is_empty() {
        errors.push(FieldError::missing(path));
    } else if !naming::is_dns_1035_label(name) {
        errors.push(FieldError::invalid(name, path).with_details(NAME_SHAPE));
    }
    validate_name(&meta.namespace, "metadata.namespace", errors);
    validate_annotations_size(&meta.annotations, "metadata", errors);
}

/// Checks what the metadata of a Service or Route says about its hosts. A misspelt word would show to everybody what
/// is to be hidden.
fn validate_visibility(meta: &ObjectMeta, errors: &mut FieldErrors) {
    if let Some(value) = meta.labels.get(labels::VISIBILITY).filter(|value| *value != labels::CLUSTER_LOCAL) {
        let error = FieldError::invalid(value, format!("metadata.labels[{}]", labels::VISIBILITY));
        errors.push(error.with_details(format!("expected {}", labels::CLUSTER_LOCAL)));
    }
}
