//! What the Services of these tests run: this very program, told so by its environment.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::support::http::Message;
use super::support::sink::answer;
use super::{consumer_h2c, websocket};

static SEEN: AtomicU64 = AtomicU64::new(0);
static SICK: AtomicBool = AtomicBool::new(false);

/// Serves requests when a Service runs it, for as long as it lives; in a run of the tests it does nothing.
///
/// Words of `CONSUMER`:
/// - `slow-start MS`, `gate FILE`: listens after so long, or once that file is there.
/// - `record FILE`: writes a line for each CloudEvent (its id), and each goodbye of a WebSocket (its code).
/// - `takes MS`: takes so long for each CloudEvent.
/// - `crash`: ends at once; `crash-while FILE`: as long as that is there. `silent`: never listens. `astray`: listens, on another port than it should.
/// - `garbage`: answers what is no HTTP.
/// - `stubborn`: does not end when it is asked to.
/// - `children FILE`: starts two more that are `silent`, and writes their numbers there.
/// - `flood BYTES`: prints so much before it listens.
/// - `h2c`: speaks HTTP/2.
#[test]
fn serve() {
    let Ok(words) = std::env::var("CONSUMER") else { return };
    let words: Vec<&str> = words.split_whitespace().collect();
    let value = |name: &str| words.iter().position(|word| *word == name).map(|at| words[at + 1].to_owned());
    if words.contains(&"crash") || value("crash-while").is_some_and(|file| std::path::Path::new(&file).exists()) {
        eprintln!("no database here");
        std::process::exit(3);
    }
    if words.contains(&"silent") {
        std::thread::park();
    }
    if words.contains(&"stubborn") {
        ignore_sigterm();
    }
    if let Some(millis) = value("slow-start") {
        std::thread::park_timeout(Duration::from_millis(millis.parse().unwrap()));
    }
    if let Some(file) = value("gate") {
        wait_for_file(&file);
    }
    if let Some(file) = value("children") {
        std::fs::write(file, [child(), child()].join("\n")).unwrap();
    }
    if let Some(bytes) = value("flood") {
        flood(bytes.parse().unwrap()).unwrap();
    }
    let mut port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    if words.contains(&"astray") {
        port = 0;
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    if words.contains(&"h2c") {
        return consumer_h2c::serve(listener);
    }
    let record = value("record");
    let takes = Duration::from_millis(value("takes").map_or(0, |millis| millis.parse().unwrap()));
    let is_garbage = words.contains(&"garbage");
    for stream in listener.incoming() {
        let record = record.clone();
        std::thread::spawn(move || {
            let stream = stream?;
            let _ = if is_garbage { garbage(stream) } else { connection(stream, record.as_deref(), takes) };
            std::io::Result::Ok(())
        });
    }
}

/// There is no file yet that a test makes when it is time.
pub fn wait_for_file(file: &str) {
    while !Path::new(file).exists() {
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

fn ignore_sigterm() {
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut asked = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
            ready.send(()).unwrap();
            while asked.recv().await.is_some() {}
        });
    });
    is_ready.recv().unwrap();
}

/// The number of another process that does nothing.
#[allow(clippy::zombie_processes, reason = "whoever started this one has to end them")]
fn child() -> String {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(std::env::args_os().skip(1)).env("CONSUMER", "silent");
    command.spawn().unwrap().id().to_string()
}

fn flood(bytes: usize) -> std::io::Result<()> {
    let block = [&b"0123456789".repeat(6)[..], b"abc\n"].concat().repeat(1024);
    let mut out = std::io::stdout().lock();
    for _ in 0..bytes.div_ceil(block.len()) {
        out.write_all(&block)?;
    }
    out.write_all(b"the end of the flood\n")
}

/// Answers whatever comes with what nobody asked for.
fn garbage(mut stream: TcpStream) -> std::io::Result<()> {
    stream.read_exact(&mut [0])?;
    stream.write_all(b"\x16\x03\x01\0\0 220 this is no HTTP at all\r\n\r\n")
}

fn connection(stream: TcpStream, record: Option<&str>, takes: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut write = stream.try_clone()?;
    let mut read = BufReader::new(stream);
    while let Some(request) = Message::read(&mut read, false)? {
        SEEN.fetch_add(1, Ordering::Relaxed);
        match request.header("upgrade") {
            Some("websocket") => return websocket::serve(read, write, |code| note(record, &code)),
            Some("lines") => return echo(read, write),
            _ => {}
        }
        if request.header("ce-id").is_some() {
            std::thread::park_timeout(takes);
        }
        if !respond(&request, &mut write, record)? {
            break;
        }
    }
    Ok(())
}

fn respond(request: &Message, write: &mut TcpStream, record: Option<&str>) -> std::io::Result<bool> {
    let path = request.first.split(' ').nth(1).unwrap_or("/").to_owned();
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    let wait = || std::thread::park_timeout(Duration::from_millis(query.parse().unwrap_or(0)));
    match path {
        "/pid" => answer(write, 200, "", std::process::id().to_string().as_bytes()),
        "/slow-pid" => {
            wait();
            answer(write, 200, "", std::process::id().to_string().as_bytes())
        }
        "/seen" => answer(write, 200, "", SEEN.load(Ordering::Relaxed).to_string().as_bytes()),
        "/slow" => {
            wait();
            answer(write, 200, "", b"at last")
        }
        // The rest of the path is a file that the test makes when it is time.
        "/hold" => {
            wait_for_file(query);
            answer(write, 200, "", std::process::id().to_string().as_bytes())
        }
        "/exists" => answer(write, if Path::new(query).exists() { 200 } else { 503 }, "", b""),
        "/sicken" => {
            SICK.store(true, Ordering::Relaxed);
            answer(write, 200, "", b"")
        }
        "/healthz" => answer(write, if SICK.load(Ordering::Relaxed) { 500 } else { 200 }, "", b""),
        "/sse" => {
            write.write_all(b"HTTP/1.1 200 x\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n\r\n")?;
            lines_of(query, |line| write.write_all(format!("data: {line}\n\n").as_bytes()))?;
            Ok(false)
        }
        "/begin" => {
            write.write_all(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegin\r\n",
            )?;
            wait();
            write.write_all(b"3\r\nend\r\n0\r\n\r\n")?;
            Ok(true)
        }
        "/old" => {
            write.write_all(b"HTTP/1.0 200 OK\r\n\r\nold")?;
            Ok(false)
        }
        "/exit" => std::process::exit(7),
        "/echo" => answer(write, 200, "", &request.body),
        "/what" => answer(write, 200, "", what(request)?.to_string().as_bytes()),
        _ if request.header("ce-id").is_some() => {
            note(record, request.header("ce-id").unwrap_or(""))?;
            answer(write, 202, "", b"")
        }
        _ => answer(write, 200, "", std::env::var("K_REVISION").unwrap_or_default().as_bytes()),
    }
}

/// All that is to be seen from here.
fn what(request: &Message) -> std::io::Result<serde_json::Value> {
    let mut stdin = Vec::new();
    std::io::stdin().read_to_end(&mut stdin)?;
    let environment: std::collections::BTreeMap<String, String> = std::env::vars().collect();
    Ok(serde_json::json!({
        "first": request.first, "headers": request.headers, "body": request.text(), "trailers": request.trailers,
        "environment": environment, "arguments": std::env::args().collect::<Vec<_>>(), "stdin": stdin.len(),
        "folder": std::env::current_dir()?.display().to_string(),
    }))
}

fn note(record: Option<&str>, line: &str) -> std::io::Result<()> {
    let Some(file) = record else { return Ok(()) };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
    // One write a line: what `writeln!` writes in parts, two threads mix.
    file.write_all(format!("{line}\n").as_bytes())
}

/// Gives each line of a file as a test writes it, up to one that says `end`.
pub fn lines_of(file: &str, mut give: impl FnMut(&str) -> std::io::Result<()>) -> std::io::Result<()> {
    wait_for_file(file);
    let mut lines = BufReader::new(std::fs::File::open(file)?);
    let mut line = String::new();
    loop {
        if lines.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            std::thread::park_timeout(Duration::from_millis(2));
            continue;
        }
        match line.trim_end() {
            "end" => return Ok(()),
            line => give(line)?,
        }
        line.clear();
    }
}

/// Changes to a protocol in which each side says lines, and gives each back.
fn echo(mut read: BufReader<TcpStream>, mut write: TcpStream) -> std::io::Result<()> {
    write.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: lines\r\n\r\n")?;
    let mut line = String::new();
    while read.read_line(&mut line)? > 0 {
        write.write_all(line.as_bytes())?;
        line.clear();
    }
    Ok(())
}
