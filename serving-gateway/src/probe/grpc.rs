//! `grpc.health.v1.Health/Check` over HTTP/2 without TLS.
//!
//! The two messages have one field each, so their bytes are written and read here.

use std::net::SocketAddr;
use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pelton_http_front::text_of;
use tokio::net::TcpStream;

use super::ProbeError;

/// The most of an answer that is read; a right one has 7 bytes.
const MAX_ANSWER_BYTES: usize = 1024;

/// The largest header section that is read, in bytes.
const MAX_ANSWER_HEAD_BYTES: u32 = 64 * 1024;

/// Asks for the health of `service`.
pub async fn ask(stream: TcpStream, address: SocketAddr, service: &str) -> Result<(), ProbeError> {
    let broken = |why: String| ProbeError::Broken { address, why };
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Full::new(Bytes::from(request_of(service))))
        .map_err(|why| broken(why.to_string()))?;
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(MAX_ANSWER_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|why| broken(text_of(&why)))?;
    let mut called = pin!(async {
        let answer = sender.send_request(request).await.map_err(|why| broken(text_of(&why)))?;
        read_answer(answer, address).await
    });
    let connection = async move { drop(connection.await) };
    tokio::select! {
        biased;
        called = &mut called => called,
        // The answer may have come together with the end; without one the call is told what went wrong.
        () = connection => called.await,
    }
}

async fn read_answer(answer: http::Response<Incoming>, address: SocketAddr) -> Result<(), ProbeError> {
    let broken = |why: String| ProbeError::Broken { address, why };
    if answer.status() != http::StatusCode::OK {
        return Err(ProbeError::Status { address, status: answer.status().as_u16() });
    }
    let (head, mut body) = answer.into_parts();
    let (mut message, mut trailers) = (BytesMut::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        match frame.map_err(|why| broken(text_of(&why)))?.into_data() {
            Ok(piece) if message.len() + piece.len() > MAX_ANSWER_BYTES => {
                return Err(broken("the answer is too long".to_owned()));
            }
            Ok(piece) => message.extend_from_slice(&piece),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    let not_serving = |status: String| ProbeError::NotServing { address, status };
    // A call that fails at once has its status among the headers.
    let field = |name| trailers.get(name).or_else(|| head.headers.get(name)).map(|value| value.as_bytes());
    match field("grpc-status") {
        Some(b"0") => {}
        Some(code) => {
            let said = String::from_utf8_lossy(field("grpc-message").unwrap_or_default());
            return Err(not_serving(format!("{}: {said}", String::from_utf8_lossy(code))));
        }
        None => return Err(broken("it has no grpc-status".to_owned())),
    }
    match status_of(&message) {
        Some(1) => Ok(()),
        Some(0) => Err(not_serving("UNKNOWN".to_owned())),
        Some(2) => Err(not_serving("NOT_SERVING".to_owned())),
        Some(3) => Err(not_serving("SERVICE_UNKNOWN".to_owned())),
        Some(other) => Err(not_serving(other.to_string())),
        None => Err(broken("it is no HealthCheckResponse".to_owned())),
    }
}

/// A `HealthCheckRequest` (field 1: the service) as the only message of a call.
fn request_of(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(1 << 3 | 2);
        push_varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    // Not compressed, and its length.
    let mut call = vec![0];
    call.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    call.append(&mut message);
    call
}

/// The status (field 1) of the `HealthCheckResponse` that a call was answered with. Fields that came later are skipped.
fn status_of(call: &[u8]) -> Option<u64> {
    let (&[compressed, a, b, c, d], mut message) = call.split_first_chunk::<5>()?;
    if compressed != 0 || u32::from_be_bytes([a, b, c, d]) as usize != message.len() {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        let length = match key & 7 {
            0 => {
                let value = take_varint(&mut message)?;
                if key >> 3 == 1 {
                    status = value;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(take_varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        message = message.get(length..)?;
    }
    Some(status)
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_service() {
        assert_eq!(request_of(""), [0, 0, 0, 0, 0]);
        assert_eq!(request_of("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
        let long = "s".repeat(300);
        assert_eq!(request_of(&long)[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }

    #[test]
    fn the_status_is_found_among_what_else_there_may_be() {
        for (name, call, want) in [
            ("serving", &[0, 0, 0, 0, 2, 8, 1][..], Some(1)),
            ("not serving", &[0, 0, 0, 0, 2, 8, 2], Some(2)),
            ("left out, so 0", &[0, 0, 0, 0, 0], Some(0)),
            ("after a text", &[0, 0, 0, 0, 5, 0x12, 1, b'x', 8, 1], Some(1)),
            ("nothing", &[], None),
            ("compressed", &[1, 0, 0, 0, 2, 8, 1], None),
            ("cut short", &[0, 0, 0, 0, 2, 8], None),
            ("longer than it says", &[0, 0, 0, 0, 2, 8, 1, 8], None),
            ("a number without end", &[0, 0, 0, 0, 3, 8, 0x80, 0x80], None),
            ("a text that is longer than all", &[0, 0, 0, 0, 2, 0x12, 9], None),
            ("a group", &[0, 0, 0, 0, 1, 0x0b], None),
        ] {
            assert_eq!(status_of(call), want, "{name}");
        }
    }
}
