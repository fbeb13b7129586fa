//! One request, one answer, connection closed: for applying resources and reading metrics, never for load.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::error::{BenchError, Doing};
use super::response::{HeadError, header, scan_response};

/// How long an answer may take. Applying hundreds of resources syncs them all.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// The longest answer that is read, bytes. `/metrics` with ten thousand triggers is a few megabytes.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// Bytes of a refusal that an error shows.
const SHOWN_BYTES: usize = 500;

/// `GET path`, and the body of a 2xx answer.
///
/// # Errors
/// [`BenchError::Refused`] for any other status; else as the connection fails.
pub async fn get(server: SocketAddr, path: &str) -> Result<String, BenchError> {
    ask(server, format!("GET {path}"), "text/plain", "").await
}

/// Server-side apply of an object in YAML, and the body of a 2xx answer.
///
/// # Errors
/// As [`get`].
pub async fn apply_yaml(server: SocketAddr, path: &str, yaml: &str) -> Result<String, BenchError> {
    ask(server, format!("PATCH {path}"), "application/apply-patch+yaml", yaml).await
}

/// `POST path` with a JSON body, and the body of a 2xx answer.
///
/// # Errors
/// As [`get`].
pub async fn post_json(server: SocketAddr, path: &str, json: &serde_json::Value) -> Result<String, BenchError> {
    ask(server, format!("POST {path}"), "application/json", &json.to_string()).await
}

async fn ask(server: SocketAddr, request: String, content_type: &str, body: &str) -> Result<String, BenchError> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        let head = format!(
            "{request} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\ncontent-type: {content_type}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
        Ok(answer)
    };
    let answer = match tokio::time::timeout(ANSWER_LIMIT, exchange).await {
        Ok(answer) => answer.doing(|| format!("{request} at {server}"))?,
        Err(_) => return Err(BenchError::TooLate { what: request, limit: ANSWER_LIMIT }),
    };
    let (status, text) =
        read(&answer).map_err(|source| BenchError::Answer { peer: format!("{server} ({request})"), source })?;
    if (200..300).contains(&status) {
        return Ok(text);
    }
    Err(BenchError::Refused { request, status, text: text.chars().take(SHOWN_BYTES).collect() })
}

/// Status and body of a whole answer, which may be chunked.
///
/// # Errors
/// [`HeadError`].
pub fn read(answer: &[u8]) -> Result<(u16, String), HeadError> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(HeadError::StatusLine)? + 4;
    let (head, body) = answer.split_at(end);
    let chunked = header(head, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case(b"chunked"));
    if chunked {
        let status = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let body = unchunk(body).ok_or(HeadError::Chunked)?;
        return Ok((status.ok_or(HeadError::StatusLine)?, String::from_utf8_lossy(&body).into_owned()));
    }
    let head = scan_response(answer)?.ok_or(HeadError::StatusLine)?;
    Ok((head.status, String::from_utf8_lossy(body).into_owned()))
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = &rest[line + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_chunked_answers_are_read() {
        type Want = Option<(u16, &'static str)>;
        let table: [(&[u8], Want); 5] = [
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", Some((200, "hi"))),
            (
                b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n",
                Some((201, "abcd")),
            ),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab", None),
            (b"HTTP/1.1 200 OK\r\n", None),
            (b"", None),
        ];
        for (bytes, want) in table {
            let got = read(bytes).ok();
            assert_eq!(got, want.map(|(status, text)| (status, text.to_owned())), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
