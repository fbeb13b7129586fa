//! Requests to the engine: each on a connection of its own, which a Unix socket gives in no time.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::EngineError;

/// How long a connection may take to be made.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);

/// How long an answer may take, unless what is asked for takes its time. An engine with much to do is slow.
pub const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// The largest answer that is read as a whole: thousands of containers in a list.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// The most that is shown of an answer that says no.
const MAX_MESSAGE_BYTES: usize = 1024;

/// One request.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Path and query, without the version.
    pub path: String,
    /// What is sent with it.
    pub body: Option<Value>,
    /// How long the answer may take: its head, and its body where that is read as a whole.
    pub within: Duration,
}

impl Call {
    /// A request without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: None, within: ANSWERS_WITHIN }
    }

    /// The error of an answer that is not as the API says.
    pub fn not_understood(&self, why: impl fmt::Display) -> EngineError {
        EngineError::NotUnderstood { call: self.to_string(), why: why.to_string() }
    }

    /// The error of an answer that breaks off.
    pub fn no_answer(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> EngineError {
        EngineError::NoAnswer { call: self.to_string(), source: source.into() }
    }

    fn too_late(&self) -> EngineError {
        EngineError::TooLate { call: self.to_string(), within: self.within }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{} {path}", self.method)
    }
}

/// What every error of the engine says.
#[derive(Debug, Deserialize)]
struct Message {
    message: String,
}

/// Where the engine listens.
#[derive(Debug)]
pub struct Transport {
    socket: PathBuf,
}

impl Transport {
    /// Asks at that socket.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Sends a request. Gives an answer that says yes, with its body still to come.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn open(&self, call: &Call, prefix: &str) -> Result<Response<Incoming>, EngineError> {
        timeout(call.within, self.open_unhurried(call, prefix)).await.unwrap_or_else(|_| Err(call.too_late()))
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn ask(&self, call: &Call, prefix: &str) -> Result<Response<Bytes>, EngineError> {
        let asking = async {
            let (head, body) = self.open_unhurried(call, prefix).await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(|why| call.no_answer(why))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        timeout(call.within, asking).await.unwrap_or_else(|_| Err(call.too_late()))
    }

    async fn open_unhurried(&self, call: &Call, prefix: &str) -> Result<Response<Incoming>, EngineError> {
        let no_engine = |source| EngineError::Connect { socket: self.socket.clone(), source };
        let connecting = timeout(CONNECTS_WITHIN, UnixStream::connect(&self.socket)).await;
        let stream = connecting.unwrap_or_else(|late| Err(late.into())).map_err(no_engine)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|why| call.no_answer(why))?;
        // Its errors come out of the answer; it ends with it.
        tokio::spawn(connection);
        let body = call.body.as_ref().map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = Request::builder()
            .method(call.method.clone())
            .uri(format!("{prefix}{}", call.path))
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|why| call.not_understood(why))?;
        let answer = sender.send_request(request).await.map_err(|why| call.no_answer(why))?;
        // 304: it is so already.
        if answer.status().is_success() || answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        Err(refusal(call, answer).await)
    }
}

async fn refusal(call: &Call, answer: Response<Incoming>) -> EngineError {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let mut message = match serde_json::from_slice::<Message>(&body) {
        Ok(Message { message }) => message,
        Err(_) => String::from_utf8_lossy(&body).trim().to_owned(),
    };
    if message.len() > MAX_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        message.push_str("...");
    }
    EngineError::Refused { call: call.to_string(), status, message }
}
