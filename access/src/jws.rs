//! Signed tokens (RFC 7515, compact form) and the keys that sign them (RFC 7517).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::limits::{LEEWAY_SECONDS, MAX_KEYS, MAX_TOKEN_BYTES};

/// Why a token does not count. Clients are told 401 and no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no signed token.
    #[error("it is no signed token: {0}")]
    Malformed(&'static str),
    /// No key that could have signed it is known.
    #[error("no key of the issuer has its id and its algorithm")]
    UnknownKey,
    /// It was signed by nobody who is trusted, or changed since.
    #[error("its signature is not that of a known key")]
    Signature,
    /// It is over.
    #[error("it has expired")]
    Expired,
    /// It does not hold yet.
    #[error("it does not hold yet")]
    NotYet,
    /// It is for somebody else.
    #[error("it is for another audience")]
    Audience,
    /// Somebody else has made it.
    #[error("it is of another issuer")]
    Issuer,
    /// What it says cannot be used.
    #[error("the claim {0:?} cannot be used")]
    Claim(String),
}

/// A token that was taken apart. Nothing of it is proved before [`verify`](Self::verify).
#[derive(Debug, Clone)]
pub struct Jws {
    signed: String,
    signature: Vec<u8>,
    header: Header,
    claims: Map<String, Value>,
}

#[derive(Debug, Clone, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl Jws {
    /// Takes a token apart.
    ///
    /// # Errors
    /// It is longer than [`MAX_TOKEN_BYTES`], or no signed token.
    pub fn parse(token: &str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed("it is too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed("it has no signature"))?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed("it has no claims"))?;
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed("it is no base64url"));
        let header: Header =
            serde_json::from_slice(&bytes(header)?).map_err(|_| TokenError::Malformed("its header"))?;
        let claims = serde_json::from_slice(&bytes(claims)?).map_err(|_| TokenError::Malformed("its claims"))?;
        // What must be understood is not.
        if header.crit.is_some() {
            return Err(TokenError::Malformed("its header has crit"));
        }
        Ok(Self { signed: signed.to_owned(), signature: bytes(signature)?, header, claims })
    }

    /// Who says that he has made it, unproved: for choosing the keys.
    #[must_use]
    pub fn claimed_issuer(&self) -> &str {
        self.claims.get("iss").and_then(Value::as_str).unwrap_or_default()
    }

    /// When it ends as it says, unproved, in seconds since 1970: for one that was proved before.
    #[must_use]
    pub fn claimed_end(&self) -> Option<u64> {
        self.claims.get("exp").and_then(Value::as_f64).map(|seconds| seconds as u64)
    }

    /// What it says, once one of the keys has signed it.
    ///
    /// # Errors
    /// [`TokenError::UnknownKey`] when there may be newer keys to ask for; [`TokenError::Signature`].
    pub fn verify(&self, keys: &KeySet) -> Result<&Map<String, Value>, TokenError> {
        let Header { alg, kid, .. } = &self.header;
        let of_id = |key: &&Key| kid.is_none() || key.id.is_none() || key.id == *kid;
        let mut fits = keys.0.iter().filter(of_id).filter(|key| key.material.signs_by(alg)).peekable();
        if fits.peek().is_none() {
            return Err(TokenError::UnknownKey);
        }
        let message = self.signed.as_bytes();
        match fits.any(|key| key.material.has_signed(alg, message, &self.signature)) {
            true => Ok(&self.claims),
            false => Err(TokenError::Signature),
        }
    }
}

/// Checks when a token holds, in seconds since 1970. It must have an end.
pub(crate) fn check_times(claims: &Map<String, Value>, now: u64) -> Result<(), TokenError> {
    // Some issuers write fractions; they are cut off.
    let seconds = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(Some(seconds as u64)),
            _ => Err(TokenError::Claim(name.to_owned())),
        },
    };
    let end = seconds("exp")?.ok_or_else(|| TokenError::Claim("exp".to_owned()))?;
    if now >= end.saturating_add(LEEWAY_SECONDS) {
        return Err(TokenError::Expired);
    }
    match seconds("nbf")? {
        Some(begin) if begin > now.saturating_add(LEEWAY_SECONDS) => Err(TokenError::NotYet),
        _ => Ok(()),
    }
}

/// Checks whom a token is for.
pub(crate) fn check_audience(claims: &Map<String, Value>, wanted: &str) -> Result<(), TokenError> {
    let is_it = match claims.get("aud") {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(wanted)),
        _ => false,
    };
    if is_it { Ok(()) } else { Err(TokenError::Audience) }
}

/// The public keys of an issuer.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Vec<Key>);

#[derive(Debug, Clone)]
struct Key {
    id: Option<String>,
    material: Material,
}

#[derive(Debug, Clone)]
enum Material {
    Ed25519(Vec<u8>),
    P256(Vec<u8>),
    P384(Vec<u8>),
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl KeySet {
    /// One Ed25519 key without an id.
    pub(crate) fn ed25519(public: &[u8]) -> Self {
        Self(vec![Key { id: None, material: Material::Ed25519(public.to_owned()) }])
    }

    /// Reads a JWK set. Keys of kinds that are not known here are passed over, as RFC 7517 asks for.
    ///
    /// # Errors
    /// It is none, has more than [`MAX_KEYS`] keys, or none that can be used.
    pub fn parse(json: &[u8]) -> Result<Self, &'static str> {
        let set: Jwks = serde_json::from_slice(json).map_err(|_| "it is no JWK set")?;
        if set.keys.len() > MAX_KEYS {
            return Err("it has too many keys");
        }
        let read = |value: Value| serde_json::from_value::<Jwk>(value).ok().and_then(Key::of);
        let keys: Vec<Key> = set.keys.into_iter().filter_map(read).collect();
        if keys.is_empty() { Err("it has no key that can be used") } else { Ok(Self(keys)) }
    }
}

impl Key {
    fn of(key: Jwk) -> Option<Self> {
        if key.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        let point = |size: usize| {
            let (x, y) = (bytes(&key.x)?, bytes(&key.y)?);
            // A point that is not compressed begins with 4 (SEC 1, 2.3.3).
            (x.len() == size && y.len() == size).then(|| [&[4], x.as_slice(), &y].concat())
        };
        let material = match (key.kty.as_str(), key.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(&key.x)?),
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("RSA", _) => Material::Rsa { n: bytes(&key.n)?, e: bytes(&key.e)? },
            _ => return None,
        };
        Some(Self { id: key.kid, material })
    }
}

impl Material {
    /// The algorithm belongs to the key: a token cannot choose how it is checked.
    fn signs_by(&self, alg: &str) -> bool {
        match self {
            Self::Ed25519(_) => matches!(alg, "EdDSA" | "Ed25519"),
            Self::P256(_) => alg == "ES256",
            Self::P384(_) => alg == "ES384",
            Self::Rsa { .. } => rsa(alg).is_some(),
        }
    }

    fn has_signed(&self, alg: &str, message: &[u8], signature: &[u8]) -> bool {
        let by = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match self {
            Self::Ed25519(key) => by(&ED25519, key),
            Self::P256(key) => by(&ECDSA_P256_SHA256_FIXED, key),
            Self::P384(key) => by(&ECDSA_P384_SHA384_FIXED, key),
            Self::Rsa { n, e } => {
                rsa(alg).is_some_and(|how| RsaPublicKeyComponents { n, e }.verify(how, message, signature).is_ok())
            }
        }
    }
}

fn rsa(alg: &str) -> Option<&'static RsaParameters> {
    match alg {
        "RS256" => Some(&RSA_PKCS1_2048_8192_SHA256),
        "RS384" => Some(&RSA_PKCS1_2048_8192_SHA384),
        "RS512" => Some(&RSA_PKCS1_2048_8192_SHA512),
        "PS256" => Some(&RSA_PSS_2048_8192_SHA256),
        "PS384" => Some(&RSA_PSS_2048_8192_SHA384),
        "PS512" => Some(&RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
