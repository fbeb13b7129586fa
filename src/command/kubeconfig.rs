//! `pelton kubeconfig`

use std::path::PathBuf;

use clap::Args;

use super::print;
use crate::exit::Failure;
use crate::kubeconfig;

/// Where the API is when nothing is said.
const SERVER: &str = "http://127.0.0.1:8001";

/// What `pelton kubeconfig` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "The one beside the data is printed when there is one: with api-auth it holds the admin's token. Any node of the \
                        cluster takes it, so --api may name another one.\n\n\
                        Examples:\n  pelton kubeconfig > ~/.kube/pelton\n  \
                        pelton kubeconfig --data /var/lib/pelton --api https://10.0.0.7:8001\n  \
                        kubectl --kubeconfig <(pelton kubeconfig --api http://10.0.0.7:8001) get brokers"
)]
pub struct KubeconfigArgs {
    /// Where the API of a running Pelton is [default: as the file says, else http://127.0.0.1:8001]
    #[arg(long, value_name = "URL", env = "PELTON_API")]
    api: Option<String>,
    /// Where the data of a Pelton on this machine is
    #[arg(long, value_name = "DIR", env = "PELTON_DATA", default_value = "./pelton-data")]
    data: PathBuf,
}

/// Prints a kubeconfig that leads to the API.
pub fn run(args: &KubeconfigArgs) -> Result<(), Failure> {
    let server = args.api.as_deref().map(|api| api.trim_end_matches('/'));
    if let Some(server) = server.filter(|server| !is_url(server)) {
        return Err(Failure::Usage(format!("--api: expected a URL such as {SERVER}, got {server:?}")));
    }
    let path = kubeconfig::path(&args.data).map_err(|error| Failure::failed("--data", &error))?;
    let text = match (std::fs::read_to_string(&path), server) {
        (Ok(text), Some(server)) => kubeconfig::at(&text, server),
        (Ok(text), None) => text,
        (Err(error), server) if error.kind() == std::io::ErrorKind::NotFound => {
            kubeconfig::text(server.unwrap_or(SERVER), None)
        }
        (Err(error), _) => return Err(Failure::failed(&path.display().to_string(), &error)),
    };
    print(&text)
}

/// Whether it can stand in the file as it is.
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'))
}
