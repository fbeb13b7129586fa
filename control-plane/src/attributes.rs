//! What a request wants, for who decides whether it may be and for the audit log.

use http::{Method, Uri};
use pelton_access::Attributes;

use crate::kinds::Row;
use crate::query::Query;
use crate::target::{Named, Part, named};

/// What a request for a path of this API wants.
#[must_use]
pub fn attributes(method: &Method, uri: &Uri) -> Attributes {
    let path = uri.path();
    let is_watch = || Query::parse(uri.query().unwrap_or_default()).flag("watch").unwrap_or(false);
    match named(path) {
        Some(Named::Collection(it)) => {
            let verb = match *method {
                Method::GET | Method::HEAD if is_watch() => "watch".to_owned(),
                Method::GET | Method::HEAD => "list".to_owned(),
                Method::DELETE => "deletecollection".to_owned(),
                _ => verb(method),
            };
            Attributes::resource(&verb, kind(it.row), "", it.namespace.as_deref(), None)
        }
        Some(Named::Object(it)) => {
            let verb = match *method {
                Method::GET if is_watch() => "watch".to_owned(),
                _ => verb(method),
            };
            let part = if it.part == Part::Status { "status" } else { "" };
            Attributes::resource(&verb, kind(it.row), part, place(it.row, &it.namespace, &it.name), Some(&it.name))
        }
        Some(Named::Tokens(it)) => {
            Attributes::resource(&verb(method), kind(it.row), "token", Some(&it.namespace), Some(&it.name))
        }
        Some(Named::GroupVersion(..) | Named::Group(_) | Named::Groups | Named::CoreVersions) | None => {
            Attributes::path(&method.as_str().to_ascii_lowercase(), path)
        }
    }
}

fn verb(method: &Method) -> String {
    match *method {
        Method::GET | Method::HEAD => "get".to_owned(),
        Method::POST => "create".to_owned(),
        Method::PUT => "update".to_owned(),
        _ => method.as_str().to_ascii_lowercase(),
    }
}

fn kind(row: &Row) -> (&str, &str, &str) {
    (row.group, row.version, row.plural)
}

/// A Namespace is in itself.
fn place<'a>(row: &Row, namespace: &'a str, name: &'a str) -> Option<&'a str> {
    match row.is_namespaced {
        true => Some(namespace),
        false if row.plural == "namespaces" => Some(name),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_want_what_kubernetes_means_by_them() {
        const BROKERS: (&str, &str, &str) = ("eventing.knative.dev", "v1", "brokers");
        const NAMESPACES: (&str, &str, &str) = ("", "v1", "namespaces");
        let base = "/apis/eventing.knative.dev/v1";
        for (method, path, want) in [
            (Method::GET, format!("{base}/brokers"), Attributes::resource("list", BROKERS, "", None, None)),
            (Method::GET, format!("{base}/brokers?watch=1"), Attributes::resource("watch", BROKERS, "", None, None)),
            (
                Method::GET,
                format!("{base}/namespaces/n/brokers?watch=false"),
                Attributes::resource("list", BROKERS, "", Some("n"), None),
            ),
            (
                Method::POST,
                format!("{base}/namespaces/n/brokers"),
                Attributes::resource("create", BROKERS, "", Some("n"), None),
            ),
            (
                Method::DELETE,
                format!("{base}/namespaces/n/brokers"),
                Attributes::resource("deletecollection", BROKERS, "", Some("n"), None),
            ),
            (
                Method::PATCH,
                format!("{base}/namespaces/n/brokers/b/status"),
                Attributes::resource("patch", BROKERS, "status", Some("n"), Some("b")),
            ),
            (
                Method::PUT,
                "/api/v1/namespaces/n".to_owned(),
                Attributes::resource("update", NAMESPACES, "", Some("n"), Some("n")),
            ),
            (Method::POST, "/api/v1/namespaces".to_owned(), Attributes::resource("create", NAMESPACES, "", None, None)),
            (
                Method::POST,
                "/api/v1/namespaces/n/serviceaccounts/s/token".to_owned(),
                Attributes::resource("create", ("", "v1", "serviceaccounts"), "token", Some("n"), Some("s")),
            ),
            // What is no path of a kind is decided by itself, however it is written.
            (Method::GET, "/apis/".to_owned(), Attributes::path("get", "/apis/")),
            (Method::OPTIONS, format!("{base}/brokers"), Attributes::resource("options", BROKERS, "", None, None)),
        ] {
            assert_eq!(attributes(&method, &path.parse().unwrap()), want, "{method} {path}");
        }
    }
}
