//! Which engine runs the containers of services.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pelton_env::OsChance;
use pelton_runtime_docker::{DEFAULT_SOCKET, DockerRuntime};
use pelton_serving_gateway::logs::Logs;

use crate::config::{Settings, docker_host};

/// The variable by which the programs of Docker are told where their engine is.
const VARIABLE: &str = "DOCKER_HOST";

/// The runtime of containers, which need not have an engine yet. `None` when the one that is meant is not spoken to from
/// here. Must be called within a tokio runtime.
///
/// # Errors
/// The folder cannot be used.
pub fn open(settings: &Settings, folder: &Path, logs: &Logs) -> io::Result<Option<Arc<DockerRuntime>>> {
    let variable = std::env::var(VARIABLE).ok();
    match socket(settings.docker_host.as_deref(), variable.as_deref()) {
        Ok(socket) => DockerRuntime::open(&folder.join("docker"), socket, logs.clone(), Arc::new(OsChance))
            .map(Arc::new)
            .map(Some),
        Err(why) => {
            tracing::warn!(why, "{VARIABLE} names no engine that can be used here; there is no runtime docker");
            Ok(None)
        }
    }
}

/// What was configured, what the variable says, or where Docker listens by default. An engine elsewhere is not replaced by
/// the one that is here: whoever set the variable means that one.
fn socket(configured: Option<&Path>, variable: Option<&str>) -> Result<PathBuf, String> {
    match (configured, variable.filter(|text| !text.is_empty())) {
        (Some(socket), _) => Ok(socket.to_owned()),
        (None, Some(text)) => docker_host(text),
        (None, None) => Ok(DEFAULT_SOCKET.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_goes_over_the_variable_and_that_over_the_default() {
        for (configured, variable, want) in [
            (None, None, Some(DEFAULT_SOCKET)),
            (None, Some(""), Some(DEFAULT_SOCKET)),
            (None, Some("unix:///run/user/1000/docker.sock"), Some("/run/user/1000/docker.sock")),
            (Some("/a.sock"), Some("unix:///b.sock"), Some("/a.sock")),
            (Some("/a.sock"), Some("ssh://elsewhere"), Some("/a.sock")),
            (None, Some("ssh://elsewhere"), None),
            (None, Some("tcp://127.0.0.1:2375"), None),
        ] {
            let socket = socket(configured.map(Path::new), variable);
            assert_eq!(socket.ok().as_deref(), want.map(Path::new), "{configured:?} {variable:?}");
        }
    }
}
