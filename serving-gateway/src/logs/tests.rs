//! Logs on a real disk.

use std::fs;
use std::sync::Arc;

use pelton_env::{ManualClock, UnixMillis};
use tempfile::TempDir;
use tokio::time::timeout;

use super::line::{Record, write_dropped, write_line};
use super::*;
use crate::runtime::InstanceId;

const PATIENCE: Duration = Duration::from_secs(30);

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn id(name: &str) -> InstanceId {
    InstanceId(Arc::from(name))
}

fn open(folder: &TempDir, options: LogOptions) -> Logs {
    Logs::open(folder.path(), options, Arc::new(ManualClock::new(NOW))).unwrap()
}

fn small() -> LogOptions {
    LogOptions { file_bytes: 1_000, files: 3, ..LogOptions::default() }
}

fn new() -> (TempDir, Logs, Arc<RevisionLog>) {
    let folder = tempfile::tempdir().unwrap();
    let logs = open(&folder, LogOptions::default());
    let log = logs.revision("ns", "r-1");
    (folder, logs, log)
}

/// What is followed, as text: lines, and how many are missing.
async fn next(follower: &mut Follower) -> String {
    match timeout(PATIENCE, follower.next()).await.expect("something comes").unwrap() {
        Some(Followed::Line(line)) => String::from_utf8(line.text).unwrap(),
        Some(Followed::Missing(lines)) => format!("[{lines} missing]"),
        None => "[end]".to_owned(),
    }
}

/// All that is followed until a line.
async fn until(follower: &mut Follower, last: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        all.push(next(follower).await);
        if all.last().unwrap() == last {
            return all;
        }
    }
}

async fn print(log: &Arc<RevisionLog>, text: impl AsRef<[u8]>) {
    let mut writer = log.writer(&id("r-1-5d"), Stream::Stdout);
    writer.write(text.as_ref()).await;
    writer.finish().await;
}

fn numbers(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("{number}\n")).collect()
}

#[test]
fn a_line_is_read_as_it_was_written() {
    for (instance, stream, goes_on, text) in [
        ("r-1-5d", Stream::Stdout, false, b"hello, world".as_slice()),
        ("r-1-5d", Stream::Stderr, true, b""),
        ("x", Stream::Stdout, true, b" two  blanks "),
        ("x", Stream::Stderr, false, b"\xff\0\r"),
        ("-", Stream::Stdout, false, b"dropped 3"),
    ] {
        let mut bytes = Vec::new();
        write_line(&mut bytes, NOW, &id(instance), stream, goes_on, text);
        let line = Line { at: NOW, instance: id(instance), stream, goes_on, text: text.to_vec() };
        assert_eq!(Record::parse(bytes.strip_suffix(b"\n").unwrap()), Some(Record::Line(line)), "{text:?}");
    }
    let mut bytes = Vec::new();
    write_dropped(&mut bytes, NOW, 17);
    assert_eq!(Record::parse(bytes.strip_suffix(b"\n").unwrap()), Some(Record::Dropped(17)));
    for wrong in ["", "1", "1 a", "1 a stdout", "x a stdout b", "1 a other b", "1 - dropped x", "1 - dropped"] {
        assert_eq!(Record::parse(wrong.as_bytes()), None, "{wrong:?}");
    }
}

#[tokio::test]
async fn pieces_make_the_lines_that_they_are_pieces_of() {
    let long = "x".repeat(MAX_LINE_BYTES);
    let pieces_of = |text: &str, size: usize| text.as_bytes().chunks(size).map(<[u8]>::to_vec).collect::<Vec<_>>();
    for (name, text, want) in [
        ("nothing", String::new(), vec![]),
        ("lines", "a\nb\n".to_owned(), vec![("a", false), ("b", false)]),
        ("an end that is missing", "a\nb".to_owned(), vec![("a", false), ("b", false)]),
        ("empty lines", "\n\na\n".to_owned(), vec![("", false), ("", false), ("a", false)]),
        ("the longest", format!("{long}\na\n"), vec![(&*long, false), ("a", false)]),
        ("one byte more", format!("{long}y\na\n"), vec![(&*long, true), ("y", false), ("a", false)]),
        ("twice the longest", format!("{long}{long}"), vec![(&*long, true), (&*long, false)]),
    ] {
        for size in [1, 3, 1_000, MAX_LINE_BYTES, MAX_LINE_BYTES + 1, usize::MAX] {
            let (_folder, _logs, log) = new();
            let mut writer = log.writer(&id("r-1-5d"), Stream::Stdout);
            for piece in pieces_of(&text, size) {
                writer.write(&piece).await;
            }
            writer.finish().await;
            let lines = log.last_lines(None, 100);
            let lines: Vec<_> =
                lines.iter().map(|line| (std::str::from_utf8(&line.text).unwrap(), line.goes_on)).collect();
            assert!(lines == want, "{name}, in pieces of {size}: {} lines", lines.len());
        }
    }
}

#[tokio::test]
async fn the_last_lines_are_those_of_the_instance() {
    let (_folder, _logs, log) = new();
    let mut a = log.writer(&id("a"), Stream::Stdout);
    let mut b = log.writer(&id("b"), Stream::Stderr);
    for number in 0..3 {
        a.write(format!("a{number}\n").as_bytes()).await;
        b.write(format!("b{number}\n").as_bytes()).await;
    }
    let texts = |instance: Option<&InstanceId>, count| {
        let lines = log.last_lines(instance, count);
        lines.into_iter().map(|line| String::from_utf8(line.text).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(texts(Some(&id("a")), 2), ["a1", "a2"]);
    assert_eq!(texts(None, 3), ["b1", "a2", "b2"]);
    assert_eq!(texts(Some(&id("c")), 3), [""; 0]);
}

#[tokio::test]
async fn the_last_lines_are_bounded_and_whole() {
    let (_folder, _logs, log) = new();
    print(&log, numbers(0..100_000)).await;
    let lines = log.last_lines(None, usize::MAX);
    let texts: Vec<_> = lines.iter().map(|line| std::str::from_utf8(&line.text).unwrap().to_owned()).collect();
    let first: u32 = texts[0].parse().unwrap();
    assert_eq!(texts, numbers(first..100_000).lines().collect::<Vec<_>>());
    let bytes: usize = lines.iter().map(|line| line.text.len() + line.instance.0.len() + 23).sum();
    assert!((32 * 1024..=64 * 1024).contains(&bytes), "{bytes} bytes");
}

#[tokio::test]
async fn a_follower_begins_with_the_last_lines_and_goes_on() {
    let (_folder, _logs, log) = new();
    let mut all = log.follow(u64::MAX).await.unwrap();
    print(&log, "1\n2\n3\n").await;
    assert_eq!(until(&mut all, "3").await, ["1", "2", "3"]);
    assert!(all.is_at_end());
    let mut last = log.follow(2).await.unwrap();
    let mut none = log.follow(0).await.unwrap();
    print(&log, "4\n").await;
    assert_eq!(next(&mut all).await, "4");
    assert_eq!(until(&mut last, "4").await, ["2", "3", "4"]);
    assert_eq!(next(&mut none).await, "4");
}

#[tokio::test]
async fn a_reader_that_is_not_to_wait_ends_where_the_log_ended() {
    let (folder, _logs, log) = new();
    let now = |mut follower: Follower| {
        follower.end_before(Some(follower.stored()));
        follower
    };
    let mut nothing = now(log.follow(u64::MAX).await.unwrap());
    assert_eq!((next(&mut nothing).await.as_str(), nothing.stored()), ("[end]", 0));
    assert!(!folder.path().join("ns").exists(), "reading makes nothing");
    let mut all = log.follow(u64::MAX).await.unwrap();
    print(&log, "1\n2\n3\n").await;
    until(&mut all, "3").await;
    let mut last = now(log.follow(2).await.unwrap());
    let mut from = log.follow_from(all.stored() - 1).await.unwrap();
    print(&log, "4\n").await;
    until(&mut all, "4").await;
    assert_eq!(until(&mut last, "[end]").await, ["2", "3", "[end]"]);
    assert!(last.is_at_end() && !from.is_at_end());
    assert_eq!((until(&mut from, "4").await, from.position()), (vec!["3".to_owned(), "4".to_owned()], 4));
    last.end_before(None);
    assert_eq!(next(&mut last).await, "4", "it goes on where it was");
}

#[tokio::test]
async fn a_follower_goes_from_file_to_file() {
    let folder = tempfile::tempdir().unwrap();
    let logs = open(&folder, LogOptions { files: 1_000, ..small() });
    let log = logs.revision("ns", "r-1");
    print(&log, numbers(0..1_000)).await;
    let mut follower = log.follow(0).await.unwrap();
    print(&log, numbers(1_000..2_000)).await;
    until(&mut follower, "1999").await;
    for last in [0, 1, 10, 500, 1_999, 2_000, 3_000, u64::MAX] {
        let mut follower = log.follow(last).await.unwrap();
        let end = format!("end {last}");
        print(&log, &end).await;
        let lines = until(&mut follower, &end).await;
        assert!(lines.len() as u64 == last.saturating_add(1) || last > 2_000, "{last}: {}", lines.len());
        assert!(!lines.iter().any(|line| line.contains("missing")), "{last}");
    }
    let files = fs::read_dir(folder.path().join("ns/r-1")).unwrap().count();
    assert!(files > 10, "{files} files");
}

#[tokio::test]
async fn files_are_bounded_and_a_slow_follower_is_told_what_it_missed() {
    let folder = tempfile::tempdir().unwrap();
    let logs = open(&folder, small());
    let log = logs.revision("ns", "r-1");
    let mut slow = log.follow(u64::MAX).await.unwrap();
    let mut fast = log.follow(u64::MAX).await.unwrap();
    print(&log, numbers(0..10)).await;
    assert_eq!(until(&mut slow, "0").await, ["0"]);
    for block in 1..100 {
        print(&log, numbers(10 * block..10 * block + 10)).await;
        until(&mut fast, &(10 * block + 9).to_string()).await;
    }
    let lengths: Vec<_> = fs::read_dir(folder.path().join("ns/r-1"))
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .collect();
    assert!(lengths.len() <= 3 && lengths.iter().all(|length| *length <= 1_000), "{lengths:?}");
    // It keeps the file that it has begun.
    let seen = until(&mut slow, "999").await;
    let at = seen.iter().position(|line| line.contains("missing")).expect("files are gone");
    let missing: usize = seen[at].trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
    assert_eq!(seen[..at], numbers(1..at as u32 + 1).lines().collect::<Vec<_>>());
    let after = at + 1 + missing;
    assert_eq!(seen[at + 1..], numbers(after as u32..1_000).lines().collect::<Vec<_>>());
}

#[tokio::test]
async fn another_life_goes_on_where_the_one_before_ended() {
    let folder = tempfile::tempdir().unwrap();
    {
        let logs = open(&folder, LogOptions::default());
        let log = logs.revision("ns", "r-1");
        let mut follower = log.follow(0).await.unwrap();
        print(&log, "1\n2\n").await;
        until(&mut follower, "2").await;
    }
    // It was killed while it wrote a third line.
    let file = folder.path().join("ns/r-1/00000000000000000000.log");
    let mut text = fs::read(&file).unwrap();
    text.extend_from_slice(b"1700000000000 r-1-5d std");
    fs::write(&file, text).unwrap();

    let logs = open(&folder, LogOptions::default());
    let log = logs.revision("ns", "r-1");
    print(&log, "4\n").await;
    let mut follower = log.follow(u64::MAX).await.unwrap();
    assert_eq!(until(&mut follower, "4").await, ["1", "2", "[1 missing]", "4"]);
}

/// In place of a full disk: a file is where the folder should be.
#[tokio::test]
async fn what_cannot_be_written_is_counted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let logs = open(&folder, LogOptions::default());
    fs::create_dir(folder.path().join("ns")).unwrap();
    fs::write(folder.path().join("ns/r-1"), "").unwrap();
    let log = logs.revision("ns", "r-1");
    assert!(log.follow(0).await.is_err());
    print(&log, "1\n2\n3\n").await;
    assert_eq!(log.last_lines(None, 10).len(), 3, "they are known all the same");
    // Another revision's lines are written by the same thread, after these.
    let other = logs.revision("ns", "r-2");
    let mut follower = other.follow(0).await.unwrap();
    print(&other, "there\n").await;
    assert_eq!(next(&mut follower).await, "there");

    fs::remove_file(folder.path().join("ns/r-1")).unwrap();
    let mut follower = log.follow(u64::MAX).await.unwrap();
    print(&log, "4\n").await;
    assert_eq!(until(&mut follower, "4").await, ["[3 missing]", "4"]);
}

/// In place of a disk that hangs: it is locked by the test.
#[tokio::test]
async fn an_instance_does_not_wait_long_for_a_disk() {
    let folder = tempfile::tempdir().unwrap();
    let patience = Duration::from_millis(10);
    let logs = open(&folder, LogOptions { pending_bytes: 500, patience, ..LogOptions::default() });
    let log = logs.revision("ns", "r-1");
    let mut follower = log.follow(0).await.unwrap();
    let disk = log.hold_the_disk();
    print(&log, numbers(0..100)).await;
    assert_eq!(log.last_lines(None, 1)[0].text, b"99", "they are known all the same");
    drop(disk);
    print(&log, "end\n").await;
    let seen = until(&mut follower, "end").await;
    let at = seen.iter().position(|line| line.contains("missing")).expect("there was no room for all");
    assert_eq!(seen[..at], numbers(0..at as u32).lines().collect::<Vec<_>>());
    assert_eq!(seen[at], format!("[{} missing]", 100 - at));
    assert_eq!(seen[at + 1..], ["end"]);
}

/// A disk that is merely slow loses nothing.
#[tokio::test]
async fn an_instance_waits_for_room_if_there_will_be_some() {
    let folder = tempfile::tempdir().unwrap();
    let logs = open(&folder, LogOptions { pending_bytes: 500, patience: PATIENCE, ..LogOptions::default() });
    let log = logs.revision("ns", "r-1");
    let mut follower = log.follow(0).await.unwrap();
    print(&log, numbers(0..5_000)).await;
    assert_eq!(until(&mut follower, "4999").await, numbers(0..5_000).lines().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_log_that_is_removed_ends() {
    let (folder, logs, log) = new();
    let mut follower = log.follow(0).await.unwrap();
    print(&log, "1\n").await;
    assert_eq!(next(&mut follower).await, "1");
    assert_eq!(logs.stored().unwrap(), [("ns".to_owned(), "r-1".to_owned())]);
    logs.remove("ns", "r-1").unwrap();
    assert_eq!(logs.stored().unwrap(), []);
    assert_eq!(next(&mut follower).await, "[end]");
    // An instance that still prints.
    print(&log, "2\n").await;
    let other = logs.revision("ns", "r-2");
    let mut follower = other.follow(0).await.unwrap();
    print(&other, "there\n").await;
    assert_eq!(next(&mut follower).await, "there");
    assert!(!folder.path().join("ns/r-1").exists());
}

#[tokio::test]
async fn names_lead_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    for (name, want) in [("a", "a"), ("..", "_."), ("/etc", "_etc"), ("a/../..", "a_.._.."), ("", "_"), (".a", "_a")] {
        assert_eq!(component(name), want);
    }
    let logs = open(&folder, LogOptions::default());
    let log = logs.revision("..", "../..");
    let mut follower = log.follow(0).await.unwrap();
    print(&log, "1\n").await;
    assert_eq!(next(&mut follower).await, "1");
    assert!(folder.path().join("_.").join("_._..").exists());
}

#[tokio::test]
async fn a_pipe_is_read_to_its_end() {
    let (_folder, _logs, log) = new();
    let text = numbers(0..2_000);
    capture(text.as_bytes(), log.writer(&id("r-1-5d"), Stream::Stdout)).await;
    assert_eq!(log.last_lines(None, 1)[0].text, b"1999");
}
