//! By what our objects are known in a cluster.

/// Knative's: the revision.
pub const REVISION: &str = "serving.knative.dev/revision";
/// Knative's: the Configuration.
pub const CONFIGURATION: &str = "serving.knative.dev/configuration";
/// Knative's: the Service.
pub const SERVICE: &str = "serving.knative.dev/service";
/// Kubernetes' own: who manages the object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The gateway that an object belongs to, through all of its lives.
pub const GATEWAY: &str = "pelton.dev/gateway";
/// The life of the gateway that made the object.
pub const LIFE: &str = "pelton.dev/gateway-life";
/// The Deployment that an object belongs to. Its Pods are selected by it.
pub const WORKLOAD: &str = "pelton.dev/workload";

/// The value of [`MANAGED_BY`], and the name by which fields are owned.
pub const PELTON: &str = "pelton";

/// Of two Pods that may be deleted, the one where this is less goes first.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
