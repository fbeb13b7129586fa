//! Which objects of a collection are meant.

use std::borrow::Cow;
use std::collections::BTreeMap;

use pelton_client::history::{Change, Selectable};
use pelton_resource::{Kind, ResourceKey};
use serde_json::Value;

use crate::kinds::Row;
use crate::object::{in_words_of, text_at};
use crate::query::Query;
use crate::selector::{FieldSelector, LabelSelector};
use crate::status::ApiError;
use crate::target::{Collection, stored_kind};

/// The fields of any object that may be selected by.
const OF_ALL: &[&str] = &["metadata.name", "metadata.namespace"];

/// Those of Events besides; `involvedObject` stands for `regarding` in the newer group.
const OF_EVENTS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];
const OF_NEW_EVENTS: &[&str] = &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
];

/// The objects of a collection that labels and fields choose.
#[derive(Debug, Clone)]
pub struct Selection {
    row: &'static Row,
    /// The kind that they have in the registry.
    pub kind: Kind,
    /// Their namespace; `None` for all of them.
    pub namespace: Option<String>,
    labels: LabelSelector,
    fields: FieldSelector,
    /// Whether fields are asked for that only the object itself shows.
    looks_inside: bool,
}

impl Selection {
    /// What a request chooses.
    ///
    /// # Errors
    /// The selectors cannot be read, or name a field that nothing is selected by.
    pub fn of(collection: &Collection, query: &Query) -> Result<Self, ApiError> {
        let row = collection.row;
        let kind = stored_kind(row).ok_or_else(ApiError::method_not_allowed)?;
        let bad = |error: crate::selector::SelectorError| ApiError::bad_request(error.to_string());
        let labels = LabelSelector::parse(query.text("labelSelector").unwrap_or_default()).map_err(bad)?;
        let fields = FieldSelector::parse(query.text("fieldSelector").unwrap_or_default()).map_err(bad)?;
        let more: &[&str] = match (kind, row.group) {
            (Kind::Event, "") => OF_EVENTS,
            (Kind::Event, _) => OF_NEW_EVENTS,
            (Kind::Secret, _) => &["type"],
            (Kind::Namespace, _) => &["status.phase"],
            _ => &[],
        };
        let mut looks_inside = false;
        for (field, _, _) in fields.fields() {
            if !OF_ALL.contains(&field) && !more.contains(&field) {
                return Err(ApiError::bad_request(format!("field label not supported: {field}")));
            }
            looks_inside |= !OF_ALL.contains(&field) && field != "status.phase";
        }
        Ok(Self { row, kind, namespace: collection.namespace.clone(), labels, fields, looks_inside })
    }

    /// Whether everything of the collection is meant.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an object may be meant, by what it is called. Asked first: it costs nothing.
    #[must_use]
    pub fn may_mean(&self, kind: Kind, namespace: &str, name: &str) -> bool {
        kind == self.kind
            && self.namespace.as_ref().is_none_or(|wanted| wanted == namespace)
            && self.fields.only_name().is_none_or(|wanted| wanted == name)
    }

    /// Whether an object with that name is meant. `object` gives it as it is stored, when it must be looked at.
    pub fn means(
        &self,
        key: &ResourceKey,
        labels: &BTreeMap<String, String>,
        phase: Option<&str>,
        object: impl FnOnce() -> Value,
    ) -> bool {
        if !self.may_mean(key.kind, &key.namespace, &key.name) || !self.labels.matches(labels) {
            return false;
        }
        if self.fields.is_empty() {
            return true;
        }
        let object = self.looks_inside.then(|| in_words_of(self.row, object()));
        self.fields.matches(|field| match field {
            "metadata.name" => Some(Cow::Borrowed(key.name.as_str())),
            "metadata.namespace" => Some(Cow::Borrowed(key.namespace.as_str())),
            "status.phase" => Some(Cow::Borrowed(phase.unwrap_or_default())),
            // The field is a whole in the object.
            "source" => Some(object.as_ref().and_then(|it| text_at(it, "source.component")).unwrap_or_default().into()),
            inside => Some(object.as_ref().and_then(|it| text_at(it, inside)).unwrap_or_default().into()),
        })
    }

    /// Whether the object of a change was meant before it, and is after it. What only the object shows does not change.
    #[must_use]
    pub fn meant(&self, change: &Change, object: &Value) -> (bool, bool) {
        if self.is_all() {
            return (!change.is_new(), !change.is_end());
        }
        let (was, is) = change.selectable(object);
        let means = |it: Option<Selectable>| {
            it.is_some_and(|it| self.means(&change.key, &it.labels, it.phase.as_deref(), || object.clone()))
        };
        (means(was), means(is))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::find;

    fn select(plural: &str, group: &str, version: &str, query: &str) -> Result<Selection, ApiError> {
        let row = find(group, version, plural).unwrap();
        Selection::of(&Collection { row, namespace: row.is_namespaced.then(|| "n".to_owned()) }, &Query::parse(query))
    }

    #[test]
    fn names_labels_and_fields_choose() {
        let labels = BTreeMap::from([("app".to_owned(), "a".to_owned())]);
        let event = json!({"metadata": {"name": "x"}, "type": "Normal", "involvedObject": {"uid": "u"},
            "source": {"component": "c"}});
        for (plural, group, kind, query, want) in [
            ("events", "", Kind::Event, "", true),
            ("events", "", Kind::Event, "labelSelector=app%3Da", true),
            ("events", "", Kind::Event, "labelSelector=app%3Db", false),
            ("events", "", Kind::Event, "fieldSelector=metadata.name%3Dx", true),
            ("events", "", Kind::Event, "fieldSelector=metadata.name%3Dy", false),
            ("events", "", Kind::Event, "fieldSelector=metadata.name!%3Dy,type%3DNormal", true),
            ("events", "", Kind::Event, "fieldSelector=involvedObject.uid%3Du,source%3Dc", true),
            ("events", "", Kind::Event, "fieldSelector=involvedObject.uid%3Dv", false),
            ("events", "events.k8s.io", Kind::Event, "fieldSelector=regarding.uid%3Du", true),
            ("secrets", "", Kind::Event, "", false),
        ] {
            let selection = select(plural, group, "v1", query).unwrap();
            let key = ResourceKey::new(kind, "n", "x");
            assert_eq!(selection.means(&key, &labels, None, || event.clone()), want, "{plural} {query}");
            let elsewhere = ResourceKey::new(kind, "m", "x");
            assert!(!selection.means(&elsewhere, &labels, None, || event.clone()), "{plural} {query}");
        }
        let all = select("namespaces", "", "v1", "fieldSelector=status.phase%3DActive").unwrap();
        let key = ResourceKey::new(Kind::Namespace, "", "x");
        for (phase, want) in [(Some("Active"), true), (Some("Terminating"), false), (None, false)] {
            assert_eq!(all.means(&key, &labels, phase, || panic!("it is not looked at")), want);
        }
    }

    #[test]
    fn other_fields_are_refused() {
        for (plural, group, field) in [
            ("brokers", "eventing.knative.dev", "spec.broker"),
            ("secrets", "", "status.phase"),
            ("events", "events.k8s.io", "involvedObject.uid"),
        ] {
            let error = select(plural, group, "v1", &format!("fieldSelector={field}%3Dx")).unwrap_err();
            assert_eq!(error.message, format!("field label not supported: {field}"));
        }
        assert!(select("secrets", "", "v1", "labelSelector=a%20b").is_err());
    }
}
