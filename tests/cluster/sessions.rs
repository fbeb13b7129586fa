//! Who had the right to deliver a group's events, and when: what the nodes' own logs say of it.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pelton_env::{Clock as _, SystemClock, UnixMillis};

/// The right to deliver a group's events, as one dispatcher had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    pub begin: Instant,
    /// When it noticed its end, or its process died.
    pub end: Option<Instant>,
}

/// The sessions of each group, in the order in which they began.
pub type Sessions = BTreeMap<u64, Vec<Session>>;

/// One moment by both clocks, so that times of a log can be compared with what this process saw.
fn anchor() -> (Instant, UnixMillis) {
    static ANCHOR: OnceLock<(Instant, UnixMillis)> = OnceLock::new();
    *ANCHOR.get_or_init(|| (Instant::now(), SystemClock.now()))
}

/// To be called before anything happens that is compared later.
pub fn start_clock() {
    anchor();
}

fn moment(line: &str) -> Option<Instant> {
    let at: jiff::Timestamp = line.split(' ').next()?.parse().ok()?;
    let (instant, unix) = anchor();
    Some(instant + Duration::from_millis(u64::try_from(at.as_millisecond()).ok()?.saturating_sub(unix.0)))
}

/// The value of a field in a line of text.
fn field(line: &str, name: &str) -> Option<u64> {
    line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

/// Adds the sessions of one life of a node, by what it said until it died.
pub fn collect(sessions: &mut Sessions, said: &str, died: Instant) {
    let mut open = BTreeMap::<(u64, u64, u64), Session>::new();
    let mut close = |group: u64, session: Session| sessions.entry(group).or_default().push(session);
    for line in said.lines() {
        let begins = line.contains("the session begins");
        if !begins && !line.contains("the session has ended") {
            continue;
        }
        let fields = (field(line, "group"), field(line, "term"), field(line, "grant"));
        let (Some(at), (Some(group), Some(term), Some(grant))) = (moment(line), fields) else { continue };
        let before = match begins {
            true => open.insert((group, term, grant), Session { begin: at, end: None }),
            false => open.remove(&(group, term, grant)),
        };
        if let Some(session) = before {
            close(group, Session { end: Some(at), ..session });
        }
    }
    for ((group, ..), session) in open {
        close(group, Session { end: Some(died), ..session });
    }
    sessions.values_mut().for_each(|sessions| sessions.sort_by_key(|session| session.begin));
}

/// The form of the lines is the product's; this is what the test reads out of them.
#[test]
fn sessions_are_read_from_a_nodes_log() {
    let (now, unix) = anchor();
    let line = |after_ms: u64, what: &str, rest: &str| {
        let at = jiff::Timestamp::from_millisecond((unix.0 + after_ms) as i64).unwrap();
        format!("{at:.3}  INFO pelton_dispatcher::dispatcher: {what} {rest}\n")
    };
    let said = line(2_000, "the session begins", "group=2 term=3 grant=4294967297")
        + &line(3_000, "something else", "group=2 term=3 grant=4294967297")
        + &line(5_000, "the session begins", "group=1 term=1 grant=4294967297")
        + &line(9_000, "the session has ended", "group=2 term=3 grant=4294967297");
    let mut sessions = Sessions::new();
    let died = now + Duration::from_secs(20);
    collect(&mut sessions, &said, died);
    let second = |seconds: u64| now + Duration::from_secs(seconds);
    assert_eq!(sessions[&2], vec![Session { begin: second(2), end: Some(second(9)) }]);
    assert_eq!(sessions[&1], vec![Session { begin: second(5), end: Some(died) }]);
}
