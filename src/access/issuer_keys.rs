//! The keys of an issuer of OpenID Connect: asked for when they are needed, and kept for a while.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_access::{Identity, Issuer, Jws, KeySet, TokenError};
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::time::Instant;

use super::fetch;

/// After so long keys are asked for anew, while the old ones are used.
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
    /// Held by whoever asks. When somebody asked last.
    asking: tokio::sync::Mutex<Option<Instant>>,
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
        let (known, asking) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { issuer, tls: Arc::new(tls), known, asking }
    }

    /// Whether tokens of that issuer are its.
    pub fn is_of(&self, url: &str) -> bool {
        self.issuer.url == url
    }

    /// Who somebody is by a token.
    ///
    /// # Errors
    /// The token does not count; or, as `None`, nobody can tell, because the issuer has told no keys.
    pub async fn identity(self: &Arc<Self>, token: &Jws, now: u64) -> Result<Identity, Option<TokenError>> {
        let seen = Instant::now();
        let known = self.known().filter(|known| known.since.elapsed() < KEPT);
        if let Some(known) = &known {
            if known.since.elapsed() >= FRESH {
                // Nobody waits for it as long as the old ones are good.
                let this = Arc::clone(self);
                tokio::spawn(async move { this.ask(seen).await });
            }
            match self.issuer.identity(token, &known.keys, now) {
                Err(TokenError::UnknownKey) => {}
                found => return found.map_err(Some),
            }
        }
        self.ask(seen).await;
        let known = self.known().filter(|known| known.since.elapsed() < KEPT).ok_or(None)?;
        self.issuer.identity(token, &known.keys, now).map_err(Some)
    }

    fn known(&self) -> Option<Known> {
        self.known.lock().clone()
    }

    /// Asks for the keys, unless somebody has since `seen` or a little while before.
    async fn ask(&self, seen: Instant) {
        let mut asked = self.asking.lock().await;
        if asked.is_some_and(|asked| asked >= seen || asked.elapsed() < PAUSE) {
            return;
        }
        *asked = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                *self.known.lock() = Some(Known { keys: Arc::new(keys), since: Instant::now() });
            }
            Err(why) => tracing::warn!(issuer = self.issuer.url, why, "the keys of an issuer could not be had"),
        }
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
