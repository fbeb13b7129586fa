//! Every bound of a connection between nodes, in one place.

use std::time::Duration;

/// The largest message, in bytes. An append is capped far below it; an entry alone may be as large as the largest batch
/// of events.
///
/// Clients and services have to be told: `max_decoding_message_size(MAX_MESSAGE_BYTES)` on both.
pub const MAX_MESSAGE_BYTES: usize = 32 * 1024 * 1024;

/// Connections to one node, unless told otherwise: one for what must not wait, two for what is large.
pub const CONNECTIONS_PER_PEER: usize = 3;

/// How long a connection may take to be made, with its handshake. An address that swallows packets answers nothing else.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a peer that connected may take for its handshake and the preface of HTTP/2.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a peer whose certificate was refused may take to read that. It is part of the handshake's time.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Handshakes in progress at a listener. At the bound the oldest is cut for a new one.
pub const MAX_HANDSHAKES: usize = 64;

/// Connections of a listener, with those in a handshake. At the bound a new connection is closed at once.
pub const MAX_CONNECTIONS: usize = 512;

/// Requests of one connection at a time. A group and follower take one for as long as they last.
pub const MAX_CONCURRENT_STREAMS: u32 = 256;

/// The largest list of headers of a request or an answer, in bytes.
pub const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;

/// The largest frame that we ask for. An append of 1 MiB is four of them.
pub const MAX_FRAME_BYTES: u32 = 256 * 1024;

/// Bytes that a stream may send before they are taken: a few appends of 1 MiB.
pub const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Bytes that all streams of a connection may send before they are taken. This is what a service that does not read
/// holds in memory for one connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// Bytes of an answer that are held ready for a peer that reads slowly, for each stream.
pub const SEND_BUFFER_BYTES: usize = 1024 * 1024;

/// How long a quiet connection is left alone before the peer is asked for a sign of life.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// How long that sign may take. After it the connection is closed and made anew, which is sooner than TCP would try
/// again after a partition.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a connection may take none of what is written to it. A peer that sends and never reads answers no ping,
/// but is not asked for one either as long as it sends.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long requests may still take once a listener was told to stop.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// How often it is warned of connections that were turned away. All of them are counted.
pub const WARN_INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait before accepting again when the system has no descriptor left.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections that the system keeps for a listener until they are accepted.
pub const BACKLOG: u32 = 1024;
