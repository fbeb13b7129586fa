//! A watch as a controller keeps it, over a socket.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::support::Connection;

/// An open watch.
#[derive(Debug)]
pub struct Watch {
    stream: BufReader<TcpStream>,
    /// What has come of the next line.
    rest: Vec<u8>,
}

impl Watch {
    /// Asks for a watch, and reads the head of the answer.
    ///
    /// # Errors
    /// There is no answer, or another one than 200.
    pub fn open(api: SocketAddr, path: &str) -> io::Result<Self> {
        let mut connection = Connection::open(api)?;
        connection.send("GET", path, "", b"")?;
        let mut watch = Self { stream: BufReader::new(connection.writer()), rest: Vec::new() };
        let status = watch.line()?;
        if !status.starts_with("HTTP/1.1 200") {
            return Err(io::Error::other(status));
        }
        while !watch.line()?.is_empty() {}
        Ok(watch)
    }

    /// The next event; `None` when the server has ended the watch.
    ///
    /// # Errors
    /// The connection was lost.
    pub fn next(&mut self) -> io::Result<Option<Value>> {
        loop {
            if let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            let size = self.line()?;
            let size = u64::from_str_radix(&size, 16).map_err(|_| io::Error::other(size.clone()))?;
            if size == 0 {
                return Ok(None);
            }
            let read = self.stream.by_ref().take(size).read_to_end(&mut self.rest)?;
            if read as u64 != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.line()?;
        }
    }

    /// A line of HTTP without its end.
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
