//! The list of what can be configured.

/// One thing that can be configured.
#[derive(Debug)]
pub struct Key {
    /// Its name: the flag without `--`, and the member of the configuration file.
    pub name: &'static str,
    /// A short flag.
    pub short: Option<char>,
    /// Another name of the flag, without `--`.
    pub alias: Option<&'static str>,
    /// What stands for the value in help texts.
    pub value_name: &'static str,
    /// The value when none is given. Written here and nowhere else.
    pub default: Option<&'static str>,
    /// How many values it takes.
    pub shape: Shape,
    /// Which commands take it.
    pub scope: Scope,
    /// One sentence for the help text and the documentation.
    pub help: &'static str,
}

/// How many values a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One.
    One,
    /// `true` or `false`; the flag alone means `true`.
    Switch,
    /// Several: the flag is repeated, the file has a list, the environment separates them by commas.
    List,
    /// Several, separated by commas wherever they are written; otherwise as [`Shape::List`].
    Commas,
}

/// Which commands take a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `pelton up` and `pelton server`.
    All,
    /// `pelton server` alone: it is about other nodes.
    Server,
}

impl Key {
    const fn one(name: &'static str, value_name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self { default: Some(default), ..Self::optional(name, value_name, help) }
    }

    const fn optional(name: &'static str, value_name: &'static str, help: &'static str) -> Self {
        Self { name, short: None, alias: None, value_name, default: None, shape: Shape::One, scope: Scope::All, help }
    }

    const fn list(name: &'static str, value_name: &'static str, help: &'static str) -> Self {
        Self { shape: Shape::List, ..Self::optional(name, value_name, help) }
    }

    const fn server(self) -> Self {
        Self { scope: Scope::Server, ..self }
    }

    /// Whether it takes several values.
    #[must_use]
    pub fn is_list(&self) -> bool {
        matches!(self.shape, Shape::List | Shape::Commas)
    }

    /// The environment variable: `PELTON_INGRESS_LISTEN`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("PELTON_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// The key of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }
}

/// Every key, in the order of the help text.
pub const KEYS: &[Key] = &[
    Key {
        short: Some('f'),
        ..Key::list("file", "FILE_OR_DIR", "Resources (YAML or JSON) to apply before anything is accepted")
    },
    Key::one("data", "DIR", "./pelton-data", "Where the log and the registry are kept"),
    Key::one("ingress-listen", "ADDRESS", "127.0.0.1:8080", "Where events come in; port 0 takes a free one"),
    Key::one(
        "gateway-listen",
        "ADDRESS",
        "127.0.0.1:8081",
        "Where requests to services come in; port 0 takes a free one",
    ),
    Key::one("gateway-domain", "DOMAIN", "localhost", "The domain below which services have their hosts"),
    Key::optional(
        "docker-host",
        "unix:///PATH",
        "Where the engine of the docker runtime listens [default: DOCKER_HOST, else /var/run/docker.sock]",
    ),
    Key::optional(
        "kubernetes-kubeconfig",
        "FILE",
        "Says where the cluster is of services that run in one [default: KUBECONFIG, ~/.kube/config, the Pod's own]",
    ),
    Key::optional(
        "kubernetes-namespace",
        "NAME",
        "The cluster's namespace for such services [default: the one of the same name as the service's]",
    ),
    Key::one("api-listen", "ADDRESS", "127.0.0.1:8001", "Where the API is; off loopback it needs api-auth"),
    Key {
        shape: Shape::Switch,
        ..Key::one("api-auth", "BOOL", "false", "Serve the API by TLS, to callers that have shown who they are")
    },
    Key::optional(
        "api-access",
        "FILE",
        "YAML: roles, tokens and issuers; without it there is only the kubeconfig's admin",
    ),
    Key::optional(
        "api-cert",
        "FILE",
        "PEM: the certificate that the API shows [default: one of the cluster's authority]",
    ),
    Key::optional("api-key", "FILE", "PEM: the private key of api-cert"),
    Key::optional("api-client-ca", "FILE", "PEM: further authorities whose certificates callers may show"),
    Key::optional(
        "api-audit",
        "FILE",
        "Where changes by the API are written down [default: with api-auth DATA/audit.log]",
    ),
    Key {
        shape: Shape::Switch,
        ..Key::one(
            "api-insecure",
            "BOOL",
            "false",
            "Serve the API to other machines openly: the network protects itself",
        )
    },
    Key::one("metrics-listen", "ADDRESS", "127.0.0.1:9464", "Where /metrics, /healthz and /readyz are"),
    Key::optional("name", "NAME", "The node's name in its cluster: a DNS label [default: the host's name]").server(),
    Key {
        alias: Some("listen"),
        ..Key::one("peer-listen", "ADDRESS", "127.0.0.1:7400", "Where other nodes reach this one").server()
    },
    Key::optional(
        "peer-advertise",
        "HOST:PORT",
        "What other nodes are told to dial [default: the address that peer-listen really bound]",
    )
    .server(),
    Key {
        shape: Shape::Commas,
        ..Key::list(
            "join",
            "HOST:PORT",
            "The cluster's nodes; the first of the list forms the cluster if there is none [default: a cluster of one]",
        )
    }
    .server(),
    Key::one("zone", "NAME", "default", "What fails together: replicas are spread over zones").server(),
    Key {
        shape: Shape::Commas,
        default: Some("broker,ingress,dispatcher,gateway"),
        ..Key::list("role", "ROLE", "What the node does; without broker it only connects to those of join")
    }
    .server(),
    Key::optional("peer-ca", "FILE", "PEM: the authority whose certificates the nodes of the cluster show").server(),
    Key::optional("peer-cert", "FILE", "PEM: this node's certificate, and those between it and the authority").server(),
    Key::optional("peer-key", "FILE", "PEM: the private key of peer-cert").server(),
    Key {
        shape: Shape::Switch,
        ..Key::one("peer-insecure", "BOOL", "false", "Talk to other machines without TLS: the network protects itself")
    }
    .server(),
    Key::one("node-lost-after", "DURATION", "10m", "When a silent node's replicas are made anew on other nodes")
        .server(),
    Key::one("replicas", "COUNT", "3", "How many nodes keep each event, as far as there are so many").server(),
    Key::one(
        "raise-version-after",
        "DURATION",
        "24h",
        "When an upgraded cluster, or a process by itself, goes on to what only the new version reads",
    ),
    Key::list("api-host", "NAME", "A further host name or address by which the API may be called"),
    Key::optional("ready-file", "FILE", "Written as JSON with the addresses really bound, once all is ready"),
    Key::optional(
        "workers",
        "COUNT",
        "Threads that run the roles, beside the one that syncs the log [default: by CPUs]",
    ),
    Key::one("retention-bytes", "SIZE", "10GiB", "How many bytes of log are kept for reading again, such as 512MiB"),
    Key::one("dead-letter-age", "DURATION", "7d", "How long dead letters are kept, such as 90m, 7d or PT24H"),
    Key::one(
        "scrub-bytes-per-second",
        "SIZE",
        "4MiB",
        "How much of the log is read a second to look for damage; 0 reads nothing",
    ),
    Key::one("direct-io", "WHEN", "auto", "Whether the log is written past the page cache: auto, on or off"),
    Key::one("max-event-bytes", "SIZE", "1MiB", "The largest event taken in; never below 96KiB"),
    Key::one("shutdown-grace", "DURATION", "20s", "How long a stop waits for what was begun"),
    Key::one("log", "FILTER", "info,openraft=error", "What is logged, such as warn or pelton_dispatcher=debug,info"),
    Key::one("log-format", "FORMAT", "text", "text, or json: one object a line"),
];
