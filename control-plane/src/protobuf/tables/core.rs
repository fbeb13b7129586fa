//! Kinds of the core group (`k8s.io/api/core/v1`).

use super::{CONDITION, METADATA};
use crate::protobuf::message::Shape::{Bool, BytesMap, Int32, IntOrText, Object, Objects, Text, TextMap, Texts, Time};
use crate::protobuf::message::{Field, field, optional};

pub(super) const CONFIG_MAP: &[Field] = &[
    field(1, "metadata", Object(METADATA)),
    field(2, "data", TextMap),
    field(3, "binaryData", BytesMap),
    optional(4, "immutable", Bool),
];

pub(super) const SECRET: &[Field] = &[
    field(1, "metadata", Object(METADATA)),
    field(2, "data", BytesMap),
    field(3, "type", Text),
    field(4, "stringData", TextMap),
    optional(5, "immutable", Bool),
];

pub(super) const NAMESPACE: &[Field] = &[
    field(1, "metadata", Object(METADATA)),
    field(2, "spec", Object(&[field(1, "finalizers", Texts)])),
    field(3, "status", Object(NAMESPACE_STATUS)),
];

const NAMESPACE_STATUS: &[Field] = &[field(1, "phase", Text), field(2, "conditions", Objects(NAMESPACE_CONDITION))];

const NAMESPACE_CONDITION: &[Field] = &[
    field(1, "type", Text),
    field(2, "status", Text),
    field(4, "lastTransitionTime", Time),
    field(5, "reason", Text),
    field(6, "message", Text),
];

pub(super) const SERVICE_ACCOUNT: &[Field] = &[
    field(1, "metadata", Object(METADATA)),
    field(2, "secrets", Objects(OBJECT_REFERENCE)),
    field(3, "imagePullSecrets", Objects(&[field(1, "name", Text)])),
    optional(4, "automountServiceAccountToken", Bool),
];

pub(super) const OBJECT_REFERENCE: &[Field] = &[
    field(1, "kind", Text),
    field(2, "namespace", Text),
    field(3, "name", Text),
    field(4, "uid", Text),
    field(5, "apiVersion", Text),
    field(6, "resourceVersion", Text),
    field(7, "fieldPath", Text),
];

pub(super) const SERVICE: &[Field] = &[
    field(1, "metadata", Object(METADATA)),
    field(2, "spec", Object(SERVICE_SPEC)),
    field(3, "status", Object(SERVICE_STATUS)),
];

const SERVICE_SPEC: &[Field] = &[
    field(1, "ports", Objects(SERVICE_PORT)),
    field(2, "selector", TextMap),
    field(3, "clusterIP", Text),
    field(4, "type", Text),
    field(5, "externalIPs", Texts),
    field(7, "sessionAffinity", Text),
    field(8, "loadBalancerIP", Text),
    field(9, "loadBalancerSourceRanges", Texts),
    field(10, "externalName", Text),
    field(11, "externalTrafficPolicy", Text),
    field(12, "healthCheckNodePort", Int32),
    field(13, "publishNotReadyAddresses", Bool),
    field(14, "sessionAffinityConfig", Object(&[field(1, "clientIP", Object(CLIENT_IP))])),
    optional(17, "ipFamilyPolicy", Text),
    field(18, "clusterIPs", Texts),
    field(19, "ipFamilies", Texts),
    optional(20, "allocateLoadBalancerNodePorts", Bool),
    optional(21, "loadBalancerClass", Text),
    optional(22, "internalTrafficPolicy", Text),
    optional(23, "trafficDistribution", Text),
];

const CLIENT_IP: &[Field] = &[optional(1, "timeoutSeconds", Int32)];

const SERVICE_PORT: &[Field] = &[
    field(1, "name", Text),
    field(2, "protocol", Text),
    optional(3, "port", Int32),
    // Go writes 0 for none, and reads 0 as none.
    field(4, "targetPort", IntOrText),
    field(5, "nodePort", Int32),
    optional(6, "appProtocol", Text),
];

const SERVICE_STATUS: &[Field] = &[
    field(1, "loadBalancer", Object(&[field(1, "ingress", Objects(LOAD_BALANCER_INGRESS))])),
    field(2, "conditions", Objects(CONDITION)),
];

const LOAD_BALANCER_INGRESS: &[Field] = &[
    field(1, "ip", Text),
    field(2, "hostname", Text),
    optional(3, "ipMode", Text),
    field(4, "ports", Objects(PORT_STATUS)),
];

const PORT_STATUS: &[Field] = &[optional(1, "port", Int32), field(2, "protocol", Text), optional(3, "error", Text)];
