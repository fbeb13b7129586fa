//! The table of kinds: routing, discovery, tables, OpenAPI and the list of CustomResourceDefinitions all come from it.

use pelton_resource::Kind;

/// Where the objects of a row come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The registry has them.
    Stored(Kind),
    /// The registry's core Events in the words of `events.k8s.io/v1`.
    NewEvents,
    /// They are made from this table and cannot be written.
    Definitions,
    /// Nothing is kept: what is posted is answered.
    Review(Review),
}

/// A question that is asked by posting an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review {
    /// `kubectl auth can-i`
    SelfSubjectAccess,
    /// `kubectl auth can-i --list`
    SelfSubjectRules,
    /// `kubectl auth whoami`
    SelfSubject,
}

/// How a column's value is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Text as it is.
    String,
    /// A whole number.
    Integer,
    /// A time, shown as the age that it has.
    Date,
    /// How many entries the map or list has.
    Count,
}

/// One column of `kubectl get` behind the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// As upstream writes it; kubectl makes it upper-case.
    pub name: &'static str,
    /// How it is shown.
    pub ty: ColumnType,
    /// Where the value is: `.status.url`, `.metadata.labels['a.b/c']`, `.status.conditions[?(@.type=="Ready")].status`. Of
    /// several separated by `|` the first that is there, or the sum of all where entries are counted.
    pub path: &'static str,
    /// Only with `-o wide`.
    pub wide: bool,
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The API group; empty for the core one.
    pub group: &'static str,
    /// Its version, which is the only one.
    pub version: &'static str,
    /// The name in manifests: `Broker`.
    pub kind: &'static str,
    /// The name in paths: `brokers`.
    pub plural: &'static str,
    /// The name of one: `broker`.
    pub singular: &'static str,
    /// Shorter names for kubectl.
    pub short_names: &'static [&'static str],
    /// Groups of kinds that kubectl can ask for at once: `all`, `knative`.
    pub categories: &'static [&'static str],
    /// Whether its objects are in namespaces.
    pub is_namespaced: bool,
    /// Whether `/status` is written apart.
    pub has_status: bool,
    /// What may be done.
    pub verbs: &'static [&'static str],
    /// The columns behind the name.
    pub columns: &'static [Column],
    /// Where its objects come from.
    pub store: Store,
    /// What `kubectl explain` says of the kind.
    pub description: &'static str,
}

const ALL_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const READ: &[&str] = &["get", "list", "watch"];
const CREATE: &[&str] = &["create"];
const KNATIVE: &[&str] = &["all", "knative", "eventing"];
const SERVING: &[&str] = &["all", "knative", "serving"];

const fn text(name: &'static str, path: &'static str) -> Column {
    Column { name, ty: ColumnType::String, path, wide: false }
}

const fn wide(name: &'static str, path: &'static str) -> Column {
    Column { name, ty: ColumnType::String, path, wide: true }
}

const fn number(name: &'static str, path: &'static str) -> Column {
    Column { name, ty: ColumnType::Integer, path, wide: false }
}

const fn count(name: &'static str, path: &'static str) -> Column {
    Column { name, ty: ColumnType::Count, path, wide: false }
}

const fn date(name: &'static str, path: &'static str) -> Column {
    Column { name, ty: ColumnType::Date, path, wide: false }
}

const AGE: Column = date("Age", ".metadata.creationTimestamp");
const READY: Column = text("Ready", r#".status.conditions[?(@.type=="Ready")].status"#);
const REASON: Column = text("Reason", r#".status.conditions[?(@.type=="Ready")].reason"#);
const URL: Column = text("URL", ".status.url");

const CORE: Row = Row {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    singular: "",
    short_names: &[],
    categories: &[],
    is_namespaced: true,
    has_status: false,
    verbs: ALL_VERBS,
    columns: &[AGE],
    store: Store::Definitions,
    description: "",
};
const EVENTING: Row = Row { group: "eventing.knative.dev", categories: KNATIVE, has_status: true, ..CORE };
const SERVING_V1: Row = Row { group: "serving.knative.dev", categories: SERVING, has_status: true, ..CORE };
const VIRTUAL: Row = Row { is_namespaced: false, verbs: CREATE, columns: &[], ..CORE };

/// Every kind that is served.
pub static ROWS: &[Row] = &[
    Row {
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        short_names: &["ns"],
        is_namespaced: false,
        has_status: true,
        columns: &[text("Status", ".status.phase"), AGE],
        store: Store::Stored(Kind::Namespace),
        description: "Namespace provides a scope for names: within one, a name is used once for each kind.",
        ..CORE
    },
    Row {
        kind: "ConfigMap",
        plural: "configmaps",
        singular: "configmap",
        short_names: &["cm"],
        columns: &[count("Data", ".data|.binaryData"), AGE],
        store: Store::Stored(Kind::ConfigMap),
        description: "ConfigMap holds configuration for others to read.",
        ..CORE
    },
    Row {
        kind: "Secret",
        plural: "secrets",
        singular: "secret",
        columns: &[text("Type", ".type"), count("Data", ".data"), AGE],
        store: Store::Stored(Kind::Secret),
        description: "Secret holds data that is not for everybody's eyes. Values are base64.",
        ..CORE
    },
    Row {
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        singular: "serviceaccount",
        short_names: &["sa"],
        columns: &[count("Secrets", ".secrets"), AGE],
        store: Store::Stored(Kind::ServiceAccount),
        description: "ServiceAccount names a program that calls this API; tokens are made for it.",
        ..CORE
    },
    Row {
        kind: "Service",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        categories: &["all"],
        columns: &[text("Type", ".spec.type"), text("External-IP", ".spec.externalName"), AGE],
        store: Store::Stored(Kind::CoreService),
        description: "Service of type ExternalName: another name for a host, so that a Trigger can refer to it.",
        ..CORE
    },
    Row {
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        columns: EVENT_COLUMNS,
        store: Store::Stored(Kind::Event),
        description: "Event tells what happened to an object. It is kept for an hour.",
        ..CORE
    },
    Row {
        group: "events.k8s.io",
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        columns: NEW_EVENT_COLUMNS,
        store: Store::NewEvents,
        description: "Event tells what happened to an object. It is kept for an hour.",
        ..CORE
    },
    Row {
        kind: "Broker",
        plural: "brokers",
        singular: "broker",
        columns: &[
            text("URL", ".status.address.url"),
            AGE,
            READY,
            REASON,
            wide("Class", ".metadata.annotations['eventing.knative.dev/broker.class']"),
        ],
        store: Store::Stored(Kind::Broker),
        description: "Broker takes events in, keeps them, and hands them to the Triggers that ask for them.",
        ..EVENTING
    },
    Row {
        kind: "Trigger",
        plural: "triggers",
        singular: "trigger",
        columns: &[
            text("Broker", ".spec.broker|.spec.brokerRef.name"),
            text("Subscriber_URI", ".status.subscriberUri"),
            AGE,
            READY,
            REASON,
        ],
        store: Store::Stored(Kind::Trigger),
        description: "Trigger asks a Broker for the events that pass its filter, and names who gets them.",
        ..EVENTING
    },
    Row {
        kind: "Service",
        plural: "services",
        singular: "service",
        short_names: &["kservice", "ksvc"],
        columns: &[
            URL,
            text("LatestCreated", ".status.latestCreatedRevisionName"),
            text("LatestReady", ".status.latestReadyRevisionName"),
            READY,
            REASON,
        ],
        store: Store::Stored(Kind::Service),
        description: "Service is a Configuration and a Route under one name: what is run, and who answers at its address.",
        ..SERVING_V1
    },
    Row {
        kind: "Configuration",
        plural: "configurations",
        singular: "configuration",
        short_names: &["config", "cfg"],
        columns: &[
            text("LatestCreated", ".status.latestCreatedRevisionName"),
            text("LatestReady", ".status.latestReadyRevisionName"),
            READY,
            REASON,
        ],
        store: Store::Stored(Kind::Configuration),
        description: "Configuration makes a Revision of each change of its template.",
        ..SERVING_V1
    },
    Row {
        kind: "Revision",
        plural: "revisions",
        singular: "revision",
        short_names: &["rev"],
        columns: &[
            text("Config Name", ".metadata.labels['serving.knative.dev/configuration']"),
            text("Generation", ".metadata.labels['serving.knative.dev/configurationGeneration']"),
            READY,
            REASON,
            number("Actual Replicas", ".status.actualReplicas"),
            number("Desired Replicas", ".status.desiredReplicas"),
        ],
        store: Store::Stored(Kind::Revision),
        description: "Revision is one unchanging version of what is run.",
        ..SERVING_V1
    },
    Row {
        kind: "Route",
        plural: "routes",
        singular: "route",
        short_names: &["rt"],
        columns: &[URL, READY, REASON],
        store: Store::Stored(Kind::Route),
        description: "Route says which Revisions answer at its hosts, and in which shares.",
        ..SERVING_V1
    },
    Row {
        version: "v1beta1",
        kind: "DomainMapping",
        plural: "domainmappings",
        singular: "domainmapping",
        short_names: &["dm"],
        columns: &[URL, READY, REASON],
        store: Store::Stored(Kind::DomainMapping),
        description: "DomainMapping gives a Service or Route a domain of one's own.",
        ..SERVING_V1
    },
    Row {
        group: "apiextensions.k8s.io",
        kind: "CustomResourceDefinition",
        plural: "customresourcedefinitions",
        singular: "customresourcedefinition",
        short_names: &["crd", "crds"],
        is_namespaced: false,
        verbs: READ,
        columns: &[date("Created At", ".metadata.creationTimestamp")],
        store: Store::Definitions,
        description: "CustomResourceDefinition describes a kind that this server has. The list is made from what it has.",
        ..CORE
    },
    Row {
        group: "authorization.k8s.io",
        kind: "SelfSubjectAccessReview",
        plural: "selfsubjectaccessreviews",
        singular: "selfsubjectaccessreview",
        store: Store::Review(Review::SelfSubjectAccess),
        description: "SelfSubjectAccessReview asks whether the caller may do something.",
        ..VIRTUAL
    },
    Row {
        group: "authorization.k8s.io",
        kind: "SelfSubjectRulesReview",
        plural: "selfsubjectrulesreviews",
        singular: "selfsubjectrulesreview",
        store: Store::Review(Review::SelfSubjectRules),
        description: "SelfSubjectRulesReview asks for all that the caller may do in a namespace.",
        ..VIRTUAL
    },
    Row {
        group: "authentication.k8s.io",
        kind: "SelfSubjectReview",
        plural: "selfsubjectreviews",
        singular: "selfsubjectreview",
        store: Store::Review(Review::SelfSubject),
        description: "SelfSubjectReview asks who the caller is.",
        ..VIRTUAL
    },
];

const EVENT_COLUMNS: &[Column] = &[
    date("Last Seen", ".lastTimestamp|.eventTime|.firstTimestamp|.metadata.creationTimestamp"),
    text("Type", ".type"),
    text("Reason", ".reason"),
    text("Object", ".involvedObject"),
    text("Message", ".message"),
];

const NEW_EVENT_COLUMNS: &[Column] = &[
    date("Last Seen", ".deprecatedLastTimestamp|.eventTime|.deprecatedFirstTimestamp|.metadata.creationTimestamp"),
    text("Type", ".type"),
    text("Reason", ".reason"),
    text("Object", ".regarding"),
    text("Message", ".note"),
];

impl Row {
    /// `v1`, or `eventing.knative.dev/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `brokers.eventing.knative.dev`, as messages call the kind.
    #[must_use]
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Whether it may be done.
    #[must_use]
    pub fn may(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }
}

/// The row of that group, version and plural.
#[must_use]
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| (row.group, row.version, row.plural) == (group, version, plural))
}

/// The group versions that are served, in the order of the table, each once.
pub fn group_versions() -> Vec<(&'static str, &'static str)> {
    let mut all = Vec::new();
    for row in ROWS {
        if !all.contains(&(row.group, row.version)) {
            all.push((row.group, row.version));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_kind_has_one_row_whose_names_are_its_own() {
        for kind in Kind::ALL {
            let rows: Vec<_> = ROWS.iter().filter(|row| row.store == Store::Stored(kind)).collect();
            assert_eq!(rows.len(), 1, "{kind:?}");
            assert_eq!((rows[0].api_version().as_str(), rows[0].kind), (kind.api_version(), kind.as_str()));
            assert_eq!((rows[0].plural, rows[0].is_namespaced), (kind.plural(), kind.is_namespaced()), "{kind:?}");
        }
        for row in ROWS {
            assert_eq!(find(row.group, row.version, row.plural), Some(row));
            assert!(!row.description.is_empty(), "{}", row.kind);
        }
    }
}
