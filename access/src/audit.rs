//! What is written down of a change.

use serde::Serialize;

use crate::attributes::{Attributes, Target};
use crate::identity::Identity;

/// Names longer than this are cut: they are of requests that were refused.
const MAX_TEXT_BYTES: usize = 512;

/// Of so many groups it is told that somebody was in them.
const MAX_GROUPS: usize = 32;

/// Whether nothing was to be stored, where a request says that elsewhere than in its query. Its answer has it as an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DryRun(pub bool);

/// One line of the audit log. There is no place in it for a body, a value of a Secret or a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditLine<'a> {
    /// When it was answered, RFC 3339.
    pub time: String,
    /// What tells this request from others; the answer has it as `Audit-Id`.
    pub request_id: &'a str,
    /// Who asked.
    pub user: &'a str,
    /// The groups that he was in.
    pub groups: &'a [String],
    /// What was wanted.
    pub verb: &'a str,
    /// The API group; empty for the core one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<&'a str>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<&'a str>,
    /// The plural, with a part behind a slash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<&'a str>,
    /// Which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// The path, of what is no resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<&'a str>,
    /// Whether nothing was to be stored.
    pub dry_run: bool,
    /// The HTTP status of the answer.
    pub code: u16,
    /// The address that it came from.
    pub source: String,
}

impl<'a> AuditLine<'a> {
    /// A line about what somebody wanted. Where the request itself names nothing, `name` is what its answer names.
    #[must_use]
    pub fn new(who: &'a Identity, wanted: &'a Attributes, name: Option<&'a str>) -> Self {
        let mut line = Self {
            time: String::new(),
            request_id: "",
            user: cut(&who.user),
            groups: &who.groups[..who.groups.len().min(MAX_GROUPS)],
            verb: cut(&wanted.verb),
            group: None,
            version: None,
            resource: None,
            namespace: None,
            name: name.map(cut),
            path: None,
            dry_run: false,
            code: 0,
            source: String::new(),
        };
        match &wanted.target {
            Target::Path(path) => line.path = Some(cut(path)),
            Target::Resource { group, version, resource, subresource, namespace, name: own } => {
                line.group = Some(cut(group));
                line.version = Some(version).filter(|version| !version.is_empty()).map(String::as_str);
                let part = if subresource.is_empty() { String::new() } else { format!("/{}", cut(subresource)) };
                line.resource = Some(format!("{}{part}", cut(resource)));
                line.namespace = namespace.as_deref().map(cut);
                line.name = own.as_deref().or(name).map(cut);
            }
        }
        line
    }
}

/// The beginning of a text, if it is too long.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_line_says_who_wanted_what() {
        let who = Identity { user: "ada".into(), uid: String::new(), groups: vec!["ops".into()] };
        let of = |wanted: &Attributes, name| serde_json::to_value(AuditLine::new(&who, wanted, name)).unwrap();
        let brokers = ("eventing.knative.dev", "v1", "brokers");
        let line = of(&Attributes::resource("update", brokers, "status", Some("shop"), Some("b")), Some("other"));
        assert_eq!(
            line,
            json!({
                "time": "", "requestId": "", "user": "ada", "groups": ["ops"], "verb": "update",
                "group": "eventing.knative.dev", "version": "v1", "resource": "brokers/status", "namespace": "shop",
                "name": "b", "dryRun": false, "code": 0, "source": "",
            })
        );
        let line = of(&Attributes::resource("create", brokers, "", Some("shop"), None), Some("b-x7k2p"));
        assert_eq!(line["name"], "b-x7k2p");
        let line = of(&Attributes::path("post", "/v1/x"), None);
        assert_eq!((&line["path"], &line["resource"]), (&json!("/v1/x"), &Value::Null));
    }

    #[test]
    fn a_line_has_a_bound() {
        let long = "ö".repeat(60_000);
        let who = Identity { user: long.clone(), uid: String::new(), groups: vec!["g".repeat(256); 600] };
        let wanted = Attributes::resource(&long, (&long, "v1", &long), &long, Some(&long), Some(&long));
        assert!(serde_json::to_vec(&AuditLine::new(&who, &wanted, None)).unwrap().len() < 16 * 1024);
    }
}
