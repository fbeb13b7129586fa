//! A client that keeps one connection and reads whole answers, or one answer piece by piece.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take, unless told otherwise.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// An `http` URL: whom to ask, and a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Host and port as they go into the `Host` header.
    pub authority: String,
    /// The path and query, beginning with a slash.
    pub path: String,
}

/// The text is not a URL that can be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It is no absolute URL.
    #[error("{0:?} is not a URL such as http://127.0.0.1:8001")]
    Syntax(String),
    /// It has a scheme other than `http`.
    #[error("{0:?} is not spoken here: only http is")]
    Scheme(String),
}

impl Url {
    /// Reads an absolute URL.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let syntax = || BadUrl::Syntax(text.to_owned());
        let uri: http::Uri = text.parse().map_err(|_| syntax())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some(scheme) => return Err(BadUrl::Scheme(scheme.to_owned())),
            None => return Err(syntax()),
        }
        let authority =
            uri.authority().filter(|a| !a.host().is_empty() && !a.as_str().contains('@')).ok_or_else(syntax)?;
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        Ok(Self { authority: authority.as_str().to_owned(), path: path.to_owned() })
    }

    /// Where to connect: the authority, with port 80 when it names none.
    fn socket(&self) -> String {
        let port_follows =
            self.authority.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
        if port_follows { self.authority.clone() } else { format!("{}:80", self.authority) }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// Why there is no answer. An answer that says no is an [`Answer`].
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody could be asked: nothing was sent.
    #[error("cannot connect to {authority}")]
    Connect {
        /// Whom.
        authority: String,
        /// Why not.
        source: io::Error,
    },
    /// It was sent, or partly so, and no answer came.
    #[error("{authority} did not answer")]
    NoAnswer {
        /// Whom.
        authority: String,
        /// How it broke off.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer had begun.
    #[error("{authority} broke its answer off")]
    Broken {
        /// Whom.
        authority: String,
        /// How.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It was sent, and the answer took too long.
    #[error("{authority} did not answer within {timeout:?}")]
    Timeout {
        /// Whom.
        authority: String,
        /// How long was waited.
        timeout: Duration,
    },
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The whole body.
    pub body: Bytes,
}

/// An answer that comes piece by piece.
#[derive(Debug)]
pub struct Streamed {
    authority: String,
    response: Response<Incoming>,
    /// The connection goes with it.
    _sender: SendRequest<Full<Bytes>>,
}

impl Streamed {
    /// Whom was asked.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Waits for the next piece. `None` at the end.
    ///
    /// # Errors
    /// The answer was broken off.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, CallError> {
        while let Some(frame) = self.response.body_mut().frame().await {
            let frame = frame.map_err(|error| self.broken(error.into()))?;
            if let Ok(piece) = frame.into_data() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// All that is left of it, for one that says no.
    ///
    /// # Errors
    /// The answer was broken off, or is too long.
    pub async fn whole(self) -> Result<Answer, CallError> {
        let authority = self.authority;
        let (parts, body) = self.response.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|source| CallError::NoAnswer { authority, source })?;
        Ok(Answer { status: parts.status, body: body.to_bytes() })
    }

    fn broken(&self, source: Box<dyn std::error::Error + Send + Sync>) -> CallError {
        CallError::Broken { authority: self.authority.clone(), source }
    }
}

/// One server, and the connection to it when there is one.
#[derive(Debug)]
pub struct Connection {
    url: Url,
    timeout: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Connects when first used. The URL's path is not looked at.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self { url, timeout: ANSWER_TIMEOUT, sender: None }
    }

    /// Sends a request to `path` and waits for the whole answer.
    ///
    /// A kept connection that the server has closed meanwhile is replaced; a request that may have arrived is never
    /// sent twice.
    ///
    /// # Errors
    /// [`CallError`] when there was no answer.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, CallError> {
        let timeout = self.timeout;
        match tokio::time::timeout(timeout, self.exchange(method, path, headers, body)).await {
            Ok(answer) => answer,
            Err(_) => {
                self.sender = None;
                Err(CallError::Timeout { authority: self.url.authority.clone(), timeout })
            }
        }
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, CallError> {
        let (sender, response) = self.send(method, path, headers, body).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(|error| self.no_answer(error))?;
        self.sender = Some(sender);
        Ok(Answer { status: parts.status, body: body.to_bytes() })
    }

    /// Sends a `GET` to `path`, and gives the answer as soon as it begins. It may go on for as long as it likes.
    ///
    /// # Errors
    /// [`CallError`] when no answer began.
    pub async fn stream(mut self, path: &str, headers: HeaderMap) -> Result<Streamed, CallError> {
        let timeout = self.timeout;
        let authority = self.url.authority.clone();
        match tokio::time::timeout(timeout, self.send(Method::GET, path, headers, Bytes::new())).await {
            Ok(sent) => sent.map(|(sender, response)| Streamed { authority, response, _sender: sender }),
            Err(_) => Err(CallError::Timeout { authority, timeout }),
        }
    }

    /// Sends a request, and gives the head of its answer.
    async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(SendRequest<Full<Bytes>>, Response<Incoming>), CallError> {
        let no_answer = |source| CallError::NoAnswer { authority: self.url.authority.clone(), source };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|error: http::uri::InvalidUri| no_answer(error.into()))?;
        *request.headers_mut() = headers;
        let host = HeaderValue::from_str(&self.url.authority).map_err(|error| no_answer(error.into()))?;
        request.headers_mut().insert(header::HOST, host);
        let mut sender = self.ready().await?;
        let response = match sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut failed) => {
                // hyper gives the request back when not a byte of it was written.
                let Some(request) = failed.take_message() else {
                    return Err(self.no_answer(failed.into_error().into()));
                };
                sender = self.connect().await?;
                sender.send_request(request).await.map_err(|error| self.no_answer(error.into()))?
            }
        };
        Ok((sender, response))
    }

    fn no_answer(&self, source: Box<dyn std::error::Error + Send + Sync>) -> CallError {
        CallError::NoAnswer { authority: self.url.authority.clone(), source }
    }

    async fn ready(&mut self) -> Result<SendRequest<Full<Bytes>>, CallError> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        self.connect().await
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, CallError> {
        let refused = |source| CallError::Connect { authority: self.url.authority.clone(), source };
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(self.url.socket())).await {
            Ok(connected) => connected.map_err(refused)?,
            Err(_) => return Err(refused(io::ErrorKind::TimedOut.into())),
        };
        let _ = stream.set_nodelay(true);
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.no_answer(e.into()))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
        });
        Ok(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused() {
        for (text, authority, path, socket) in [
            ("http://127.0.0.1:8001", "127.0.0.1:8001", "/", "127.0.0.1:8001"),
            ("http://broker.local/default/default?x=1", "broker.local", "/default/default?x=1", "broker.local:80"),
            ("http://[::1]:8080/", "[::1]:8080", "/", "[::1]:8080"),
            ("http://[::1]/", "[::1]", "/", "[::1]:80"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.authority.as_str(), url.path.as_str()), (authority, path), "{text}");
            assert_eq!(url.socket(), socket, "{text}");
        }
        for bad in ["", "/x", "127.0.0.1:8001", "http://", "http://a@b/", "https://a/", "ftp://a/"] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
