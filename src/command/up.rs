//! `pelton up`

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use pelton_client::ApplyError;
use pelton_peer::Tls;

use super::print;
use crate::access::Access;
use crate::config::{Settings, SettingsArgs};
use crate::exit::{Failure, INTERRUPTED, with_causes};
use crate::kubeconfig;
use crate::node::{DEFAULT_BROKER, Node, StartError, reachable};
use crate::open_files;
use crate::ready_file::{Ready, ReadyFile};
use crate::signals::{Hangup, Signals};
use crate::telemetry::{Metrics, install_log};
use crate::terminal::{Paint, Tone};

/// What `pelton up` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton up\n  pelton up -f triggers.yaml --data /var/lib/pelton\n  \
                        pelton up --config pelton.yaml --ready-file /run/pelton.json\n\n\
                        Stop with Ctrl-C or SIGTERM; a second one ends at once. A flag counts before its \
                        environment variable, and that before the file of --config.")]
pub struct UpArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// How long threads that are still at work are waited for at the very end.
const LINGER: Duration = Duration::from_secs(1);

/// Runs all roles until a signal comes.
pub fn run(args: &UpArgs) -> Result<(), Failure> {
    run_process(args.settings.settings()?)
}

/// Runs the roles of `settings` until a signal comes.
pub fn run_process(settings: Settings) -> Result<(), Failure> {
    install_log(&settings.log);
    open_files::take_all();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.workers.get())
        .thread_name("pelton")
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("cannot start", &error))?;
    let outcome = runtime.block_on(serve(settings));
    // A start that was broken off may still be reading a large log.
    runtime.shutdown_timeout(LINGER);
    outcome
}

async fn serve(settings: Settings) -> Result<(), Failure> {
    let metrics = Metrics::install().map_err(|error| Failure::failed("cannot start the metrics", &error))?;
    let mut signals = Signals::new().map_err(|error| Failure::failed("cannot wait for signals", &error))?;
    let spinner = spinner(&settings);
    let node = tokio::select! {
        node = Node::start(&settings, metrics) => node,
        // Nothing was acknowledged yet, and opening a log can be broken off at any moment.
        () = signals.next() => {
            spinner.finish_and_clear();
            return Ok(());
        }
    };
    spinner.finish_and_clear();
    let node = node.map_err(explain)?;
    let ready_file = match &settings.ready_file {
        None => None,
        Some(path) => match ReadyFile::write(path, &ready(&settings, &node)) {
            Ok(file) => Some(file),
            Err(error) => {
                node.stop(settings.shutdown_grace).await;
                return Err(Failure::failed(&format!("ready-file: cannot write {}", path.display()), &error));
            }
        },
    };
    let kubeconfig = write_kubeconfig(&settings, &node);
    print(&greeting(&settings, &node, kubeconfig.as_deref()))?;
    tracing::info!(addresses = ?node.addresses(), "ready");
    until_stopped(&node, &mut signals).await?;
    tracing::info!("stopping; a second signal ends at once");
    drop(ready_file);
    tokio::select! {
        () = node.stop(settings.shutdown_grace) => {
            tracing::info!("stopped");
            Ok(())
        }
        () = signals.next() => std::process::exit(i32::from(INTERRUPTED)),
    }
}

/// Waits until it is to stop. Meanwhile SIGHUP has certificates and the access file read again, when there are any.
async fn until_stopped(node: &Node, signals: &mut Signals) -> Result<(), Failure> {
    if node.tls().is_none() && node.access().is_none() {
        signals.next().await;
        return Ok(());
    }
    let mut hangup = Hangup::new().map_err(|error| Failure::failed("cannot wait for signals", &error))?;
    loop {
        tokio::select! {
            () = signals.next() => return Ok(()),
            () = hangup.next() => read_again(node),
        }
    }
}

fn read_again(node: &Node) {
    match node.tls().map(Tls::reload) {
        None => {}
        Some(Ok(())) => tracing::info!("certificates were read again, for connections made from now on"),
        Some(Err(error)) => tracing::error!(error = with_causes(&error), "the old certificates stay in use"),
    }
    match node.access().map(Access::reload) {
        None => {}
        Some(Ok(())) => tracing::info!("who may use the API was read again"),
        Some(Err(error)) => {
            tracing::error!(error = with_causes(&error), "who may use the API is as it was read before");
        }
    }
}

/// Something that moves while a large log is opened, when a person looks on.
fn spinner(settings: &Settings) -> ProgressBar {
    let what = match &settings.cluster {
        Some(cluster) if !cluster.keeps_replicas() => "looking for the cluster".to_owned(),
        Some(_) => format!("opening {} and coming into the cluster", settings.data.display()),
        None => format!("opening {}", settings.data.display()),
    };
    let spinner = ProgressBar::new_spinner().with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

fn explain(error: StartError) -> Failure {
    match error {
        StartError::Manifests(error) => Failure::Usage(error.to_string()),
        StartError::Tls(ref cause) => Failure::Usage(with_causes(cause)),
        StartError::Access(ref cause) => Failure::Usage(with_causes(cause)),
        StartError::Apply(ref cause) => {
            let said = with_causes(&error);
            match cause {
                ApplyError::Invalid { .. } => Failure::Usage(said),
                ApplyError::Conflict { .. }
                | ApplyError::NotFound { .. }
                | ApplyError::AlreadyExists { .. }
                | ApplyError::TooMuch { .. }
                | ApplyError::NotLeader { .. }
                | ApplyError::Unavailable => Failure::Failed(said),
                ApplyError::OutcomeUnknown => Failure::NoAnswer(said),
            }
        }
        error => Failure::Failed(with_causes(&error)),
    }
}

fn ready(settings: &Settings, node: &Node) -> Ready {
    let addresses = node.addresses();
    let keeps = settings.cluster.as_ref().is_none_or(|cluster| cluster.keeps_replicas());
    Ready {
        name: settings.cluster.as_ref().map(|cluster| cluster.name.clone()),
        node: node.id().map(|id| id.0),
        ingress: addresses.ingress,
        gateway: addresses.gateway,
        api: addresses.api,
        metrics: addresses.metrics,
        peer: addresses.peer.clone(),
        data: keeps.then(|| std::path::absolute(&settings.data).unwrap_or_else(|_| PathBuf::from(&settings.data))),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION"),
    }
}

/// Beside the data, where there is any. Without it kubectl needs one word more, and nothing else is lost.
fn write_kubeconfig(settings: &Settings, node: &Node) -> Option<PathBuf> {
    let keeps = settings.cluster.as_ref().is_none_or(|cluster| cluster.keeps_replicas());
    let server = format!("http://{}", reachable(node.addresses().api));
    let written = keeps.then(|| match node.access() {
        // It is there: whoever looks after the certificates writes it with them.
        Some(_) => kubeconfig::path(&settings.data),
        None => kubeconfig::write(&settings.data, &server, None),
    })?;
    written.inspect_err(|error| tracing::warn!(%error, "the kubeconfig could not be written")).ok()
}

fn greeting(settings: &Settings, node: &Node, kubeconfig: Option<&Path>) -> String {
    let paint = Paint::stdout();
    let addresses = node.addresses();
    let who = settings.cluster.as_ref().map_or(String::new(), |cluster| format!(", node {},", cluster.name));
    let head = format!("pelton {}{who} is ready", env!("CARGO_PKG_VERSION"));
    let mut out = format!("{}\n", paint.tone(Tone::Strong, head));
    let mut line = |what: &str, value: String| {
        out.push_str(&format!("  {} {value}\n", paint.tone(Tone::Faint, format!("{what:<8}"))));
    };
    if let Some(ingress) = addresses.ingress.map(reachable) {
        let (namespace, name) = DEFAULT_BROKER;
        line("events", format!("http://{ingress}/{{namespace}}/{{broker}}"));
        line("broker", format!("http://{ingress}/{namespace}/{name}"));
    }
    if let Some(gateway) = addresses.gateway {
        let domain = &settings.gateway_domain;
        line("services", format!("http://{{service}}.{{namespace}}.{domain}:{}", gateway.port()));
    }
    let scheme = if settings.api_access.access.is_some() { "https" } else { "http" };
    line("api", format!("{scheme}://{}", reachable(addresses.api)));
    line("metrics", format!("http://{}/metrics", reachable(addresses.metrics)));
    if let Some(peer) = &addresses.peer {
        line("peer", peer.clone());
    }
    if settings.cluster.as_ref().is_none_or(|cluster| cluster.keeps_replicas()) {
        line("data", settings.data.display().to_string());
    }
    if let Some(kubeconfig) = kubeconfig {
        line("kubectl", format!("export KUBECONFIG={}", kubeconfig.display()));
    }
    out.push_str("Stop with Ctrl-C.\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/configuration.md, "Exit codes": 2 says that nothing was tried, so only what is wrong with a manifest is 2.
    #[test]
    fn resources_that_were_not_stored_end_with_the_code_of_their_reason() {
        let (kind, name) = (|| "Trigger".to_owned(), || "default/t".to_owned());
        let rows = [
            (ApplyError::Invalid { kind: kind(), name: name(), errors: "spec.broker: missing".to_owned() }, 2),
            (ApplyError::Conflict { kind: kind(), name: name(), current: "7".to_owned() }, 1),
            (ApplyError::NotFound { kind: kind(), name: name() }, 1),
            (ApplyError::Unavailable, 1),
            (ApplyError::OutcomeUnknown, 3),
        ];
        for (error, code) in rows {
            let said = format!("the resources were not stored: {error}");
            let failure = explain(StartError::Apply(error));
            assert_eq!((failure.code(), failure.to_string()), (code, said));
        }
    }
}
