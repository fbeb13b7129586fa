//! The fields of the kinds of Knative Serving. Fields of a Pod that have no meaning here are named, so that who writes
//! one reads that it is not supported and does not look for a misspelling.

use super::Shape::{Ignored, Int, IntOrText, List, Object, Quantities, Refused, Same, Text, Texts};
use super::{METADATA, REFERENCE, Shape};

const NO_FIELD: Shape = Refused("this field is not supported here");
const NO_SECRETS: Shape =
    Refused("secrets and config maps do not exist here yet; write the value itself, with name and value");
const NO_VOLUMES: Shape = Refused("volumes are not supported here");
const NO_TLS: Shape = Refused("certificates of one's own are not supported here yet");
const NO_HEADERS: Shape = Refused("a probe cannot send headers of its own here");

static HTTP_GET: Shape =
    Object(&[("path", Text), ("port", IntOrText), ("host", Text), ("scheme", Text), ("httpHeaders", NO_HEADERS)]);
static PROBE: Shape = Object(&[
    ("httpGet", Same(&HTTP_GET)),
    ("tcpSocket", Object(&[("port", IntOrText), ("host", NO_FIELD)])),
    ("grpc", Object(&[("port", Int(32)), ("service", Text)])),
    ("exec", Object(&[("command", List(&Text))])),
    ("initialDelaySeconds", Int(32)),
    ("periodSeconds", Int(32)),
    ("timeoutSeconds", Int(32)),
    ("successThreshold", Int(32)),
    ("failureThreshold", Int(32)),
    ("terminationGracePeriodSeconds", NO_FIELD),
]);
static ENV_VAR: Shape = Object(&[("name", Text), ("value", Text), ("valueFrom", NO_SECRETS)]);
static PORT: Shape = Object(&[
    ("name", Text),
    ("containerPort", Int(32)),
    ("protocol", Text),
    ("hostPort", NO_FIELD),
    ("hostIP", NO_FIELD),
]);
static RESOURCES: Shape = Object(&[("limits", Quantities), ("requests", Quantities), ("claims", NO_FIELD)]);
static CONTAINER: Shape = Object(&[
    ("name", Text),
    ("image", Text),
    ("command", List(&Text)),
    ("args", List(&Text)),
    ("env", List(&ENV_VAR)),
    ("workingDir", Text),
    ("ports", List(&PORT)),
    ("readinessProbe", Same(&PROBE)),
    ("livenessProbe", Same(&PROBE)),
    ("startupProbe", Same(&PROBE)),
    ("resources", Same(&RESOURCES)),
    ("imagePullPolicy", Text),
    ("envFrom", NO_SECRETS),
    ("lifecycle", NO_FIELD),
    ("resizePolicy", NO_FIELD),
    ("restartPolicy", NO_FIELD),
    ("securityContext", NO_FIELD),
    ("stdin", NO_FIELD),
    ("stdinOnce", NO_FIELD),
    ("terminationMessagePath", NO_FIELD),
    ("terminationMessagePolicy", NO_FIELD),
    ("tty", NO_FIELD),
    ("volumeDevices", NO_VOLUMES),
    ("volumeMounts", NO_VOLUMES),
]);
static REVISION_SPEC: Shape = Object(&[
    ("containers", List(&CONTAINER)),
    ("containerConcurrency", Int(64)),
    ("timeoutSeconds", Int(64)),
    ("responseStartTimeoutSeconds", Int(64)),
    ("idleTimeoutSeconds", Int(64)),
    // Knative fills it in, and manifests taken from a cluster have it. There are no links here either way.
    ("enableServiceLinks", Ignored),
    ("activeDeadlineSeconds", NO_FIELD),
    ("affinity", NO_FIELD),
    ("automountServiceAccountToken", NO_FIELD),
    ("dnsConfig", NO_FIELD),
    ("dnsPolicy", NO_FIELD),
    ("ephemeralContainers", NO_FIELD),
    ("hostAliases", NO_FIELD),
    ("hostIPC", NO_FIELD),
    ("hostNetwork", NO_FIELD),
    ("hostPID", NO_FIELD),
    ("hostname", NO_FIELD),
    ("imagePullSecrets", NO_FIELD),
    ("initContainers", NO_FIELD),
    ("nodeName", NO_FIELD),
    ("nodeSelector", NO_FIELD),
    ("priorityClassName", NO_FIELD),
    ("restartPolicy", NO_FIELD),
    ("runtimeClassName", NO_FIELD),
    ("schedulerName", NO_FIELD),
    ("securityContext", NO_FIELD),
    ("serviceAccountName", NO_FIELD),
    ("shareProcessNamespace", NO_FIELD),
    ("subdomain", NO_FIELD),
    ("terminationGracePeriodSeconds", Refused("an instance has timeoutSeconds to stop; set that")),
    ("tolerations", NO_FIELD),
    ("topologySpreadConstraints", NO_FIELD),
    ("volumes", NO_VOLUMES),
]);
static TEMPLATE: Shape = Object(&[
    ("metadata", Object(&[("name", Text), ("labels", Texts), ("annotations", Texts), ("creationTimestamp", Ignored)])),
    ("spec", Same(&REVISION_SPEC)),
]);
static TRAFFIC: Shape = List(&Object(&[
    ("tag", Text),
    ("revisionName", Text),
    ("configurationName", Text),
    ("latestRevision", Shape::Bool),
    ("percent", Int(64)),
    ("url", Text),
]));
static SERVICE_SPEC: Shape = Object(&[("template", Same(&TEMPLATE)), ("traffic", Same(&TRAFFIC))]);
static CONFIGURATION_SPEC: Shape = Object(&[("template", Same(&TEMPLATE))]);
static ROUTE_SPEC: Shape = Object(&[("traffic", Same(&TRAFFIC))]);
static DOMAIN_MAPPING_SPEC: Shape = Object(&[("ref", Same(&REFERENCE)), ("tls", NO_TLS)]);

macro_rules! kind {
    ($name:ident, $spec:ident) => {
        pub(super) static $name: Shape = Object(&[
            ("apiVersion", Text),
            ("kind", Text),
            ("metadata", Same(&METADATA)),
            ("spec", Same(&$spec)),
            ("status", Ignored),
        ]);
    };
}

kind!(SERVICE, SERVICE_SPEC);
kind!(CONFIGURATION, CONFIGURATION_SPEC);
kind!(REVISION, REVISION_SPEC);
kind!(ROUTE, ROUTE_SPEC);
kind!(DOMAIN_MAPPING, DOMAIN_MAPPING_SPEC);
