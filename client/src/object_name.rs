//! What names a resource of Knative Serving among those of its kind.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use pelton_resource::ObjectMeta;

/// Namespace and name of a resource. Sorted by namespace first; prints as `namespace/name`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Where it is.
    pub namespace: Arc<str>,
    /// Its name there.
    pub name: Arc<str>,
}

impl ObjectName {
    /// The name made of its two parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// How it compares to the name made of two parts, without making that.
    #[must_use]
    pub fn cmp_parts(&self, namespace: &str, name: &str) -> Ordering {
        self.namespace.as_ref().cmp(namespace).then_with(|| self.name.as_ref().cmp(name))
    }

    /// The name that metadata gives.
    #[must_use]
    pub fn of(meta: &ObjectMeta) -> Self {
        Self::new(&meta.namespace, &meta.name)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
