use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _};
use ring::signature::Ed25519KeyPair;
use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;

fn issuer() -> Issuer {
    Issuer {
        url: "https://login.example".to_owned(),
        client_id: "pelton".to_owned(),
        username_claim: "sub".to_owned(),
        username_prefix: "x:".to_owned(),
        groups_claim: Some("groups".to_owned()),
        groups_prefix: String::new(),
        ca: String::new(),
    }
}

/// What becomes of claims that the issuer has signed: `user groups`.
fn identity(issuer: &Issuer, change: impl FnOnce(&mut Value)) -> Result<String, TokenError> {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(&key.serialize_der()).unwrap();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let mut claims = json!({"iss": "https://login.example", "aud": "pelton", "sub": "ada", "exp": NOW + 60});
    change(&mut claims);
    let header = json!({"alg": "EdDSA"}).to_string();
    let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.to_string().as_bytes()));
    let token = format!("{signed}.{}", encode(pair.sign(signed.as_bytes()).as_ref()));
    let jwk = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": encode(key.der_bytes())}]});
    let keys = KeySet::parse(jwk.to_string().as_bytes()).unwrap();
    let identity = issuer.identity(&Jws::parse(&token).unwrap(), &keys, NOW)?;
    Ok(format!("{} {}", identity.user, identity.groups.join(",")))
}

#[test]
fn claims_make_an_identity_or_none() {
    let claim = |name: &str| Err(TokenError::Claim(name.to_owned()));
    type Change = Box<dyn FnOnce(&mut Value)>;
    let set = |name: &'static str, value: Value| -> Change { Box::new(move |claims| claims[name] = value) };
    let rows: Vec<(Change, Result<&str, TokenError>)> = vec![
        (Box::new(|_| {}), Ok("x:ada system:authenticated")),
        (set("groups", json!(["ops", "dev", 7])), Ok("x:ada ops,dev,system:authenticated")),
        (set("groups", json!("ops")), Ok("x:ada ops,system:authenticated")),
        (set("groups", json!({"ops": true})), Ok("x:ada system:authenticated")),
        (set("groups", json!(["system:masters", "system:nodes"])), Ok("x:ada system:authenticated")),
        (set("aud", json!(["other", "pelton"])), Ok("x:ada system:authenticated")),
        (set("aud", json!("other")), Err(TokenError::Audience)),
        (set("aud", json!(null)), Err(TokenError::Audience)),
        (set("iss", json!("https://evil.example")), Err(TokenError::Issuer)),
        (set("iss", json!("https://login.example/")), Err(TokenError::Issuer)),
        (set("exp", json!(NOW - 60)), Err(TokenError::Expired)),
        (set("exp", json!(NOW as f64 + 0.5)), Ok("x:ada system:authenticated")),
        (set("exp", json!("soon")), claim("exp")),
        (set("exp", json!(-1)), claim("exp")),
        (set("nbf", json!(NOW + 3600)), Err(TokenError::NotYet)),
        (set("sub", json!(7)), claim("sub")),
        (set("sub", json!("")), claim("sub")),
        (set("sub", json!("a\nb")), claim("sub")),
    ];
    for (number, (change, want)) in rows.into_iter().enumerate() {
        assert_eq!(identity(&issuer(), change), want.map(str::to_owned), "row {number}");
    }
}

#[test]
fn without_a_prefix_nobody_is_one_of_the_system() {
    let plain = Issuer { username_prefix: String::new(), ..issuer() };
    let error = identity(&plain, |claims| claims["sub"] = json!("system:serviceaccount:shop:robot"));
    assert_eq!(error, Err(TokenError::Claim("sub".to_owned())));
}

#[test]
fn an_address_that_nobody_has_checked_is_not_believed() {
    let by_email = Issuer { username_claim: "email".to_owned(), username_prefix: String::new(), ..issuer() };
    for (verified, good) in
        [(Some(json!(true)), true), (None, true), (Some(json!(false)), false), (Some(json!("true")), false)]
    {
        let got = identity(&by_email, |claims| {
            claims["email"] = json!("ada@example.com");
            if let Some(verified) = &verified {
                claims["email_verified"] = verified.clone();
            }
        });
        assert_eq!(got.is_ok(), good, "{verified:?}");
    }
}
