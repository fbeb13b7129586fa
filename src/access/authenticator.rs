//! Who somebody is by what he shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;
use parking_lot::RwLock;
use pelton_access::account::{AccountKey, Holder, ISSUER};
use pelton_access::{Caller, Identity, Jws, Policy, TokenError, subject};
use pelton_client::Resources;
use pelton_env::Clock;
use pelton_resource::{Kind, ResourceKey};
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;

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
    account_keys: watch::Receiver<Option<Arc<AccountKey>>>,
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
        account_keys: watch::Receiver<Option<Arc<AccountKey>>>,
        is_open: Arc<AtomicBool>,
    ) -> Self {
        Self { clock, resources, account_keys, is_open, files: RwLock::new(Files::of(loaded)) }
    }

    /// From now on by other files.
    pub fn replace(&self, loaded: &Loaded) {
        *self.files.write() = Files::of(loaded);
    }

    /// Who makes a request. A token counts before a certificate: it was given with the request.
    ///
    /// # Errors
    /// Something is shown that counts for nobody, or nobody can tell.
    pub async fn caller(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Caller, Unknown> {
        let files = self.files.read().clone();
        let identity = match (shown(headers), peer.and_then(|peer| peer.certificate.as_ref())) {
            (Shown::Token(token), _) => self.of_token(token, &files).await?,
            (Shown::Other, _) => {
                return Err(Unknown::Nobody("Authorization holds something else than one bearer token".into()));
            }
            (Shown::Nothing, Some(certificate)) => of_certificate(certificate)?,
            (Shown::Nothing, None) => Identity::anonymous(),
        };
        Ok(Caller::new(identity, files.policy))
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
        let key = self.account_keys.borrow().clone();
        let key = key.ok_or_else(|| Unknown::NotNow("the key that signs tokens is not known here".to_owned()))?;
        match key.holder(token, now).map_err(|error| Unknown::Nobody(error.to_string()))? {
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

fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Identity, Unknown> {
    let read = webpki::EndEntityCert::try_from(certificate).ok();
    let identity = read.and_then(|certificate| subject::identity(certificate.subject()));
    identity.ok_or_else(|| Unknown::Nobody("the certificate names nobody".to_owned()))
}
