//! The cluster's authority and the key of its tokens, which are one Secret of the registry.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pelton_access::SYSTEM_NAMESPACE;
use pelton_access::account::AccountKey;
use pelton_env::UnixMillis;
use pelton_resource::{Kind, Resource, ResourceKey};
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};

use super::certificates::{self, CertificateError, Certified};

/// The Secret's name.
const NAME: &str = "api-authority";

/// Its members.
const CA: &str = "ca.pem";
const CA_KEY: &str = "ca-key.pem";
const TOKEN_KEY: &str = "token-key.pem";

/// What every node signs with.
pub struct Authority {
    /// Its certificate, PEM.
    pub ca: String,
    /// Its private key.
    pub ca_key: KeyPair,
    /// What signs tokens.
    pub account_key: Arc<AccountKey>,
}

/// The Secret cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{SYSTEM_NAMESPACE}/{NAME}: {0} is missing or cannot be used")]
pub struct BadAuthority(&'static str);

/// Where it is.
pub fn key() -> ResourceKey {
    ResourceKey::new(Kind::Secret, SYSTEM_NAMESPACE, NAME)
}

/// A new one, as the Secret that it is kept as.
pub fn make(now: UnixMillis) -> Result<Value, CertificateError> {
    let Certified { certificate, key } = certificates::make_authority(now)?;
    let token_key = KeyPair::generate_for(&PKCS_ED25519)?.serialize_pem();
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": NAME, "namespace": SYSTEM_NAMESPACE},
        "immutable": true,
        "stringData": {CA: certificate, CA_KEY: key, TOKEN_KEY: token_key},
    }))
}

impl Authority {
    /// Reads the Secret.
    pub fn read(secret: &Resource) -> Result<Self, BadAuthority> {
        let member = |name: &'static str| {
            let Resource::Core(secret) = secret else { return Err(BadAuthority(name)) };
            let value = secret.content.get("data").and_then(|data| data.get(name)).and_then(Value::as_str);
            let bytes = value.and_then(|value| STANDARD.decode(value).ok());
            bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(BadAuthority(name))
        };
        let key = |name| KeyPair::from_pem(&member(name)?).map_err(|_| BadAuthority(name));
        let account_key = AccountKey::from_pkcs8(&key(TOKEN_KEY)?.serialize_der()).ok_or(BadAuthority(TOKEN_KEY))?;
        Ok(Self { ca: member(CA)?, ca_key: key(CA_KEY)?, account_key: Arc::new(account_key) })
    }
}
