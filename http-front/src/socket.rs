//! The byte stream under hyper: tells the protocol from the first bytes, leaves marks, counts heads that are not yet
//! complete, and lingers on closing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::FrontOptions;
use crate::budget::Budget;
use crate::framing::Framing;
use crate::head::Head;
use crate::watchdog::Marks;

/// What an HTTP/2 client sends first (RFC 9113, section 3.4). No HTTP/1 method begins like it.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.
    Http1,
    /// HTTP/2 by prior knowledge.
    Http2,
}

/// A byte stream with what has to happen around it.
#[derive(Debug)]
pub(crate) struct Socket<S, P> {
    io: S,
    /// Its place among the connections: as the stream outlives hyper when it is upgraded, so does its place.
    _place: P,
    marks: Arc<Marks>,
    head: Head,
    framing: Framing,
    /// Bytes read while the protocol was told, given again to whoever reads next: `peeked[given..held]`.
    peeked: [u8; PREFACE.len()],
    given: usize,
    held: usize,
    closing: Closing,
    linger_bytes: usize,
    linger: std::time::Duration,
}

#[derive(Debug)]
enum Closing {
    Open,
    /// Our side is closed; the peer's bytes are thrown away until this many are read or the time is up.
    Lingering {
        bytes_left: usize,
        until: Pin<Box<Sleep>>,
    },
    Closed,
}

impl<S: AsyncRead + AsyncWrite + Unpin, P: Unpin> Socket<S, P> {
    pub(crate) fn new(stream: S, place: P, marks: Arc<Marks>, heads: Arc<Budget>, options: &FrontOptions) -> Self {
        Self {
            io: stream,
            _place: place,
            marks,
            head: Head::new(heads),
            framing: Framing::default(),
            peeked: [0; PREFACE.len()],
            given: 0,
            held: 0,
            closing: Closing::Open,
            linger_bytes: options.linger_bytes,
            linger: options.linger,
        }
    }

    /// Reads until the protocol is known, at most 24 bytes. `None` when the peer closes before.
    ///
    /// One read a connection, which spares every later read the buffer of a general switch.
    pub(crate) async fn tell_protocol(&mut self) -> io::Result<Option<Protocol>> {
        loop {
            let count = self.io.read(&mut self.peeked[self.held..]).await?;
            if count == 0 {
                return Ok(None);
            }
            self.held += count;
            if self.peeked[..self.held] != PREFACE[..self.held] {
                return Ok(Some(Protocol::Http1));
            }
            if self.held == PREFACE.len() {
                self.head.is_http2();
                self.framing.give_up();
                return Ok(Some(Protocol::Http2));
            }
        }
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Closing::Lingering { bytes_left, until } = &mut self.closing else { return Poll::Ready(()) };
        let mut waste = [0_u8; 8 * 1024];
        while *bytes_left > 0 && until.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut waste);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => *bytes_left = bytes_left.saturating_sub(buffer.filled().len()),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, P: Unpin> AsyncRead for Socket<S, P> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.given < this.held {
            let count = (this.held - this.given).min(buffer.remaining());
            let peeked = &this.peeked[this.given..this.given + count];
            buffer.put_slice(peeked);
            this.given += count;
            this.marks.read();
            this.framing.follow(peeked, &this.marks);
            return Poll::Ready(Ok(()));
        }
        this.head.charge(&this.marks)?;
        let before = buffer.filled().len();
        let outcome = ready!(Pin::new(&mut this.io).poll_read(cx, buffer));
        let read = &buffer.filled()[before..];
        this.head.add(read.len(), &this.marks);
        this.marks.read();
        this.framing.follow(read, &this.marks);
        Poll::Ready(outcome)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, P: Unpin> Socket<S, P> {
    fn mark_write(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if outcome.is_pending() {
            self.marks.write_blocked();
        } else {
            self.marks.wrote();
        }
        outcome
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, P: Unpin> AsyncWrite for Socket<S, P> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.mark_write(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.mark_write(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Closes our side. When a body was left unread, also reads on for a while: the kernel answers bytes that arrive
    /// at a closed socket with a reset, and a peer that is still sending would lose our answer to it.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.closing, Closing::Open) {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            self.closing = if self.marks.body_unread() {
                let until = Box::pin(tokio::time::sleep(self.linger));
                Closing::Lingering { bytes_left: self.linger_bytes, until }
            } else {
                Closing::Closed
            };
        }
        ready!(self.poll_linger(cx));
        self.closing = Closing::Closed;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn tell(pieces: &[&[u8]]) -> Option<Protocol> {
        let (mut peer, ours) = tokio::io::duplex(64);
        let mut socket = Socket::new(ours, (), Arc::default(), Arc::new(Budget::new(0)), &FrontOptions::default());
        let send = async {
            for piece in pieces {
                peer.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(peer);
        };
        let (told, ()) = tokio::join!(socket.tell_protocol(), send);
        told.unwrap()
    }

    /// Reads `pieces` one by one and gives what the head holds before each read and at the end.
    async fn held(pieces: &[usize], limit: usize, marks: &Arc<Marks>) -> (Vec<usize>, bool) {
        let (mut peer, ours) = tokio::io::duplex(1 << 20);
        let heads = Arc::new(Budget::new(limit));
        let mut socket = Socket::new(ours, (), Arc::clone(marks), Arc::clone(&heads), &FrontOptions::default());
        let mut held = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        let mut refused = false;
        for piece in pieces {
            peer.write_all(&vec![b'x'; *piece]).await.unwrap();
            refused |= socket.read(&mut buffer).await.is_err();
            held.push(heads.used());
        }
        drop(socket);
        assert_eq!(heads.used(), 0, "given back");
        (held, refused)
    }

    #[tokio::test]
    async fn a_head_is_counted_once_it_needed_a_second_read() {
        const K: usize = 1024;
        let marks = Arc::new(Marks::default());
        assert_eq!(held(&[100 * K, K, K], 1 << 20, &marks).await, (vec![0, 92 * K, 93 * K], false));
        assert_eq!(held(&[4 * K, 4 * K, K], 1 << 20, &marks).await, (vec![0, 0, 0], false));
        assert_eq!(held(&[100 * K, K], 100 * K, &marks).await, (vec![0, 0], true));
        marks.begin_request();
        assert_eq!(held(&[100 * K, 100 * K, K], 0, &marks).await, (vec![0, 0, 0], false), "a body is not a head");
    }

    #[tokio::test]
    async fn what_was_handed_over_sends_no_heads() {
        let marks = Arc::new(Marks::default());
        marks.hand_over();
        assert_eq!(held(&[100 * 1024; 3], 0, &marks).await, (vec![0, 0, 0], false));
    }

    #[tokio::test]
    async fn the_first_bytes_tell_the_protocol() {
        for (pieces, want) in [
            (&[&PREFACE[..]][..], Some(Protocol::Http2)),
            (&[&PREFACE[..3], &PREFACE[3..20], &PREFACE[20..]], Some(Protocol::Http2)),
            (&[b"POST / HTTP/1.1\r\n"], Some(Protocol::Http1)),
            (&[b"P", b"O"], Some(Protocol::Http1)),
            (&[b"PRI * HTTP/1.1"], Some(Protocol::Http1)),
            (&[b"\0"], Some(Protocol::Http1)),
            (&[b"PRI"], None),
            (&[], None),
        ] {
            assert_eq!(tell(pieces).await, want, "{pieces:?}");
        }
    }
}
