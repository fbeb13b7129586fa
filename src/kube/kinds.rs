//! What people call kinds.

use pelton_control_plane::kinds::{ROWS, Row, Store};
use pelton_resource::Kind;

/// Knative's group of Services: `service` means theirs here, as it always has in this program, while to kubectl it is the
/// core kind. `svc` is that one.
const SERVING: &str = "serving.knative.dev";

/// The text names no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no kind {0:?}; there are {known}", known = known())]
pub struct UnknownKind(pub String);

/// The kinds that a text names: `trigger`, `triggers`, `Trigger`, `ksvc`, `triggers.eventing.knative.dev`,
/// `triggers.v1.eventing.knative.dev`; or a category such as `all` or `knative`, without Events.
///
/// # Errors
/// [`UnknownKind`].
pub fn find(text: &str) -> Result<Vec<&'static Row>, UnknownKind> {
    if let Some(row) = one(text) {
        return Ok(vec![row]);
    }
    let of: Vec<&Row> = objects().filter(|row| row.categories.contains(&text)).collect();
    if of.is_empty() { Err(UnknownKind(text.to_owned())) } else { Ok(of) }
}

/// The kind that a text names.
pub fn one(text: &str) -> Option<&'static Row> {
    let text = text.to_ascii_lowercase();
    let (name, rest) = text.split_once('.').map_or((text.as_str(), None), |(name, rest)| (name, Some(rest)));
    let is_name = |row: &&Row| {
        let singular = row.kind.to_ascii_lowercase();
        [row.plural, row.singular, &singular].contains(&name) || row.short_names.contains(&name)
    };
    let is_of = |row: &&Row| match rest {
        None => true,
        Some(rest) => {
            rest == row.group
                || rest.trim_end_matches('.') == format!("{}.{}", row.version, row.group).trim_end_matches('.')
        }
    };
    let known = || objects().filter(is_name).filter(is_of);
    known().find(|row| row.group == SERVING).or_else(|| known().next())
}

/// The kind of a manifest.
pub fn of_manifest(api_version: &str, kind: &str) -> Option<&'static Row> {
    objects().find(|row| row.kind == kind && row.api_version() == api_version)
}

/// The row of a kind that is stored.
pub fn row(kind: Kind) -> &'static Row {
    ROWS.iter().find(|row| row.store == Store::Stored(kind)).expect("every stored kind has a row")
}

/// `trigger.eventing.knative.dev`, as kubectl calls a kind before the name of an object.
pub fn qualified(row: &Row) -> String {
    if row.group.is_empty() { row.singular.to_owned() } else { format!("{}.{}", row.singular, row.group) }
}

/// The kinds that have objects.
pub fn objects() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(|row| row.may("list"))
}

fn known() -> String {
    let mut names: Vec<&str> = objects().map(|row| row.plural).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_many_names() {
        for (text, want) in [
            ("broker", "brokers.eventing.knative.dev"),
            ("Trigger", "triggers.eventing.knative.dev"),
            ("TRIGGERS", "triggers.eventing.knative.dev"),
            ("ksvc", "services.serving.knative.dev"),
            ("service", "services.serving.knative.dev"),
            ("services", "services.serving.knative.dev"),
            ("services.serving.knative.dev", "services.serving.knative.dev"),
            ("services.v1.serving.knative.dev", "services.serving.knative.dev"),
            ("svc", "services"),
            ("services.v1.", "services"),
            ("services.v1", "services"),
            ("rev", "revisions.serving.knative.dev"),
            ("dm", "domainmappings.serving.knative.dev"),
            ("ns", "namespaces"),
            ("ev", "events"),
            ("events.events.k8s.io", "events.events.k8s.io"),
            ("crd", "customresourcedefinitions.apiextensions.k8s.io"),
        ] {
            let found: Vec<String> = find(text).unwrap().iter().map(|row| row.qualified()).collect();
            assert_eq!(found, [want], "{text}");
        }
        let names = |text: &str| find(text).unwrap().iter().map(|row| row.plural).collect::<Vec<_>>();
        assert_eq!(names("eventing"), ["brokers", "triggers"]);
        assert!(names("all").contains(&"revisions") && !names("all").contains(&"secrets"));
        for bad in [
            "channels",
            "",
            ".",
            "brokers.v2.eventing.knative.dev",
            "brokers.serving.knative.dev",
            "selfsubjectreviews",
        ] {
            let error = find(bad).unwrap_err();
            assert!(error.to_string().contains("brokers, configmaps"), "{error}");
        }
    }

    #[test]
    fn manifests_name_their_kind_with_its_version() {
        assert_eq!(of_manifest("v1", "Service"), Some(row(Kind::CoreService)));
        assert_eq!(of_manifest("serving.knative.dev/v1", "Service"), Some(row(Kind::Service)));
        assert_eq!(of_manifest("apps/v1", "Deployment"), None);
        assert_eq!(qualified(row(Kind::Trigger)), "trigger.eventing.knative.dev");
        assert_eq!(qualified(row(Kind::Secret)), "secret");
    }
}
