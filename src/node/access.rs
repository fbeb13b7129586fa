//! What stands before the API of a node.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pelton_client::Client;
use pelton_env::{Clock, OsChance};
use tokio::net::TcpListener;

use super::{Addresses, own_host, reachable};
use crate::access::{Access, AccessError, Audit, Gate, Loaded, Start, names};
use crate::api::Api;
use crate::config::{AccessSettings, ApiAccess, ClusterSettings, Settings};
use crate::http::{Security, Server};
use crate::telemetry::Health;

/// The files that say who may, read before anything is begun.
pub struct Guarded {
    access: Option<(AccessSettings, Loaded)>,
    audit: Option<Arc<Audit>>,
}

/// What is kept of it while the node runs.
pub struct Guard {
    access: Option<Access>,
    audit: Option<Arc<Audit>>,
}

impl Guarded {
    /// Reads the files, closes the data folder to others, and begins the audit log.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn read(settings: &Settings) -> Result<Self, AccessError> {
        let ApiAccess { access, audit } = &settings.api_access;
        let access = match access {
            Some(access) => Some((access.clone(), Loaded::read(access)?)),
            None => None,
        };
        if access.is_some() && keeps(settings) {
            let close = close_to_others(&settings.data);
            close.map_err(|source| AccessError::Data { folder: settings.data.clone(), source })?;
        }
        let audit = audit.as_deref().map(Audit::open).transpose()?.map(Arc::new);
        Ok(Self { access, audit })
    }

    /// Begins to find out who calls.
    pub fn begin<C: Client + Clone>(
        self,
        settings: &Settings,
        addresses: &Addresses,
        client: &C,
        clock: &Arc<dyn Clock>,
        is_open: &Arc<AtomicBool>,
    ) -> (Guard, Gate) {
        let access = self.access.map(|(files, loaded)| {
            let mut access = Access::new(files, loaded, Arc::clone(clock), client.resources(), Arc::clone(is_open));
            access.keep(Start {
                client: client.clone(),
                clock: Arc::clone(clock),
                chance: Arc::new(OsChance),
                names: names(addresses.api.ip(), more_names(settings)),
                is_open: Arc::clone(is_open),
                kubeconfig: kubeconfig_at(settings, addresses.api),
            });
            access
        });
        let authenticator = access.as_ref().map(Access::authenticator);
        let gate = Gate::new(authenticator, self.audit.clone(), Arc::clone(clock), Arc::new(OsChance));
        (Guard { access, audit: self.audit }, gate)
    }
}

impl Guard {
    /// Serves the API.
    ///
    /// # Errors
    /// The listener's address cannot be read.
    pub fn start<C: Client>(&self, api: Api<C>, listener: TcpListener, gate: Gate) -> io::Result<Server> {
        match &self.access {
            None => api.start(listener, gate, Security::Plaintext),
            Some(access) => api.with_account_keys(access.account_keys()).start(listener, gate, access.security()),
        }
    }

    /// Waits until callers can be served.
    pub async fn ready(&self, health: &Health) {
        if let Some(access) = &self.access {
            health.set_waiting("waiting for the certificate of the API".to_owned());
            access.ready().await;
        }
    }

    /// Who may, when callers are asked who they are.
    pub fn access(&self) -> Option<&Access> {
        self.access.as_ref()
    }

    /// Waits for the last lines of the audit log.
    pub async fn flush(&self) {
        if let Some(audit) = &self.audit {
            audit.flush().await;
        }
    }
}

/// The registry has the keys that everything is signed with, and its log is in there.
fn close_to_others(data: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    let mode = std::fs::metadata(data)?.permissions().mode();
    std::fs::set_permissions(data, Permissions::from_mode(mode & 0o700))
}

fn keeps(settings: &Settings) -> bool {
    settings.cluster.as_ref().is_none_or(ClusterSettings::keeps_replicas)
}

/// Beside the data, where there is any.
fn kubeconfig_at(settings: &Settings, api: SocketAddr) -> Option<(PathBuf, String)> {
    keeps(settings).then(|| (settings.data.clone(), format!("https://{}", reachable(api))))
}

/// By what else this node may be called: what it was told, what other nodes dial, and the host's own name.
fn more_names(settings: &Settings) -> Vec<String> {
    let uname = rustix::system::uname();
    let own = uname.nodename().to_string_lossy().to_ascii_lowercase();
    let dialled = own_host(settings).map(|address| address.host().to_ascii_lowercase());
    let is_name = |name: &String| {
        name.parse::<IpAddr>().is_ok()
            || (name.len() <= 253 && !name.is_empty() && name.split('.').all(pelton_resource::is_dns_label))
    };
    settings.api_hosts.iter().cloned().chain([own]).chain(dialled).filter(is_name).collect()
}
