//! What runs in the Pods of the tests: the test consumer that `pelton_serving_gateway::runtime::conformance` describes.
//!
//! Beside `PORT` it takes `TEST_POD_IP`, where it listens: Pods of the stub share this machine, and an address is what
//! keeps them apart. Without it, it listens on all.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it says")]

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::signal::unix::{SignalKind, signal};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words {
        ["serve"] => serve(false),
        ["serve", "--ignore-sigterm"] => serve(true),
        ["exit", code] => {
            println!("out of here");
            eprint!("last words");
            std::process::exit(code.parse().unwrap());
        }
        _ => panic!("not understood: {words:?}"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(ignores_sigterm: bool) {
    // It answers only once SIGTERM is taken care of.
    let mut terminations = signal(SignalKind::terminate()).unwrap();
    std::thread::spawn(listen);
    while terminations.recv().await.is_some() {
        println!("asked to end");
        if !ignores_sigterm {
            return;
        }
    }
}

fn listen() {
    let ip = std::env::var("TEST_POD_IP").map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ip| ip.parse().unwrap());
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    let counter = Arc::new(AtomicU64::new(0));
    for stream in TcpListener::bind((ip, port)).unwrap().incoming() {
        let counter = Arc::clone(&counter);
        std::thread::spawn(move || drop(answer(stream.unwrap(), &counter)));
    }
}

fn answer(mut stream: TcpStream, counter: &AtomicU64) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            read => request.extend_from_slice(&piece[..read]),
        }
    }
    let request = String::from_utf8_lossy(&request);
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (what, argument) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let body = match what {
        "" => Some(String::new()),
        "count" => Some((counter.fetch_add(1, Ordering::SeqCst) + 1).to_string()),
        "env" => std::env::var(argument).ok(),
        "exit" => std::process::exit(argument.parse().unwrap()),
        "abort" => std::process::abort(),
        _ => None,
    };
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes())
}
