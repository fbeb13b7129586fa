//! `pelton demo`: a small shop, in a temporary folder, over real HTTP.
//!
//! A Broker, three Triggers, two subscribers of which one is broken, and a consumer that Pelton runs only while it has work. What is printed is what happened: a line for each
//! answer of the broker, each request that a subscriber got, and each dead letter that the API lists.

mod story;
mod subscriber;

use std::time::Duration;

use clap::Args;

use crate::config::{Flags, Layers, Scope, Settings};
use crate::exit::{Failure, with_causes};
use crate::node::Node;
use crate::signals::Signals;
use crate::telemetry::{Metrics, install_log};

/// What `pelton demo` takes.
#[derive(Debug, Args)]
#[command(after_help = "Takes a few seconds, needs no set-up, and leaves nothing behind.\n\n\
                        Examples:\n  pelton demo\n  pelton demo --stay")]
pub struct DemoArgs {
    /// Keep everything running afterwards, to try the other commands on it
    #[arg(long)]
    stay: bool,
}

/// How long the demo may take before it is called a failure. It takes about five seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// How long stopping may take.
const GRACE: Duration = Duration::from_secs(5);

/// Runs the demo.
pub fn run(args: &DemoArgs) -> Result<(), Failure> {
    let folder = tempfile::Builder::new()
        .prefix("pelton-demo-")
        .tempdir()
        .map_err(|error| Failure::failed("cannot make a temporary folder", &error))?;
    let settings = settings(folder.path())?;
    install_log(&settings.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.workers.get())
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("cannot start", &error))?;
    runtime.block_on(perform(&settings, args.stay))
}

/// Free ports and the temporary folder; nothing from the environment or a file, so that the demo is the same
/// everywhere.
fn settings(folder: &std::path::Path) -> Result<Settings, Failure> {
    let free = || vec!["127.0.0.1:0".to_owned()];
    let flags = Flags::from([
        ("data", vec![folder.join("data").display().to_string()]),
        ("ingress-listen", free()),
        ("gateway-listen", free()),
        ("api-listen", free()),
        ("metrics-listen", free()),
        ("log", vec!["error".to_owned()]),
    ]);
    let (layers, mistakes) = Layers::new(&flags, |_| None, None);
    Ok(Settings::read(&layers, mistakes, Scope::All)?)
}

async fn perform(settings: &Settings, stay: bool) -> Result<(), Failure> {
    let metrics = Metrics::install().map_err(|error| Failure::failed("cannot start the metrics", &error))?;
    let mut signals = Signals::new().map_err(|error| Failure::failed("cannot wait for signals", &error))?;
    let node = Node::start(settings, metrics).await.map_err(|error| Failure::Failed(with_causes(&error)))?;
    let stage = story::Stage::build(node.addresses())?;
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(LIMIT, stage.tell()) => {
            outcome.unwrap_or_else(|_| Err(Failure::Failed(format!("the demo took longer than {LIMIT:?}"))))
        }
        () = signals.next() => Ok(()),
    };
    if stay && outcome.is_ok() {
        story::invite(node.addresses())?;
        signals.next().await;
    }
    stage.close(GRACE).await;
    node.stop(GRACE).await;
    outcome
}
