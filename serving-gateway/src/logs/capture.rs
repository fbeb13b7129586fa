//! From the pipe of an instance to its log.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::writer::LineWriter;

/// How much is read at once. There are two of these for each instance.
const PIECE_BYTES: usize = 8 * 1024;

/// Reads all that an instance prints, until nobody can print any more. A pipe that breaks is at its end.
pub async fn capture(mut from: impl AsyncRead + Unpin, mut to: LineWriter) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(read) = from.read(&mut piece).await
        && read > 0
    {
        to.write(&piece[..read]).await;
    }
    to.finish().await;
}
