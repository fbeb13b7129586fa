//! The keys of an issuer of OpenID Connect: asked for when they are needed, and kept for a while.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_access::{Identity, Issuer, Jws, KeySet, TokenError};
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::sync::TryLockError;
use tokio::time::Instant;

use super::fetch;

/// After so long keys are asked for anew. The old ones are used only if there is no answer: one of them may be withdrawn.
const FRESH: Duration = Duration::from_secs(600);

/// After so long without an answer the old ones are used no more.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// It is asked no more often than this, whatever tokens come.
const PAUSE: Duration = Duration::from_secs(10);

/// An issuer and its keys.
pub struct IssuerKeys {
    issuer: Issuer,
    tls: Arc<ClientConfig>,
    known: Mutex<Option<Known>>,
    /// Held by the one task that asks. When it was asked last.
    asking: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

#[derive(Clone)]
struct Known {
    keys: Arc<KeySet>,
    since: Instant,
}

/// What of the discovery document counts.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl IssuerKeys {
    /// An issuer that nobody has asked yet.
    pub fn new(issuer: Issuer, tls: ClientConfig) -> Self {
        let (known, asking) = (Mutex::default(), Arc::default());
        Self { issuer, tls: Arc::new(tls), known, asking }
    }

    /// Whether tokens of that issuer are its.
    pub fn is_of(&self, url: &str) -> bool {
        self.issuer.url == url
    }

    /// Whether another one is named as it is.
    pub fn is_same(&self, other: &Self) -> bool {
        self.issuer == other.issuer
    }

    /// Begins with the keys that another one knows.
    pub fn go_on_with(&self, other: &Self) {
        *self.known.lock() = other.known();
    }

    /// Who somebody is by a token.
    ///
    /// # Errors
    /// The token does not count; or, as `None`, nobody can tell, because the issuer has told no keys.
    pub async fn identity(self: &Arc<Self>, token: &Jws, now: u64) -> Result<Identity, Option<TokenError>> {
        if let Some(fresh) = self.known_for(FRESH) {
            match self.issuer.identity(token, &fresh.keys, now) {
                Err(TokenError::UnknownKey) => {}
                found => return found.map_err(Some),
            }
        }
        let is_asked_already = self.ask().await.is_err();
        let known = self.known_for(KEPT).ok_or(None)?;
        match self.issuer.identity(token, &known.keys, now) {
            // It may be among those that are on their way.
            Err(TokenError::UnknownKey) if is_asked_already => Err(None),
            found => found.map_err(Some),
        }
    }

    fn known(&self) -> Option<Known> {
        self.known.lock().clone()
    }

    fn known_for(&self, at_most: Duration) -> Option<Known> {
        self.known().filter(|known| known.since.elapsed() < at_most)
    }

    /// Asks for the keys, unless somebody did a little while ago. `Err` when somebody is asking at this moment: nobody waits
    /// behind him, so that no crowd gathers while an issuer hangs.
    async fn ask(self: &Arc<Self>) -> Result<(), TryLockError> {
        let mut asked = Arc::clone(&self.asking).try_lock_owned()?;
        if asked.is_some_and(|asked| asked.elapsed() < PAUSE) {
            return Ok(());
        }
        *asked = Some(Instant::now());
        let this = Arc::clone(self);
        // A task of its own: a client that hangs up does not end it.
        let asking = tokio::spawn(async move {
            match this.fetch().await {
                Ok(keys) => *this.known.lock() = Some(Known { keys: Arc::new(keys), since: Instant::now() }),
                Err(why) => tracing::warn!(issuer = this.issuer.url, why, "the keys of an issuer could not be had"),
            }
            drop(asked);
        });
        // What can go wrong is that the process ends.
        let _ = asking.await;
        Ok(())
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.url.trim_end_matches('/'));
        let told = |error: std::io::Error| error.to_string();
        let document = fetch::get(&url, Arc::clone(&self.tls)).await.map_err(told)?;
        let discovery: Discovery =
            serde_json::from_slice(&document).map_err(|error| format!("{url} is no discovery document: {error}"))?;
        if discovery.issuer != self.issuer.url {
            return Err(format!("{url} is that of another issuer, {:?}", discovery.issuer));
        }
        let keys = fetch::get(&discovery.jwks_uri, Arc::clone(&self.tls)).await.map_err(told)?;
        KeySet::parse(&keys).map_err(|why| format!("{}: {why}", discovery.jwks_uri))
    }
}

#[cfg(test)]
mod tests;
