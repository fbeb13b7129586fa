//! The name of a broker, as it stands inside every stored record.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// Namespace and name of a Broker, held as one text `namespace/name`. Cheap to clone.
///
/// Both parts are DNS labels (checked where resources are admitted), so at most 63 bytes each.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerName(Arc<str>);

impl BrokerName {
    /// The name made of its two parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    /// Reads `namespace/name`. `None` unless there are exactly two parts and neither is empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        (!namespace.is_empty() && !name.is_empty() && !name.contains('/')).then(|| Self(text.into()))
    }

    /// `namespace/name`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How it compares to the name made of two parts, without making that.
    #[must_use]
    pub fn cmp_parts(&self, namespace: &str, name: &str) -> Ordering {
        let mut rest = self.0.as_bytes();
        for part in [namespace, "/", name].map(str::as_bytes) {
            let (begin, behind) = rest.split_at(part.len().min(rest.len()));
            match begin.cmp(part) {
                Ordering::Equal => rest = behind,
                other => return other,
            }
        }
        if rest.is_empty() { Ordering::Equal } else { Ordering::Greater }
    }

    /// The part before the slash.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The part after the slash.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl std::borrow::Borrow<str> for BrokerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BrokerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerName({})", self.0)
    }
}

impl fmt::Display for BrokerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_compares_to_parts_as_to_the_name_made_of_them(
            one in ("[a-c-]{0,3}", "[a-c-]{0,3}"),
            other in ("[a-c-]{0,3}", "[a-c-]{0,3}"),
        ) {
            let (a, b) = (BrokerName::new(&one.0, &one.1), BrokerName::new(&other.0, &other.1));
            prop_assert_eq!(a.cmp_parts(&other.0, &other.1), a.cmp(&b));
        }
    }
}
