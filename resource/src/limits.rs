//! Every bound of this crate, in one place.

/// Longest name of a resource or a namespace, in bytes: one DNS label (RFC 1123, section 2.1).
pub const MAX_NAME_BYTES: usize = 63;

/// Longest domain name, in bytes (RFC 1035, section 2.3.4, without the length bytes and the root).
pub const MAX_DOMAIN_BYTES: usize = 253;

/// Largest text that [`crate::parse_documents`] looks at, in bytes. A registry of thousands of Triggers fits.
pub const MAX_MANIFEST_BYTES: usize = 16 * 1024 * 1024;

/// Deepest nesting of objects and lists in a manifest. A filter of [`MAX_FILTER_DEPTH`] needs about two levels each.
pub const MAX_MANIFEST_DEPTH: usize = 100;

/// Most mistakes reported for one text; what lies beyond is left out, so that a wrong file cannot flood a terminal.
pub const MAX_REPORTED_ERRORS: usize = 256;

/// Deepest nesting of `all`, `any` and `not`. The elements of `spec.filters` are depth 1.
pub const MAX_FILTER_DEPTH: usize = 32;

/// Most filter objects of one Trigger, nested ones counted.
pub const MAX_FILTER_NODES: usize = 1024;

/// Most attributes named by one `exact`, `prefix`, `suffix` or `filter.attributes` map.
pub const MAX_FILTER_ATTRIBUTES: usize = 256;

/// Longest value compared by a filter, in bytes.
pub const MAX_FILTER_VALUE_BYTES: usize = 4096;

/// Longest URI of a destination, in bytes. Every dead letter names one, so it is a bound of what a log group keeps.
pub const MAX_URI_BYTES: usize = 2048;

/// Most bytes of all annotation keys and values of one resource together, as in Kubernetes.
pub const MAX_ANNOTATIONS_BYTES: usize = 256 * 1024;

/// Largest `pelton.dev/max-in-flight`.
pub const MAX_IN_FLIGHT: u32 = 10_000;

/// Most traffic targets of one Service or Route. A routing table is looked through by weight, target by target.
pub const MAX_TRAFFIC_TARGETS: usize = 256;

/// Most variables in the environment of one container. The kernel takes about 2 MiB of them and of arguments together.
pub const MAX_ENV_VARS: usize = 4096;

/// Most bytes of keys and values of one ConfigMap or Secret, as they are written: base64 of 1 MiB and some.
pub const MAX_CORE_DATA_BYTES: usize = 1536 * 1024;

/// Most labels of one resource.
pub const MAX_LABELS: usize = 1024;

/// Most finalizers of one resource. Who owns which is looked up one by one.
pub const MAX_FINALIZERS: usize = 128;

/// Most owners of one resource.
pub const MAX_OWNERS: usize = 128;

/// Most bytes of one resource in JSON: what a ConfigMap or Secret may hold, and half a MiB for the rest of it.
pub const MAX_OBJECT_BYTES: usize = MAX_CORE_DATA_BYTES + 512 * 1024;
