//! Takes CloudEvents (HTTP, binary mode) on $PORT. An order is answered with an event, anything else with 204.
//! The standard library only: `rustc -O consumer.rs`. SIGTERM ends it, as it does any program that asks for nothing else.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    let port = std::env::var("PORT").expect("PORT says where to listen");
    for stream in TcpListener::bind(format!("127.0.0.1:{port}"))?.incoming() {
        let stream = stream?;
        std::thread::spawn(move || serve(stream));
    }
    Ok(())
}

/// Answers the requests of one connection, one after the other.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    loop {
        let (mut ty, mut id, mut length) = (String::new(), String::new(), 0);
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        while line.trim_end() != "" {
            line.clear();
            lines.read_line(&mut line)?;
            let (name, value) = line.split_once(':').unwrap_or(("", ""));
            match (name.to_ascii_lowercase().as_str(), value.trim()) {
                ("ce-type", value) => ty = value.to_owned(),
                ("ce-id", value) => id = value.to_owned(),
                ("content-length", value) => length = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        let mut data = vec![0; length];
        lines.read_exact(&mut data)?;
        let data = String::from_utf8_lossy(&data);
        println!("{ty} {id} {data}");
        let answer = if ty == "com.example.order.placed" {
            let reply = format!(r#"{{"order":{data},"by":"rust"}}"#);
            format!(
                "HTTP/1.1 200 OK\r\nce-specversion: 1.0\r\nce-id: {id}-confirmed\r\nce-source: /examples/rust\r\n\
                 ce-type: com.example.order.confirmed\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{reply}",
                reply.len()
            )
        } else {
            "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
        };
        stream.write_all(answer.as_bytes())?;
    }
}
