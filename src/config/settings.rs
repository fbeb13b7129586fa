//! The configuration as the parts of the program take it.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use pelton_event::limits::MIN_MAX_EVENT_BYTES;
use pelton_log::DirectIo;

use super::access::{self, ApiAccess};
use super::layers::Given;
use super::{ClusterSettings, ConfigError, KEYS, Layers, Mistake, Scope, Source, parse_duration, parse_size};

/// The largest event that can be allowed: half of what the log takes as one record, so that it always fits.
const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// Most threads that can be asked for.
const MAX_WORKERS: usize = 256;

/// Smallest room for events: a few segments' worth, so that the one being written is never all there is.
const MIN_RETENTION_BYTES: u64 = 64 * 1024 * 1024;

/// Everything that can be set, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Resources to apply before anything is accepted: files and folders, in this order.
    pub files: Vec<PathBuf>,
    /// Where the log and the registry are kept.
    pub data: PathBuf,
    /// Where events come in.
    pub ingress_listen: SocketAddr,
    /// Where requests to services come in.
    pub gateway_listen: SocketAddr,
    /// The domain below which services have their hosts. Lower case.
    pub gateway_domain: String,
    /// The socket of the engine that runs containers; `None` when nothing was said.
    #[cfg_attr(not(feature = "docker"), allow(dead_code, reason = "a build without the runtime refuses the key"))]
    pub docker_host: Option<PathBuf>,
    /// How services run in a Kubernetes cluster.
    #[cfg_attr(not(feature = "kubernetes"), expect(dead_code, reason = "nobody is here who would read it"))]
    pub kubernetes: KubernetesSettings,
    /// Where the administration API is.
    pub api_listen: SocketAddr,
    /// Who may use it.
    pub api_access: ApiAccess,
    /// Where `/metrics`, `/healthz` and `/readyz` are.
    pub metrics_listen: SocketAddr,
    /// Host names, beside `localhost` and addresses, that a request to the API may name. Lower case.
    pub api_hosts: Vec<String>,
    /// Written once everything is ready.
    pub ready_file: Option<PathBuf>,
    /// Threads that run the roles.
    pub workers: NonZeroUsize,
    /// How long all nodes must have spoken a newer version of the protocol before the cluster goes on to it; a process by
    /// itself has run for so long.
    pub raise_version_after: Duration,
    /// How much is kept.
    pub retention: Retention,
    /// Bytes of the log that are read a second to look for damage; 0: none.
    pub scrub_bytes_per_second: u64,
    /// Whether the log passes the page cache.
    pub direct_io: DirectIo,
    /// The largest event taken in, in bytes.
    pub max_event_bytes: usize,
    /// How long a stop waits for what was begun.
    pub shutdown_grace: Duration,
    /// What is logged, and how.
    pub log: LogSettings,
    /// The node's part in a cluster; `None` is a process by itself.
    pub cluster: Option<ClusterSettings>,
}

/// How services run in a Kubernetes cluster. Without the feature `kubernetes` nothing of it can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesSettings {
    /// The file that says where the cluster is; `None`: as the environment says.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace for all of them; `None`: each has that of its own name.
    pub namespace: Option<String>,
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Bytes of the node's log.
    pub bytes: u64,
    /// How long dead letters are kept. (How long events are is a matter of each Broker: `pelton.dev/retention`.)
    pub dead_letters: Duration,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// A filter in the syntax of `tracing-subscriber`. Checked.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Settings {
    /// Checks every key. `mistakes` are those already found. Keys out of `scope` are refused: whoever writes them means
    /// something by them.
    ///
    /// # Errors
    /// Every mistake there is, those of the layers first.
    pub fn read(layers: &Layers, mistakes: Vec<Mistake>, scope: Scope) -> Result<Self, ConfigError> {
        let mut reader = Reader { layers, mistakes };
        let files = reader.list("file", |text| Ok(PathBuf::from(text)));
        let data = reader.one("data", non_empty_path);
        let ingress_listen = reader.one("ingress-listen", address);
        let gateway_listen = reader.one("gateway-listen", address);
        let gateway_domain = reader.one("gateway-domain", host_name);
        let docker_host = reader.optional("docker-host", docker_host);
        let kubernetes = KubernetesSettings {
            kubeconfig: reader.optional("kubernetes-kubeconfig", |text| with_kubernetes(non_empty_path(text))),
            namespace: reader.optional("kubernetes-namespace", |text| with_kubernetes(dns_label(text))),
        };
        let api_listen = reader.one("api-listen", address);
        let api_access = access::read(&mut reader, api_listen, data.as_deref());
        let metrics_listen = reader.one("metrics-listen", address);
        let api_hosts = reader.list("api-host", host_name);
        let ready_file = reader.optional("ready-file", non_empty_path);
        let workers = reader.optional("workers", workers);
        let raise_version_after = reader.one("raise-version-after", parse_duration);
        let bytes = reader.one("retention-bytes", |text| at_least(MIN_RETENTION_BYTES, "64MiB", parse_size(text)?));
        let dead_letters =
            reader.one("dead-letter-age", |text| at_least(Duration::from_secs(1), "1s", parse_duration(text)?));
        let scrub = reader.one("scrub-bytes-per-second", parse_size);
        let direct_io = reader.one("direct-io", direct_io);
        let max_event_bytes = reader.one("max-event-bytes", event_size);
        let shutdown_grace = reader.one("shutdown-grace", parse_duration);
        let filter = reader.one("log", log_filter);
        let format = reader.one("log-format", log_format);
        let cluster = match scope {
            Scope::Server => ClusterSettings::read(&mut reader),
            Scope::All => {
                reader.refuse_server_keys();
                None
            }
        };
        reader.listeners_differ([
            ("ingress-listen", ingress_listen),
            ("gateway-listen", gateway_listen.filter(|_| cluster.as_ref().is_none_or(ClusterSettings::runs_services))),
            ("api-listen", api_listen),
            ("metrics-listen", metrics_listen),
            ("peer-listen", cluster.as_ref().filter(|c| c.keeps_replicas()).map(|c| c.peer_listen)),
        ]);
        if !reader.mistakes.is_empty() {
            return Err(ConfigError(reader.mistakes));
        }
        const NO_MISTAKE: &str = "a key with a default and without a mistake has a value";
        Ok(Self {
            files,
            data: data.expect(NO_MISTAKE),
            ingress_listen: ingress_listen.expect(NO_MISTAKE),
            gateway_listen: gateway_listen.expect(NO_MISTAKE),
            gateway_domain: gateway_domain.expect(NO_MISTAKE),
            docker_host,
            kubernetes,
            api_listen: api_listen.expect(NO_MISTAKE),
            api_access,
            metrics_listen: metrics_listen.expect(NO_MISTAKE),
            api_hosts,
            ready_file,
            workers: workers.unwrap_or_else(default_workers),
            raise_version_after: raise_version_after.expect(NO_MISTAKE),
            retention: Retention { bytes: bytes.expect(NO_MISTAKE), dead_letters: dead_letters.expect(NO_MISTAKE) },
            scrub_bytes_per_second: scrub.expect(NO_MISTAKE),
            direct_io: direct_io.expect(NO_MISTAKE),
            max_event_bytes: max_event_bytes.expect(NO_MISTAKE),
            shutdown_grace: shutdown_grace.expect(NO_MISTAKE),
            log: LogSettings { filter: filter.expect(NO_MISTAKE), format: format.expect(NO_MISTAKE) },
            cluster,
        })
    }
}

/// One less than the CPUs, at least one: dispatcher and flusher have threads of their own.
pub fn default_workers() -> NonZeroUsize {
    let cpus = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new(cpus - 1).unwrap_or(NonZeroUsize::MIN)
}

/// Takes values out of the layers and collects mistakes.
pub(super) struct Reader<'a> {
    layers: &'a Layers,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    pub(super) fn find(&self, key: &str) -> Option<&Given> {
        self.layers.find(key)
    }

    pub(super) fn list<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let Some(given) = self.layers.find(key) else { return Vec::new() };
        let mut values = Vec::with_capacity(given.values.len());
        for text in &given.values {
            match parse(text) {
                Ok(value) => values.push(value),
                Err(message) => self.mistake(key, message),
            }
        }
        values
    }

    /// A key that need not be given.
    pub(super) fn optional<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.list(key, parse).pop()
    }

    /// A key that has a default, so that `None` means a mistake.
    pub(super) fn one<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.optional(key, parse)
    }

    pub(super) fn mistake(&mut self, key: &str, message: String) {
        let source_of_value = self.layers.find(key).map_or(Source::Default, |given| given.source.clone());
        self.mistakes.push(Mistake { key: key.to_owned(), source_of_value, message });
    }

    fn refuse_server_keys(&mut self) {
        for key in KEYS.iter().filter(|key| key.scope == Scope::Server) {
            if self.find(key.name).is_some_and(|given| given.source != Source::Default) {
                self.mistake(key.name, "belongs to `pelton server`; `pelton up` is a cluster of one".into());
            }
        }
    }

    /// Two listeners on one address are said here, by name, rather than by the second one's failure to bind.
    fn listeners_differ<const N: usize>(&mut self, listeners: [(&str, Option<SocketAddr>); N]) {
        for (i, (key, address)) in listeners.iter().enumerate() {
            let same = listeners[..i].iter().find(|(_, other)| other == address);
            if let (Some(address), Some((other, _))) = (address.filter(|a| a.port() != 0), same) {
                self.mistake(key, format!("{address} is taken by {other}"));
            }
        }
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("expected an address and a port such as 127.0.0.1:8080 or [::1]:0, got {text:?}"))
}

pub(super) fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("expected true or false, got {text:?}"))
}

pub(super) fn non_empty_path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("expected a path".into()) } else { Ok(text.into()) }
}

fn host_name(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    let good = !name.is_empty() && name.len() <= 253 && name.split('.').all(pelton_resource::is_dns_label);
    if good { Ok(name) } else { Err(format!("expected a host name such as pelton.example.com, got {text:?}")) }
}

/// The socket of an engine, as `DOCKER_HOST` or as a path.
pub fn docker_host(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text.strip_prefix("unix://").unwrap_or(text));
    match () {
        () if !cfg!(feature = "docker") => Err("this program was built without the docker runtime".into()),
        () if path.is_absolute() => Ok(path),
        () => Err(format!("expected a Unix socket such as unix:///var/run/docker.sock, got {text:?}")),
    }
}

/// A value that counts only where services can run in a cluster.
fn with_kubernetes<T>(value: Result<T, String>) -> Result<T, String> {
    if cfg!(feature = "kubernetes") {
        value
    } else {
        Err("this program was built without the feature kubernetes".into())
    }
}

fn dns_label(text: &str) -> Result<String, String> {
    if pelton_resource::is_dns_label(text) {
        Ok(text.into())
    } else {
        Err(format!("expected a DNS label, got {text:?}"))
    }
}

fn workers(text: &str) -> Result<NonZeroUsize, String> {
    let count = text.parse().ok().filter(|count| (1..=MAX_WORKERS).contains(count)).and_then(NonZeroUsize::new);
    count.ok_or_else(|| format!("expected a number from 1 to {MAX_WORKERS}, got {text:?}"))
}

pub(super) fn at_least<T: PartialOrd>(minimum: T, written: &str, value: T) -> Result<T, String> {
    if value < minimum { Err(format!("must be at least {written}")) } else { Ok(value) }
}

fn event_size(text: &str) -> Result<usize, String> {
    let bytes = usize::try_from(parse_size(text)?).unwrap_or(usize::MAX);
    if (MIN_MAX_EVENT_BYTES..=MAX_EVENT_BYTES).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(format!("must be from {}KiB to {}MiB", MIN_MAX_EVENT_BYTES / 1024, MAX_EVENT_BYTES / 1024 / 1024))
    }
}

fn direct_io(text: &str) -> Result<DirectIo, String> {
    match text {
        "auto" => Ok(DirectIo::Auto),
        "on" => Ok(DirectIo::On),
        "off" => Ok(DirectIo::Off),
        _ => Err(format!("expected auto, on or off, got {text:?}")),
    }
}

fn log_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("not a filter: {error}")),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("expected text or json, got {text:?}")),
    }
}
