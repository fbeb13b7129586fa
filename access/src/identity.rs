//! Who somebody is.

use crate::limits::{MAX_GROUPS, MAX_NAME_BYTES};

/// The group whose members may do everything, as in Kubernetes.
pub const MASTERS: &str = "system:masters";

/// The group of everybody who has shown who he is.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";

/// The group of everybody who has not.
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";

/// What names begin with that nobody outside gives.
pub(crate) const RESERVED: &str = "system:";

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// His name.
    pub user: String,
    /// The uid of a ServiceAccount; empty for others.
    pub uid: String,
    /// The groups that he is in.
    pub groups: Vec<String>,
}

impl Identity {
    /// Whoever is on the loopback interface of a process that asks nobody.
    #[must_use]
    pub fn local() -> Self {
        Self { user: "pelton:local".to_owned(), uid: String::new(), groups: vec![MASTERS.to_owned()] }
    }

    /// Somebody who showed nothing.
    #[must_use]
    pub fn anonymous() -> Self {
        let groups = vec![UNAUTHENTICATED.to_owned()];
        Self { user: "system:anonymous".to_owned(), uid: String::new(), groups }
    }

    /// Somebody who has shown who he is, outside of this cluster: no name of his begins with `system:`, but that he may be
    /// told to be a master where `masters` says so.
    ///
    /// # Errors
    /// The name is empty, too long, or one that nobody outside gives.
    pub(crate) fn of_outside(
        user: String,
        groups: impl IntoIterator<Item = String>,
        masters: bool,
    ) -> Result<Self, BadName> {
        if !is_name(&user) || user.starts_with(RESERVED) {
            return Err(BadName);
        }
        let may = |group: &String| is_name(group) && (!group.starts_with(RESERVED) || (masters && group == MASTERS));
        let mut groups: Vec<String> = groups.into_iter().filter(may).take(MAX_GROUPS).collect();
        groups.push(AUTHENTICATED.to_owned());
        Ok(Self { user, uid: String::new(), groups })
    }

    /// A ServiceAccount.
    #[must_use]
    pub fn account(namespace: &str, name: &str, uid: &str) -> Self {
        let groups = vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            AUTHENTICATED.into(),
        ];
        Self { user: account_user(namespace, name), uid: uid.to_owned(), groups }
    }

    /// Whether it is known who he is.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        !self.groups.iter().any(|group| group == UNAUTHENTICATED)
    }
}

/// What a ServiceAccount is called as a user.
#[must_use]
pub(crate) fn account_user(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// A name that nobody outside of the cluster has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadName;

/// Whether somebody can be called so.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_outside_gives_himself_a_name_of_the_system() {
        for (user, good) in [("ada", true), ("", false), ("a\nb", false), ("system:admin", false), ("system", true)] {
            assert_eq!(Identity::of_outside(user.to_owned(), [], false).is_ok(), good, "{user:?}");
        }
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        assert!(Identity::of_outside(long.clone(), [], false).is_err());
        let groups = || ["ops", "system:masters", "system:authenticated", "", long.as_str()].map(str::to_owned);
        let of = |masters| Identity::of_outside("ada".to_owned(), groups(), masters).unwrap().groups;
        assert_eq!(of(false), ["ops", "system:authenticated"]);
        assert_eq!(of(true), ["ops", "system:masters", "system:authenticated"]);
    }

    #[test]
    fn groups_have_a_bound() {
        let groups = (0..2 * MAX_GROUPS).map(|number| format!("g{number}"));
        assert_eq!(Identity::of_outside("a".to_owned(), groups, false).unwrap().groups.len(), MAX_GROUPS + 1);
    }
}
