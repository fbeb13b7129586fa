//! What a Pod prints, followed into the gateway's log.
//!
//! A cluster keeps what a container prints to its output and to its messages as one stream, and gives it as one; it is kept
//! here as output. Where following was interrupted it goes on after the last line that was read, by the times that the
//! cluster gives to lines.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::io::{AsyncRead, AsyncReadExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use pelton_serving_gateway::logs::{LineWriter, RevisionLog, Stream};
use pelton_serving_gateway::runtime::InstanceId;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::call::{CallError, call};
use crate::manifest::CONTAINER;
use crate::pause::Pause;

/// How much is read at once.
const PIECE_BYTES: usize = 8 * 1024;

/// The longest time that stands before a line, and more.
const LONGEST_TIME: usize = 64;

/// The longest pause between two tries to follow.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long is waited for a Pod's output to be followed before it is asked to end.
const OPENS_WITHIN: Duration = Duration::from_secs(1);

/// How long is waited, once a Pod is gone, for the last that it printed.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);

/// How far following is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was not begun, or was interrupted.
    Closed,
    /// What comes is read.
    Open,
    /// All was read that there is.
    AtTheEnd,
}

/// Follows what a Pod prints. Dropped, it does no more.
#[derive(Debug)]
pub struct Output {
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

impl Output {
    /// Follows what `pod` prints from now on; what its container before printed, if `is_restarted`.
    pub fn follow(pods: Api<Pod>, pod: String, is_restarted: bool, log: Arc<RevisionLog>) -> Self {
        let (told, state) = watch::channel(State::Closed);
        Self { state, task: tokio::spawn(follow(pods, pod, is_restarted, log, told)) }
    }

    /// Waits until what comes is read, though not for long.
    pub fn opened(&self) -> impl Future<Output = ()> + use<> {
        let mut state = self.state.clone();
        async move {
            let opened = state.wait_for(|state| *state != State::Closed);
            // Whoever cannot follow it does without it.
            let _ = timeout(OPENS_WITHIN, opened).await.map(drop);
        }
    }

    /// Waits until all was read, though not for long.
    pub async fn read_to_the_end(mut self) {
        let read = self.state.wait_for(|state| *state == State::AtTheEnd);
        let _ = timeout(LAST_WORDS_WITHIN, read).await.map(drop);
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// It ends when there is no such Pod any more, or no container of it that was restarted.
async fn follow(pods: Api<Pod>, pod: String, previous: bool, log: Arc<RevisionLog>, told: watch::Sender<State>) {
    let id = InstanceId(Arc::from(pod.as_str()));
    let mut pause = Pause::new(LONGEST_PAUSE);
    let mut last = None;
    loop {
        let params = LogParams {
            container: Some(CONTAINER.to_owned()),
            follow: true,
            timestamps: true,
            previous,
            // It counts whole seconds; what comes again is left out.
            since_time: last,
            ..LogParams::default()
        };
        let outcome = match call(pods.log_stream(&pod, &params)).await {
            Ok(stream) => {
                told.send_replace(State::Open);
                let mut lines = Stamped::new(log.writer(&id, Stream::Stdout), last);
                let read = lines.read(pin!(stream)).await;
                if lines.last > last {
                    pause.reset();
                }
                last = lines.last;
                lines.finish().await;
                read.map_err(|error| CallError::Unreached(error.to_string()))
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => {
                told.send_replace(State::AtTheEnd);
                // Unless it was the API that ended: then there is more.
                pause.wait().await;
            }
            Err(error) if error.is_not_found() => {
                told.send_replace(State::AtTheEnd);
                return;
            }
            Err(error) => {
                told.send_if_modified(|state| std::mem::replace(state, State::Closed) != State::Closed);
                tracing::debug!(pod, %error, "what a Pod prints cannot be followed");
                pause.wait().await;
            }
        }
    }
}

/// Lines with the time before each, as the cluster gives them.
struct Stamped {
    writer: LineWriter,
    /// The time of the line that was read last.
    last: Option<Timestamp>,
    /// What was read before.
    known: Option<Timestamp>,
    place: Place,
}

enum Place {
    /// Within the time of a line, of which this was read.
    Time(Vec<u8>),
    /// Within a line.
    Text,
    /// Within a line that was read before.
    Known,
}

impl Stamped {
    fn new(writer: LineWriter, known: Option<Timestamp>) -> Self {
        Self { writer, last: known, known, place: Place::Time(Vec::new()) }
    }

    /// Reads to the end.
    async fn read(&mut self, mut stream: impl AsyncRead + Unpin) -> std::io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match stream.read(&mut piece).await? {
                0 => return Ok(()),
                read => self.take(&piece[..read]).await,
            }
        }
    }

    /// Nothing comes any more: what was begun is a line.
    async fn finish(mut self) {
        if let Place::Time(begun) = &self.place {
            self.writer.write(begun).await;
        }
        self.writer.finish().await;
    }

    async fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if let Place::Time(begun) = &mut self.place {
                let end = bytes.iter().position(|byte| matches!(byte, b' ' | b'\n'));
                let upto = end.unwrap_or(bytes.len());
                begun.extend_from_slice(&bytes[..upto]);
                bytes = &bytes[upto..];
                if end.is_none() && begun.len() < LONGEST_TIME {
                    return;
                }
                let begun = std::mem::take(begun);
                let time = std::str::from_utf8(&begun).ok().and_then(|text| text.parse::<Timestamp>().ok());
                match time {
                    Some(time) => {
                        bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
                        self.place =
                            if self.known.is_some_and(|known| time <= known) { Place::Known } else { Place::Text };
                        self.last = self.last.max(Some(time));
                    }
                    // It has none: all of it is text.
                    None => {
                        self.writer.write(&begun).await;
                        self.place = Place::Text;
                    }
                }
                continue;
            }
            let end = bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
            let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            if matches!(self.place, Place::Text) {
                self.writer.write(line).await;
            }
            if end.is_some() {
                self.place = Place::Time(Vec::new());
            }
            bytes = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use pelton_env::SystemClock;
    use pelton_serving_gateway::logs::{LogOptions, Logs};

    use super::*;

    /// Whatever the pieces are in which it comes.
    #[tokio::test]
    async fn lines_lose_their_times_and_none_comes_twice() {
        const TEXT: &str = "2026-11-30T10:00:00.1Z known\n\
                            2026-11-30T10:00:00.25Z first\n\
                            no time at all\n\
                            2026-11-30T10:00:00.3Z \n\
                            2026-11-30T10:00:01Z last, without an end";
        let known: Timestamp = "2026-11-30T10:00:00.2Z".parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(folder.path(), LogOptions::default(), Arc::new(SystemClock)).unwrap();
        for size in [1, 2, 7, 64, 1000] {
            let id = InstanceId(Arc::from(format!("pod-{size}")));
            let log = logs.revision("default", "hello");
            let mut lines = Stamped::new(log.writer(&id, Stream::Stdout), Some(known));
            for piece in TEXT.as_bytes().chunks(size) {
                lines.take(piece).await;
            }
            assert_eq!(lines.last, Some("2026-11-30T10:00:01Z".parse().unwrap()));
            lines.finish().await;
            let read: Vec<_> = log.last_lines(Some(&id), 10).into_iter().map(|line| line.text).collect();
            let want = ["first", "no time at all", "", "last, without an end"];
            assert_eq!(read, want.map(|line| line.as_bytes().to_vec()), "in pieces of {size}");
        }
    }
}
