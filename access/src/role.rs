//! The roles, and what somebody was given of them.

use std::fmt;
use std::str::FromStr;

/// What somebody may do. Each role may what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Read everything but Secrets.
    Viewer,
    /// Change everything in a namespace, and read its Secrets.
    Editor,
    /// Also what is the cluster's own, or the namespace itself.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Editor, Self::Admin];

    /// As the access file calls it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(())
    }
}

/// A role somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What may be done.
    pub role: Role,
    /// Where; `None` is the whole cluster.
    pub namespace: Option<String>,
    /// Whether Services may be written that run as processes of Pelton's own user.
    pub processes: bool,
}

impl Grant {
    /// What the masters have.
    pub(crate) const ALL: Self = Self { role: Role::Admin, namespace: None, processes: true };

    /// Whether it is in force in a namespace.
    #[must_use]
    pub(crate) fn reaches(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|own| own == namespace)
    }

    /// Whether who has it could do all that who has `other` can.
    #[must_use]
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let place = match (&self.namespace, &other.namespace) {
            (None, _) => true,
            (Some(own), Some(other)) => own == other,
            (Some(_), None) => false,
        };
        place && self.role >= other.role && (self.processes || !other.processes)
    }
}
