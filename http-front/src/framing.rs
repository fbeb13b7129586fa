//! Where the requests of an HTTP/1 connection begin, as far as it takes to see one that says twice where it ends.
//!
//! Of a request with both `Content-Length` and `Transfer-Encoding` hyper goes by the latter, takes the former out and closes
//! the connection afterwards. That is safe, and who answers cannot tell: the one field is gone, and nothing says that it
//! was there. So the bytes are followed on their way to hyper. This is no parser of requests: it knows lines, the names of
//! two fields, and how far a body goes, and what it cannot follow, which hyper refuses, it leaves alone from there on. It
//! changes nothing, so at worst a request is not recognized that is harmless.

use std::io::BufRead as _;

use crate::watchdog::Marks;

/// How much is kept of a line that did not come at once, in bytes. The names and numbers that matter are shorter.
const LINE_BYTES: usize = 32;

/// Follows the bytes of one connection.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    at: At,
    line: Line,
    /// Requests that have begun.
    begun: u64,
    /// Of the request that is being read: `Content-Length`, when there is one, and when it is a number.
    length: Option<Option<u64>>,
    /// Of the request that is being read: whether it has `Transfer-Encoding`.
    has_coding: bool,
}

/// What comes next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    /// A request, or empty lines before it.
    #[default]
    Start,
    /// A line of a head.
    Head,
    /// So many bytes of a body, and then a request.
    Body(u64),
    /// The size of a chunk.
    Size,
    /// So many bytes of a chunk, and then the end of a line.
    Chunk(u64),
    /// The end of a line after a chunk.
    ChunkEnd,
    /// A line of a trailer section.
    Trailers,
    /// Whatever it is, it is not followed.
    Lost,
}

impl Framing {
    /// What comes is not HTTP/1, or not any more.
    pub(crate) fn give_up(&mut self) {
        self.at = At::Lost;
    }

    /// Sees what was read, and leaves a mark when a request has both fields.
    pub(crate) fn follow(&mut self, read: &[u8], marks: &Marks) {
        if self.at == At::Lost {
            return;
        }
        if marks.is_handed_over() {
            self.give_up();
        } else if let Some(number) = self.see(read) {
            marks.ambiguous_request(number);
        }
    }

    /// Sees bytes in the order in which they come. Gives the number, from 1 on, of a request that has both fields once its
    /// head is complete. Nothing after that is followed: it is the last of its connection.
    fn see(&mut self, mut bytes: &[u8]) -> Option<u64> {
        while !bytes.is_empty() {
            match self.at {
                At::Lost => return None,
                At::Body(left) => match skip(&mut bytes, left) {
                    0 => self.at = At::Start,
                    left => self.at = At::Body(left),
                },
                At::Chunk(left) => match skip(&mut bytes, left) {
                    0 => self.at = At::ChunkEnd,
                    left => self.at = At::Chunk(left),
                },
                At::Start | At::Head | At::Size | At::ChunkEnd | At::Trailers => {
                    let line = self.line.take(&mut bytes)?;
                    let next = next(self.at, line, &mut self.length, &mut self.has_coding);
                    self.line.used = 0;
                    self.begun += u64::from(self.at == At::Start && next == At::Head);
                    let is_whole = self.at == At::Head && next != At::Head;
                    self.at = next;
                    if is_whole {
                        let (length, has_coding) = (self.length.take(), std::mem::take(&mut self.has_coding));
                        if length.is_some() && has_coding {
                            self.at = At::Lost;
                            return Some(self.begun);
                        }
                    }
                }
            }
        }
        None
    }
}

/// Takes up to `left` bytes away; gives how many are left then.
fn skip(bytes: &mut &[u8], left: u64) -> u64 {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    *bytes = &bytes[taken..];
    left - taken as u64
}

/// What comes after a line.
fn next(at: At, line: &[u8], length: &mut Option<Option<u64>>, has_coding: &mut bool) -> At {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match at {
        At::Start if line.iter().all(|byte| *byte == b'\r') => At::Start,
        At::Start => At::Head,
        At::Head if line.is_empty() => {
            if *has_coding {
                return At::Size;
            }
            match *length {
                None => At::Start,
                Some(Some(length)) => At::Body(length),
                Some(None) => At::Lost,
            }
        }
        At::Head => {
            // Few fields begin with these letters, so most lines cost one comparison.
            match line[0] | 0x20 {
                b'c' => {
                    if let Some(value) = value(line, b"content-length") {
                        *length = Some(number(value, 10));
                    }
                }
                b't' => *has_coding |= value(line, b"transfer-encoding").is_some(),
                _ => {}
            }
            At::Head
        }
        At::Size => {
            let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            match number(&line[..digits], 16).filter(|_| digits < LINE_BYTES - 1) {
                None => At::Lost,
                Some(0) => At::Trailers,
                Some(size) => At::Chunk(size),
            }
        }
        At::ChunkEnd if line.is_empty() => At::Size,
        At::ChunkEnd => At::Lost,
        At::Trailers if line.is_empty() => At::Start,
        At::Trailers => At::Trailers,
        At::Body(_) | At::Chunk(_) | At::Lost => at,
    }
}

/// The value of a field, when the line is that field's.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    if found.eq_ignore_ascii_case(name) { rest.strip_prefix(b":").map(<[u8]>::trim_ascii) } else { None }
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

/// The beginning of a line whose end has not come yet.
#[derive(Debug, Default)]
struct Line {
    kept: [u8; LINE_BYTES],
    used: usize,
}

impl Line {
    /// Takes a line away from `bytes` and gives it without its line feed. `None` when its end is not there: then all of
    /// `bytes` was taken. A long line that did not come at once is cut short.
    fn take<'k, 'a: 'k>(&'k mut self, bytes: &mut &'a [u8]) -> Option<&'k [u8]> {
        let all = *bytes;
        // Searches as fast as the machine can; a slice never fails to be read.
        let length = bytes.skip_until(b'\n').unwrap_or(all.len());
        let piece = &all[..length];
        let (piece, is_whole) = piece.strip_suffix(b"\n").map_or((piece, false), |line| (line, true));
        if is_whole && self.used == 0 {
            return Some(piece);
        }
        let kept = piece.len().min(LINE_BYTES - self.used);
        self.kept[self.used..self.used + kept].copy_from_slice(&piece[..kept]);
        self.used += kept;
        if kept < piece.len() {
            // No number that was cut short is taken for one.
            self.kept[LINE_BYTES - 1] = b'?';
        }
        is_whole.then(|| &self.kept[..self.used])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    const BOTH: &str = "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";

    /// The number of the request that has both fields, however the bytes are cut.
    #[track_caller]
    fn assert_seen(bytes: &str, want: Option<u64>) {
        for size in [1, 2, 3, 7, 40, bytes.len()] {
            let mut framing = Framing::default();
            let seen = bytes.as_bytes().chunks(size).filter_map(|piece| framing.see(piece)).collect::<Vec<_>>();
            assert_eq!(seen, Vec::from_iter(want), "{bytes:?} in pieces of {size}");
        }
    }

    #[test]
    fn both_fields_in_any_order_and_case() {
        for head in [
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
            "TRANSFER-ENCODING:chunked\nhost: x\nContent-length:5\n",
            "transfer-encoding: chunked\r\ncontent-length: nonsense\r\n",
            "transfer-encoding: identity\r\ncontent-length: 5\r\ncontent-length: 5\r\n",
        ] {
            assert_seen(&format!("POST / HTTP/1.1\r\n{head}\r\n"), Some(1));
            assert_seen(&format!("\r\n\r\n{NEXT}\r\nPOST / HTTP/1.1\n{head}\n0\r\n\r\n{NEXT}"), Some(2));
        }
        let long = format!("x: {}\r\n", "y".repeat(1_000));
        assert_seen(
            &format!("POST / HTTP/1.1\r\n{long}content-length: 5\r\n{long}transfer-encoding: chunked\r\n\r\n"),
            Some(1),
        );
    }

    #[test]
    fn one_of_them_or_names_that_are_like_them() {
        for head in [
            "",
            "host: x\r\n",
            "content-length: 5\r\n",
            "transfer-encoding: chunked\r\n",
            "content-length: 0\r\nx-transfer-encoding: chunked\r\n",
            "content-length: 0\r\ntransfer_encoding: chunked\r\n",
            "content-length2: 0\r\ntransfer-encoding: chunked\r\n",
            "content-type: text/plain\r\ntrailer: content-length\r\nte: transfer-encoding\r\n",
        ] {
            assert_seen(&format!("POST / HTTP/1.1\r\n{head}\r\n"), None);
        }
    }

    /// What is in a body is no field, and a request after a body is found.
    #[test]
    fn bodies_are_passed_over() {
        let length = |body: &str| format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let chunked = |body: &str| format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        let trap = BOTH.repeat(2);
        let size = format!("{:x}", trap.len());
        for (bytes, requests) in [
            (length(""), 1),
            (length(&trap), 1),
            (length(&trap).repeat(3), 3),
            (chunked("0\r\n\r\n"), 1),
            (chunked(&format!("{size}\r\n{trap}\r\n0\r\n\r\n")), 1),
            (chunked(&format!("{size};a=b\r\n{trap}\r\n{size} \r\n{trap}\r\n000\r\n\r\n")), 1),
            (chunked("3\r\nabc\r\n0\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"), 1),
            (format!("{}{NEXT}{}", length(&trap), chunked("1\r\n\n\r\n0\r\n\r\n")), 3),
        ] {
            assert_seen(&bytes, None);
            assert_seen(&format!("{bytes}{NEXT}{BOTH}"), Some(requests + 2));
        }
    }

    /// hyper refuses all of these, so nothing behind them is a request.
    #[test]
    fn what_cannot_be_followed_is_left_alone() {
        for bad in [
            "content-length: +5\r\n\r\n",
            "content-length: 5, 5\r\n\r\n",
            "content-length: 18446744073709551616\r\n\r\n",
            "content-length: \r\n\r\n",
            "content-length: 00000000000000000000000000000000000000000000x\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\nx\r\n",
            "transfer-encoding: chunked\r\n\r\n10000000000000000\r\n",
            "transfer-encoding: chunked\r\n\r\n-1\r\n",
            &format!("transfer-encoding: chunked\r\n\r\n{}\r\n\r\n", "0".repeat(100)),
            "transfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
        ] {
            assert_seen(&format!("POST / HTTP/1.1\r\n{bad}{BOTH}"), None);
        }
        let mut framing = Framing::default();
        framing.give_up();
        assert_eq!(framing.see(BOTH.as_bytes()), None);
    }
}
