//! What heads of requests that are not complete hold.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use crate::budget::Budget;
use crate::watchdog::Marks;

/// How much of a head may wait for its rest without being counted, in bytes: what hyper's buffer of a connection takes
/// anyway.
const UNCOUNTED_HEAD_BYTES: usize = 8 * 1024;

/// The heads of requests that are not complete hold all that they may hold.
#[derive(Debug, thiserror::Error)]
#[error("too many bytes are held")]
pub(crate) struct HeadsHoldTooMuch;

impl HeadsHoldTooMuch {
    /// Whether this is why a connection ended.
    pub(crate) fn caused(error: &hyper::Error) -> bool {
        let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        io.and_then(io::Error::get_ref).is_some_and(|cause| cause.is::<Self>())
    }
}

/// What the incomplete head of an HTTP/1 request holds of the owner's budget.
///
/// A request is charged by who answers it, once its head is complete; until then its bytes lie in hyper's buffer, up to
/// the limit on heads, and thousands of connections could each hold that much.
#[derive(Debug)]
pub(crate) struct Head {
    budget: Arc<Budget>,
    counts: bool,
    requests_before: u64,
    bytes: usize,
    charged: usize,
}

impl Head {
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, counts: true, requests_before: 0, bytes: 0, charged: 0 }
    }

    /// What comes from now on is HTTP/2. Its frames may be anything, so they are not counted.
    pub(crate) fn is_http2(&mut self) {
        self.counts = false;
    }

    /// Before a read: whatever was read since the last request was not enough to make one.
    pub(crate) fn charge(&mut self, marks: &Marks) -> io::Result<()> {
        let requests = marks.requests();
        if requests != self.requests_before || marks.is_open() {
            self.requests_before = requests;
            self.release();
        }
        let due = self.bytes.saturating_sub(UNCOUNTED_HEAD_BYTES);
        if self.counts && due > self.charged {
            if !self.budget.take_waiting(due - self.charged) {
                return Err(io::Error::other(HeadsHoldTooMuch));
            }
            self.charged = due;
        }
        Ok(())
    }

    /// After a read.
    pub(crate) fn add(&mut self, bytes: usize, marks: &Marks) {
        // What comes while a request is open is its body, which is charged by itself.
        self.bytes = if marks.is_open() { 0 } else { self.bytes.saturating_add(bytes) };
    }

    fn release(&mut self) {
        self.bytes = 0;
        self.budget.release_waiting(std::mem::take(&mut self.charged));
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.release();
    }
}
