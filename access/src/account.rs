//! Tokens that the cluster itself signs: those of ServiceAccounts, and that of the kubeconfig.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Map, Value, json};

use crate::identity::{Identity, MASTERS, account_user};
use crate::jws::{Jws, KeySet, TokenError, check_audience, check_times};

/// Who signs them.
pub const ISSUER: &str = "https://pelton.local";

/// Whom a token must be for that is shown to this API.
pub const AUDIENCE: &str = "https://pelton.local";

/// The claim that says which ServiceAccount, as in Kubernetes.
const ACCOUNT: &str = "kubernetes.io";

/// The name that the kubeconfig beside the data has.
const ADMIN: &str = "pelton:admin";

/// The key that signs the cluster's own tokens.
pub struct AccountKey {
    pair: Ed25519KeyPair,
    public: KeySet,
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountKey")
    }
}

/// Whose a token of the cluster is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// That of the kubeconfig.
    Admin(Identity),
    /// A ServiceAccount's, if one of that uid is still there.
    Account {
        /// Where it is.
        namespace: String,
        /// What it is called.
        name: String,
        /// Which of those that were called so.
        uid: String,
    },
}

/// A ServiceAccount that a token is made for.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// Where it is.
    pub namespace: &'a str,
    /// What it is called.
    pub name: &'a str,
    /// Which of those that were called so.
    pub uid: &'a str,
}

impl AccountKey {
    /// Reads a key: Ed25519, PKCS #8.
    #[must_use]
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(der).ok()?;
        let public = KeySet::ed25519(pair.public_key().as_ref());
        Some(Self { pair, public })
    }

    /// A token of a ServiceAccount, from `now` on for so many seconds.
    #[must_use]
    pub fn token_of(&self, account: Account<'_>, audiences: &[String], now: u64, seconds: u64) -> String {
        let Account { namespace, name, uid } = account;
        let account = json!({"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}});
        self.sign(&json!({
            "iss": ISSUER, "sub": account_user(namespace, name), "aud": audiences,
            "iat": now, "nbf": now, "exp": now.saturating_add(seconds), ACCOUNT: account,
        }))
    }

    /// The token of the kubeconfig, whose holder may do everything.
    #[must_use]
    pub fn admin_token(&self, now: u64, seconds: u64) -> String {
        let end = now.saturating_add(seconds);
        self.sign(&json!({"iss": ISSUER, "sub": ADMIN, "aud": [AUDIENCE], "iat": now, "nbf": now, "exp": end}))
    }

    fn sign(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "EdDSA", "typ": "JWT"})), part(claims));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Whose token it is, at a time in seconds since 1970.
    ///
    /// # Errors
    /// It was not signed by this key, is over, or is for somebody else.
    pub fn holder(&self, token: &Jws, now: u64) -> Result<Holder, TokenError> {
        let claims = token.verify(&self.public)?;
        if token.claimed_issuer() != ISSUER {
            return Err(TokenError::Issuer);
        }
        check_times(claims, now)?;
        check_audience(claims, AUDIENCE)?;
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        if subject == ADMIN {
            let groups = [MASTERS.to_owned()];
            let admin = Identity::of_outside(ADMIN.to_owned(), groups, true);
            return admin.map(Holder::Admin).map_err(|_| TokenError::Claim("sub".to_owned()));
        }
        account_in(claims).filter(|(_, user)| user == subject).map(|(holder, _)| holder).ok_or_else(|| {
            let claim = ACCOUNT.to_owned();
            TokenError::Claim(claim)
        })
    }
}

/// The ServiceAccount that the claims name, and what it is called as a user.
fn account_in(claims: &Map<String, Value>) -> Option<(Holder, String)> {
    let at = |pointer: &str| claims.get(ACCOUNT)?.pointer(pointer)?.as_str().map(str::to_owned);
    let (namespace, name) = (at("/namespace")?, at("/serviceaccount/name")?);
    let user = account_user(&namespace, &name);
    Some((Holder::Account { namespace, name, uid: at("/serviceaccount/uid")? }, user))
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ED25519};

    use super::*;
    use crate::limits::LEEWAY_SECONDS;

    const NOW: u64 = 1_800_000_000;

    fn key() -> AccountKey {
        AccountKey::from_pkcs8(&KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_der()).unwrap()
    }

    fn token(key: &AccountKey, audiences: &[&str]) -> Jws {
        let audiences: Vec<String> = audiences.iter().map(|it| (*it).to_owned()).collect();
        let account = Account { namespace: "shop", name: "robot", uid: "u-1" };
        Jws::parse(&key.token_of(account, &audiences, NOW, 600)).unwrap()
    }

    #[test]
    fn a_token_is_its_account_for_its_time_and_its_audience() {
        let key = key();
        let good = token(&key, &["other", AUDIENCE]);
        let want = Holder::Account { namespace: "shop".into(), name: "robot".into(), uid: "u-1".into() };
        for (now, want) in [
            (NOW, Ok(want.clone())),
            (NOW + 600 + LEEWAY_SECONDS - 1, Ok(want.clone())),
            (NOW + 600 + LEEWAY_SECONDS, Err(TokenError::Expired)),
            (NOW - LEEWAY_SECONDS, Ok(want)),
            (NOW - LEEWAY_SECONDS - 1, Err(TokenError::NotYet)),
        ] {
            assert_eq!(key.holder(&good, now), want, "{now}");
        }
        assert_eq!(key.holder(&token(&key, &["other"]), NOW), Err(TokenError::Audience));
        assert_eq!(key.holder(&token(&self::key(), &[AUDIENCE]), NOW), Err(TokenError::Signature));
    }

    #[test]
    fn the_token_of_the_kubeconfig_is_a_master() {
        let key = key();
        let token = Jws::parse(&key.admin_token(NOW, 60)).unwrap();
        let Ok(Holder::Admin(identity)) = key.holder(&token, NOW) else { panic!("it is not the admin's") };
        assert_eq!(identity.groups, [MASTERS, "system:authenticated"]);
    }

    /// Signed by the right key, and yet no token of an account.
    #[test]
    fn what_a_token_says_must_agree() {
        let key = key();
        let of = |claims: Value| {
            let token = Jws::parse(&key.sign(&claims)).unwrap();
            key.holder(&token, NOW)
        };
        let account = json!({"namespace": "shop", "serviceaccount": {"name": "robot", "uid": "u"}});
        let end = NOW + 60;
        let with =
            |sub: &str, issuer: &str| json!({"iss": issuer, "aud": AUDIENCE, "exp": end, "sub": sub, ACCOUNT: account});
        assert!(of(with("system:serviceaccount:shop:robot", ISSUER)).is_ok());
        assert_eq!(of(with("system:serviceaccount:shop:other", ISSUER)), Err(TokenError::Claim(ACCOUNT.into())));
        assert_eq!(of(with("system:serviceaccount:shop:robot", "https://x")), Err(TokenError::Issuer));
        let no_end = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": ADMIN});
        assert_eq!(of(no_end), Err(TokenError::Claim("exp".into())));
    }
}
