//! Keeps what TLS and tokens need: finds the cluster's authority or makes it, and renews this node's certificate.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

use super::authenticator::{Authenticator, Trusted};
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

/// How soon it is tried again when the certificate could not be made, or the kubeconfig not be written.
const AGAIN: Duration = Duration::from_secs(30);

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
    trusted: watch::Sender<Option<Arc<Trusted>>>,
    /// How often it was said anew who is trusted.
    generations: AtomicU64,
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
        let trusted = watch::Sender::new(None);
        let authenticator = Authenticator::new(&loaded, clock, resources, trusted.subscribe(), is_open);
        let shared = Shared {
            settings,
            loaded: Mutex::new(Arc::new(loaded)),
            reloaded: Notify::new(),
            configs: watch::Sender::new(None),
            account_keys: watch::Sender::new(None),
            trusted,
            generations: AtomicU64::new(0),
        };
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
        loaded.keep_keys_of(&self.shared.loaded.lock());
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

/// What was made of the Secret last.
struct Last {
    /// The version of it.
    version: Option<String>,
    at: UnixMillis,
    /// Whether it is in use, and the kubeconfig is written.
    is_done: bool,
}

impl Last {
    fn wait(&self) -> Duration {
        if self.is_done { LATER } else { AGAIN }
    }

    /// Whether all is as it should be with that version of the Secret, or it is too early to try again.
    fn is_enough(&self, version: Option<&str>, now: UnixMillis) -> bool {
        let lasts = if self.is_done { RENEW_AFTER_MILLIS } else { AGAIN.as_millis() as u64 };
        self.version.as_deref() == version && now.0.saturating_sub(self.at.0) < lasts
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
        let mut last = None::<Last>;
        loop {
            let secret = resources.borrow_and_update().find(&authority::key());
            let now = self.start.clock.now();
            let wait = match secret {
                Some(secret) => {
                    let version = secret.meta().resource_version.clone();
                    if !last.as_ref().is_some_and(|last| last.is_enough(version.as_deref(), now)) {
                        last = Some(Last { version, at: now, is_done: self.try_to_publish(&secret, now) });
                    }
                    last.as_ref().map_or(SOON, Last::wait)
                }
                None => {
                    last = None;
                    self.shared.forget();
                    if self.start.is_open.load(Ordering::Acquire) {
                        self.make(now).await;
                    }
                    SOON
                }
            };
            tokio::select! {
                changed = resources.changed() => if changed.is_err() { return },
                () = self.shared.reloaded.notified() => last = None,
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

    fn try_to_publish(&self, secret: &Resource, now: UnixMillis) -> bool {
        let published = self.publish(secret, now);
        if let Err(error) = &published {
            tracing::error!(error = with_causes(&**error), "the API's certificate or the kubeconfig could not be made");
        }
        published.is_ok()
    }

    /// Signs a certificate, and lets connections use it.
    fn publish(&self, secret: &Resource, now: UnixMillis) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let authority = Authority::read(secret)?;
        let loaded = Arc::clone(&self.shared.loaded.lock());
        let mut authorities = tls::certificates(authority.ca.as_bytes())?;
        authorities.extend(loaded.client_authorities.iter().cloned());
        let verifier = tls::verifier(&authorities)?;
        let own = match &loaded.certificate {
            Some(own) => own,
            None => &certificates::make_server(&authority.ca_key, &self.start.names, now)?,
        };
        let config = tls::server(own, Arc::clone(&verifier))?;
        // It is there before anybody is told that the API is ready.
        let written = self.write_kubeconfig(&authority, loaded.certificate.is_some(), now);
        self.shared.trust(Trusted {
            uid: secret.meta().uid.clone(),
            key: authority.account_key,
            verifier,
            generation: self.shared.generations.fetch_add(1, Ordering::Relaxed),
        });
        self.shared.configs.send_replace(Some(Arc::new(config)));
        written.map_err(Into::into)
    }

    fn write_kubeconfig(&self, authority: &Authority, has_own: bool, now: UnixMillis) -> std::io::Result<()> {
        let Some((folder, server)) = &self.start.kubeconfig else { return Ok(()) };
        let token = authority.account_key.admin_token(now.0 / 1000, MAX_TOKEN_SECONDS);
        // Who signed an operator's certificate is for the operator to say.
        let authority = (!has_own).then(|| authority.ca.clone());
        kubeconfig::write(folder, server, Some(&Credentials { authority, token })).map(drop)
    }
}

impl Shared {
    /// From now on callers are known by that.
    fn trust(&self, trusted: Trusted) {
        self.account_keys.send_replace(Some(Arc::clone(&trusted.key)));
        self.trusted.send_replace(Some(Arc::new(trusted)));
    }

    /// The authority is no more: nothing of it counts, and no token is signed by it.
    fn forget(&self) {
        self.account_keys.send_if_modified(|key| key.take().is_some());
        self.trusted.send_if_modified(|trusted| trusted.take().is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_tried_again_and_what_is_done_lasts() {
        let last = |is_done| Last { version: Some("7".to_owned()), at: UnixMillis(1000), is_done };
        let again = 1000 + AGAIN.as_millis() as u64;
        for (is_done, version, now, want) in [
            (true, "7", 1000, true),
            (true, "8", 1000, false),
            (true, "7", again, true),
            (true, "7", 1000 + RENEW_AFTER_MILLIS, false),
            // A cluster where much is changed does not have it tried all the time.
            (false, "7", again - 1, true),
            (false, "7", again, false),
            (false, "8", 1001, false),
        ] {
            assert_eq!(last(is_done).is_enough(Some(version), UnixMillis(now)), want, "{is_done} {version} {now}");
        }
    }
}
