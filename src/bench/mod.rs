//! `pelton bench`: the product against its own limits, in one run on one machine.
//!
//! Every figure is a ratio (or a plain bound) that holds on any machine: against a null server that parses and
//! answers but stores nothing, against the raw sync of the disk, against the product itself under an easier load.
//! What is measured is a child process of this very executable, so that what is measured is what is shipped.
//! `docs/benchmarks.md` says how each workload is taken and why.
//!
//! ```text
//! workload/*   one workload a file
//!   rounds     pairs in turn, medians, repeats when the host takes time away
//!   load       the generator: closed loop, open loop, a given number      (events, response, pace)
//!   product    `pelton up` as a child                                     (child, http, manifest, metrics, process)
//!   service    what the gateway runs: a consumer of ours, or the examples  (consumer, examples, first_byte)
//!   trio       three `pelton server` as one cluster; writers try again while its nodes come and go
//!   null_server, sink, disk_probe, steal, bare, nginx    what it is compared with and printed beside
//! report       the table and the JSON
//! ```

mod bare;
mod child;
mod consumer;
mod disk_probe;
mod error;
mod events;
mod examples;
mod first_byte;
mod http;
mod lab;
mod load;
mod manifest;
mod metrics;
mod nginx;
mod null_server;
mod pace;
mod process;
mod product;
mod report;
mod response;
mod rounds;
mod service;
mod sink;
mod steal;
mod trio;
mod workload;
mod writers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use disk_probe::probe;
use error::{BenchError, Doing};
use lab::Lab;
use report::{Failure, Machine, Report, Settings};
use steal::StealWatch;
use workload::Workload;

/// What a shell expects of a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// How long the disk is probed before the first and after the last workload.
const PROBE: Duration = Duration::from_secs(1);

/// Measure this build against what this machine can do
///
/// Starts the product, a null server and a null sink as it needs them, puts load on them in turn, and prints how they
/// compare. Takes about half an hour with all workloads but `cluster` and `gateway`, about six minutes with --quick; these
/// come on top. Nothing else should run meanwhile.
/// What is compared with nginx is left out where there is none.
/// Exits with 0 when every workload reaches what it must, with 1 when one does not, with 2 when it could not begin.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    part: Option<Part>,

    /// What to measure [default: everything]
    #[arg(value_name = "WORKLOAD", value_enum)]
    workloads: Vec<Workload>,

    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,

    /// Fewer and shorter rounds, fewer events: for a first look, not for a claim
    #[arg(long)]
    quick: bool,

    /// Pairs of measurements a row [default: 5, quick: 3]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=50))]
    rounds: Option<u16>,

    /// Seconds a measurement [default: 5, quick: 2]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,

    /// Where the files go, in a directory of their own that is removed at the end; up to 15 GB
    #[arg(long, value_name = "DIR", default_value = ".")]
    data: PathBuf,

    /// Worker threads of the product and of the null server [default: as `pelton up`]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
}

/// The other processes of a run.
#[derive(Debug, clap::Subcommand)]
enum Part {
    /// The server that stores nothing
    #[command(hide = true)]
    NullServer(null_server::NullServerArgs),
    /// The sink that keeps nothing; prints a line a second
    #[command(hide = true)]
    NullSink,
    /// The consumer that does nothing, at PORT
    #[command(hide = true)]
    Consumer,
    /// Become another command of this program, for as long as the parent lives
    #[command(hide = true)]
    ExecChild(child::ExecChildArgs),
}

/// Runs `pelton bench`.
pub fn run(args: BenchArgs) -> ExitCode {
    match args.part {
        Some(Part::NullServer(args)) => null_server::run(&args),
        Some(Part::NullSink) => on_own_runtime(null_sink()),
        Some(Part::Consumer) => consumer::run(),
        Some(Part::ExecChild(args)) => child::exec_child(args),
        None => on_own_runtime(measure(args)),
    }
}

/// As many workers as the product takes by itself.
fn default_workers() -> usize {
    crate::config::default_workers().get()
}

/// Runs `task` on one thread until it is done or a signal ends it. Dropping the task ends every child.
fn on_own_runtime(task: impl Future<Output = Result<ExitCode, BenchError>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("pelton bench: starting a runtime: {error}");
            return ExitCode::from(2);
        }
    };
    let result = runtime.block_on(async {
        tokio::select! {
            result = task => result,
            result = asked_to_stop() => result,
        }
    });
    result.unwrap_or_else(|error| {
        eprintln!("pelton bench: {error}");
        ExitCode::from(2)
    })
}

async fn asked_to_stop() -> Result<ExitCode, BenchError> {
    let doing = || "listening for signals".to_owned();
    let mut terminate = signal(SignalKind::terminate()).doing(doing)?;
    let mut interrupt = signal(SignalKind::interrupt()).doing(doing)?;
    let mut hang_up = signal(SignalKind::hangup()).doing(doing)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(ExitCode::from(INTERRUPTED))
}

async fn measure(args: BenchArgs) -> Result<ExitCode, BenchError> {
    let rounds = usize::from(args.rounds.unwrap_or(if args.quick { 3 } else { 5 }));
    let seconds = args.seconds.unwrap_or(if args.quick { 2 } else { 5 });
    let workers = args.workers.map_or_else(default_workers, usize::from);
    let workloads = Workload::chosen(&args.workloads);
    let mut lab = Lab::new(&args.data, rounds, Duration::from_secs(seconds), args.quick, workers)?;
    lab.show_progress(workloads.len() as u64);
    let watch = StealWatch::start();
    let mut report = Report {
        machine: Machine::look(disk_probe::is_memory_only(lab.files())),
        settings: Settings { rounds, seconds, quick: args.quick, workers },
        raw_sync: vec![probe(lab.files(), PROBE)?.into()],
        stolen_percent: None,
        rows: Vec::new(),
        failures: Vec::new(),
        skipped: Vec::new(),
    };
    for workload in workloads {
        match workload.run(&lab).await {
            Ok(rows) => report.rows.extend(rows),
            Err(error) => {
                let list = match error {
                    BenchError::Absent { .. } => &mut report.skipped,
                    _ => &mut report.failures,
                };
                list.push(Failure { workload: workload.name(), reason: error.to_string() });
            }
        }
        lab.workload_done();
    }
    report.raw_sync.push(probe(lab.files(), PROBE)?.into());
    report.stolen_percent = watch.percent();
    lab.finish();
    if args.json {
        let json = serde_json::to_string_pretty(&report).map_err(std::io::Error::from);
        println!("{}", json.doing(|| "writing JSON".to_owned())?);
    } else {
        print!("{}", report.table());
    }
    Ok(if report.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A sink by itself, for measuring by hand.
async fn null_sink() -> Result<ExitCode, BenchError> {
    let sink = sink::Sink::start(sink::Origin::now())?;
    println!("listening on http://{}/", sink.address());
    let mut before = 0;
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        let delivered = sink.delivered();
        println!("{delivered} events, {} in the last second", delivered - before);
        before = delivered;
    }
}
