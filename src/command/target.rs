//! What several commands take: where the API is, and which resource is meant.

use std::str::FromStr;

use clap::Args;
use pelton_resource::serving::naming::is_domain_name;
use pelton_resource::{DEFAULT_NAMESPACE, Kind, ResourceKey, is_dns_label};

use crate::admin::Admin;
use crate::exit::Failure;
use crate::http::Url;

/// Where the administration API is.
#[derive(Debug, Clone, Args)]
pub struct ApiArgs {
    /// Where the administration API of a running Pelton is
    #[arg(long, global = true, value_name = "URL", env = "PELTON_API", default_value = "http://127.0.0.1:8001")]
    api: String,
}

impl ApiArgs {
    /// Its URL, without a slash at the end.
    pub fn server(&self) -> Result<String, Failure> {
        Url::parse(&self.api)?;
        Ok(self.api.trim_end_matches('/').to_owned())
    }

    /// The API. Nothing is sent yet.
    pub fn admin(&self) -> Result<Admin, Failure> {
        Ok(Admin::new(Url::parse(&self.api)?))
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

    /// `namespace/name`.
    pub fn qualified(&self) -> String {
        format!("{}/{}", self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE), self.name)
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
pub struct TriggerName(pub String);

impl FromStr for TriggerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if pelton_client::TriggerId::parse(text).is_some() {
            return Ok(Self(text.to_owned()));
        }
        text.parse::<Name>().map(|name| Self(name.qualified()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_or_refused() {
        for (text, want) in
            [("a", "default/a"), ("shop/orders", "shop/orders"), ("shop/a.example.com", "shop/a.example.com")]
        {
            assert_eq!(text.parse::<Name>().unwrap().qualified(), want);
        }
        for bad in ["", "/", "a/", "/a", "a/b/c", "A", "a b", "../x", "a..b", "a.b/x", "x/.."] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        let uid = "01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(uid.parse::<TriggerName>().unwrap().0, uid);
        assert_eq!("a".parse::<TriggerName>().unwrap().0, "default/a");
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
