//! A GET over HTTP/1.1.

use std::net::SocketAddr;
use std::pin::pin;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pelton_http_front::text_of;
use tokio::net::TcpStream;

use super::ProbeError;

/// The largest header section that is read, in bytes.
const MAX_ANSWER_HEAD_BYTES: usize = 64 * 1024;

/// Asks, and reads the head of the answer. A redirect is an answer.
pub async fn ask(stream: TcpStream, address: SocketAddr, path: &str, headers: &HeaderMap) -> Result<(), ProbeError> {
    let broken = |why: String| ProbeError::Broken { address, why };
    let mut request = Request::get(path).body(Empty::<Bytes>::new()).map_err(|why| broken(why.to_string()))?;
    *request.headers_mut() = headers.clone();
    let host = HeaderValue::from_str(&address.to_string()).expect("an address has only digits, dots and colons");
    request.headers_mut().entry(header::HOST).or_insert(host);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_ANSWER_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|why| broken(text_of(&why)))?;
    let mut answer = pin!(sender.send_request(request));
    let connection = async move { drop(connection.await) };
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The answer may have come together with the end; without one the request is told what went wrong.
        () = connection => answer.await,
    };
    match answer.map_err(|why| broken(text_of(&why)))?.status().as_u16() {
        200..=399 => Ok(()),
        status => Err(ProbeError::Status { address, status }),
    }
}
