//! What two ends say to each other once they have changed the protocol, until one of them or the gateway ends it.

use std::io;
use std::time::Duration;

use http::HeaderValue;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::time::{sleep, timeout};

use super::websocket::{Frames, GOING_AWAY, GOING_AWAY_MASKED};
use crate::revision::{Lease, Stream};

/// What is held of each direction, in bytes.
const BUFFER_BYTES: usize = 16 * 1024;

/// How long the two ends may take to say goodbye once the gateway has.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs until both have ended or one is gone. No timeout of a request counts here.
pub async fn run(client: OnUpgrade, instance: OnUpgrade, protocol: Option<HeaderValue>, lease: Lease) {
    let Ok((client, instance)) = tokio::try_join!(client, instance) else { return };
    let stream = lease.into_stream();
    let is_websocket = protocol.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let frames = || is_websocket.then(Frames::default);
    let (from_client, to_client) = split(TokioIo::new(client));
    let (from_instance, to_instance) = split(TokioIo::new(instance));
    let up = Direction { from: from_client, to: to_instance, frames: frames(), farewell: &GOING_AWAY_MASKED };
    let down = Direction { from: from_instance, to: to_client, frames: frames(), farewell: &GOING_AWAY };
    // An end that breaks takes the other with it; one that has said all it has to say does not.
    if let Err(error) = tokio::try_join!(up.run(&stream), down.run(&stream)) {
        tracing::debug!(%error, "a tunnel ended");
    }
}

struct Direction {
    from: ReadHalf<TokioIo<Upgraded>>,
    to: WriteHalf<TokioIo<Upgraded>>,
    /// For a WebSocket, so that a goodbye can be said between two frames.
    frames: Option<Frames>,
    farewell: &'static [u8],
}

impl Direction {
    async fn run(mut self, stream: &Stream) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut is_closing = false;
        loop {
            if is_closing && self.frames.as_ref().is_none_or(Frames::is_between) {
                return timeout(FAREWELL, self.say_goodbye()).await?;
            }
            let count = tokio::select! {
                biased;
                () = stream.closing(), if !is_closing => {
                    is_closing = true;
                    continue;
                }
                count = self.from.read(&mut buffer) => count?,
            };
            if count == 0 {
                return self.to.shutdown().await;
            }
            let whole = self.frames.as_mut().map_or(count, |frames| frames.see(&buffer[..count]));
            if is_closing && whole > 0 {
                self.write(&buffer[..whole], stream).await?;
                return timeout(FAREWELL, self.say_goodbye()).await?;
            }
            self.write(&buffer[..count], stream).await?;
        }
    }

    /// Passes bytes on. An end that takes nothing does not keep the other once the stream is to end.
    async fn write(&mut self, bytes: &[u8], stream: &Stream) -> io::Result<()> {
        let given_up = async {
            stream.closing().await;
            sleep(FAREWELL).await;
        };
        tokio::select! {
            biased;
            written = self.to.write_all(bytes) => written,
            () = given_up => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Says goodbye, and listens until the other end has ended as well.
    async fn say_goodbye(&mut self) -> io::Result<()> {
        if self.frames.is_some() {
            self.to.write_all(self.farewell).await?;
            self.to.flush().await?;
        }
        self.to.shutdown().await?;
        drain(&mut self.from).await
    }
}

async fn drain(from: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    tokio::io::copy(from, &mut tokio::io::sink()).await.map(drop)
}
