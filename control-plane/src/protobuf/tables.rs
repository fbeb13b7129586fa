//! The fields of the messages (k8s.io/api and k8s.io/apimachinery, `generated.proto`).
//!
//! A field is `optional` where Go has a pointer. `status` is left out of the kinds that are asked and answered: what a
//! client says there counts for nothing.

use super::message::Shape::{Bool, Int32, Int64, Json, MicroTime, Object, Objects, Text, TextMap, Texts, Time};
use super::message::{Field, field, optional};

mod core;
mod event;
mod review;

/// A kind and the fields of its message.
struct Row {
    api_version: &'static str,
    kind: &'static str,
    fields: &'static [Field],
}

const fn row(api_version: &'static str, kind: &'static str, fields: &'static [Field]) -> Row {
    Row { api_version, kind, fields }
}

const ROWS: &[Row] = &[
    row("v1", "ConfigMap", core::CONFIG_MAP),
    row("v1", "Secret", core::SECRET),
    row("v1", "Namespace", core::NAMESPACE),
    row("v1", "ServiceAccount", core::SERVICE_ACCOUNT),
    row("v1", "Service", core::SERVICE),
    row("v1", "Event", event::EVENT),
    row("events.k8s.io/v1", "Event", event::NEW_EVENT),
    row("authorization.k8s.io/v1", "SelfSubjectAccessReview", review::SELF_SUBJECT_ACCESS_REVIEW),
    row("authorization.k8s.io/v1", "SelfSubjectRulesReview", review::SELF_SUBJECT_RULES_REVIEW),
    row("authentication.k8s.io/v1", "SelfSubjectReview", review::SELF_SUBJECT_REVIEW),
    row("authentication.k8s.io/v1", "TokenRequest", review::TOKEN_REQUEST),
    row("coordination.k8s.io/v1", "Lease", LEASE),
];

/// The fields of the message of that kind.
pub(super) fn find(api_version: &str, kind: &str) -> Option<&'static [Field]> {
    if kind == "DeleteOptions" {
        // Its apiVersion is `v1` or that of the kind to delete, which may be any.
        return Some(DELETE_OPTIONS);
    }
    ROWS.iter().find(|row| (row.api_version, row.kind) == (api_version, kind)).map(|row| row.fields)
}

const METADATA: &[Field] = &[
    field(1, "name", Text),
    field(2, "generateName", Text),
    field(3, "namespace", Text),
    field(4, "selfLink", Text),
    field(5, "uid", Text),
    field(6, "resourceVersion", Text),
    field(7, "generation", Int64),
    field(8, "creationTimestamp", Time),
    field(9, "deletionTimestamp", Time),
    optional(10, "deletionGracePeriodSeconds", Int64),
    field(11, "labels", TextMap),
    field(12, "annotations", TextMap),
    field(13, "ownerReferences", Objects(OWNER_REFERENCE)),
    field(14, "finalizers", Texts),
    field(17, "managedFields", Objects(MANAGED_FIELDS_ENTRY)),
];

const OWNER_REFERENCE: &[Field] = &[
    field(1, "kind", Text),
    field(3, "name", Text),
    field(4, "uid", Text),
    field(5, "apiVersion", Text),
    optional(6, "controller", Bool),
    optional(7, "blockOwnerDeletion", Bool),
];

const MANAGED_FIELDS_ENTRY: &[Field] = &[
    field(1, "manager", Text),
    field(2, "operation", Text),
    field(3, "apiVersion", Text),
    field(4, "time", Time),
    field(6, "fieldsType", Text),
    field(7, "fieldsV1", Json),
    field(8, "subresource", Text),
];

const CONDITION: &[Field] = &[
    field(1, "type", Text),
    field(2, "status", Text),
    field(3, "observedGeneration", Int64),
    field(4, "lastTransitionTime", Time),
    field(5, "reason", Text),
    field(6, "message", Text),
];

const DELETE_OPTIONS: &[Field] = &[
    optional(1, "gracePeriodSeconds", Int64),
    field(2, "preconditions", Object(PRECONDITIONS)),
    optional(3, "orphanDependents", Bool),
    optional(4, "propagationPolicy", Text),
    field(5, "dryRun", Texts),
    optional(6, "ignoreStoreReadErrorWithClusterBreakingPotential", Bool),
];

/// An empty text is kept: a precondition that cannot hold must not become none.
const PRECONDITIONS: &[Field] = &[optional(1, "uid", Text), optional(2, "resourceVersion", Text)];

const LEASE: &[Field] = &[field(1, "metadata", Object(METADATA)), field(2, "spec", Object(LEASE_SPEC))];

const LEASE_SPEC: &[Field] = &[
    optional(1, "holderIdentity", Text),
    optional(2, "leaseDurationSeconds", Int32),
    field(3, "acquireTime", MicroTime),
    field(4, "renewTime", MicroTime),
    optional(5, "leaseTransitions", Int32),
    optional(6, "strategy", Text),
    optional(7, "preferredHolder", Text),
];

/// Every table, with what a test needs to call it by.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str, &'static [Field])> {
    let rows = ROWS.iter().map(|row| (row.api_version, row.kind, row.fields));
    rows.chain([("serving.knative.dev/v1", "DeleteOptions", DELETE_OPTIONS)])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::protobuf::message::{MAX_NESTING, Shape};

    /// How deep messages are nested in one of these fields, itself counted. Fails for a table that contains itself.
    fn check(path: &str, fields: &[Field], nesting: usize) {
        assert!(nesting <= MAX_NESTING, "{path} is nested too deep to be read");
        let numbers: BTreeSet<_> = fields.iter().map(|field| field.number).collect();
        let names: BTreeSet<_> = fields.iter().map(|field| field.name).collect();
        assert_eq!((numbers.len(), names.len()), (fields.len(), fields.len()), "{path}: a field is there twice");
        assert!(!numbers.contains(&0), "{path}: there is no field 0");
        for field in fields {
            if let Shape::Object(fields) | Shape::Objects(fields) = field.shape {
                check(&format!("{path}.{}", field.name), fields, nesting + 1);
            }
        }
    }

    #[test]
    fn a_table_has_each_number_and_name_once_and_can_be_read_to_its_end() {
        for (api_version, kind, fields) in all() {
            check(kind, fields, 1);
            assert!(fields.iter().all(|field| !["apiVersion", "kind"].contains(&field.name)), "{api_version} {kind}");
        }
    }

    #[test]
    fn a_kind_is_found_in_its_own_api_version_only() {
        for (api_version, kind, _) in all() {
            assert!(find(api_version, kind).is_some(), "{api_version} {kind}");
        }
        let unknown = [
            ("v1", "Pod"),
            ("v1", "Broker"),
            ("eventing.knative.dev/v1", "Broker"),
            ("serving.knative.dev/v1", "Service"),
            ("events.k8s.io/v1beta1", "Event"),
            ("v2", "ConfigMap"),
            ("v1", "configmap"),
            ("v1", ""),
            ("", "ConfigMap"),
        ];
        for (api_version, kind) in unknown {
            assert!(find(api_version, kind).is_none(), "{api_version} {kind}");
        }
        for api_version in ["v1", "meta.k8s.io/v1", "serving.knative.dev/v1", ""] {
            assert!(find(api_version, "DeleteOptions").is_some(), "{api_version}");
        }
    }
}
