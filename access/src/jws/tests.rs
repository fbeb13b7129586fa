use proptest::prelude::*;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use serde_json::json;

use super::*;

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

struct Signer {
    pair: EcdsaKeyPair,
    jwk: Value,
}

impl Signer {
    fn new(id: &str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der(), &SystemRandom::new());
        let point = key.der_bytes();
        let jwk =
            json!({"kty": "EC", "crv": "P-256", "kid": id, "x": encode(&point[1..33]), "y": encode(&point[33..])});
        Self { pair: pair.unwrap(), jwk }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", encode(signature))
    }
}

fn keys(keys: &[&Value]) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

/// RFC 7515, A.2 and A.3 are not repeated: ring has them. What is ours is which key and which algorithm may be used.
#[test]
fn a_token_is_believed_by_the_key_that_it_names() {
    let (ours, other) = (Signer::new("a"), Signer::new("b"));
    let set = keys(&[&ours.jwk, &other.jwk]);
    let claims = json!({"iss": "x"});
    let header = |alg: &str, kid: Option<&str>| match kid {
        Some(kid) => json!({"alg": alg, "kid": kid}),
        None => json!({"alg": alg}),
    };
    for (header, signer, want) in [
        (header("ES256", Some("a")), &ours, Ok(())),
        (header("ES256", None), &ours, Ok(())),
        (header("ES256", Some("b")), &ours, Err(TokenError::Signature)),
        (header("ES256", Some("c")), &ours, Err(TokenError::UnknownKey)),
        (header("none", Some("a")), &ours, Err(TokenError::UnknownKey)),
        (header("HS256", Some("a")), &ours, Err(TokenError::UnknownKey)),
        (header("RS256", Some("a")), &ours, Err(TokenError::UnknownKey)),
        (header("ES256", None), &Signer::new("d"), Err(TokenError::Signature)),
    ] {
        let token = Jws::parse(&signer.sign(&header, &claims)).unwrap();
        assert_eq!(token.verify(&set).map(drop), want, "{header}");
    }
    let crit = ours.sign(&json!({"alg": "ES256", "crit": ["exp"]}), &claims);
    assert!(matches!(Jws::parse(&crit), Err(TokenError::Malformed(_))));
}

#[test]
fn a_token_that_was_changed_is_not_believed() {
    let signer = Signer::new("a");
    let token = signer.sign(&json!({"alg": "ES256"}), &json!({"sub": "ada"}));
    let parts: Vec<&str> = token.split('.').collect();
    let other = encode(json!({"sub": "bob"}).to_string());
    let changed = Jws::parse(&format!("{}.{other}.{}", parts[0], parts[2])).unwrap();
    assert_eq!(changed.verify(&keys(&[&signer.jwk])).map(drop), Err(TokenError::Signature));
    let unsigned = Jws::parse(&format!("{}.{}.", parts[0], parts[1])).unwrap();
    assert_eq!(unsigned.verify(&keys(&[&signer.jwk])).map(drop), Err(TokenError::Signature));
}

#[test]
fn what_is_no_token_is_refused() {
    let object = encode("{}");
    for text in ["", "a", "a.b", "..", &format!("{object}.{object}.x"), &format!("{object}.W10.{object}"), "a.b.c.d"] {
        assert!(matches!(Jws::parse(text), Err(TokenError::Malformed(_))), "{text}");
    }
    let header = encode(json!({"alg": "ES256"}).to_string());
    let fill = |length: usize| {
        let rest = length - header.len() - object.len() - 2;
        // A signature of any length is base64url as long as its last character has no bits to spare.
        format!("{header}.{object}.{}", "A".repeat(rest))
    };
    assert!(Jws::parse(&fill(MAX_TOKEN_BYTES)).is_ok_and(|it| !it.signature.is_empty()), "at the bound");
    assert!(Jws::parse(&fill(MAX_TOKEN_BYTES + 1)).is_err());
}

#[test]
fn keys_that_cannot_be_used_are_passed_over() {
    let good = Signer::new("a").jwk;
    let with = |field: &str, value: &str| {
        let mut key = good.clone();
        key[field] = json!(value);
        key
    };
    let read = |set: Value| KeySet::parse(set.to_string().as_bytes()).map(|set| set.0.len());
    let rsa = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "alg": "RS256"});
    let odd = [with("use", "enc"), with("crv", "P-521"), with("x", "AA"), json!({"kty": "oct", "k": "AA"}), json!(7)];
    assert_eq!(read(json!({"keys": [good, rsa, odd[0], odd[1], odd[2], odd[3], odd[4]]})), Ok(2));
    assert!(read(json!({"keys": odd})).is_err());
    assert!(read(json!({})).is_err());
    assert_eq!(read(json!({"keys": vec![good.clone(); MAX_KEYS]})), Ok(MAX_KEYS));
    assert!(read(json!({"keys": vec![good; MAX_KEYS + 1]})).is_err());
}

#[test]
fn ed25519_keys_of_issuers_are_read() {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(&key.serialize_der()).unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.der_bytes())});
    let signed = format!("{}.{}", encode(json!({"alg": "EdDSA"}).to_string()), encode("{}"));
    let token = Jws::parse(&format!("{signed}.{}", encode(pair.sign(signed.as_bytes())))).unwrap();
    assert!(token.verify(&keys(&[&jwk])).is_ok());
}

proptest! {
    /// Whatever is sent: an answer, and no panic.
    #[test]
    fn any_text_is_read(text in "[A-Za-z0-9_.-]{0,200}") {
        let _ = Jws::parse(&text);
    }
}
