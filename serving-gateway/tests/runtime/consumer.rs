//! The test consumer: a program that is run by runtimes, behaves well or badly as its arguments say, and tells what it sees.
//!
//! `pelton_serving_gateway::runtime::conformance` says what every runtime may ask of it. The rest is for processes:
//!
//! - `silent`: does nothing, for ever.
//! - `flood BYTES`: prints so much, in lines, then serves.
//! - `close-output`: closes both of its outputs, then serves.
//! - `family ADDRESS`: starts a `member` and a `stray`, connects to `ADDRESS`, then serves.
//! - `member ADDRESS`: connects to `ADDRESS` and stays until that is closed.
//! - `stray ADDRESS`: the same, in a session of its own.
//! - `leave ADDRESS`: starts a `stray` and exits.
//! - `wrap`: starts a `slow` and waits for it; asked to end, it is gone at once.
//! - `slow`: asked to end, it waits for its parent to be gone, prints `the last answer`, and ends.
//! - `gateway FOLDER ADDRESS`: runs a `family` by a process runtime, for ever.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it says")]
#![allow(clippy::disallowed_methods, reason = "a program with nothing to wait for")]

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::parent_id;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pelton_env::{OsChance, SystemClock};
use pelton_serving_gateway::logs::{LogOptions, Logs};
use pelton_serving_gateway::runtime::process::{ProcessOptions, ProcessRuntime};
use pelton_serving_gateway::runtime::{Runtime as _, conformance};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

fn main() {
    let opened = descriptors();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words {
        ["serve"] => serve(opened, false),
        ["serve", "--ignore-sigterm"] => serve(opened, true),
        ["exit", code] => {
            println!("out of here");
            eprint!("last words");
            std::process::exit(code.parse().unwrap());
        }
        ["silent"] => for_ever(),
        ["flood", bytes] => {
            flood(bytes.parse().unwrap()).unwrap();
            serve(opened, false);
        }
        ["close-output"] => {
            let null = File::options().write(true).open("/dev/null").unwrap();
            rustix::stdio::dup2_stdout(&null).unwrap();
            rustix::stdio::dup2_stderr(&null).unwrap();
            serve(opened, false);
        }
        ["family", address] => {
            let _children = [myself(&["member", address]), myself(&["stray", address])];
            let _tie = tie("leader", address);
            serve(opened, false);
        }
        ["member", address] => until_closed(&mut tie("member", address)),
        ["stray", address] => {
            rustix::process::setsid().unwrap();
            until_closed(&mut tie("stray", address));
        }
        ["leave", address] => drop(myself(&["stray", address])),
        ["wrap"] => drop(myself(&["slow"]).wait()),
        ["slow"] => slow(),
        ["gateway", folder, address] => gateway(Path::new(folder), address),
        _ => panic!("not understood: {words:?}"),
    }
}

fn myself(arguments: &[&str]) -> Child {
    Command::new(std::env::current_exe().unwrap()).args(arguments).spawn().unwrap()
}

/// What is open besides the three that every program has.
fn descriptors() -> String {
    let name = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        let target = fs::read_link(entry.path()).ok()?.display().to_string();
        // The listing itself.
        (number > 2 && !target.ends_with("/fd")).then_some(target)
    };
    fs::read_dir("/proc/self/fd").unwrap().filter_map(name).collect::<Vec<_>>().join(",")
}

/// A connection by which a test knows whether this process lives.
fn tie(name: &str, address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("{name}\n").as_bytes()).unwrap();
    stream
}

fn until_closed(stream: &mut TcpStream) {
    while matches!(stream.read(&mut [0; 64]), Ok(read) if read > 0) {}
}

fn for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

fn flood(bytes: u64) -> io::Result<()> {
    let line = [b"0123456789".repeat(6).as_slice(), b"abc\n"].concat();
    let block = line.repeat(1024);
    let mut out = io::stdout().lock();
    for _ in 0..bytes.div_ceil(block.len() as u64) {
        out.write_all(&block)?;
    }
    out.write_all(b"the end of the flood\n")
}

fn slow() {
    let parent = parent_id();
    wait_for_sigterm(|| {
        while parent_id() == parent {
            std::thread::sleep(Duration::from_millis(1));
        }
        println!("the last answer");
        true
    });
}

/// Calls `asked` at each SIGTERM until it says that this is all.
fn wait_for_sigterm(mut asked: impl FnMut() -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut terminations = signal(SignalKind::terminate()).unwrap();
        println!("ready");
        while terminations.recv().await.is_some() {
            if asked() {
                return;
            }
        }
    });
}

fn serve(opened: String, ignores_sigterm: bool) {
    let counter = Arc::new(AtomicU64::new(0));
    let listen = move || {
        for stream in listener().incoming() {
            let (counter, opened) = (counter.clone(), opened.clone());
            std::thread::spawn(move || drop(serve_one(stream.unwrap(), &counter, &opened)));
        }
    };
    // It answers only once SIGTERM is taken care of.
    let (ready, is_ready) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let _ = is_ready.recv();
        listen();
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut terminations = signal(SignalKind::terminate()).unwrap();
        drop(ready);
        while terminations.recv().await.is_some() {
            println!("asked to end");
            if !ignores_sigterm {
                return;
            }
        }
    });
}

/// The socket that was handed over, or a new one.
fn listener() -> TcpListener {
    let variable = |name| std::env::var(name).unwrap_or_default();
    if variable("LISTEN_FDS") == "1" && variable("LISTEN_PID") == std::process::id().to_string() {
        let me = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        return pidfd_getfd(me, 3, PidfdGetfdFlags::empty()).unwrap().into();
    }
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, variable("PORT").parse().unwrap())).unwrap()
}

fn serve_one(mut stream: TcpStream, counter: &AtomicU64, opened: &str) -> io::Result<()> {
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
        "descriptors" => Some(opened.to_owned()),
        "directory" => Some(std::env::current_dir()?.display().to_string()),
        "limits" => Some(fs::read_to_string("/proc/self/limits")?),
        "pid" => Some(std::process::id().to_string()),
        "stdin" => {
            let mut read = String::new();
            io::stdin().read_to_string(&mut read)?;
            Some(read)
        }
        "write" => {
            let file = Path::new(&std::env::var("TMPDIR").unwrap()).join(argument);
            fs::write(&file, "here")?;
            Some(file.display().to_string())
        }
        _ => None,
    };
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes())
}

#[tokio::main(flavor = "current_thread")]
async fn gateway(folder: &Path, address: &str) {
    let logs = Logs::open(&folder.join("logs"), LogOptions::default(), Arc::new(SystemClock)).unwrap();
    let processes = folder.join("processes");
    let runtime = ProcessRuntime::open(&processes, ProcessOptions::default(), logs, Arc::new(OsChance)).await.unwrap();
    let mut spec = conformance::plain_spec();
    spec.command = vec![std::env::current_exe().unwrap().to_str().unwrap().to_owned()];
    spec.args = ["family", address].map(str::to_owned).to_vec();
    let (events, mut told) = mpsc::unbounded_channel();
    let workload = runtime.deploy(Arc::new(spec), events).await.unwrap();
    workload.start();
    while told.recv().await.is_some() {}
}
