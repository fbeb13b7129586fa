//! The resources of Knative Serving by namespace and name.

use std::sync::Arc;

use pelton_resource::{Configuration, DomainMapping, Revision, Route, Service};

use crate::Resources;

impl Resources {
    /// The Service with this namespace and name.
    #[must_use]
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Arc<Service>> {
        self.services.get_by(|is| is.cmp_parts(namespace, name))
    }

    /// The Configuration with this namespace and name.
    #[must_use]
    pub fn configuration(&self, namespace: &str, name: &str) -> Option<&Arc<Configuration>> {
        self.configurations.get_by(|is| is.cmp_parts(namespace, name))
    }

    /// The Revision with this namespace and name.
    #[must_use]
    pub fn revision(&self, namespace: &str, name: &str) -> Option<&Arc<Revision>> {
        self.revisions.get_by(|is| is.cmp_parts(namespace, name))
    }

    /// The Route with this namespace and name.
    #[must_use]
    pub fn route(&self, namespace: &str, name: &str) -> Option<&Arc<Route>> {
        self.routes.get_by(|is| is.cmp_parts(namespace, name))
    }

    /// The DomainMapping with this namespace and domain.
    #[must_use]
    pub fn domain_mapping(&self, namespace: &str, domain: &str) -> Option<&Arc<DomainMapping>> {
        self.domain_mappings.get_by(|is| is.cmp_parts(namespace, domain))
    }
}
