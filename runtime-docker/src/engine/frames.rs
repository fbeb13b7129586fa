//! What containers print, as the engine sends it: both outputs in one stream of frames.
//!
//! Engine API, "Stream format" of `ContainerAttach`: `stream u8 | 0 u8; 3 | length u32 | bytes [u8; length]`, big-endian;
//! stream 1 is the standard output, 2 the standard error.

use pelton_serving_gateway::logs::Stream;

/// How long a frame's head is, in bytes.
const HEAD_BYTES: usize = 8;

/// Takes the frames apart, in pieces of any size; a frame is not held until it is whole.
#[derive(Debug, Default)]
pub struct Frames {
    head: Vec<u8>,
    /// Of the frame whose head was read.
    stream: Option<Stream>,
    /// Bytes of it that are still to come.
    left: usize,
}

/// What comes is not a stream of frames.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of stream {0}")]
pub struct NoFrame(pub u8);

impl Frames {
    /// Takes the next piece of `bytes` off: whose output it is, and what was printed. `None` when more must come.
    ///
    /// # Errors
    /// [`NoFrame`].
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<(Stream, &'a [u8])>, NoFrame> {
        loop {
            if let Some(stream) = self.stream.filter(|_| self.left > 0) {
                let (piece, rest) = bytes.split_at(self.left.min(bytes.len()));
                *bytes = rest;
                self.left -= piece.len();
                return Ok((!piece.is_empty()).then_some((stream, piece)));
            }
            let missing = HEAD_BYTES - self.head.len();
            let (piece, rest) = bytes.split_at(missing.min(bytes.len()));
            *bytes = rest;
            self.head.extend_from_slice(piece);
            let Ok([kind, _, _, _, length @ ..]) = <[u8; HEAD_BYTES]>::try_from(self.head.as_slice()) else {
                return Ok(None);
            };
            self.head.clear();
            self.stream = match kind {
                1 => Some(Stream::Stdout),
                2 => Some(Stream::Stderr),
                other => return Err(NoFrame(other)),
            };
            self.left = u32::from_be_bytes(length) as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, text: &str) -> Vec<u8> {
        let mut bytes = vec![kind, 0, 0, 0];
        bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    #[test]
    fn frames_are_taken_apart_wherever_they_are_cut() {
        let all = [frame(1, "out\n"), frame(2, ""), frame(2, "err"), frame(1, "more")].concat();
        for size in 1..=all.len() {
            let (mut frames, mut out, mut err) = (Frames::default(), String::new(), String::new());
            for mut piece in all.chunks(size) {
                while let Some((stream, text)) = frames.next(&mut piece).unwrap() {
                    let to = if stream == Stream::Stdout { &mut out } else { &mut err };
                    to.push_str(std::str::from_utf8(text).unwrap());
                }
                assert!(piece.is_empty());
            }
            assert_eq!((&*out, &*err), ("out\nmore", "err"), "pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_stream_of_frames_is_told() {
        let mut bytes = &b"hello, I am a terminal"[..];
        assert_eq!(Frames::default().next(&mut bytes), Err(NoFrame(b'h')));
    }
}
