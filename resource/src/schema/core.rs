//! The fields of the core kinds.

use super::METADATA;
use super::Shape::{self, Any, Bool, Int, IntOrText, List, Object, Same, Text, Texts};

/// A reference of a core Event, and of a ServiceAccount to Secrets.
static OBJECT_REFERENCE: Shape = Object(&[
    ("kind", Text),
    ("namespace", Text),
    ("name", Text),
    ("uid", Text),
    ("apiVersion", Text),
    ("resourceVersion", Text),
    ("fieldPath", Text),
]);
static LOCAL_REFERENCE: Shape = Object(&[("name", Text)]);
static SERVICE_PORT: Shape = Object(&[
    ("name", Text),
    ("protocol", Text),
    ("appProtocol", Text),
    ("port", Int(32)),
    ("targetPort", IntOrText),
    ("nodePort", Int(32)),
]);
static EVENT_SOURCE: Shape = Object(&[("component", Text), ("host", Text)]);

pub(super) static NAMESPACE: Shape = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", Same(&METADATA)),
    ("spec", Object(&[("finalizers", List(&Text))])),
    ("status", Any),
]);
pub(super) static CONFIG_MAP: Shape = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", Same(&METADATA)),
    ("data", Texts),
    ("binaryData", Texts),
    ("immutable", Bool),
]);
pub(super) static SECRET: Shape = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", Same(&METADATA)),
    ("data", Texts),
    ("stringData", Texts),
    ("type", Text),
    ("immutable", Bool),
]);
pub(super) static SERVICE_ACCOUNT: Shape = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", Same(&METADATA)),
    ("secrets", List(&OBJECT_REFERENCE)),
    ("imagePullSecrets", List(&LOCAL_REFERENCE)),
    ("automountServiceAccountToken", Bool),
]);
/// Its rules refuse what is not of type ExternalName; the fields of the others are known so that they say so.
pub(super) static CORE_SERVICE: Shape = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", Same(&METADATA)),
    (
        "spec",
        Object(&[
            ("type", Text),
            ("externalName", Text),
            ("ports", List(&SERVICE_PORT)),
            ("selector", Texts),
            ("sessionAffinity", Text),
            ("clusterIP", Text),
            ("clusterIPs", List(&Text)),
            ("externalIPs", List(&Text)),
            ("ipFamilies", List(&Text)),
            ("ipFamilyPolicy", Text),
            ("internalTrafficPolicy", Text),
            ("externalTrafficPolicy", Text),
            ("publishNotReadyAddresses", Bool),
        ]),
    ),
    ("status", Any),
]);
pub(super) static EVENT: Shape = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", Same(&METADATA)),
    ("involvedObject", Same(&OBJECT_REFERENCE)),
    ("related", Same(&OBJECT_REFERENCE)),
    ("reason", Text),
    ("message", Text),
    ("source", Same(&EVENT_SOURCE)),
    ("firstTimestamp", Text),
    ("lastTimestamp", Text),
    ("eventTime", Text),
    ("count", Int(32)),
    ("type", Text),
    ("action", Text),
    ("reportingComponent", Text),
    ("reportingInstance", Text),
    ("series", Object(&[("count", Int(32)), ("lastObservedTime", Text)])),
]);
