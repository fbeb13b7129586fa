//! Issuers of OpenID Connect, and whom their tokens make of somebody.

use serde_json::{Map, Value};

use crate::identity::Identity;
use crate::jws::{Jws, KeySet, TokenError, check_audience, check_times};

/// An issuer whose tokens are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Its URL, as its tokens and its discovery document write it. `https`.
    pub url: String,
    /// Whom a token must be for.
    pub client_id: String,
    /// The claim that is the user's name.
    pub username_claim: String,
    /// What is put before that name.
    pub username_prefix: String,
    /// The claim with his groups, if any is read.
    pub groups_claim: Option<String>,
    /// What is put before each of them.
    pub groups_prefix: String,
    /// The PEM file with the authorities that its server is trusted by.
    pub ca: String,
}

impl Issuer {
    /// Who somebody is by a token, at a time in seconds since 1970.
    ///
    /// # Errors
    /// [`TokenError::UnknownKey`] when the issuer may have newer keys; else the token does not count.
    pub fn identity(&self, token: &Jws, keys: &KeySet, now: u64) -> Result<Identity, TokenError> {
        let claims = token.verify(keys)?;
        if token.claimed_issuer() != self.url {
            return Err(TokenError::Issuer);
        }
        check_times(claims, now)?;
        check_audience(claims, &self.client_id)?;
        let bad_name = || TokenError::Claim(self.username_claim.clone());
        let name = claims.get(&self.username_claim).and_then(Value::as_str).ok_or_else(bad_name)?;
        // Anybody may claim an address that nobody has checked.
        if self.username_claim == "email" && claims.get("email_verified").is_some_and(|it| *it != Value::Bool(true)) {
            return Err(TokenError::Claim("email_verified".to_owned()));
        }
        let groups = self.groups(claims).into_iter().map(|group| format!("{}{group}", self.groups_prefix));
        if name.is_empty() {
            return Err(bad_name());
        }
        Identity::of_outside(format!("{}{name}", self.username_prefix), groups, false).map_err(|_| bad_name())
    }

    /// A list of texts, or one text. Anything else names no group.
    fn groups<'a>(&self, claims: &'a Map<String, Value>) -> Vec<&'a str> {
        match self.groups_claim.as_ref().and_then(|claim| claims.get(claim)) {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
