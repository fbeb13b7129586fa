//! Requests to the Kubernetes-shaped API.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use pelton_control_plane::kinds::Row;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::error::{KubeError, retry_after};
use crate::command::print_error;
use crate::http::{Answer, CallError, Connection, Endpoint, Streamed};
use crate::terminal::escape;

/// Who owns what is written by commands.
pub const FIELD_MANAGER: &str = "pelton";

/// How many objects are asked for at a time, as by kubectl.
const PAGE: usize = 500;

/// How often is asked again a server that says that it has not done it and when to ask again, as by clients of Go.
const RETRIES: usize = 10;

/// The longest that is waited before asking again, whatever the server says.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// What stays as it is in paths and queries (RFC 3986, section 2.3).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// In which namespace objects are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In each.
    Everywhere,
    /// In that one; of no account for kinds whose objects are in none.
    Namespace(String),
}

/// Which objects of a kind are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// By their labels.
    pub labels: Option<String>,
    /// By their fields.
    pub fields: Option<String>,
}

impl Selection {
    /// The object of that name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { labels: None, fields: Some(format!("metadata.name={name}")) }
    }

    fn pairs(&self) -> Vec<(&'static str, String)> {
        let labels = self.labels.iter().map(|labels| ("labelSelector", labels.clone()));
        labels.chain(self.fields.iter().map(|fields| ("fieldSelector", fields.clone()))).collect()
    }
}

/// How something is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Write {
    /// Everything is done but the writing.
    pub is_dry_run: bool,
    /// Fields are taken from their owners.
    pub forces: bool,
}

impl Write {
    fn pairs(self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![("fieldManager", FIELD_MANAGER.to_owned()), ("fieldValidation", "Strict".to_owned())];
        if self.is_dry_run {
            pairs.push(("dryRun", "All".to_owned()));
        }
        if self.forces {
            pairs.push(("force", "true".to_owned()));
        }
        pairs
    }
}

/// What was listed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct List {
    /// The objects, by namespace and name.
    pub items: Vec<Value>,
    /// As of when. A watch goes on from there.
    pub version: String,
}

/// The API of one server.
#[derive(Debug)]
pub struct KubeApi {
    endpoint: Endpoint,
    connection: Connection,
}

impl KubeApi {
    /// Connects with the first request.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { connection: Connection::new(endpoint.clone()), endpoint }
    }

    /// One object.
    ///
    /// # Errors
    /// [`KubeError`].
    pub async fn get(&mut self, row: &Row, namespace: &str, name: &str) -> Result<Value, KubeError> {
        self.call(Method::GET, &path(row, Some(namespace), Some(name)), &[], None).await
    }

    /// All that are selected, read in pages.
    ///
    /// # Errors
    /// [`KubeError`].
    pub async fn list(&mut self, row: &Row, place: &Place, selection: &Selection) -> Result<List, KubeError> {
        let path = collection(row, place);
        let mut list = List::default();
        let mut more = String::new();
        loop {
            let mut query = selection.pairs();
            query.push(("limit", PAGE.to_string()));
            if !more.is_empty() {
                query.push(("continue", more));
            }
            let mut page = self.call(Method::GET, &path, &query, None).await?;
            let text = |page: &Value, field: &str| {
                page.pointer(&format!("/metadata/{field}")).and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            list.version = text(&page, "resourceVersion");
            more = text(&page, "continue");
            let Some(Value::Array(mut items)) = page.get_mut("items").map(Value::take) else {
                let detail = "a list without items".to_owned();
                return Err(KubeError::NotUnderstood { status: http::StatusCode::OK, detail });
            };
            // Items of a list do not say what they are, or say it each: here each does.
            for fields in items.iter_mut().filter_map(Value::as_object_mut) {
                fields.entry("apiVersion").or_insert_with(|| row.api_version().into());
                fields.entry("kind").or_insert_with(|| row.kind.into());
            }
            list.items.append(&mut items);
            if more.is_empty() {
                return Ok(list);
            }
        }
    }

    /// A new object.
    ///
    /// # Errors
    /// [`KubeError`].
    pub async fn create(
        &mut self,
        row: &Row,
        namespace: &str,
        object: &Value,
        write: Write,
    ) -> Result<Value, KubeError> {
        let body = Some(("application/json", object));
        self.call(Method::POST, &path(row, Some(namespace), None), &write.pairs(), body).await
    }

    /// An object as the field manager `pelton` wants it: server-side apply.
    ///
    /// # Errors
    /// [`KubeError`].
    pub async fn apply(
        &mut self,
        row: &Row,
        namespace: &str,
        name: &str,
        object: &Value,
        write: Write,
    ) -> Result<Value, KubeError> {
        // JSON is YAML as well.
        let body = Some(("application/apply-patch+yaml", object));
        self.call(Method::PATCH, &path(row, Some(namespace), Some(name)), &write.pairs(), body).await
    }

    /// An object with other values in some fields (RFC 7396).
    ///
    /// # Errors
    /// [`KubeError`].
    pub async fn patch(
        &mut self,
        row: &Row,
        namespace: &str,
        name: &str,
        patch: &Value,
        write: Write,
    ) -> Result<Value, KubeError> {
        let body = Some(("application/merge-patch+json", patch));
        self.call(Method::PATCH, &path(row, Some(namespace), Some(name)), &write.pairs(), body).await
    }

    /// Deletes an object. Answers it when it stays until its finalizers are done.
    ///
    /// # Errors
    /// [`KubeError`].
    pub async fn delete(
        &mut self,
        row: &Row,
        namespace: &str,
        name: &str,
        options: &Value,
    ) -> Result<Option<Value>, KubeError> {
        let body = Some(("application/json", options));
        let answer = self.call(Method::DELETE, &path(row, Some(namespace), Some(name)), &[], body).await?;
        Ok((answer.get("kind") != Some(&json!("Status"))).then_some(answer))
    }

    /// Every change from `version` on, over a connection of its own.
    ///
    /// # Errors
    /// [`KubeError`].
    pub async fn watch(
        &self,
        row: &Row,
        place: &Place,
        selection: &Selection,
        version: &str,
    ) -> Result<Streamed, KubeError> {
        let mut query = selection.pairs();
        query.push(("watch", "true".to_owned()));
        query.push(("resourceVersion", version.to_owned()));
        let target = with_query(&collection(row, place), &query);
        let streamed = Connection::new(self.endpoint.clone()).stream(&target, accept()).await?;
        if streamed.status().is_success() {
            return Ok(streamed);
        }
        Err(KubeError::of(&streamed.whole().await?))
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        query: &[(&'static str, String)],
        body: Option<(&'static str, &Value)>,
    ) -> Result<Value, KubeError> {
        let mut headers = accept();
        let mut bytes = Bytes::new();
        if let Some((media_type, value)) = body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            bytes = serde_json::to_vec(value).expect("a JSON value can be written").into();
        }
        let answer = self.answer(&method, &with_query(path, query), &headers, &bytes).await?;
        warn(&answer.headers);
        if !answer.status.is_success() {
            return Err(KubeError::of(&answer));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| KubeError::NotUnderstood { status: answer.status, detail: error.to_string() })
    }

    /// Asks, and asks again while the server says that it cannot yet.
    async fn answer(
        &mut self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Answer, CallError> {
        let mut retries = 0;
        loop {
            let answer = self.connection.call(method.clone(), target, headers.clone(), body.clone()).await?;
            match retry_after(answer.status, &answer.headers) {
                Some(pause) if retries < RETRIES => {
                    retries += 1;
                    sleep(pause.min(MAX_PAUSE)).await;
                }
                _ => return Ok(answer),
            }
        }
    }
}

fn accept() -> HeaderMap {
    let agent = HeaderValue::from_static(concat!("pelton/", env!("CARGO_PKG_VERSION")));
    HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/json")), (header::USER_AGENT, agent)])
}

/// Says what the server warns of (RFC 9111 had it: `299 - "text"`).
fn warn(headers: &HeaderMap) {
    for warning in headers.get_all(header::WARNING) {
        let text = warning.to_str().unwrap_or_default();
        let quoted =
            text.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map_or(text, |(quoted, _)| quoted);
        print_error(&format!("Warning: {}", escape(&quoted.replace("\\\"", "\""))));
    }
}

fn collection(row: &Row, place: &Place) -> String {
    match place {
        Place::Everywhere => path(row, None, None),
        Place::Namespace(namespace) => path(row, Some(namespace), None),
    }
}

fn path(row: &Row, namespace: Option<&str>, name: Option<&str>) -> String {
    let mut path = if row.group.is_empty() {
        format!("/api/{}", row.version)
    } else {
        format!("/apis/{}/{}", row.group, row.version)
    };
    if let Some(namespace) = namespace.filter(|_| row.is_namespaced) {
        path.push_str(&format!("/namespaces/{}", encode(namespace)));
    }
    path.push_str(&format!("/{}", row.plural));
    if let Some(name) = name {
        path.push_str(&format!("/{}", encode(name)));
    }
    path
}

fn with_query(path: &str, query: &[(&'static str, String)]) -> String {
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    use pelton_resource::Kind;

    use super::super::kinds;
    use super::*;

    #[test]
    fn paths_name_group_namespace_and_object() {
        let (trigger, namespace) = (kinds::row(Kind::Trigger), kinds::row(Kind::Namespace));
        let secret = kinds::row(Kind::Secret);
        for (row, place, name, want) in [
            (trigger, None, None, "/apis/eventing.knative.dev/v1/triggers"),
            (trigger, Some("shop"), None, "/apis/eventing.knative.dev/v1/namespaces/shop/triggers"),
            (trigger, Some("shop"), Some("t"), "/apis/eventing.knative.dev/v1/namespaces/shop/triggers/t"),
            (secret, Some("shop"), Some("s"), "/api/v1/namespaces/shop/secrets/s"),
            (namespace, Some("shop"), Some("x"), "/api/v1/namespaces/x"),
            (secret, Some("a/b"), Some("../?x"), "/api/v1/namespaces/a%2Fb/secrets/..%2F%3Fx"),
        ] {
            assert_eq!(path(row, place, name), want);
        }
        let query = Selection { labels: Some("a=b,c in (d)".to_owned()), ..Selection::named("x") }.pairs();
        let want = "/x?labelSelector=a%3Db%2Cc%20in%20%28d%29&fieldSelector=metadata.name%3Dx";
        assert_eq!(with_query("/x", &query), want);
    }
}
