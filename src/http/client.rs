//! A client that keeps one connection and reads whole answers, or one answer piece by piece, in the clear or over TLS.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::tls::{ClientTls, TlsParts};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take, unless told otherwise.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// An `http` or `https` URL: whom to ask, and a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether it is asked over TLS.
    pub is_tls: bool,
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
    /// It has a scheme other than `http` and `https`.
    #[error("{0:?} is not spoken here: only http and https are")]
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
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(scheme) => return Err(BadUrl::Scheme(scheme.to_owned())),
            None => return Err(syntax()),
        };
        let authority =
            uri.authority().filter(|a| !a.host().is_empty() && !a.as_str().contains('@')).ok_or_else(syntax)?;
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        Ok(Self { is_tls, authority: authority.as_str().to_owned(), path: path.to_owned() })
    }

    /// Where to connect: the authority, with the port of the scheme when it names none.
    fn socket(&self) -> String {
        match self.split() {
            (_, Some(_)) => self.authority.clone(),
            (host, None) => format!("{host}:{}", if self.is_tls { 443 } else { 80 }),
        }
    }

    /// The host, without the port.
    fn host(&self) -> &str {
        self.split().0
    }

    fn split(&self) -> (&str, Option<&str>) {
        let parts = self.authority.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
        parts.map_or((self.authority.as_str(), None), |(host, port)| (host, Some(port)))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.is_tls { "https" } else { "http" }, self.authority, self.path)
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
    /// The headers.
    pub headers: HeaderMap,
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
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }

    fn broken(&self, source: Box<dyn std::error::Error + Send + Sync>) -> CallError {
        CallError::Broken { authority: self.authority.clone(), source }
    }
}

/// A server, and how it is spoken to.
#[derive(Clone)]
pub struct Endpoint {
    /// Where it is. The path is not looked at.
    pub url: Url,
    /// How TLS is spoken with it. Missing: with what the system trusts.
    pub tls: Option<ClientTls>,
    /// What is sent as `Authorization`, over TLS alone.
    pub authorization: Option<HeaderValue>,
}

impl From<Url> for Endpoint {
    fn from(url: Url) -> Self {
        Self { url, tls: None, authorization: None }
    }
}

/// What is sent to show who one is stays out of it.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What a connection runs over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One server, and the connection to it when there is one.
#[derive(Debug)]
pub struct Connection {
    endpoint: Endpoint,
    timeout: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Connects when first used. The URL's path is not looked at.
    #[must_use]
    pub fn new(endpoint: impl Into<Endpoint>) -> Self {
        Self { endpoint: endpoint.into(), timeout: ANSWER_TIMEOUT, sender: None }
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
                Err(CallError::Timeout { authority: self.endpoint.url.authority.clone(), timeout })
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
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }

    /// Sends a `GET` to `path`, and gives the answer as soon as it begins. It may go on for as long as it likes.
    ///
    /// # Errors
    /// [`CallError`] when no answer began.
    pub async fn stream(mut self, path: &str, headers: HeaderMap) -> Result<Streamed, CallError> {
        let timeout = self.timeout;
        let authority = self.endpoint.url.authority.clone();
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
        let no_answer = |source| CallError::NoAnswer { authority: self.endpoint.url.authority.clone(), source };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|error: http::uri::InvalidUri| no_answer(error.into()))?;
        *request.headers_mut() = headers;
        let host = HeaderValue::from_str(&self.endpoint.url.authority).map_err(|error| no_answer(error.into()))?;
        request.headers_mut().insert(header::HOST, host);
        // In the clear whoever listens could use it.
        if let Some(authorization) = self.endpoint.authorization.as_ref().filter(|_| self.endpoint.url.is_tls) {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
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
        CallError::NoAnswer { authority: self.endpoint.url.authority.clone(), source }
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
        let refused = |source| CallError::Connect { authority: self.endpoint.url.authority.clone(), source };
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await {
            Ok(connected) => connected.map_err(refused)?,
            Err(_) => return Err(refused(io::ErrorKind::TimedOut.into())),
        };
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.no_answer(e.into()))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
        });
        Ok(sender)
    }

    async fn open(&self) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(self.endpoint.url.socket()).await?;
        let _ = stream.set_nodelay(true);
        if !self.endpoint.url.is_tls {
            return Ok(Box::new(stream));
        }
        let tls = match &self.endpoint.tls {
            Some(tls) => tls.clone(),
            None => ClientTls::new(&TlsParts::default()).map_err(io::Error::other)?,
        };
        Ok(Box::new(tls.connect(self.endpoint.url.host(), stream).await?))
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
            ("https://[::1]/", "[::1]", "/", "[::1]:443"),
            ("https://pelton.example", "pelton.example", "/", "pelton.example:443"),
            ("https://10.0.0.7:8443/x", "10.0.0.7:8443", "/x", "10.0.0.7:8443"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.authority.as_str(), url.path.as_str()), (authority, path), "{text}");
            assert_eq!(url.socket(), socket, "{text}");
            assert_eq!(url.is_tls, text.starts_with("https:"), "{text}");
        }
        for bad in ["", "/x", "127.0.0.1:8001", "http://", "http://a@b/", "ftp://a/"] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
