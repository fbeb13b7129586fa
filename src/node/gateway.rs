//! The role that runs services.

use std::io;
use std::net::{IpAddr, SocketAddr};
#[cfg(feature = "kubernetes")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pelton_client::serving::GatewayInfo;
use pelton_env::{Chance as _, Clock, OsChance};
#[cfg(feature = "docker")]
use pelton_runtime_docker::DockerRuntime;
#[cfg(feature = "kubernetes")]
use pelton_runtime_kubernetes::{KubernetesOptions, KubernetesRuntime};
use pelton_serving_gateway::logs::{LogOptions, Logs};
#[cfg(feature = "docker")]
use pelton_serving_gateway::runtime::Runtime;
use pelton_serving_gateway::runtime::Runtimes;
use pelton_serving_gateway::runtime::process::{ProcessOptions, ProcessRuntime};
use pelton_serving_gateway::{Deliveries, Gateway, GatewayHandle, Options, RevisionSeries};
use tokio::net::TcpListener;

use super::{AnyClient, StartError, advertised};
use crate::api::OwnGateway;
use crate::config::{ClusterSettings, Settings};
use crate::role_runtime::RoleRuntime;

/// Where the gateway keeps what it needs, within the data directory: folders of instances, and what they print.
const FOLDER: &str = "serving";

/// How long a stop waits for the engine to remove the last containers.
#[cfg(feature = "docker")]
const LAST_CONTAINERS: Duration = Duration::from_secs(5);

/// Whether this process runs services.
pub fn is_here(settings: &Settings) -> bool {
    settings.cluster.as_ref().is_none_or(ClusterSettings::runs_services)
}

/// Listens on an address.
///
/// # Errors
/// That of the system.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    Gateway::bind(address)
}

/// What the API is to know of the gateway, if there is going to be one. What its instances printed can be read from now on.
///
/// # Errors
/// [`StartError::Logs`].
pub fn known(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Option<OwnGateway>, StartError> {
    if !is_here(settings) {
        return Ok(None);
    }
    let folder = settings.data.join(FOLDER).join("logs");
    let logs = Logs::open(&folder, LogOptions::default(), Arc::clone(clock)).map_err(StartError::Logs)?;
    Ok(Some(OwnGateway::new(logs)))
}

/// A gateway that runs.
#[derive(Debug)]
pub struct Running {
    handle: GatewayHandle,
    #[cfg(feature = "docker")]
    docker: Option<Arc<DockerRuntime>>,
    threads: RoleRuntime,
}

impl Running {
    /// Its services, for the dispatcher of the same process.
    pub fn deliveries(&self) -> Deliveries {
        self.handle.deliveries()
    }

    /// What its revisions count.
    pub fn series(&self) -> Arc<RevisionSeries> {
        self.handle.series()
    }

    /// Its threads: what is begun while this lives runs on them.
    pub fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.threads.enter()
    }

    /// Stops it: see [`GatewayHandle::shutdown`].
    pub async fn shutdown(self, grace: Duration, delivered: impl Future<Output = ()>) -> usize {
        let cut = self.handle.shutdown(grace, delivered).await;
        #[cfg(feature = "docker")]
        if let Some(docker) = self.docker
            && tokio::time::timeout(LAST_CONTAINERS, docker.close()).await.is_err()
        {
            tracing::warn!("containers are left; the next start removes them");
        }
        drop(self.threads);
        cut
    }
}

/// Starts it, on threads of its own, and says so to whom `known` told of it.
pub async fn start(
    settings: &Settings,
    listener: TcpListener,
    client: AnyClient,
    known: &OwnGateway,
) -> Result<Running, StartError> {
    let threads = RoleRuntime::start("pelton-gateway", settings.workers).map_err(StartError::Threads)?;
    let folder = settings.data.join(FOLDER);
    let logs = known.logs().clone();
    let opening = {
        let _there = threads.enter();
        let (folder, logs) = (folder.clone(), logs.clone());
        tokio::spawn(
            async move { ProcessRuntime::open(&folder, ProcessOptions::default(), logs, Arc::new(OsChance)).await },
        )
    };
    let processes = opening.await.expect("opening does not panic").map_err(StartError::Processes)?;
    let runtimes = Runtimes::none().with(Arc::new(processes));
    let address = listener.local_addr().map_err(StartError::Address)?;
    if let Some(why) = settings.cluster.as_ref().and_then(|cluster| only_here(address, cluster)) {
        tracing::warn!("{why}");
    }
    let reached = settings.cluster.as_ref().map(|cluster| GatewayInfo {
        node: cluster.name.clone(),
        address: advertised(address, cluster.peer_advertise.as_ref()),
        pass: format!("{:016x}{:016x}", OsChance.bits(), OsChance.bits()),
    });
    #[cfg(feature = "docker")]
    let (runtimes, docker) = {
        let _there = threads.enter();
        match super::docker::open(settings, &folder, &logs).map_err(StartError::Docker)? {
            Some(docker) => (runtimes.with(Arc::clone(&docker) as Arc<dyn Runtime>), Some(docker)),
            None => (runtimes, None),
        }
    };
    #[cfg(feature = "kubernetes")]
    let runtimes = {
        let _there = threads.enter();
        runtimes.with(Arc::new(kubernetes(settings, folder.clone(), logs.clone())?))
    };
    let options = Options {
        name: format!("{:016x}", OsChance.bits()),
        reached,
        domain: settings.gateway_domain.clone(),
        ..Options::default()
    };
    let handle = {
        let _there = threads.enter();
        Gateway::serve(vec![listener], client, runtimes, logs, options).map_err(StartError::Gateway)?
    };
    known.began(handle.census());
    Ok(Running {
        handle,
        #[cfg(feature = "docker")]
        docker,
        threads,
    })
}

/// The runtime of Deployments. No cluster is looked for unless one is used.
#[cfg(feature = "kubernetes")]
fn kubernetes(settings: &Settings, folder: PathBuf, logs: Logs) -> Result<KubernetesRuntime, StartError> {
    let options = KubernetesOptions {
        kubeconfig: settings.kubernetes.kubeconfig.clone(),
        namespace: settings.kubernetes.namespace.clone(),
        ..KubernetesOptions::new(folder)
    };
    KubernetesRuntime::open(options, logs, Arc::new(OsChance)).map_err(StartError::Kubernetes)
}

/// What is to be said of a gateway that the other nodes cannot reach.
fn only_here(address: SocketAddr, cluster: &ClusterSettings) -> Option<String> {
    let is_here = |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let others = cluster.peer_advertise.as_ref().is_some_and(|own| !is_here(own.host()));
    (others && address.ip().is_loopback()).then(|| {
        format!(
            "gateway-listen is {address}, which other nodes cannot reach: requests are served by the instances of the node \
             that they come to"
        )
    })
}
