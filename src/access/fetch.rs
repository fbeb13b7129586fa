//! Asks an issuer for a document.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long it may take, from the first packet to the last.
const WITHIN: Duration = Duration::from_secs(5);

/// The largest document, in bytes. Sets of keys have some kilobytes.
const MAX_BYTES: usize = 256 * 1024;

/// The largest head of an answer, in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// The port of https.
const PORT: u16 = 443;

/// Gets a document by https. Redirects are not followed: an issuer is who its URL says.
pub async fn get(url: &str, tls: Arc<ClientConfig>) -> io::Result<Bytes> {
    let asked = timeout(WITHIN, ask(url, tls)).await;
    asked.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, format!("{url} took too long"))))
}

async fn ask(url: &str, tls: Arc<ClientConfig>) -> io::Result<Bytes> {
    let uri: Uri = url.parse().map_err(io::Error::other)?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("https"));
    let host = host.ok_or_else(|| io::Error::other(format!("{url} is no https URL")))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let stream = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(PORT))).await?;
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls).connect(name, stream).await?;
    let mut builder = http1::Builder::new();
    let (mut sender, connection) =
        builder.max_buf_size(MAX_HEAD_BYTES).handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends with this function, however that ends.
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let host = uri.authority().map_or("", http::uri::Authority::as_str);
    let request = Request::get(path).header(header::HOST, host).header(header::ACCEPT, "application/json");
    let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    if response.status() != StatusCode::OK {
        return Err(io::Error::other(format!("{url} answers {}", response.status())));
    }
    let body = Limited::new(response.into_body(), MAX_BYTES).collect().await.map_err(io::Error::other)?;
    Ok(body.to_bytes())
}
