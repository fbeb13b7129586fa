//! Keeps what TLS and tokens need: finds the cluster's authority or makes it, and renews this node's certificate.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use parking_lot::Mutex;
use pelton_access::account::AccountKey;
use pelton_access::limits::MAX_TOKEN_SECONDS;
use pelton_access::{Caller, SYSTEM_NAMESPACE};
use pelton_client::{Client, Resources};
use pelton_control_plane::ControlPlane;
use pelton_env::{Chance, Clock, UnixMillis};
use pelton_resource::Resource;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::authenticator::Authenticator;
use super::authority::{self, Authority};
use super::certificates::{self, NODE_DAYS};
use super::loaded::{AccessError, Loaded};
use super::tls;
use crate::config::AccessSettings;
use crate::exit::with_causes;
use crate::http::Security;
use crate::kubeconfig::{self, Credentials};

/// How soon it is looked again while there is no authority.
const SOON: Duration = Duration::from_millis(200);

/// How often it is looked whether the certificate must be made anew.
const LATER: Duration = Duration::from_secs(3600);

/// The certificate, and the kubeconfig with it, is made anew when it has lasted for two thirds of its time.
const RENEW_AFTER_MILLIS: u64 = (NODE_DAYS as u64) * 2 / 3 * 24 * 3600 * 1000;

/// Who calls, found out by what the files and the registry say.
pub struct Access {
    shared: Arc<Shared>,
    authenticator: Arc<Authenticator>,
    keeping: Option<JoinHandle<()>>,
}

struct Shared {
    settings: AccessSettings,
    loaded: Mutex<Arc<Loaded>>,
    reloaded: Notify,
    configs: watch::Sender<Option<Arc<ServerConfig>>>,
    account_keys: watch::Sender<Option<Arc<AccountKey>>>,
}

/// What keeping begins with.
pub struct Start<C> {
    /// The cluster.
    pub client: C,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For uids.
    pub chance: Arc<dyn Chance>,
    /// What the certificate of this node names.
    pub names: Vec<String>,
    /// Set once it is known here what there is: before that nothing is made.
    pub is_open: Arc<AtomicBool>,
    /// The folder of the kubeconfig, and the URL that it leads to.
    pub kubeconfig: Option<(PathBuf, String)>,
}

impl Access {
    /// By files that were read. `is_open` is set once it is known here what there is.
    pub fn new(
        settings: AccessSettings,
        loaded: Loaded,
        clock: Arc<dyn Clock>,
        resources: watch::Receiver<Arc<Resources>>,
        is_open: Arc<AtomicBool>,
    ) -> Self {
        let (configs, account_keys) = (watch::Sender::new(None), watch::Sender::new(None));
        let authenticator = Authenticator::new(&loaded, clock, resources, account_keys.subscribe(), is_open);
        let loaded = Mutex::new(Arc::new(loaded));
        let shared = Shared { settings, loaded, reloaded: Notify::new(), configs, account_keys };
        Self { shared: Arc::new(shared), authenticator: Arc::new(authenticator), keeping: None }
    }

    /// Who finds out who somebody is.
    pub fn authenticator(&self) -> Arc<Authenticator> {
        Arc::clone(&self.authenticator)
    }

    /// How connections are protected.
    pub fn security(&self) -> Security {
        Security::Tls(self.shared.configs.subscribe())
    }

    /// What signs tokens.
    pub fn account_keys(&self) -> watch::Receiver<Option<Arc<AccountKey>>> {
        self.shared.account_keys.subscribe()
    }

    /// Looks after all that from now on.
    pub fn keep<C: Client + Clone>(&mut self, start: Start<C>) {
        let plane = ControlPlane::new(start.client.clone(), Arc::clone(&start.clock), Arc::clone(&start.chance));
        plane.open().store(true, Ordering::Release);
        let keeper = Keeper { shared: Arc::clone(&self.shared), plane, start };
        self.keeping = Some(tokio::spawn(keeper.run()));
    }

    /// Waits until callers can be served.
    pub async fn ready(&self) {
        // The sender is in `shared`.
        let _ = self.shared.configs.subscribe().wait_for(Option::is_some).await;
    }

    /// Reads the files again, for what comes from now on. What cannot be used changes nothing.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn reload(&self) -> Result<(), AccessError> {
        let loaded = Arc::new(Loaded::read(&self.shared.settings)?);
        self.authenticator.replace(&loaded);
        *self.shared.loaded.lock() = loaded;
        self.shared.reloaded.notify_one();
        Ok(())
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        if let Some(keeping) = &self.keeping {
            keeping.abort();
        }
    }
}

struct Keeper<C> {
    shared: Arc<Shared>,
    /// For making the Secret as any other object is made.
    plane: ControlPlane<C>,
    start: Start<C>,
}

impl<C: Client + Clone> Keeper<C> {
    async fn run(self) {
        let mut resources = self.start.client.resources();
        // The version of the Secret that is in use, or that cannot be used, and since when.
        let mut seen = None::<(Option<String>, UnixMillis)>;
        loop {
            let secret = resources.borrow_and_update().find(&authority::key());
            let now = self.start.clock.now();
            let wait = match secret {
                Some(secret) => {
                    let version = secret.meta().resource_version.clone();
                    let is_current = seen.as_ref().is_some_and(|(of, since)| {
                        *of == version && now.0.saturating_sub(since.0) < RENEW_AFTER_MILLIS
                    });
                    if !is_current {
                        if let Err(error) = self.publish(&secret, now) {
                            tracing::error!(error = with_causes(&*error), "the API's certificate could not be made");
                        }
                        seen = Some((version, now));
                    }
                    LATER
                }
                None => {
                    if self.start.is_open.load(Ordering::Acquire) {
                        self.make(now).await;
                    }
                    SOON
                }
            };
            tokio::select! {
                changed = resources.changed() => if changed.is_err() { return },
                () = self.shared.reloaded.notified() => seen = None,
                () = sleep(wait) => {}
            }
        }
    }

    /// Makes the authority. Of several nodes that do one succeeds, and all of them find what that one has made.
    async fn make(&self, now: UnixMillis) {
        let secret = match authority::make(now) {
            Ok(secret) => secret,
            Err(error) => {
                tracing::error!(error = with_causes(&error), "the API's authority could not be made");
                return;
            }
        };
        let namespace = json!({"metadata": {"name": SYSTEM_NAMESPACE}});
        for (path, object) in [
            ("/api/v1/namespaces".to_owned(), namespace),
            (format!("/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets"), secret),
        ] {
            let code = self.create(&path, &object).await;
            if code != StatusCode::CREATED && code != StatusCode::CONFLICT {
                tracing::debug!(path, %code, "the API's authority could not be stored yet");
                return;
            }
        }
    }

    async fn create(&self, path: &str, object: &Value) -> StatusCode {
        let request = Request::post(path).body(Bytes::from(object.to_string()));
        let request = request.expect("the path is one that we have written");
        self.plane.answer(request, &Caller::local()).await.status()
    }

    /// Signs a certificate, and lets connections use it.
    fn publish(&self, secret: &Resource, now: UnixMillis) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let authority = Authority::read(secret)?;
        let loaded = Arc::clone(&self.shared.loaded.lock());
        let mut trusted = tls::certificates(authority.ca.as_bytes())?;
        trusted.extend(loaded.client_authorities.iter().cloned());
        let config = match &loaded.certificate {
            Some(own) => tls::server(own, &trusted)?,
            None => tls::server(&certificates::make_server(&authority.ca_key, &self.start.names, now)?, &trusted)?,
        };
        if let Some((folder, server)) = &self.start.kubeconfig {
            let token = authority.account_key.admin_token(now.0 / 1000, MAX_TOKEN_SECONDS);
            // Who signed an operator's certificate is for the operator to say.
            let authority = loaded.certificate.is_none().then(|| authority.ca.clone());
            let written = kubeconfig::write(folder, server, Some(&Credentials { authority, token }));
            if let Err(error) = written {
                tracing::warn!(%error, "the kubeconfig could not be written");
            }
        }
        self.shared.account_keys.send_replace(Some(authority.account_key));
        self.shared.configs.send_replace(Some(Arc::new(config)));
        Ok(())
    }
}
