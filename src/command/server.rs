//! `pelton server`

use clap::Args;

use super::up;
use crate::config::ServerArgs;
use crate::exit::Failure;

/// What `pelton server` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Three nodes form a cluster when each is started with the same --join list; the first of the list \
                        forms it once all have answered. A further node joins with addresses of some that are there. \
                        Without --join the node is a cluster of one.\n\n\
                        Examples:\n  pelton server --name a --data /var/lib/pelton --peer-listen 10.0.0.1:7400 \\\n      \
                        --join 10.0.0.1:7400,10.0.0.2:7400,10.0.0.3:7400 \\\n      \
                        --peer-ca ca.pem --peer-cert a.pem --peer-key a-key.pem\n  \
                        pelton server --config /etc/pelton/pelton.yaml\n  \
                        pelton server --role ingress --join 10.0.0.1:7400,10.0.0.2:7400 --peer-insecure\n\n\
                        Stop with Ctrl-C or SIGTERM: the node hands over what it leads, and finishes what it has begun; a \
                        second signal ends it at once."
)]
pub struct ServerCommandArgs {
    #[command(flatten)]
    settings: ServerArgs,
}

/// Runs a node of a cluster until a signal comes.
pub fn run(args: &ServerCommandArgs) -> Result<(), Failure> {
    up::run_process(args.settings.settings()?)
}
