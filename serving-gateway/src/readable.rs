//! Waiting for descriptors of the kernel that say by being readable that something has come about.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Lets tokio watch a descriptor that it has no type for. Must be called within a tokio runtime.
///
/// # Errors
/// It cannot be watched.
#[allow(deprecated, reason = "its successor is unsafe for those who lend a descriptor; this one is owned")]
pub fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}
