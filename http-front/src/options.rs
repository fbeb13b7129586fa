//! Bounds and ways of a front, with every default and the reason for it.

use std::time::Duration;

/// HTTP/2's own bound on windows (RFC 9113, section 6.9.1).
const MAX_WINDOW_BYTES: u32 = (1 << 31) - 1;

/// The smallest windows that make sense: what HTTP/2 begins with, and a connection's cannot be less.
const MIN_WINDOW_BYTES: u32 = (1 << 16) - 1;

/// Bounds of connections and how they are driven. The defaults are for answers that are short and made at once;
/// each option for streams says what a proxy sets. [`FrontOptions::check`] says what cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontOptions {
    /// Most connections, those that were upgraded included. One more is told `turned_away` and closed.
    pub max_connections: usize,
    /// The answer to a connection beyond the bound: a whole HTTP/1 response that says `Connection: close`. Best
    /// effort: it is written once and not waited for.
    pub turned_away: &'static [u8],
    /// Largest head of a request, in bytes. Beyond it: 431. At least 8 KiB.
    pub max_header_bytes: usize,
    /// How long the head of a request may take, from its first byte, and the first request of a connection.
    pub header_timeout: Duration,
    /// How long a connection may be without a request before it is closed.
    pub idle_timeout: Duration,
    /// How long a peer may take nothing of what is written to it before its connection is closed.
    pub write_stall: Duration,
    /// How much of a body that was left unread is thrown away after the answer, in bytes, so that the peer gets to see
    /// the answer before the connection is closed.
    pub linger_bytes: usize,
    /// How long that may take.
    pub linger: Duration,
    /// Whether an HTTP/1 peer that closed its side is still answered.
    ///
    /// `true` spares the read that looks for the end of the stream while an answer is pending: right for answers that
    /// are made at once, of which the write then notices a peer that is gone. `false` for answers that are waited for:
    /// the end of the peer's side then is the end of the connection, and its request is dropped. That is noticed once
    /// hyper has read the body of the request, which it does as the handler does, one piece ahead; and not while a
    /// further request waits behind it. HTTP/2 has frames for both, and needs no choice.
    pub half_close: bool,
    /// Whether an HTTP/1 request may turn its connection into something else, by 101 or by CONNECT. Then the handler
    /// takes the stream with [`hyper::upgrade::on`]. It keeps its place among the connections until it is dropped, and
    /// the front neither watches nor stops it any more. Without this option such an answer ends the connection.
    pub upgrades: bool,
    /// Whether head and pieces of an HTTP/1 answer are written as they are, by one call for several of them (`true`),
    /// or copied into one buffer first. The copy is cheaper up to some kilobytes.
    pub vectored_writes: bool,
    /// Whether HTTP/2 requests may be CONNECT with a `:protocol` (RFC 8441), as WebSockets over HTTP/2 are. Such a
    /// stream stays part of its connection.
    pub connect_protocol: bool,
    /// Most HTTP/2 requests of one connection at a time.
    pub max_concurrent_streams: u32,
    /// How much of the body of one HTTP/2 request may come without being read, in bytes. 64 KiB less one to 2 GiB less
    /// one. The bound on what a handler that leaves bodies alone for a while makes us hold for each.
    pub stream_window_bytes: u32,
    /// The same of all requests of a connection together.
    pub connection_window_bytes: u32,
}

impl Default for FrontOptions {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            turned_away: b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
                Content-Length: 0\r\n\r\n",
            // What servers and proxies commonly take; few clients come near.
            max_header_bytes: 64 * 1024,
            header_timeout: Duration::from_secs(10),
            // Longer than the 60 s that common clients and load balancers keep an idle connection, so that it is they
            // who close it and no request is lost to the race.
            idle_timeout: Duration::from_secs(75),
            write_stall: Duration::from_secs(30),
            linger_bytes: 1024 * 1024,
            linger: Duration::from_secs(1),
            half_close: true,
            upgrades: false,
            vectored_writes: false,
            connect_protocol: false,
            max_concurrent_streams: 256,
            stream_window_bytes: 1024 * 1024,
            connection_window_bytes: 4 * 1024 * 1024,
        }
    }
}

/// Options that cannot be, all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("options of connections: {}", .0.join("; "))]
pub struct FrontOptionsError(pub Vec<String>);

impl FrontOptions {
    /// Checks every option.
    ///
    /// # Errors
    /// [`FrontOptionsError`] names all that are wrong together.
    pub fn check(&self) -> Result<(), FrontOptionsError> {
        let mut wrong = Vec::new();
        let mut at_least = |name: &str, value: u128, least: u128| {
            if value < least {
                wrong.push(format!("{name} is {value} and must be at least {least}"));
            }
        };
        at_least("max_connections", self.max_connections as u128, 1);
        at_least("max_header_bytes", self.max_header_bytes as u128, 8 * 1024);
        at_least("max_concurrent_streams", u128::from(self.max_concurrent_streams), 1);
        for (name, span) in [
            ("header_timeout", self.header_timeout),
            ("idle_timeout", self.idle_timeout),
            ("write_stall", self.write_stall),
        ] {
            at_least(&format!("{name} in milliseconds"), span.as_millis(), 1);
        }
        if u32::try_from(self.max_header_bytes).is_err() {
            wrong.push(format!("max_header_bytes is {} and must be below 4 GiB", self.max_header_bytes));
        }
        for (name, window) in [
            ("stream_window_bytes", self.stream_window_bytes),
            ("connection_window_bytes", self.connection_window_bytes),
        ] {
            if !(MIN_WINDOW_BYTES..=MAX_WINDOW_BYTES).contains(&window) {
                wrong.push(format!("{name} is {window} and must be from {MIN_WINDOW_BYTES} to {MAX_WINDOW_BYTES}"));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(FrontOptionsError(wrong)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_checked_at_the_bound_and_one_past_it() {
        let default = FrontOptions::default;
        for (name, options, fits) in [
            ("default", default(), true),
            ("max_connections", FrontOptions { max_connections: 1, ..default() }, true),
            ("max_connections", FrontOptions { max_connections: 0, ..default() }, false),
            ("max_header_bytes", FrontOptions { max_header_bytes: 8192, ..default() }, true),
            ("max_header_bytes", FrontOptions { max_header_bytes: 8191, ..default() }, false),
            ("max_header_bytes", FrontOptions { max_header_bytes: 1 << 32, ..default() }, false),
            ("max_concurrent_streams", FrontOptions { max_concurrent_streams: 0, ..default() }, false),
            ("header_timeout", FrontOptions { header_timeout: Duration::from_micros(999), ..default() }, false),
            ("idle_timeout", FrontOptions { idle_timeout: Duration::ZERO, ..default() }, false),
            ("write_stall", FrontOptions { write_stall: Duration::ZERO, ..default() }, false),
            ("stream_window_bytes", FrontOptions { stream_window_bytes: 65_535, ..default() }, true),
            ("stream_window_bytes", FrontOptions { stream_window_bytes: 65_534, ..default() }, false),
            ("connection_window_bytes", FrontOptions { connection_window_bytes: 1 << 31, ..default() }, false),
        ] {
            match options.check() {
                Ok(()) => assert!(fits, "{name}: {options:?}"),
                Err(FrontOptionsError(wrong)) => {
                    assert!(!fits && wrong.len() == 1 && wrong[0].starts_with(name), "{name}: {wrong:?}");
                }
            }
        }
    }

    #[test]
    fn every_mistake_is_reported_together() {
        let options = FrontOptions { max_connections: 0, idle_timeout: Duration::ZERO, ..FrontOptions::default() };
        let FrontOptionsError(wrong) = options.check().unwrap_err();
        assert_eq!(wrong.len(), 2, "{wrong:?}");
    }
}
