//! What a container printed, in the frames of the API.

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::{mpsc, watch};

/// All that a container printed since it was created.
#[derive(Debug, Default)]
pub struct Output {
    frames: Mutex<Vec<u8>>,
    /// How much there is, and whether that is all.
    extent: watch::Sender<(usize, bool)>,
}

impl Output {
    /// Takes what is printed to that stream (1: output, 2: messages).
    pub async fn capture(&self, stream: u8, mut from: impl AsyncRead + Unpin) {
        let mut piece = [0; 4096];
        while let Ok(read) = from.read(&mut piece).await
            && read > 0
        {
            let mut frames = self.frames.lock();
            frames.extend_from_slice(&[stream, 0, 0, 0]);
            frames.extend_from_slice(&(read as u32).to_be_bytes());
            frames.extend_from_slice(&piece[..read]);
            self.extent.send_modify(|(length, _)| *length = frames.len());
        }
    }

    /// It runs from now on, or does not any more.
    pub fn set_ended(&self, is_ended: bool) {
        self.extent.send_modify(|(_, ended)| *ended = is_ended);
    }

    /// Gives it, from the beginning or from now on, until the container has ended.
    pub async fn follow(&self, from_now: bool, to: mpsc::Sender<Bytes>) {
        let mut extent = self.extent.subscribe();
        let mut at = if from_now { extent.borrow().0 } else { 0 };
        loop {
            let (length, is_ended) = *extent.borrow_and_update();
            let piece = Bytes::copy_from_slice(&self.frames.lock()[at..length]);
            at = length;
            if !piece.is_empty() && to.send(piece).await.is_err() {
                return;
            }
            if is_ended {
                return;
            }
            tokio::select! {
                changed = extent.changed() => if changed.is_err() { return },
                () = to.closed() => return,
            }
        }
    }
}
