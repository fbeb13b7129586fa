//! The consumer that speaks HTTP/2, and the least of gRPC.

use std::convert::Infallible;
use std::net::TcpListener;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;

use super::consumer::lines_of;

type Pieces = BoxBody<Bytes, Infallible>;

/// A message of gRPC: a flag, a length, bytes.
pub fn message(bytes: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + bytes.len());
    out.put_u8(0);
    out.put_u32(bytes.len() as u32);
    out.put_slice(bytes);
    out.freeze()
}

/// Serves for as long as it lives.
pub fn serve(listener: TcpListener) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            tokio::spawn(
                http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service_fn(respond)),
            );
        }
    });
}

async fn respond(request: Request<Incoming>) -> Result<Response<Pieces>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let asked = request.into_body().collect().await?.to_bytes();
    let asked = asked.get(5..).map(Bytes::copy_from_slice).unwrap_or_default();
    let response = Response::builder().header("content-type", "application/grpc");
    Ok(match &*path {
        // The same message back.
        "/test.Test/Unary" => {
            let whole = http_body_util::Full::new(message(&asked)).with_trailers(async { Some(Ok(trailers("0"))) });
            response.body(whole.boxed())
        }
        // A message for each line that the test writes to a file.
        "/test.Test/Lines" => {
            let file = String::from_utf8_lossy(&asked).into_owned();
            let (give, pieces) = mpsc::channel(1);
            tokio::task::spawn_blocking(move || {
                let _ = lines_of(&file, |line| {
                    let piece = Ok(Frame::data(message(line.as_bytes())));
                    give.blocking_send(piece).map_err(std::io::Error::other)
                });
                let _ = give.blocking_send(Ok(Frame::trailers(trailers("0"))));
            });
            let pieces = futures_util::stream::unfold(pieces, |mut pieces| async {
                let piece = pieces.recv().await?;
                Some((piece, pieces))
            });
            response.body(StreamBody::new(pieces).boxed())
        }
        // A failure without a message: all of it is in the head.
        _ => response.header("grpc-status", "12").body(Empty::new().boxed()),
    }
    .expect("nothing in it is wrong"))
}

fn trailers(status: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static(status));
    trailers.insert("x-from", http::HeaderValue::from_static("the consumer"));
    trailers
}
