//! The list of what can be configured.

/// One thing that can be configured.
#[derive(Debug)]
pub struct Key {
    /// Its name: the flag without `--`, and the member of the configuration file.
    pub name: &'static str,
    /// A short flag.
    pub short: Option<char>,
    /// What stands for the value in help texts.
    pub value_name: &'static str,
    /// The value when none is given. Written here and nowhere else.
    pub default: Option<&'static str>,
    /// Whether it may be given more than once: a list in the file, separated by commas in the environment.
    pub list: bool,
    /// One sentence for the help text and the documentation.
    pub help: &'static str,
}

impl Key {
    const fn one(name: &'static str, value_name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self { name, short: None, value_name, default: Some(default), list: false, help }
    }

    const fn optional(name: &'static str, value_name: &'static str, help: &'static str) -> Self {
        Self { name, short: None, value_name, default: None, list: false, help }
    }

    const fn list(name: &'static str, value_name: &'static str, help: &'static str) -> Self {
        Self { name, short: None, value_name, default: None, list: true, help }
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
    Key::one("api-listen", "ADDRESS", "127.0.0.1:8001", "Where the administration API is; it asks for no password"),
    Key::one("metrics-listen", "ADDRESS", "127.0.0.1:9464", "Where /metrics, /healthz and /readyz are"),
    Key::list("api-host", "NAME", "A further host name by which the administration API may be called"),
    Key::optional("ready-file", "FILE", "Written as JSON with the addresses really bound, once all is ready"),
    Key::optional(
        "workers",
        "COUNT",
        "Threads that run the roles, beside the one that syncs the log [default: by CPUs]",
    ),
    Key::one("retention-bytes", "SIZE", "10GiB", "How many bytes of log are kept for reading again, such as 512MiB"),
    Key::one("dead-letter-age", "DURATION", "7d", "How long dead letters are kept, such as 90m, 7d or PT24H"),
    Key::one("direct-io", "WHEN", "auto", "Whether the log is written past the page cache: auto, on or off"),
    Key::one("max-event-bytes", "SIZE", "1MiB", "The largest event taken in; never below 96KiB"),
    Key::one("shutdown-grace", "DURATION", "20s", "How long a stop waits for what was begun"),
    Key::one("log", "FILTER", "info,openraft=warn", "What is logged, such as warn or pelton_dispatcher=debug,info"),
    Key::one("log-format", "FORMAT", "text", "text, or json: one object a line"),
];
