//! Calls for the commands what of the API is not about resources: for those there is [`crate::kube`].

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use pelton_resource::ResourceKey;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::cluster_view::{ChangeBody, ClusterStatus};
use crate::api::serving_view::{InstancesList, InstancesView, LogRecord};
use crate::api::view::{Count, DeadLetterPage, DeadLetterView, ProblemView, RewindBody, SelectionBody};
use crate::http::{Answer, CallError, Connection, Endpoint, Streamed};

/// What lies below `/v1` of a running Pelton's API.
#[derive(Debug)]
pub struct Admin {
    endpoint: Endpoint,
    connection: Connection,
}

/// The status with which a node says that what was asked is not to be found on it, but may be on another (RFC 9110, 15.5.20).
pub const NOT_HERE: u16 = 421;

/// The longest line of a log that is read: one of 16 KiB, of which JSON makes no more than six times as much.
const MAX_RECORD_BYTES: usize = 256 * 1024;

/// Which lines of a log are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogsQuery {
    /// Also what comes.
    pub follow: bool,
    /// No more than the last so many of what there is.
    pub tail: Option<u64>,
    /// Of what there is only those of the last so long.
    pub since: Option<Duration>,
}

impl std::fmt::Display for LogsQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "follow={}", self.follow)?;
        if let Some(tail) = self.tail {
            write!(f, "&tail={tail}")?;
        }
        if let Some(since) = self.since {
            write!(f, "&since={}ms", since.as_millis())?;
        }
        Ok(())
    }
}

/// A log as it is told.
#[derive(Debug)]
pub struct LogStream {
    streamed: Streamed,
    read: Vec<u8>,
    max_record_bytes: usize,
    /// Where in `read` that begins which was not given yet.
    begin: usize,
}

impl LogStream {
    /// Who tells it.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.streamed.authority()
    }

    /// Waits for the next record. `None` at the end. Nothing is lost when it is dropped and called again.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn next(&mut self) -> Result<Option<LogRecord>, AdminError> {
        self.next_as().await
    }

    /// As [`next`](Self::next), of records of another kind.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn next_as<T: DeserializeOwned>(&mut self) -> Result<Option<T>, AdminError> {
        let not_understood = |status, detail: String| Err(AdminError::NotUnderstood { status, detail });
        let status = self.streamed.status();
        loop {
            let rest = &self.read[self.begin..];
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let record = serde_json::from_slice(&rest[..end]);
                self.begin += end + 1;
                return record.map(Some).or_else(|error| not_understood(status, error.to_string()));
            }
            if rest.len() > self.max_record_bytes {
                return not_understood(status, "a line without an end".to_owned());
            }
            match self.streamed.piece().await? {
                Some(piece) => {
                    self.read.drain(..self.begin);
                    self.begin = 0;
                    self.read.extend_from_slice(&piece);
                }
                None if rest.is_empty() => return Ok(None),
                None => return not_understood(status, "it ends within a line".to_owned()),
            }
        }
    }
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
    /// The API there. Connects with the first call.
    #[must_use]
    pub fn new(endpoint: impl Into<Endpoint>) -> Self {
        let endpoint = endpoint.into();
        Self { connection: Connection::new(endpoint.clone()), endpoint }
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

    /// What the instances of a Service or a Revision are doing on the node that is asked.
    ///
    /// # Errors
    /// [`AdminError`]; a refusal with [`NOT_HERE`] says that no Service runs on that node.
    pub async fn instances(&mut self, key: &ResourceKey) -> Result<Vec<InstancesView>, AdminError> {
        let list: InstancesList = self.call(Method::GET, &format!("{}/instances", path(key)), None).await?;
        Ok(list.items)
    }

    /// What instances of a Service or a Revision printed on the node that is asked, by a connection of its own.
    ///
    /// # Errors
    /// [`AdminError`]; a refusal with [`NOT_HERE`] says that no Service runs on that node.
    pub async fn logs(&self, key: &ResourceKey, query: &LogsQuery) -> Result<LogStream, AdminError> {
        self.lines(&format!("{}/logs?{query}", path(key)), MAX_RECORD_BYTES).await
    }

    /// What a path gives, as JSON.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, AdminError> {
        self.call(Method::GET, path, None).await
    }

    /// What a path gives line by line, by a connection of its own.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn lines(&self, path: &str, max_record_bytes: usize) -> Result<LogStream, AdminError> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/x-ndjson"))]);
        let connection = Connection::new(self.endpoint.clone());
        let streamed = connection.stream(path, headers).await?;
        if streamed.status().is_success() {
            return Ok(LogStream { streamed, read: Vec::new(), max_record_bytes, begin: 0 });
        }
        let status = streamed.status();
        match read::<serde_json::Value>(&streamed.whole().await?) {
            Err(error) => Err(error),
            Ok(_) => Err(AdminError::NotUnderstood { status, detail: "a refusal that is none".to_owned() }),
        }
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

/// What stays as it is in a path segment or a query (RFC 3986, sections 3.3 and 3.4).
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b':');

/// Percent-codes what is not safe in a path segment or a query.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}
