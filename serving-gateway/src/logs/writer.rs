//! What one instance prints to one of its outputs, made into lines.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::line::{MAX_LINE_BYTES, Stream};
use super::revision::RevisionLog;
use crate::runtime::InstanceId;

/// Takes what an instance prints to one of its outputs, in pieces of any size.
#[derive(Debug)]
pub struct LineWriter {
    log: Arc<RevisionLog>,
    instance: InstanceId,
    stream: Stream,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// Whether the last line found no room. The next ones do not wait for it.
    is_dropping: bool,
}

impl LineWriter {
    pub(super) fn new(log: Arc<RevisionLog>, instance: InstanceId, stream: Stream) -> Self {
        Self { log, instance, stream, begun: Vec::new(), is_dropping: false }
    }

    /// Takes what comes next. It waits for room no longer than [`LogOptions::patience`](super::LogOptions::patience).
    pub async fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = MAX_LINE_BYTES - self.begun.len();
            // One byte more, because a line of the greatest length has its end there.
            let end = bytes.iter().take(room + 1).position(|byte| *byte == b'\n');
            match end {
                Some(end) => {
                    self.line(&bytes[..end], false).await;
                    bytes = &bytes[end + 1..];
                }
                None if bytes.len() > room => {
                    self.line(&bytes[..room], true).await;
                    bytes = &bytes[room..];
                }
                None => {
                    self.begun.extend_from_slice(bytes);
                    return;
                }
            }
        }
    }

    /// Nothing comes any more: what was begun is a line.
    pub async fn finish(mut self) {
        if !self.begun.is_empty() {
            self.line(&[], false).await;
        }
    }

    /// What was begun and `rest` make a line.
    async fn line(&mut self, rest: &[u8], goes_on: bool) {
        if self.begun.is_empty() {
            return self.put(rest, goes_on).await;
        }
        let mut text = std::mem::take(&mut self.begun);
        text.extend_from_slice(rest);
        self.put(&text, goes_on).await;
        // A long line may have made it large; most are short.
        text.clear();
        text.shrink_to(256);
        self.begun = text;
    }

    async fn put(&mut self, text: &[u8], goes_on: bool) {
        let Self { log, instance, stream, .. } = self;
        if log.push(instance, *stream, text, goes_on) {
            self.is_dropping = false;
            return;
        }
        if !self.is_dropping {
            let deadline = Instant::now() + log.patience();
            loop {
                let room = log.room();
                if log.push(instance, *stream, text, goes_on) {
                    return;
                }
                if timeout_at(deadline, room).await.is_err() {
                    break;
                }
            }
            self.is_dropping = true;
        }
        log.drop_one(instance, *stream, text, goes_on);
    }
}
