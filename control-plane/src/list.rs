//! Lists of objects, by pages.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use pelton_client::Resources;
use pelton_resource::{Kind, ObjectMeta, Resource, ResourceKey};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use crate::accept::Form;
use crate::body::{self, Answer};
use crate::kinds::{Row, Store};
use crate::object::shown;
use crate::query::Query;
use crate::selection::Selection;
use crate::status::ApiError;
use crate::table::{self, Include};
use crate::versions::{self, Wanted};

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Continue {
    /// The version that the first page had.
    version: u64,
    /// The last object of the page before.
    namespace: String,
    name: String,
}

impl Continue {
    fn read(token: &str) -> Result<Self, ApiError> {
        let bad = || ApiError::bad_request("continue key is not valid: it is none of this server");
        let json = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
        serde_json::from_slice(&json).map_err(|_| bad())
    }

    fn write(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("numbers and texts always serialize"))
    }
}

/// The version that a list which goes on is to have reached: that of its first page.
///
/// # Errors
/// The token is none.
pub fn goes_on_at(query: &Query) -> Result<Option<Wanted>, ApiError> {
    let from = query.text("continue").map(Continue::read).transpose()?;
    Ok(from.map(|from| Wanted::AtLeast(from.version)))
}

/// One page.
#[derive(Debug)]
pub struct Page {
    /// Its objects, by namespace and name.
    pub items: Vec<Resource>,
    /// `metadata` of the list.
    pub metadata: Value,
}

/// The page that a query asks for, of what is selected.
///
/// # Errors
/// The query cannot be read, or goes on with what is too long ago.
pub fn page(resources: &Arc<Resources>, selection: &Selection, query: &Query) -> Result<Page, ApiError> {
    let limit = query.number("limit")?.filter(|limit| *limit > 0).and_then(|limit| usize::try_from(limit).ok());
    let from = query.text("continue").map(Continue::read).transpose()?;
    let version = from.as_ref().map_or(versions::of(resources), |from| from.version);
    // What has changed since the first page is told to whoever watches from its version; so it must be known.
    if from.is_some() && resources.history.after(version, 0).is_none() {
        return Err(ApiError::expired());
    }
    let mut keys = selected(resources, selection);
    if let Some(from) = &from {
        keys.retain(|key| (key.namespace.as_str(), key.name.as_str()) > (from.namespace.as_str(), from.name.as_str()));
    }
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let Some(limit) = limit.filter(|limit| keys.len() > *limit) {
        let remaining = keys.len() - limit;
        keys.truncate(limit);
        if let Some(last) = keys.last() {
            let (namespace, name) = (last.namespace.clone(), last.name.clone());
            metadata["continue"] = Value::String(Continue { version, namespace, name }.write());
        }
        if selection.is_all() {
            metadata["remainingItemCount"] = remaining.into();
        }
    }
    Ok(Page { items: keys.iter().filter_map(|key| resources.find(key)).collect(), metadata })
}

/// What is selected, sorted by namespace and name. Of what is not, nothing is copied.
#[must_use]
pub fn selected(resources: &Resources, selection: &Selection) -> Vec<ResourceKey> {
    let kind = selection.kind;
    let key = |meta: &ObjectMeta| ResourceKey::new(kind, meta.namespace.as_str(), meta.name.as_str());
    let may_be = resources.metas_of(kind).filter(|meta| selection.may_mean(kind, &meta.namespace, &meta.name));
    let is_meant = |meta: &&ObjectMeta| {
        let key = key(meta);
        let phase = resources.namespace(&meta.name).filter(|_| kind == Kind::Namespace);
        let phase = phase.and_then(|namespace| namespace.text("/status/phase"));
        let object = || {
            let found = resources.find(&key).expect("its metadata was there");
            serde_json::to_value(found).expect("a resource has no map whose keys are no texts")
        };
        selection.means(&key, &meta.labels, phase, object)
    };
    let mut keys: Vec<ResourceKey> = may_be.filter(is_meant).map(key).collect();
    keys.sort_unstable();
    keys
}

/// The list in the form that is asked for. Where objects are shown otherwise than they are stored, they are made one after the
/// other while it is written: there are as many as there are, and two forms of all of them would be memory for nothing.
///
/// # Errors
/// `includeObject` is none of what there is.
pub fn show(row: &Row, page: &Page, form: Form, query: &Query, now_unix_millis: u64) -> Result<Answer, ApiError> {
    let metadata = &page.metadata;
    Ok(match form {
        Form::Plain => {
            let (kind, api_version) = (format!("{}List", row.kind), row.api_version());
            match row.store {
                Store::NewEvents => {
                    let items = Each(&page.items, |item: &Resource| shown(row, item));
                    body::json(StatusCode::OK, &List { kind, api_version, metadata, items })
                }
                _ => body::json(StatusCode::OK, &List { kind, api_version, metadata, items: &page.items }),
            }
        }
        Form::Partial => {
            let (kind, api_version) = ("PartialObjectMetadataList".to_owned(), table::API_VERSION.to_owned());
            let items = Each(&page.items, |item: &Resource| table::partial(&shown(row, item)));
            body::json(StatusCode::OK, &List { kind, api_version, metadata, items })
        }
        Form::Table => {
            let made = table::Rows::new(row, include(query)?, now_unix_millis);
            let rows = Each(&page.items, |item: &Resource| made.of(shown(row, item)));
            let column_definitions = table::definitions(row);
            let (kind, api_version) = ("Table", table::API_VERSION);
            body::json(StatusCode::OK, &Table { kind, api_version, metadata, column_definitions, rows })
        }
    })
}

/// A list of objects as they are shown, in the form that is asked for.
///
/// # Errors
/// As [`show`].
pub fn values(
    row: &Row,
    items: &[Value],
    metadata: &Value,
    form: Form,
    query: &Query,
    now_unix_millis: u64,
) -> Result<Value, ApiError> {
    Ok(match form {
        Form::Plain => {
            let kind = format!("{}List", row.kind);
            json!({"kind": kind, "apiVersion": row.api_version(), "metadata": metadata, "items": items})
        }
        Form::Table => table::table(row, items, metadata, include(query)?, true, now_unix_millis),
        Form::Partial => table::partial_list(items, metadata),
    })
}

/// What rows of a table have besides cells.
///
/// # Errors
/// 400.
pub fn include(query: &Query) -> Result<Include, ApiError> {
    let text = query.text("includeObject").unwrap_or_default();
    Include::parse(text)
        .ok_or_else(|| ApiError::bad_request(format!("includeObject: {text:?} is none of Metadata, Object and None")))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a, I> {
    kind: String,
    api_version: String,
    metadata: &'a Value,
    items: I,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Table<'a, R> {
    kind: &'static str,
    api_version: &'static str,
    metadata: &'a Value,
    column_definitions: Value,
    rows: R,
}

/// A list of what is made of each.
struct Each<'a, F>(&'a [Resource], F);

impl<F: Fn(&Resource) -> Value> Serialize for Each<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(&self.1))
    }
}

#[cfg(test)]
mod tests {
    use pelton_resource::parse_documents;

    use super::*;
    use crate::status::row_of;
    use crate::target::Collection;

    fn brokers(count: usize) -> Arc<Resources> {
        let one = |i: usize| {
            format!(
                "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {{name: b{i:03}, namespace: n{}}}\n",
                i % 2
            )
        };
        let text: Vec<_> = (0..count).map(one).collect();
        Arc::new(Resources::default().with(parse_documents(&text.join("---\n"), "test").unwrap(), 7))
    }

    fn selection(query: &str) -> Selection {
        let collection = Collection { row: row_of(Kind::Broker), namespace: None };
        Selection::of(&collection, &Query::parse(query)).unwrap()
    }

    #[test]
    fn pages_put_together_are_the_list() {
        let resources = brokers(25);
        let whole = page(&resources, &selection(""), &Query::default()).unwrap();
        assert_eq!(whole.items.len(), 25);
        for limit in [1, 7, 24, 25, 26] {
            let (mut all, mut token) = (Vec::new(), String::new());
            loop {
                let query = Query::parse(&format!("limit={limit}&continue={token}"));
                let part = page(&resources, &selection(""), &query).unwrap();
                all.extend(part.items);
                assert_eq!(part.metadata["resourceVersion"], whole.metadata["resourceVersion"]);
                let left = part.metadata["remainingItemCount"].as_u64().unwrap_or(0);
                assert_eq!(left as usize, 25 - all.len());
                match part.metadata["continue"].as_str() {
                    Some(next) => next.clone_into(&mut token),
                    None => break,
                }
            }
            assert_eq!(all, whole.items, "limit {limit}");
        }
        assert!(page(&resources, &selection(""), &Query::parse("continue=nonsense")).is_err());
    }

    /// What is written object by object is what is made of all at once.
    #[test]
    fn a_list_is_the_same_however_it_is_made() {
        let (resources, row, query) = (brokers(5), row_of(Kind::Broker), Query::parse("includeObject=Object"));
        let page = page(&resources, &selection(""), &Query::default()).unwrap();
        let items: Vec<Value> = page.items.iter().map(|item| shown(row, item)).collect();
        for (form, query) in
            [(Form::Plain, &query), (Form::Partial, &query), (Form::Table, &query), (Form::Table, &Query::default())]
        {
            let whole = values(row, &items, &page.metadata, form, query, 7).unwrap();
            let answer = show(row, &page, form, query, 7).unwrap();
            let body::Body::Whole(bytes) = answer.into_body() else { panic!("a list is there at once") };
            assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), whole, "{form:?}");
        }
    }

    #[test]
    fn a_page_too_late_begins_anew() {
        let resources = brokers(3);
        let first = page(&resources, &selection(""), &Query::parse("limit=1")).unwrap();
        resources.history.begin(u64::MAX);
        let query = format!("limit=1&continue={}", first.metadata["continue"].as_str().unwrap());
        assert_eq!(page(&resources, &selection(""), &Query::parse(&query)).unwrap_err().reason, "Expired");
    }
}
