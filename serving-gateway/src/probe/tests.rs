//! Probes against servers that answer well, badly and not at all.

use std::convert::Infallible;

use ::http::{HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::{Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address where nobody listens, kept by a socket that is bound to it.
fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn probe(check: Check) -> Probe {
    Probe { check, timeout: PATIENCE, success_threshold: 1 }
}

fn get(path: &str) -> Probe {
    probe(Check::Http { path: path.to_owned(), headers: HeaderMap::new() })
}

fn health(service: &str) -> Probe {
    probe(Check::Grpc { service: service.to_owned() })
}

/// Takes each connection, reads something and answers with `bytes`, then hangs up.
async fn says(bytes: Vec<u8>) -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(&bytes).await;
        }
    });
    address
}

#[tokio::test]
async fn a_port_nobody_listens_on_is_refused() {
    let (_kept, address) = nobody();
    let refused = probe(Check::Tcp).once(address).await.unwrap_err();
    assert_eq!(refused, ProbeError::Refused(address));
    assert_eq!(refused.to_string(), format!("connection refused at {address}"));
}

#[tokio::test]
async fn an_instance_is_ready_as_soon_as_it_listens() {
    let (socket, address) = nobody();
    let deadline = Instant::now() + PATIENCE;
    let waiting = tokio::spawn(async move { probe(Check::Tcp).until_ready(address, deadline).await });
    // It has found out that nobody is there.
    assert_eq!(probe(Check::Tcp).once(address).await, Err(ProbeError::Refused(address)));
    let _listener = socket.listen(8).unwrap();
    assert_eq!(waiting.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn what_was_wrong_last_is_told_at_the_deadline() {
    let (_kept, address) = nobody();
    let deadline = Instant::now() + Duration::from_millis(20);
    assert_eq!(probe(Check::Tcp).until_ready(address, deadline).await, Err(ProbeError::Refused(address)));
}

#[tokio::test]
async fn a_probe_that_hangs_ends_by_its_own_timeout() {
    let (_silent, address) = listener().await;
    let within = Duration::from_millis(20);
    for probe in [get("/"), health("")] {
        let probe = Probe { timeout: within, ..probe };
        assert_eq!(probe.once(address).await, Err(ProbeError::TimedOut { address, within }), "{probe:?}");
    }
}

#[tokio::test]
async fn a_connection_to_itself_is_nobody() {
    let (socket, address) = nobody();
    let stream = socket.connect(address).await.unwrap();
    assert!(is_connected_to_itself(&stream));
    let (listener, address) = listener().await;
    let stream = TcpStream::connect(address).await.unwrap();
    assert!(!is_connected_to_itself(&stream));
    drop(listener);
}

/// serving.md, 1.4 (3): "HTTP success = 200..399".
#[tokio::test]
async fn http_statuses_are_judged() {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = service_fn(|request: Request<Incoming>| async move {
                let status = request.uri().path()[1..].parse().unwrap();
                let status = StatusCode::from_u16(status).unwrap();
                Ok::<_, Infallible>(Response::builder().status(status).body(Full::<Bytes>::default()).unwrap())
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    for (status, is_ready) in
        [(200, true), (204, true), (302, true), (399, true), (400, false), (404, false), (503, false)]
    {
        let want = if is_ready { Ok(()) } else { Err(ProbeError::Status { address, status }) };
        assert_eq!(get(&format!("/{status}")).once(address).await, want, "status {status}");
    }
}

#[tokio::test]
async fn a_probe_has_the_headers_that_it_is_given() {
    let (listener, address) = listener().await;
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(request).unwrap()
    });
    let headers = [(header::HOST, HeaderValue::from_static("me.example"))].into_iter().collect();
    let check = Check::Http { path: "/up?deep=1".to_owned(), headers };
    assert_eq!(probe(check).once(address).await, Ok(()));
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("GET /up?deep=1 HTTP/1.1\r\n"), "{asked}");
    assert_eq!(asked.matches("host: me.example\r\n").count(), 1, "{asked}");
    assert!(!asked.contains(&address.to_string()), "{asked}");
}

/// reliability.md, S17: an answer is never larger than its bound, and nothing that is no answer is one.
#[tokio::test]
async fn answers_of_no_use_are_told_as_such() {
    let endless = [b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &[b'x'; 200 * 1024]].concat();
    for (name, bytes) in [
        ("nothing", Vec::new()),
        ("no HTTP", b"220 mail.example ESMTP\r\n".to_vec()),
        ("half a head", b"HTTP/1.1 200 OK\r\nx: y".to_vec()),
        ("a head without end", endless),
    ] {
        let address = says(bytes).await;
        for probe in [get("/"), health("")] {
            let answer = probe.once(address).await;
            assert!(matches!(answer, Err(ProbeError::Broken { .. })), "{name}, {:?}: {answer:?}", probe.check);
        }
    }
}

/// A health service: what it answers to each service's name.
async fn health_service() -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let connection = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service_fn(answer_health)));
        }
    });
    address
}

async fn answer_health(request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    use http_body_util::BodyExt as _;
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.headers()[header::CONTENT_TYPE], "application/grpc");
    assert_eq!(request.headers()[header::TE], "trailers");
    let call = request.into_body().collect().await.unwrap().to_bytes();
    let service = std::str::from_utf8(call.get(7..).unwrap_or_default()).unwrap();
    let message = |status: u8| Frame::data(Bytes::from(vec![0, 0, 0, 0, 2, 8, status]));
    let end = |code: &'static str| Frame::trailers([trailer("grpc-status", code)].into_iter().collect());
    let frames = match service {
        "" | "up" => vec![message(1), end("0")],
        "down" => vec![message(2), end("0")],
        "untold" => vec![message(1)],
        "wide" => vec![Frame::data(Bytes::from(vec![0; 2_000])), end("0")],
        _ => {
            let answer = Response::builder().header("grpc-status", "5").header("grpc-message", "unknown service");
            return Ok(answer.body(body(Vec::new())).unwrap());
        }
    };
    Ok(Response::new(body(frames)))
}

type Answer = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

fn body(frames: Vec<Frame<Bytes>>) -> Answer {
    use http_body_util::BodyExt as _;
    StreamBody::new(futures_util::stream::iter(frames.into_iter().map(Ok))).boxed_unsync()
}

fn trailer(name: &'static str, value: &'static str) -> (header::HeaderName, HeaderValue) {
    (header::HeaderName::from_static(name), HeaderValue::from_static(value))
}

/// serving.md, 1.4 (3): "gRPC success = SERVING".
#[tokio::test]
async fn grpc_health_is_judged() {
    let address = health_service().await;
    let not_serving = |status: &str| Err(ProbeError::NotServing { address, status: status.to_owned() });
    let broken = |why: &str| Err(ProbeError::Broken { address, why: why.to_owned() });
    for (service, want) in [
        ("", Ok(())),
        ("up", Ok(())),
        ("down", not_serving("NOT_SERVING")),
        ("unknown", not_serving("5: unknown service")),
        ("untold", broken("it has no grpc-status")),
        ("wide", broken("the answer is too long")),
    ] {
        assert_eq!(health(service).once(address).await, want, "{service}");
    }
}

#[tokio::test]
async fn successes_are_counted_in_a_row() {
    let (listener, address) = listener().await;
    let answers = tokio::spawn(async move {
        let mut answered = 0;
        for status in [200, 200, 503, 200, 200, 200] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            answered += 1;
        }
        answered
    });
    let probe = Probe { success_threshold: 3, ..get("/") };
    assert_eq!(probe.until_ready(address, Instant::now() + PATIENCE).await, Ok(()));
    assert_eq!(answers.await.unwrap(), 6);
}

#[tokio::test]
async fn a_probe_without_an_answer_ends_at_the_deadline() {
    let (_silent, address) = listener().await;
    let ended = get("/").until_ready(address, Instant::now() + Duration::from_millis(20)).await;
    assert!(matches!(ended, Err(ProbeError::TimedOut { .. })), "{ended:?}");
}
