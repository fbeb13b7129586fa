//! The `pelton` binary: reads the command line, builds the parts, runs them.
//!
//! - [`command`]: one file a command.
//! - [`node`]: the roles of a process, started in order and stopped in the opposite one.
//! - [`api`], and what calls it: [`kube`] about resources, [`admin`] about everything else; [`contexts`] says where it is.
//! - [`access`]: who calls it, and whether he may.
//! - [`config`]: what can be set, and every mistake in it.
//! - [`telemetry`]: log lines, metrics, health.

mod access;
mod admin;
#[cfg(not(debug_assertions))]
mod allocator;
mod api;
mod bench;
mod cli;
mod command;
mod config;
mod contexts;
mod event_view;
mod exit;
mod http;
mod kube;
mod kubeconfig;
mod manifests;
mod node;
mod open_files;
mod ready_file;
mod role_runtime;
mod signals;
mod table;
mod telemetry;
mod terminal;

use std::future::Future;
use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use exit::Failure;

fn main() -> ExitCode {
    #[cfg(not(debug_assertions))]
    allocator::set_up();
    small_pages();
    let outcome = match Cli::parse().command {
        Command::Up(args) => command::up::run(&args),
        Command::Server(args) => command::server::run(&args),
        Command::Demo(args) => command::demo::run(&args),
        Command::Bench(args) => return bench::run(args),
        Command::Log(args) => command::log::run(&args),
        Command::Cert(args) => command::cert::run(&args),
        Command::Recover(args) => block_on(command::recover::run(args)),
        Command::Kubeconfig(args) => command::kubeconfig::run(&args),
        Command::Config(args) => command::config::run(args),
        Command::Completion(args) => command::completion::run(&args),
        Command::Version => command::version::run(),
        Command::Apply(args) => block_on(command::apply::run(args)),
        Command::Get(args) => block_on(command::get::run(args)),
        Command::Describe(args) => block_on(command::describe::run(args)),
        Command::Delete(args) => block_on(command::delete::run(args)),
        Command::Wait(args) => block_on(command::wait::run(args)),
        Command::Edit(args) => block_on(command::edit::run(args)),
        Command::Label(args) => block_on(command::label::run(args, command::label::Which::Labels)),
        Command::Annotate(args) => block_on(command::label::run(args, command::label::Which::Annotations)),
        Command::Broker(args) => block_on(command::broker::run(*args)),
        Command::Service(args) => block_on(command::service::run(args)),
        Command::Revision(args) => block_on(command::revision::run(args)),
        Command::Route(args) => block_on(command::route::run(args)),
        Command::Logs(args) => block_on(command::logs::run(args)),
        Command::Trigger(args) => block_on(command::trigger::run(*args)),
        Command::DeadLetters(args) => block_on(command::deadletters::run(args)),
        Command::Events(args) => block_on(command::events::run(*args)),
        Command::Trace(args) => block_on(command::trace::run(*args)),
        Command::Top(args) => block_on(command::top::run(args)),
        Command::Ready(args) => block_on(command::ready::run(args)),
        Command::Cluster(args) => block_on(command::cluster::run(args)),
        Command::Status(args) => block_on(command::status::run(args)),
        Command::Node(args) => block_on(command::node::run(args)),
        Command::Group(args) => block_on(command::group::run(args)),
        Command::Send(args) => block_on(command::send::run(*args)),
        Command::Display(args) => block_on(command::display::run(args)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Asks for no huge pages: the allocator has a region for each thread, and a huge page in each of them made an idle
/// process 2.5 times as large.
fn small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        // Only memory is lost by it; nothing reads the log yet, so this is for a debugger.
        tracing::debug!(%error, "huge pages stay");
    }
}

/// Runs a command that needs no more than one thread.
fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("cannot start", &error))?;
    runtime.block_on(command)
}
