//! `pelton kubeconfig`

use clap::Args;

use super::print;
use super::target::ApiArgs;
use crate::exit::Failure;
use crate::kubeconfig;

/// What `pelton kubeconfig` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton kubeconfig > ~/.kube/pelton\n  \
                        kubectl --kubeconfig <(pelton kubeconfig --api http://10.0.0.7:8001) get brokers")]
pub struct KubeconfigArgs {
    #[command(flatten)]
    api: ApiArgs,
}

/// Prints a kubeconfig that leads to the API.
pub fn run(args: &KubeconfigArgs) -> Result<(), Failure> {
    print(&kubeconfig::text(&args.api.server()?))
}
