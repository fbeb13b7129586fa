//! `pelton cluster dev`: a cluster on this machine, each node a process.
//!
//! The nodes are ordinary `pelton server` processes on loopback ports, so whatever can be done to a node in production
//! can be tried here: kill it, stop it, drain it, bring it back. A node that ends is told of and not started again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use futures_util::future::{join_all, select_all, try_join_all};
use pelton_env::OsChance;
use pelton_resource::Resource;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::plan::{MAX_NODES, Plan, PlanError};
use super::process::{NodeProcess, NotReady, Shown};
use crate::command::apply::store_own;
use crate::command::{print, print_line};
use crate::exit::Failure;
use crate::manifests;
use crate::ready_file::ReadyFile;
use crate::signals::Signals;
use crate::terminal::{Paint, Tone};

/// How long the cluster may take to store the resources of the command line, once its nodes are ready.
const APPLY_WITHIN: Duration = Duration::from_secs(30);

/// The pause before resources that were not stored are handed in again.
const APPLY_PAUSE: Duration = Duration::from_millis(200);

/// How long a cluster may take, once its nodes are ready, until every log group has all its replicas: until then the loss
/// of a node may stop it. Longer is no failure; `pelton status` says what is missing.
const WHOLE_WITHIN: Duration = Duration::from_secs(30);

/// The pause between two looks whether it is whole.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// What `pelton cluster dev` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "The nodes are called a, b, c and so on; each has its data and its log (log.txt) in a folder of its \
                        name. Ctrl-C stops them all. A node that is killed stays away until it is told to come back, \
                        from another terminal, with --resume. Run again with the same folder, the cluster goes on \
                        where it was.\n\n\
                        Examples:\n  pelton cluster dev\n  pelton cluster dev --nodes 5 --data /tmp/five -f triggers.yaml\n  \
                        pelton cluster dev --resume ./pelton-cluster --node b"
)]
pub struct DevArgs {
    /// How many nodes; 3 when the folder holds no cluster yet
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=MAX_NODES as i64))]
    nodes: Option<u8>,
    /// Where the cluster's folders are
    #[arg(long, value_name = "DIR", default_value = "./pelton-cluster")]
    data: PathBuf,
    /// Resources (YAML or JSON) to apply once the cluster is ready: a file, or a folder of files
    #[arg(short, long = "file", value_name = "FILE_OR_DIR")]
    files: Vec<PathBuf>,
    /// Written as JSON with each node's addresses and process, once all are ready
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Serve the API by TLS, to callers that have shown who they are, from now on; each node has a kubeconfig in its data
    #[arg(long)]
    api_auth: bool,
    /// Start one node again of the cluster in this folder, which runs elsewhere
    #[arg(long, value_name = "DIR", requires = "node", conflicts_with_all = ["nodes", "data", "files", "api_auth"])]
    resume: Option<PathBuf>,
    /// Which node to start again
    #[arg(long, value_name = "NAME", requires = "resume")]
    node: Option<String>,
}

/// The ready file.
#[derive(Debug, Serialize)]
struct AllReady {
    nodes: Vec<Shown>,
}

/// Runs the nodes until a signal comes.
pub async fn run(args: DevArgs) -> Result<(), Failure> {
    let signals = Signals::new().map_err(|error| Failure::failed("cannot wait for signals", &error))?;
    if let (Some(folder), Some(node)) = (&args.resume, &args.node) {
        let plan = Plan::read(folder)?;
        let place = plan.node(node).ok_or_else(|| Failure::Usage(format!("the cluster has no node {node:?}")))?;
        let process = NodeProcess::start(folder, &plan, place)?;
        return Cluster { folder: folder.clone(), nodes: vec![process], signals }.run(&[], &args.ready_file).await;
    }
    let resources = manifests::read(&args.files)?;
    let plan = plan(&args.data, args.nodes.map(usize::from), args.api_auth)?;
    let nodes: Result<Vec<_>, _> =
        plan.nodes.iter().map(|place| NodeProcess::start(&args.data, &plan, place)).collect();
    Cluster { folder: args.data, nodes: nodes?, signals }.run(&resources, &args.ready_file).await
}

/// The plan that is there, or a new one. One whose API asks who one is goes on to.
fn plan(folder: &Path, count: Option<usize>, api_auth: bool) -> Result<Plan, Failure> {
    /// One node may be lost.
    const DEFAULT_NODES: usize = 3;
    match Plan::read(folder) {
        Ok(mut plan) => match count.filter(|count| *count != plan.nodes.len()) {
            None => {
                if api_auth && !plan.api_auth {
                    plan.api_auth = true;
                    plan.write(folder)?;
                }
                Ok(plan)
            }
            Some(count) => Err(Failure::Usage(format!(
                "the cluster in {} has {} nodes, and --nodes says {count}; --data names another folder",
                folder.display(),
                plan.nodes.len()
            ))),
        },
        Err(PlanError::Missing(_)) => Ok(Plan::make(folder, count.unwrap_or(DEFAULT_NODES), api_auth, &OsChance)?),
        Err(error) => Err(error.into()),
    }
}

/// The nodes that this process runs.
struct Cluster {
    folder: PathBuf,
    nodes: Vec<NodeProcess>,
    signals: Signals,
}

impl Cluster {
    async fn run(mut self, resources: &[Resource], ready_file: &Option<PathBuf>) -> Result<(), Failure> {
        let started = tokio::select! {
            started = start(&mut self.nodes, resources) => started,
            () = self.signals.next() => return self.stop().await,
        };
        let shown: Vec<Shown> = self.nodes.iter().map(NodeProcess::shown).collect();
        let written = started.and_then(|()| {
            print(&greeting(&self.folder, &shown))?;
            let Some(path) = ready_file else { return Ok(None) };
            ReadyFile::write(path, &AllReady { nodes: shown })
                .map(Some)
                .map_err(|error| Failure::failed(&format!("ready-file: cannot write {}", path.display()), &error))
        });
        let ready_file = match written {
            Ok(written) => written,
            Err(failure) => {
                self.stop().await?;
                return Err(failure);
            }
        };
        self.watch().await?;
        drop(ready_file);
        self.stop().await
    }

    /// Tells of nodes that end, until a signal comes.
    async fn watch(&mut self) -> Result<(), Failure> {
        let mut running: Vec<usize> = (0..self.nodes.len()).collect();
        while !running.is_empty() {
            let here = self.nodes.iter_mut().enumerate().filter(|(i, _)| running.contains(i));
            let ends = here.map(|(i, node)| Box::pin(async move { (i, node.ended().await) }));
            let (i, status) = tokio::select! {
                ((i, status), _, _) = select_all(ends) => (i, status),
                () = self.signals.next() => return Ok(()),
            };
            running.retain(|other| *other != i);
            print(&farewell(&self.folder, &self.nodes[i], status))?;
        }
        self.signals.next().await;
        Ok(())
    }

    /// Stops every node in order; a second signal kills what is left.
    async fn stop(mut self) -> Result<(), Failure> {
        self.nodes.iter().for_each(NodeProcess::ask_to_stop);
        let running = self.nodes.iter().filter(|node| node.is_running());
        let names: Vec<String> = running.map(|node| node.name().to_owned()).collect();
        let all = join_all(self.nodes.into_iter().map(NodeProcess::stopped));
        tokio::select! {
            _ = all => match names.as_slice() {
                [] => Ok(()),
                names => print_line(&format!("Stopped {}.", names.join(", "))),
            },
            () = self.signals.next() => Err(Failure::Failed("killed the nodes that were still stopping".into())),
        }
    }
}

/// Waits until all are ready, and has the resources stored.
async fn start(nodes: &mut [NodeProcess], resources: &[Resource]) -> Result<(), Failure> {
    try_join_all(nodes.iter_mut().map(NodeProcess::ready)).await?;
    let Some(first) = nodes.first().map(NodeProcess::shown) else { return Ok(()) };
    if nodes.len() > 1 {
        wait_until_whole(&first).await?;
    }
    if resources.is_empty() { Ok(()) } else { apply(&first, resources).await }
}

/// Waits until the cluster has no problem, or long enough.
async fn wait_until_whole(node: &Shown) -> Result<(), Failure> {
    let mut admin = node.target()?.admin();
    let deadline = Instant::now() + WHOLE_WITHIN;
    loop {
        let problem = match admin.cluster().await {
            Ok(status) => {
                status.problems.into_iter().next().map(|problem| format!("{} {}", problem.subject, problem.what))
            }
            Err(error) => Some(error.to_string()),
        };
        let Some(problem) = problem else { return Ok(()) };
        if Instant::now() > deadline {
            return print_line(&format!("The cluster is not whole yet: {problem}."));
        }
        sleep(LOOK_PAUSE).await;
    }
}

/// Hands the resources in. A cluster that has only just been formed may not take changes yet.
async fn apply(node: &Shown, resources: &[Resource]) -> Result<(), Failure> {
    let mut api = node.target()?.kube();
    let deadline = Instant::now() + APPLY_WITHIN;
    for resource in resources {
        loop {
            match store_own(&mut api, resource).await {
                Err(error) if error.has_code(503) && Instant::now() < deadline => sleep(APPLY_PAUSE).await,
                Err(error) => return Err(error.into()),
                Ok(_) => break,
            }
        }
    }
    Ok(())
}

fn greeting(folder: &Path, nodes: &[Shown]) -> String {
    let paint = Paint::stdout();
    let head = match nodes {
        [node] => format!("node {} of a cluster is ready", node.name),
        nodes => format!("a cluster of {} nodes is ready", nodes.len()),
    };
    let mut out = format!("{}\n", paint.tone(Tone::Strong, head));
    for node in nodes {
        let name = paint.tone(Tone::Good, &node.name);
        out.push_str(&format!("  node {name}   process {}\n", node.pid));
        for (what, value) in [
            ("events", format!("http://{}/default/default", node.ingress)),
            ("api", node.api_url()),
            ("metrics", format!("http://{}/metrics", node.metrics)),
            ("log", folder.join(&node.name).join("log.txt").display().to_string()),
        ] {
            out.push_str(&format!("    {} {value}\n", paint.tone(Tone::Faint, format!("{what:<8}"))));
        }
    }
    if let [first, others @ ..] = nodes {
        let (variable, value) = match &first.kubeconfig {
            Some(kubeconfig) => ("PELTON_KUBECONFIG", kubeconfig.display().to_string()),
            None => ("PELTON_API", first.api_url()),
        };
        out.push_str(&format!("Try:\n  export {variable}={value}\n  pelton status\n"));
        out.push_str(&format!("  pelton send http://{}/default/default --type test\n", first.ingress));
        if let Some(other) = others.first() {
            out.push_str(&format!("  kill -9 {}    # then: {}\n", other.pid, resume(folder, &other.name)));
        }
    }
    out.push_str("Stop with Ctrl-C.\n");
    out
}

fn farewell(folder: &Path, node: &NodeProcess, status: io::Result<std::process::ExitStatus>) -> String {
    let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let name = node.name();
    let log = node.log();
    let log = fs::canonicalize(&log).unwrap_or(log);
    format!("node {name} ended ({how}); its log is {}\n  {}\n", log.display(), resume(folder, name))
}

/// How to bring a node back.
fn resume(folder: &Path, name: &str) -> String {
    format!("pelton cluster dev --resume {} --node {name}", folder.display())
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Missing(_) | PlanError::Malformed { .. } => Self::Usage(error.to_string()),
            PlanError::Io { .. } | PlanError::Ports(_) => Self::Failed(crate::exit::with_causes(&error)),
        }
    }
}

impl From<NotReady> for Failure {
    fn from(error: NotReady) -> Self {
        Self::Failed(error.to_string())
    }
}
