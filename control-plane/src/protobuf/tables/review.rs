//! What is asked by posting an object (`k8s.io/api/authorization/v1` and `k8s.io/api/authentication/v1`).

use super::METADATA;
use crate::protobuf::message::Shape::{Int64, Object, Objects, Text, Texts};
use crate::protobuf::message::{Field, field, optional};

pub(super) const SELF_SUBJECT_ACCESS_REVIEW: &[Field] =
    &[field(1, "metadata", Object(METADATA)), field(2, "spec", Object(ACCESS_SPEC))];

const ACCESS_SPEC: &[Field] = &[
    field(1, "resourceAttributes", Object(RESOURCE_ATTRIBUTES)),
    field(2, "nonResourceAttributes", Object(&[field(1, "path", Text), field(2, "verb", Text)])),
];

const RESOURCE_ATTRIBUTES: &[Field] = &[
    field(1, "namespace", Text),
    field(2, "verb", Text),
    field(3, "group", Text),
    field(4, "version", Text),
    field(5, "resource", Text),
    field(6, "subresource", Text),
    field(7, "name", Text),
    field(8, "fieldSelector", Object(SELECTOR)),
    field(9, "labelSelector", Object(SELECTOR)),
];

/// The selectors of fields and of labels have the same fields.
const SELECTOR: &[Field] = &[field(1, "rawSelector", Text), field(2, "requirements", Objects(REQUIREMENT))];

const REQUIREMENT: &[Field] = &[field(1, "key", Text), field(2, "operator", Text), field(3, "values", Texts)];

pub(super) const SELF_SUBJECT_RULES_REVIEW: &[Field] =
    &[field(1, "metadata", Object(METADATA)), field(2, "spec", Object(&[field(1, "namespace", Text)]))];

pub(super) const SELF_SUBJECT_REVIEW: &[Field] = &[field(1, "metadata", Object(METADATA))];

pub(super) const TOKEN_REQUEST: &[Field] =
    &[field(1, "metadata", Object(METADATA)), field(2, "spec", Object(TOKEN_REQUEST_SPEC))];

const TOKEN_REQUEST_SPEC: &[Field] = &[
    field(1, "audiences", Texts),
    field(3, "boundObjectRef", Object(BOUND_OBJECT_REFERENCE)),
    optional(4, "expirationSeconds", Int64),
];

const BOUND_OBJECT_REFERENCE: &[Field] =
    &[field(1, "kind", Text), field(2, "apiVersion", Text), field(3, "name", Text), field(4, "uid", Text)];
