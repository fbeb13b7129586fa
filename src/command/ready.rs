//! `pelton ready`

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, Method};

use super::print_line;
use crate::exit::Failure;
use crate::http::{CallError, Connection, Url};

/// How long the answer may take: it is not worked for.
const WITHIN: Duration = Duration::from_secs(5);

/// What `pelton ready` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "For health checks: exits with 0 when the process can do its work, with 1 when it says that it cannot \
                        (and prints what it waits for), with 3 when it does not answer.\n\n\
                        Examples:\n  pelton ready\n  pelton ready --metrics http://127.0.0.1:9464"
)]
pub struct ReadyArgs {
    /// Where the metrics of the process are: its metrics-listen
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9464")]
    metrics: String,
}

/// Asks a process whether it is ready.
pub async fn run(args: ReadyArgs) -> Result<(), Failure> {
    let url = Url::parse(&args.metrics)?;
    let authority = url.authority.clone();
    let mut connection = Connection::new(url);
    let asked = connection.call(Method::GET, "/readyz", HeaderMap::new(), Bytes::new());
    let answer = match tokio::time::timeout(WITHIN, asked).await {
        Ok(answer) => answer?,
        Err(_) => return Err(CallError::Timeout { authority, timeout: WITHIN }.into()),
    };
    let said = String::from_utf8_lossy(&answer.body);
    match answer.status.is_success() {
        true => print_line("ready"),
        false => Err(Failure::Failed(format!("not ready: {}", said.trim()))),
    }
}
