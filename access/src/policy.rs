//! Who was given what.

use std::collections::HashMap;

use crate::identity::{Identity, MASTERS, account_user};
use crate::issuer::Issuer;
use crate::role::Grant;
use crate::static_token::StaticTokens;

/// What the access file says. The default is a file that says nothing: only masters may anything.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    pub(crate) users: HashMap<String, Vec<Grant>>,
    pub(crate) groups: HashMap<String, Vec<Grant>>,
    /// Tokens that the file names.
    pub tokens: StaticTokens,
    /// Who else may say who somebody is.
    pub issuers: Vec<Issuer>,
}

impl Policy {
    /// All that somebody was given, himself or by his groups.
    pub(crate) fn grants<'a>(&'a self, identity: &'a Identity) -> impl Iterator<Item = &'a Grant> {
        const ALL: &Grant = &Grant::ALL;
        let is_master = identity.groups.iter().any(|group| group == MASTERS);
        let own = self.users.get(&identity.user).into_iter().flatten();
        let of_groups = identity.groups.iter().filter_map(|group| self.groups.get(group)).flatten();
        is_master.then_some(ALL).into_iter().chain(own).chain(of_groups)
    }

    /// Adds a grant to a ServiceAccount.
    pub(crate) fn grant_account(&mut self, namespace: &str, name: &str, grant: Grant) {
        self.users.entry(account_user(namespace, name)).or_default().push(grant);
    }
}
