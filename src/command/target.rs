//! What several commands take: where the API is, and which resource is meant.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use pelton_resource::serving::naming::is_domain_name;
use pelton_resource::{DEFAULT_NAMESPACE, Kind, ResourceKey, is_dns_label};

use crate::admin::Admin;
use crate::contexts::{self, Places, Target, Wanted};
use crate::exit::Failure;
use crate::kube::KubeApi;

/// Which server is meant, and as whom one goes there.
#[derive(Debug, Clone, Args)]
pub struct ApiArgs {
    /// Where the API of a running Pelton is; also by PELTON_API [default: http://127.0.0.1:8001]
    #[arg(long, visible_alias = "server", global = true, value_name = "URL", help_heading = HEADING)]
    api: Option<String>,
    /// The context of a kubeconfig: a server, who you are there, and a namespace
    #[arg(long, global = true, value_name = "NAME", help_heading = HEADING)]
    context: Option<String>,
    /// The only kubeconfig to look at, instead of Pelton's own (PELTON_KUBECONFIG)
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    kubeconfig: Option<PathBuf>,
}

/// Above these options in the help.
const HEADING: &str = "Where to";

impl ApiArgs {
    /// Where to go, as the command line says it.
    pub fn wanted(&self) -> Wanted {
        Wanted { api: self.api.clone(), kubeconfig: self.kubeconfig.clone(), context: self.context.clone() }
    }

    /// Where the files of contexts are.
    pub fn places(&self) -> Places {
        Places::of(self.kubeconfig.as_deref(), variable)
    }

    /// The server, and the namespace there. Nothing is sent yet.
    pub fn target(&self) -> Result<Target, Failure> {
        Ok(contexts::resolve(&self.wanted(), variable)?)
    }

    /// What of the API is not about resources. Nothing is sent yet.
    pub fn admin(&self) -> Result<Admin, Failure> {
        Ok(self.target()?.admin())
    }

    /// The API of resources, and the namespace that is meant: that of a flag, else that of the context.
    pub fn kube(&self, namespace: Option<&str>) -> Result<(KubeApi, String), Failure> {
        let target = self.target()?;
        Ok((target.kube(), target.namespace(namespace)))
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Target {
    /// What of the API is not about resources.
    pub fn admin(&self) -> Admin {
        Admin::new(self.endpoint.clone())
    }

    /// The API of resources.
    pub fn kube(&self) -> KubeApi {
        KubeApi::new(self.endpoint.clone())
    }

    /// The namespace that is meant: that of a flag, else that of the context.
    pub fn namespace(&self, flag: Option<&str>) -> String {
        flag.or(self.namespace.as_deref()).unwrap_or(DEFAULT_NAMESPACE).to_owned()
    }
}

/// `namespace/name`, or a name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    namespace: Option<String>,
    name: String,
}

impl Name {
    /// The key of the resource of that kind; in `namespace` when the name says none, else in the default namespace.
    pub fn key(&self, kind: Kind, namespace: Option<&str>) -> ResourceKey {
        let namespace = self.namespace.as_deref().or(namespace).unwrap_or(DEFAULT_NAMESPACE);
        ResourceKey::new(kind, namespace, self.name.clone())
    }

    /// The namespace, if it says one, or else that one; and the name.
    pub fn within<'a>(&'a self, namespace: &'a str) -> (&'a str, &'a str) {
        (self.namespace.as_deref().unwrap_or(namespace), &self.name)
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, text),
        };
        // The name of a DomainMapping is a domain.
        if (is_dns_label(name) || is_domain_name(name)) && namespace.as_deref().is_none_or(is_dns_label) {
            Ok(Self { namespace, name: name.to_owned() })
        } else {
            Err("expected NAME or NAMESPACE/NAME in lower-case letters, digits and hyphens".into())
        }
    }
}

/// A Trigger, by name, or by uid when it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TriggerName {
    /// One that is there.
    Name(Name),
    /// One that may be gone.
    Uid(String),
}

impl TriggerName {
    /// How the API names it; in `namespace` when the name says none.
    pub fn within(&self, namespace: &str) -> String {
        match self {
            Self::Uid(uid) => uid.clone(),
            Self::Name(name) => {
                let (namespace, name) = name.within(namespace);
                format!("{namespace}/{name}")
            }
        }
    }
}

impl FromStr for TriggerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match pelton_client::TriggerId::parse(text) {
            Some(_) => Ok(Self::Uid(text.to_owned())),
            None => text.parse().map(Self::Name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_or_refused() {
        for (text, want) in [("a", "x/a"), ("shop/orders", "shop/orders"), ("shop/a.example.com", "shop/a.example.com")]
        {
            assert_eq!(text.parse::<TriggerName>().unwrap().within("x"), want);
        }
        for bad in ["", "/", "a/", "/a", "a/b/c", "A", "a b", "../x", "a..b", "a.b/x", "x/.."] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        let uid = "01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(uid.parse::<TriggerName>().unwrap().within("x"), uid);
    }

    #[test]
    fn the_namespace_of_the_name_counts_before_that_of_the_flag() {
        for (text, flag, want) in
            [("a", None, "default"), ("a", Some("x"), "x"), ("y/a", Some("x"), "y"), ("y/a", None, "y")]
        {
            assert_eq!(text.parse::<Name>().unwrap().key(Kind::Broker, flag).namespace, want, "{text} {flag:?}");
        }
    }
}
