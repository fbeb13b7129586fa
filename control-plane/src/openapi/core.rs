//! The core kinds, and the Events of `events.k8s.io`.

use super::short::Type::{Any, Bool, Bytes, Int32, IntOrText, List, ListBy, Map, Named, Text, Time};
use super::short::{Schema, field, required};

macro_rules! named {
    ($name:literal) => {
        concat!("io.k8s.api.core.v1.", $name)
    };
}

const OBJECT_REFERENCE: &str = named!("ObjectReference");
const LOCAL_REFERENCE: &str = named!("LocalObjectReference");
const EVENT_SOURCE: &str = named!("EventSource");
const NEW_EVENT_SERIES: &str = "io.k8s.api.events.v1.EventSeries";

pub(super) static SCHEMAS: &[Schema] = &[
    Schema {
        name: named!("Namespace"),
        description: "",
        fields: &[
            field("spec", Named(named!("NamespaceSpec")), "What is wanted."),
            field("status", Named(named!("NamespaceStatus")), "What is. The server writes it."),
        ],
    },
    Schema {
        name: named!("NamespaceSpec"),
        description: "NamespaceSpec is what is wanted of a Namespace.",
        fields: &[field("finalizers", List(&Text), "Who has work to do before it may go.")],
    },
    Schema {
        name: named!("NamespaceStatus"),
        description: "NamespaceStatus is what is true of a Namespace.",
        fields: &[field("phase", Text, "Active, or Terminating while what is in it is being deleted.")],
    },
    Schema {
        name: named!("ConfigMap"),
        description: "",
        fields: &[
            field("data", Map(&Text), "Texts by name."),
            field("binaryData", Map(&Bytes), "Any bytes by name, in base64. No name stands in data as well."),
            field("immutable", Bool, "Whether the data can no longer be changed. This cannot be taken back."),
        ],
    },
    Schema {
        name: named!("Secret"),
        description: "",
        fields: &[
            field("data", Map(&Bytes), "Any bytes by name, in base64."),
            field("stringData", Map(&Text), "Texts by name, which the server puts into data. They are never read."),
            field("type", Text, "For whom it is. Opaque when it is not said. It cannot be changed."),
            field("immutable", Bool, "Whether the data can no longer be changed. This cannot be taken back."),
        ],
    },
    Schema {
        name: named!("ServiceAccount"),
        description: "",
        fields: &[
            field(
                "secrets",
                ListBy("name", &Named(OBJECT_REFERENCE)),
                "Secrets that belong to it. Kept for other tools.",
            ),
            field(
                "imagePullSecrets",
                ListBy("name", &Named(LOCAL_REFERENCE)),
                "Secrets for fetching images. Kept for other tools.",
            ),
            field("automountServiceAccountToken", Bool, "Whether Pods get its token. Kept for other tools."),
        ],
    },
    Schema {
        name: named!("Service"),
        description: "",
        fields: &[
            field("spec", Named(named!("ServiceSpec")), "What is wanted."),
            field("status", Named(named!("ServiceStatus")), "What is. The server writes it."),
        ],
    },
    Schema {
        name: named!("ServiceSpec"),
        description: "ServiceSpec names the host that a Service stands for.",
        fields: &[
            field("type", Text, "ExternalName. No other type is taken: there are no Pods to choose from."),
            field("externalName", Text, "The name of the host."),
            field(
                "ports",
                ListBy("port", &Named(named!("ServicePort"))),
                "The first one is the port that events are sent to; 443 is asked by https. Missing: 80.",
            ),
            field("selector", Map(&Text), "Kept for other tools, and not used."),
            field("sessionAffinity", Text, "Kept for other tools, and not used."),
            field("clusterIP", Text, "Kept for other tools, and not used."),
            field("clusterIPs", List(&Text), "Kept for other tools, and not used."),
            field("externalIPs", List(&Text), "Kept for other tools, and not used."),
            field("ipFamilies", List(&Text), "Kept for other tools, and not used."),
            field("ipFamilyPolicy", Text, "Kept for other tools, and not used."),
            field("internalTrafficPolicy", Text, "Kept for other tools, and not used."),
            field("externalTrafficPolicy", Text, "Kept for other tools, and not used."),
            field("publishNotReadyAddresses", Bool, "Kept for other tools, and not used."),
        ],
    },
    Schema {
        name: named!("ServicePort"),
        description: "ServicePort is one port of a Service.",
        fields: &[
            field("name", Text, "Its name."),
            field("protocol", Text, "Its protocol; TCP is the only one used here."),
            field("appProtocol", Text, "What is spoken there. Kept for other tools."),
            required("port", Int32, "The number, 1 to 65535."),
            field("targetPort", IntOrText, "Kept for other tools, and not used."),
            field("nodePort", Int32, "Kept for other tools, and not used."),
        ],
    },
    Schema {
        name: named!("ServiceStatus"),
        description: "ServiceStatus is what is true of a Service.",
        fields: &[field("loadBalancer", Any, "Always empty here.")],
    },
    Schema {
        name: named!("Event"),
        description: "",
        fields: &[
            required("involvedObject", Named(OBJECT_REFERENCE), "The object that it happened to."),
            field("related", Named(OBJECT_REFERENCE), "Another object that had to do with it."),
            field("reason", Text, "What happened, in one CamelCase word."),
            field("message", Text, "What happened, for people."),
            field("type", Text, "Normal or Warning."),
            field("action", Text, "What was being done."),
            field("source", Named(EVENT_SOURCE), "Who tells it."),
            field("reportingComponent", Text, "Who tells it, by name."),
            field("reportingInstance", Text, "Which instance of it."),
            field("count", Int32, "How often it happened."),
            field("firstTimestamp", Time, "When it happened first."),
            field("lastTimestamp", Time, "When it happened last."),
            field("eventTime", Time, "When it was seen first, to the microsecond."),
            field("series", Named(named!("EventSeries")), "How it went on."),
        ],
    },
    Schema {
        name: EVENT_SOURCE,
        description: "EventSource is who tells of an event.",
        fields: &[field("component", Text, "Its name."), field("host", Text, "Where it runs.")],
    },
    Schema {
        name: named!("EventSeries"),
        description: "EventSeries is how an event went on.",
        fields: &[
            field("count", Int32, "How often it happened."),
            field("lastObservedTime", Time, "When it happened last."),
        ],
    },
    Schema {
        name: OBJECT_REFERENCE,
        description: "ObjectReference names an object of any kind.",
        fields: &[
            field("kind", Text, "What it is."),
            field("namespace", Text, "Where it is."),
            field("name", Text, "Its name."),
            field("uid", Text, "Its uid."),
            field("apiVersion", Text, "The group and version of its kind."),
            field("resourceVersion", Text, "Which version of it is meant."),
            field("fieldPath", Text, "Which part of it is meant."),
        ],
    },
    Schema {
        name: LOCAL_REFERENCE,
        description: "LocalObjectReference names an object in the same namespace.",
        fields: &[field("name", Text, "Its name.")],
    },
    Schema {
        name: "io.k8s.api.events.v1.Event",
        description: "",
        fields: &[
            required("eventTime", Time, "When it was seen first, to the microsecond."),
            field("series", Named(NEW_EVENT_SERIES), "How it went on."),
            field("reportingController", Text, "Who tells it, by name."),
            field("reportingInstance", Text, "Which instance of it."),
            field("action", Text, "What was being done."),
            field("reason", Text, "What happened, in one CamelCase word."),
            field("regarding", Named(OBJECT_REFERENCE), "The object that it happened to."),
            field("related", Named(OBJECT_REFERENCE), "Another object that had to do with it."),
            field("note", Text, "What happened, for people."),
            field("type", Text, "Normal or Warning."),
            field("deprecatedSource", Named(EVENT_SOURCE), "source of the core kind."),
            field("deprecatedFirstTimestamp", Time, "firstTimestamp of the core kind."),
            field("deprecatedLastTimestamp", Time, "lastTimestamp of the core kind."),
            field("deprecatedCount", Int32, "count of the core kind."),
        ],
    },
    Schema {
        name: NEW_EVENT_SERIES,
        description: "EventSeries is how an event went on.",
        fields: &[
            required("count", Int32, "How often it happened."),
            required("lastObservedTime", Time, "When it happened last."),
        ],
    },
];
