//! The null server: reads an event as ingress does, keeps nothing, answers 202.
//!
//! It is the ceiling that this machine sets: what is left of it when storing costs nothing. So it is built as the
//! product is built: the same executable, allocator, HTTP library with the same settings, and number of workers.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pelton_event::limits::MAX_HEADER_BYTES;
use tokio::net::TcpListener;

use super::child::{Child, address, write_ready_file};
use super::error::BenchError;

/// How long the server may take to start.
const START_LIMIT: Duration = Duration::from_secs(10);

/// The null server as a child process.
#[derive(Debug)]
pub struct NullServer {
    child: Child,
    address: SocketAddr,
}

impl NullServer {
    /// Starts one with `workers` worker threads, its output in `directory`.
    ///
    /// # Errors
    /// [`BenchError`] when it does not come up.
    pub async fn start(directory: &Path, workers: usize) -> Result<Self, BenchError> {
        let ready_file = directory.join("ready.json");
        let arguments = vec![
            "bench".into(),
            "null-server".into(),
            "--workers".into(),
            workers.to_string().into(),
            "--ready-file".into(),
            ready_file.clone().into(),
        ];
        let mut child = Child::spawn("the null server", arguments, directory)?;
        let ready = child.ready(&ready_file, START_LIMIT).await?;
        Ok(Self { address: address(&ready.json, "listen")?, child })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Ends it.
    pub async fn stop(self) {
        self.child.stop().await;
    }
}

/// What `bench null-server` is told.
#[derive(Debug, clap::Args)]
pub struct NullServerArgs {
    /// Written as JSON with the address once it listens
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Worker threads
    #[arg(long, value_name = "COUNT", default_value_t = super::default_workers())]
    workers: usize,
}

/// Serves until it is killed.
pub fn run(args: &NullServerArgs) -> ExitCode {
    let served = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.workers.max(1))
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(async { tokio::spawn(serve(args.ready_file.clone())).await? }));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("null server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(ready_file: Option<PathBuf>) -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let listen = listener.local_addr()?;
    println!("listening on {listen}");
    if let Some(path) = ready_file {
        write_ready_file(&path, &serde_json::json!({ "listen": listen.to_string() }))?;
    }
    loop {
        let (stream, _) = listener.accept().await?;
        // Refused only on a connection that has gone.
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            // A client that goes away in the middle is its own affair here.
            // The settings are those of `ingress/src/connection.rs`; keep them the same.
            let _ = http1::Builder::new()
                .half_close(true)
                .pipeline_flush(false)
                .writev(false)
                .max_header_size(MAX_HEADER_BYTES)
                .max_buf_size(MAX_HEADER_BYTES)
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
        });
    }
}

/// Reads the whole event and looks at the attributes that every event must have, as any receiver has to.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let named = ["ce-specversion", "ce-id", "ce-source", "ce-type"].iter().all(|name| head.headers.contains_key(*name));
    let read = body.collect().await.map(http_body_util::Collected::to_bytes);
    let status = match read {
        Ok(data) if named && !data.is_empty() => StatusCode::ACCEPTED,
        Ok(_) | Err(_) => StatusCode::BAD_REQUEST,
    };
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    Ok(response)
}
