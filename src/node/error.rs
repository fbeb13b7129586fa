//! Why a process did not start.

use std::io;
use std::net::SocketAddr;

use pelton_client::ApplyError;
use pelton_ingress::ServeError;

use crate::manifests::BadManifests;

/// Why a process did not start. It should end then: what was started stops with its runtime.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("{key}: cannot listen on {address}")]
    Listen {
        /// The key of the configuration.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] pelton_peer::TlsError),
    /// The API cannot be protected as it was asked for.
    #[error(transparent)]
    Access(#[from] crate::access::AccessError),
    /// The data cannot be opened, or the cluster does not want this node.
    #[error(transparent)]
    Open(Box<pelton_broker::OpenError>),
    /// The nodes that were to be joined are not those of one cluster.
    #[error(transparent)]
    Seek(#[from] super::seek::SeekError),
    /// The files with resources cannot be read.
    #[error(transparent)]
    Manifests(#[from] BadManifests),
    /// The resources were not stored.
    #[error("the resources were not stored")]
    Apply(#[from] ApplyError),
    /// The dispatcher or the gateway got no threads.
    #[error("a role's threads could not be started")]
    Threads(#[source] io::Error),
    /// What services print cannot be kept.
    #[error("the logs of services cannot be kept")]
    Logs(#[source] io::Error),
    /// Services cannot be run.
    #[error("services cannot be run")]
    Processes(#[source] pelton_serving_gateway::runtime::process::OpenError),
    /// The name that containers are known by cannot be kept.
    #[cfg(feature = "docker")]
    #[error("the containers of services cannot be told from those of others")]
    Docker(#[source] io::Error),
    /// It cannot be read what a former life has in a Kubernetes cluster.
    #[cfg(feature = "kubernetes")]
    #[error("what services have in a Kubernetes cluster cannot be read")]
    Kubernetes(#[source] io::Error),
    /// The gateway did not start.
    #[error("the gateway did not start")]
    Gateway(#[source] pelton_serving_gateway::ServeError),
    /// The ingress did not start.
    #[error("the ingress did not start")]
    Ingress(#[from] ServeError),
    /// A listener would not say where it listens.
    #[error("the address of a listener could not be read")]
    Address(#[source] io::Error),
}
