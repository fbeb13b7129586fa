//! How the cluster is found.

use std::path::Path;
use std::time::Duration;

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

use crate::call::{CallError, text_of};

/// How long a connection may take to come about.
const CONNECTS_WITHIN: Duration = Duration::from_secs(10);

/// How long an answer may be silent in its middle. Watches are renewed before; of what a Pod prints is asked again.
const SILENT_AT_MOST: Duration = Duration::from_secs(75);

/// A client of the cluster that `kubeconfig` names, or, without one, of the one that the environment does: `KUBECONFIG` or
/// `~/.kube/config`, and within a Pod its own cluster.
///
/// # Errors
/// What is wrong with the configuration. Whether the cluster answers is not tried.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, CallError> {
    let unusable = |error: &dyn std::error::Error| CallError::Unreached(text_of(error));
    let mut config = match kubeconfig {
        Some(path) => {
            let said = Kubeconfig::read_from(path).map_err(|error| unusable(&error))?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(said, &options).await.map_err(|error| unusable(&error))?
        }
        None => Config::infer().await.map_err(|error| unusable(&error))?,
    };
    config.connect_timeout = Some(CONNECTS_WITHIN);
    config.read_timeout = Some(SILENT_AT_MOST);
    Client::try_from(config).map_err(CallError::from)
}
