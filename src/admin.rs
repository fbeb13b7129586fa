//! Calls the administration API for the commands.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use pelton_resource::{Kind, Resource, ResourceKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::cluster_view::{ChangeBody, ClusterStatus};
use crate::api::view::{Count, DeadLetterPage, DeadLetterView, ProblemView, ResourceList, RewindBody, SelectionBody};
use crate::http::{Answer, CallError, Connection, Url};

/// The administration API of a running Pelton.
#[derive(Debug)]
pub struct Admin {
    connection: Connection,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// It was not asked, or did not answer.
    #[error(transparent)]
    NoAnswer(#[from] CallError),
    /// It answered that it will not.
    #[error("{}", .0.detail)]
    Refused(ProblemView),
    /// It answered something that is not understood: probably another program listens there.
    #[error("the answer is not that of a Pelton API ({status}): {detail}")]
    NotUnderstood {
        /// The status.
        status: http::StatusCode,
        /// What is wrong with it.
        detail: String,
    },
}

impl Admin {
    /// The API at that URL. Connects with the first call.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self { connection: Connection::new(url) }
    }

    /// All resources of a kind.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn list(&mut self, kind: Kind, namespace: Option<&str>) -> Result<Vec<Resource>, AdminError> {
        let query = namespace.map_or(String::new(), |namespace| format!("?namespace={}", encode(namespace)));
        let list: ResourceList = self.call(Method::GET, &format!("/v1/{}{query}", kind.plural()), None).await?;
        Ok(list.items)
    }

    /// One resource.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn show(&mut self, key: &ResourceKey) -> Result<Resource, AdminError> {
        self.call(Method::GET, &path(key), None).await
    }

    /// Stores all of these or none. Answers them as stored.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn apply(&mut self, resources: Vec<Resource>) -> Result<Vec<Resource>, AdminError> {
        let list: ResourceList =
            self.call(Method::POST, "/v1/apply", Some(json(&ResourceList::new(resources)))).await?;
        Ok(list.items)
    }

    /// Deletes one resource.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn delete(&mut self, key: &ResourceKey) -> Result<(), AdminError> {
        self.call::<Count>(Method::DELETE, &path(key), None).await.map(drop)
    }

    /// Moves a Trigger's cursor.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn rewind(&mut self, trigger: &ResourceKey, to: &str) -> Result<(), AdminError> {
        let body = json(&RewindBody { to: to.to_owned() });
        self.call::<Count>(Method::POST, &format!("{}/rewind", path(trigger)), Some(body)).await.map(drop)
    }

    /// A page of dead letters.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn dead_letters(
        &mut self,
        trigger: Option<&str>,
        limit: usize,
        after: Option<&str>,
    ) -> Result<DeadLetterPage, AdminError> {
        let mut path = format!("/v1/dead-letters?limit={limit}");
        for (name, value) in [("trigger", trigger), ("after", after)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encode(value)));
            }
        }
        self.call(Method::GET, &path, None).await
    }

    /// One dead letter with its event. `trigger` is `namespace/name`, `position` is `group/offset`.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn dead_letter(&mut self, trigger: &str, position: &str) -> Result<DeadLetterView, AdminError> {
        self.call(Method::GET, &format!("/v1/dead-letters/{trigger}/{position}"), None).await
    }

    /// Sends dead letters again. Answers how many.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn redrive(&mut self, selection: &SelectionBody) -> Result<u64, AdminError> {
        let count: Count = self.call(Method::POST, "/v1/dead-letters/redrive", Some(json(selection))).await?;
        Ok(count.count)
    }

    /// Drops dead letters. Answers how many.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn discard(&mut self, selection: &SelectionBody) -> Result<u64, AdminError> {
        let count: Count = self.call(Method::POST, "/v1/dead-letters/discard", Some(json(selection))).await?;
        Ok(count.count)
    }

    /// How the cluster is.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn cluster(&mut self) -> Result<ClusterStatus, AdminError> {
        self.call(Method::GET, "/v1/cluster", None).await
    }

    /// Has the cluster changed.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn change_cluster(&mut self, change: &ChangeBody) -> Result<(), AdminError> {
        self.call::<Count>(Method::POST, "/v1/cluster/changes", Some(json(change))).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<T, AdminError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let answer = self.connection.call(method, path, headers, body.unwrap_or_default()).await?;
        read(&answer)
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, AdminError> {
    let not_understood =
        |error: serde_json::Error| AdminError::NotUnderstood { status: answer.status, detail: error.to_string() };
    if answer.status.is_success() {
        return serde_json::from_slice(&answer.body).map_err(not_understood);
    }
    match serde_json::from_slice::<ProblemView>(&answer.body) {
        Ok(problem) => Err(AdminError::Refused(problem)),
        Err(error) => Err(not_understood(error)),
    }
}

fn path(key: &ResourceKey) -> String {
    format!("/v1/{}/{}/{}", key.kind.plural(), encode(&key.namespace), encode(&key.name))
}

fn json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).expect("what the API takes has texts as keys").into()
}

/// Percent-codes what is not safe in a path segment or a query (RFC 3986, section 2.3).
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                out.push(char::from(byte))
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
