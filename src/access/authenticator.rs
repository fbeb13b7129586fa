//! Who somebody is by what he shows.

mod trusted;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;
use parking_lot::RwLock;
use pelton_access::account::{Holder, ISSUER};
use pelton_access::limits::LEEWAY_SECONDS;
use pelton_access::{Caller, Identity, Jws, Policy, TokenError};
use pelton_client::Resources;
use pelton_env::Clock;
use pelton_resource::{Kind, ResourceKey};
use tokio::sync::watch;

pub use self::trusted::Trusted;
use super::authority;
use super::bearer::{Shown, shown};
use super::issuer_keys::IssuerKeys;
use super::loaded::Loaded;
use crate::http::Peer;

/// Why it is not known who somebody is.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// What he showed is nobody's. Why is for the log and not for him.
    #[error("what was shown counts for nobody: {0}")]
    Nobody(String),
    /// It cannot be told now.
    #[error("it cannot be told yet who this is: {0}")]
    NotNow(String),
}

/// Finds out who somebody is.
pub struct Authenticator {
    clock: Arc<dyn Clock>,
    resources: watch::Receiver<Arc<Resources>>,
    trusted: watch::Receiver<Option<Arc<Trusted>>>,
    /// Whether it is known what there is.
    is_open: Arc<AtomicBool>,
    files: RwLock<Files>,
}

#[derive(Clone)]
struct Files {
    policy: Arc<Policy>,
    issuers: Vec<Arc<IssuerKeys>>,
}

impl Authenticator {
    /// One by the files as they were read, and by what the registry has of accounts.
    pub fn new(
        loaded: &Loaded,
        clock: Arc<dyn Clock>,
        resources: watch::Receiver<Arc<Resources>>,
        trusted: watch::Receiver<Option<Arc<Trusted>>>,
        is_open: Arc<AtomicBool>,
    ) -> Self {
        Self { clock, resources, trusted, is_open, files: RwLock::new(Files::of(loaded)) }
    }

    /// From now on by other files.
    pub fn replace(&self, loaded: &Loaded) {
        *self.files.write() = Files::of(loaded);
    }

    /// Which authority is in the registry, as far as this node knows: its uid. What another one gave counts for nothing.
    pub fn authority(&self) -> Option<String> {
        let at = authority::key();
        let resources = self.resources.borrow();
        resources.core_object(at.kind, &at.namespace, &at.name).and_then(|secret| secret.metadata.uid.clone())
    }

    /// What tells when somebody may count for another than he did, or for nobody.
    pub fn changes(&self) -> watch::Receiver<Option<Arc<Trusted>>> {
        let mut changes = self.trusted.clone();
        changes.mark_unchanged();
        changes
    }

    /// Whether a token says that it is over. It is one that counted when it was shown.
    pub fn is_over(&self, headers: &HeaderMap) -> bool {
        let Shown::Token(token) = shown(headers) else { return false };
        let end = Jws::parse(token).ok().and_then(|token| token.claimed_end());
        end.is_some_and(|end| self.now() >= end.saturating_add(LEEWAY_SECONDS))
    }

    /// Who makes a request. A token counts before a certificate: it was given with the request.
    ///
    /// # Errors
    /// Something is shown that counts for nobody, or nobody can tell.
    pub async fn caller(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Caller, Unknown> {
        let files = self.files.read().clone();
        let shows_certificate = |peer: &&Peer| !peer.certificates.is_empty();
        let identity = match (shown(headers), peer.filter(shows_certificate)) {
            (Shown::Token(token), _) => self.of_token(token, &files).await?,
            (Shown::Other, _) => {
                return Err(Unknown::Nobody("Authorization holds something else than one bearer token".into()));
            }
            (Shown::Nothing, Some(peer)) => self.trusted()?.identity(peer, self.now()).map_err(Unknown::Nobody)?,
            (Shown::Nothing, None) => Identity::anonymous(),
        };
        Ok(Caller::new(identity, files.policy))
    }

    /// Seconds since 1970.
    fn now(&self) -> u64 {
        self.clock.now().0 / 1000
    }

    /// What vouches for callers. It is held against the registry each time, as whoever sees there that an authority is no
    /// more, or the next one, must not pass for somebody by what the old one gave.
    fn trusted(&self) -> Result<Arc<Trusted>, Unknown> {
        let is = self.authority();
        let trusted = self.trusted.borrow().clone();
        let trusted = trusted.filter(|trusted| is.is_some() && trusted.uid == is);
        trusted.ok_or_else(|| Unknown::NotNow("the cluster's authority is not known here".to_owned()))
    }

    async fn of_token(&self, token: &str, files: &Files) -> Result<Identity, Unknown> {
        let unknown = |error: TokenError| Unknown::Nobody(error.to_string());
        let now = self.clock.now().0;
        if let Some(identity) = files.policy.tokens.find(token, now) {
            return Ok(identity);
        }
        let token = Jws::parse(token).map_err(unknown)?;
        if token.claimed_issuer() == ISSUER {
            return self.of_account(&token, now / 1000);
        }
        let issuer = files.issuers.iter().find(|issuer| issuer.is_of(token.claimed_issuer()));
        let issuer = issuer.ok_or_else(|| unknown(TokenError::Issuer))?;
        issuer.identity(&token, now / 1000).await.map_err(|error| match error {
            Some(error) => unknown(error),
            None => Unknown::NotNow("its issuer does not tell its keys".to_owned()),
        })
    }

    /// A token of the cluster's own. An account that was deleted is nobody, whatever came in its place.
    fn of_account(&self, token: &Jws, now: u64) -> Result<Identity, Unknown> {
        match self.trusted()?.key.holder(token, now).map_err(|error| Unknown::Nobody(error.to_string()))? {
            Holder::Admin(identity) => Ok(identity),
            Holder::Account { namespace, name, uid } => {
                let account = ResourceKey::new(Kind::ServiceAccount, namespace.as_str(), name.as_str());
                let account = self.resources.borrow().find(&account);
                let is_it = account.is_some_and(|account| account.meta().uid.as_deref() == Some(uid.as_str()));
                match is_it {
                    true => Ok(Identity::account(&namespace, &name, &uid)),
                    false if !self.is_open.load(Ordering::Acquire) => {
                        Err(Unknown::NotNow("this node does not know yet what there is".to_owned()))
                    }
                    false => Err(Unknown::Nobody(format!("the account {namespace}/{name} is there no more"))),
                }
            }
        }
    }
}

impl Files {
    fn of(loaded: &Loaded) -> Self {
        Self { policy: Arc::clone(&loaded.policy), issuers: loaded.issuers.clone() }
    }
}
