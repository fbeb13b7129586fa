//! The least of HTTP/1.1 that the generator and the sink must read: where a head ends, a status, a length, one header.
//!
//! The generator shares the machine with what it measures, so every instruction here is taken from the product. It
//! reads only what both servers really send (`content-length`, no chunks) and calls everything else an error.

/// The longest head that is read, bytes. A head of this service is a few hundred bytes.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The header in which an event carries its planned send time, in nanoseconds since the run began.
pub const PLANNED_HEADER: &str = "ce-benchplanned";

/// Why a head cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Not an HTTP/1.x status line.
    #[error("not an HTTP/1.x status line")]
    StatusLine,
    /// `content-length` is not a number.
    #[error("content-length is not a number")]
    Length,
    /// A chunked body.
    #[error("chunked body, which the generator does not read")]
    Chunked,
    /// No end of the head within [`MAX_HEAD_BYTES`].
    #[error("head longer than 64 KiB")]
    TooLong,
}

/// What matters of a response's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHead {
    /// HTTP status.
    pub status: u16,
    /// Bytes of the head with its blank line, and of the body after it.
    pub total_bytes: usize,
    /// Bytes of the head with its blank line.
    pub head_bytes: usize,
}

/// What matters of a request's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHead {
    /// Bytes of the head with its blank line, and of the body after it.
    pub total_bytes: usize,
    /// The planned send time that the event carries, nanoseconds since the run began.
    pub planned_nanos: Option<u64>,
}

/// Reads a response's head from the start of `buffer`; `None` while its end has not come.
///
/// # Errors
/// [`HeadError`] when it will never be a head that we read.
pub fn scan_response(buffer: &[u8]) -> Result<Option<ResponseHead>, HeadError> {
    let Some(head_bytes) = head_end(buffer)? else { return Ok(None) };
    let head = &buffer[..head_bytes];
    let status = status(head).ok_or(HeadError::StatusLine)?;
    let body_bytes = if matches!(status, 204 | 304) { 0 } else { body_length(head)? };
    Ok(Some(ResponseHead { status, total_bytes: head_bytes + body_bytes, head_bytes }))
}

/// Reads a request's head from the start of `buffer`; `None` while its end has not come.
///
/// # Errors
/// [`HeadError`] when it will never be a head that we read.
pub fn scan_request(buffer: &[u8]) -> Result<Option<RequestHead>, HeadError> {
    let Some(head_bytes) = head_end(buffer)? else { return Ok(None) };
    let head = &buffer[..head_bytes];
    let planned_nanos = header(head, PLANNED_HEADER).and_then(number);
    Ok(Some(RequestHead { total_bytes: head_bytes + body_length(head)?, planned_nanos }))
}

/// Method and path of a request; `None` when it does not begin as one.
pub fn request_line(request: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = request.split(|byte| *byte == b'\r').next()?;
    let mut words = line.split(|byte| *byte == b' ');
    Some((words.next()?, words.next()?))
}

/// The value of the header `name` (any case) in `head`, without the spaces around it.
pub fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        found.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
    })
}

fn head_end(buffer: &[u8]) -> Result<Option<usize>, HeadError> {
    match buffer.windows(4).position(|four| four == b"\r\n\r\n") {
        Some(at) if at + 4 <= MAX_HEAD_BYTES => Ok(Some(at + 4)),
        None if buffer.len() < MAX_HEAD_BYTES => Ok(None),
        Some(_) | None => Err(HeadError::TooLong),
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let digits = head.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    let status = u16::try_from(number(digits)?).ok()?;
    (100..600).contains(&status).then_some(status)
}

fn body_length(head: &[u8]) -> Result<usize, HeadError> {
    match header(head, "content-length") {
        Some(value) => number(value).and_then(|n| usize::try_from(n).ok()).ok_or(HeadError::Length),
        None if header(head, "transfer-encoding").is_some() => Err(HeadError::Chunked),
        None => Ok(0),
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_heads_are_scanned() {
        let whole =
            |status, head_bytes, body| Ok(Some(ResponseHead { status, head_bytes, total_bytes: head_bytes + body }));
        type Want = Result<Option<ResponseHead>, HeadError>;
        let table: [(&[u8], Want); 11] = [
            (b"", Ok(None)),
            (b"HTTP/1.1 202 Accepted\r\n", Ok(None)),
            (b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r", Ok(None)),
            (b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n", whole(202, 44, 0)),
            (b"HTTP/1.1 400 Bad\r\nContent-Length:  17 \r\n\r\nbody", whole(400, 42, 17)),
            (b"HTTP/1.0 204 No Content\r\ncontent-length: 9\r\n\r\n", whole(204, 46, 0)),
            (b"HTTP/1.1 200 OK\r\n\r\n", whole(200, 19, 0)),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Err(HeadError::Chunked)),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 1x\r\n\r\n", Err(HeadError::Length)),
            (b"HTTP/2 200\r\n\r\n", Err(HeadError::StatusLine)),
            (b"HTTP/1.1 999 No\r\n\r\n", Err(HeadError::StatusLine)),
        ];
        for (bytes, want) in table {
            assert_eq!(scan_response(bytes), want, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn request_heads_are_scanned() {
        let plain = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nabcde";
        assert_eq!(scan_request(plain), Ok(Some(RequestHead { total_bytes: plain.len(), planned_nanos: None })));
        let timed = b"POST / HTTP/1.1\r\nCE-BenchPlanned: 0000000000000042\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(scan_request(timed), Ok(Some(RequestHead { total_bytes: timed.len(), planned_nanos: Some(42) })));
    }

    #[test]
    fn method_and_path_are_the_first_two_words() {
        assert_eq!(request_line(b"GET /a?b HTTP/1.1\r\nhost: c\r\n\r\n"), Some((&b"GET"[..], &b"/a?b"[..])));
        for bad in [&b""[..], b"GET", b"GET\r\n/a b"] {
            assert_eq!(request_line(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn a_header_is_found_by_its_whole_name() {
        let head = b"POST / HTTP/1.1\r\nx-ce-id: no\r\nce-idx: no\r\nce-id: yes\r\n\r\n";
        assert_eq!(header(head, "ce-id"), Some(&b"yes"[..]));
        assert_eq!(header(head, "ce-source"), None);
    }

    #[test]
    fn a_head_without_end_is_refused_at_the_bound() {
        let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
        bytes.resize(MAX_HEAD_BYTES - 1, b'a');
        assert_eq!(scan_response(&bytes), Ok(None));
        bytes.push(b'a');
        assert_eq!(scan_response(&bytes), Err(HeadError::TooLong));
    }

    #[test]
    fn numbers_that_do_not_fit_are_no_numbers() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"18446744073709551616", b"-1", b"1 2"] {
            assert_eq!(number(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }
}
