//! What a request wants, in Kubernetes' words.

/// The namespace that holds what the cluster keeps for itself: its authority and the key of its tokens. Only admins of the
/// whole cluster change anything there, or read its Secrets.
pub const SYSTEM_NAMESPACE: &str = "pelton-system";

/// The group of what Kubernetes has no words for: dead letters, logs, the cluster.
pub(crate) const OWN_GROUP: &str = "pelton.dev";

/// What a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; of a path the method in lower case.
    pub verb: String,
    /// Of what.
    pub target: Target,
}

/// What something is wanted of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A path that names no resource.
    Path(String),
    /// Resources.
    Resource {
        /// The API group; empty for the core one.
        group: String,
        /// Its version; empty for what has none.
        version: String,
        /// The plural in paths.
        resource: String,
        /// A part of it; empty for none.
        subresource: String,
        /// Where; `None` is everywhere, or nowhere in particular. Of a Namespace its own name.
        namespace: Option<String>,
        /// Which; `None` for many, or for one that has no name yet.
        name: Option<String>,
    },
}

impl Attributes {
    /// Something of a path.
    pub fn path(verb: &str, path: &str) -> Self {
        Self { verb: verb.to_owned(), target: Target::Path(path.to_owned()) }
    }

    /// Something of what Kubernetes has no words for.
    pub fn own(verb: &str, resource: &str, namespace: Option<&str>) -> Self {
        Self::resource(verb, (OWN_GROUP, "v1", resource), "", namespace, None)
    }

    /// Something of resources: group, version and plural.
    pub fn resource(
        verb: &str,
        (group, version, resource): (&str, &str, &str),
        subresource: &str,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Self {
        let target = Target::Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
        };
        Self { verb: verb.to_owned(), target }
    }

    /// The same with another verb.
    #[must_use]
    pub fn with_verb(self, verb: &str) -> Self {
        Self { verb: verb.to_owned(), ..self }
    }

    /// Whether nothing is changed by it.
    #[must_use]
    pub fn is_read(&self) -> bool {
        match &self.target {
            Target::Path(_) => matches!(self.verb.as_str(), "get" | "head"),
            Target::Resource { .. } => matches!(self.verb.as_str(), "get" | "list" | "watch"),
        }
    }

    /// Whether something may be other than before when it was done. Questions that are asked by posting an object change
    /// nothing.
    #[must_use]
    pub fn is_change(&self) -> bool {
        let is_question = matches!(&self.target, Target::Resource { group, .. }
            if matches!(group.as_str(), "authorization.k8s.io" | "authentication.k8s.io"));
        !self.is_read() && !is_question
    }

    /// Why somebody is refused: `User "u" cannot create resource "brokers" in API group "eventing.knative.dev" in the
    /// namespace "n"`.
    #[must_use]
    pub fn why_not(&self, user: &str) -> String {
        let verb = &self.verb;
        match &self.target {
            Target::Path(path) => format!("User {user:?} cannot {verb} path {path:?}"),
            Target::Resource { group, resource, subresource, namespace, .. } => {
                let part = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
                let place = match namespace {
                    Some(namespace) => format!("in the namespace {namespace:?}"),
                    None => "at the cluster scope".to_owned(),
                };
                format!("User {user:?} cannot {verb} resource \"{resource}{part}\" in API group {group:?} {place}")
            }
        }
    }

    /// The whole refusal: what is forbidden, and why.
    #[must_use]
    pub fn refusal(&self, user: &str) -> String {
        let why = self.why_not(user);
        match &self.target {
            Target::Path(_) => format!("forbidden: {why}"),
            Target::Resource { group, resource, name, .. } => {
                let what = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
                let name = name.as_ref().map_or(String::new(), |name| format!(" {name:?}"));
                format!("{what}{name} is forbidden: {why}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// kube-api.md, section 6, 403.
    #[test]
    fn refusals_are_worded_as_kubernetes_words_them() {
        let brokers = ("eventing.knative.dev", "v1", "brokers");
        for (attributes, want) in [
            (
                Attributes::resource("create", brokers, "", Some("y"), None),
                "brokers.eventing.knative.dev is forbidden: User \"x\" cannot create resource \"brokers\" in API group \
                 \"eventing.knative.dev\" in the namespace \"y\"",
            ),
            (
                Attributes::resource("get", brokers, "status", Some("y"), Some("b")),
                "brokers.eventing.knative.dev \"b\" is forbidden: User \"x\" cannot get resource \"brokers/status\" in API \
                 group \"eventing.knative.dev\" in the namespace \"y\"",
            ),
            (
                Attributes::resource("list", ("", "v1", "secrets"), "", None, None),
                "secrets is forbidden: User \"x\" cannot list resource \"secrets\" in API group \"\" at the cluster scope",
            ),
            (Attributes::path("get", "/apis"), "forbidden: User \"x\" cannot get path \"/apis\""),
        ] {
            assert_eq!(attributes.refusal("x"), want);
        }
    }
}
