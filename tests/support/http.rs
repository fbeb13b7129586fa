//! HTTP/1.1 by hand, for both sides.

use std::io::{self, BufRead, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::wait::DEADLINE;

/// The largest head of a message that is read here.
const MAX_HEAD: usize = 4 * 1024 * 1024;

/// A message: first line, headers with names in lower case, body, trailers.
#[derive(Debug, Clone, Default)]
pub struct Message {
    pub first: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Message {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The status of an answer.
    pub fn status(&self) -> u16 {
        self.first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Reads one message. `None` when the peer ended before its first byte.
    pub fn read(from: &mut impl BufRead, is_answer: bool) -> io::Result<Option<Self>> {
        let Some(first) = line(from)? else { return Ok(None) };
        let mut message = Self { first, headers: fields(from)?, ..Self::default() };
        if message.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            loop {
                let size = line(from)?.ok_or(ErrorKind::UnexpectedEof)?;
                let size = u64::from_str_radix(size.trim(), 16).map_err(|_| ErrorKind::InvalidData)?;
                if size == 0 {
                    message.trailers = fields(from)?;
                    break;
                }
                exactly(from, size, &mut message.body)?;
                line(from)?;
            }
        } else if let Some(length) = message.header("content-length") {
            let length = length.parse().map_err(|_| ErrorKind::InvalidData)?;
            exactly(from, length, &mut message.body)?;
        } else if is_answer && !matches!(message.status(), 100..200 | 204 | 304) {
            from.read_to_end(&mut message.body)?;
        }
        Ok(Some(message))
    }
}

/// So many bytes. What is only announced takes no memory.
fn exactly(from: &mut impl BufRead, count: u64, into: &mut Vec<u8>) -> io::Result<()> {
    let read = from.take(count).read_to_end(into)?;
    if read as u64 == count { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// Fields up to an empty line.
fn fields(from: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let text = line(from)?.ok_or(ErrorKind::UnexpectedEof)?;
        if text.is_empty() {
            return Ok(fields);
        }
        let (name, value) = text.split_once(':').ok_or(ErrorKind::InvalidData)?;
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// One line without its end; `None` at the end of the stream.
fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    from.take(MAX_HEAD as u64).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.pop() != Some(b'\n') {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// A connection of a client that is kept alive.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: SocketAddr,
}

impl Connection {
    pub fn open(host: SocketAddr) -> io::Result<Self> {
        Self::open_within(host, DEADLINE)
    }

    /// With a bound for the connection to be made, and for every wait on it afterwards.
    pub fn open_within(host: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&host, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self { stream: BufReader::new(stream), host })
    }

    /// Sends a request and reads its answer. `headers` are whole lines.
    ///
    /// # Errors
    /// There was no answer: whatever was asked may have been done or not.
    pub fn call(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<Message> {
        self.send(method, path, headers, body)?;
        self.answer()
    }

    /// Sends a request and does not read its answer. `headers` are whole lines.
    pub fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<()> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}content-length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        self.write(&request)
    }

    /// Posts one event in binary mode.
    pub fn post(&mut self, event: &super::TestEvent) -> io::Result<Message> {
        self.call("POST", "/default/default", &event.headers(), &event.data)
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The same connection, for another thread that writes.
    pub fn writer(&self) -> TcpStream {
        self.stream.get_ref().try_clone().unwrap()
    }

    /// Reads an answer.
    pub fn answer(&mut self) -> io::Result<Message> {
        Ok(Message::read(&mut self.stream, true)?.ok_or(ErrorKind::UnexpectedEof)?)
    }

    /// Everything up to the end of the connection, however it ends. `false` when it did not end in `within`.
    pub fn ends_within(&mut self, within: Duration) -> bool {
        if self.stream.get_ref().set_read_timeout(Some(within)).is_err() {
            return true;
        }
        let mut sink = [0; 4096];
        loop {
            match self.stream.read(&mut sink) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return true,
            }
        }
    }

    /// Says that no more is sent.
    pub fn finish(&self) {
        let _ = self.stream.get_ref().shutdown(std::net::Shutdown::Write);
    }
}

/// One request on a connection of its own; it must be answered.
#[track_caller]
pub fn call(host: SocketAddr, method: &str, path: &str, headers: &str, body: &[u8]) -> Message {
    let mut connection = Connection::open(host).unwrap();
    connection.call(method, path, headers, body).unwrap()
}
