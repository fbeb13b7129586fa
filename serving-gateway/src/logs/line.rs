//! One line of a log, as a value and as it is written.

use std::fmt;
use std::io::Write as _;
use std::sync::Arc;

use pelton_env::UnixMillis;

use crate::runtime::InstanceId;

/// The longest piece of a line, in bytes. What is longer is cut into pieces.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// Which of its two outputs an instance printed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Its output.
    Stdout,
    /// Its messages.
    Stderr,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        })
    }
}

/// One line that an instance printed, or a piece of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was read.
    pub at: UnixMillis,
    /// Who printed it.
    pub instance: InstanceId,
    /// Where to.
    pub stream: Stream,
    /// Whether the next line of this instance and stream goes on where this one was cut.
    pub goes_on: bool,
    /// The bytes, without the end of the line: any but that, and no more than [`MAX_LINE_BYTES`]. They are shown as they
    /// are; a terminal must be spared what controls it.
    pub text: Vec<u8>,
}

/// What a line of a file is.
#[derive(Debug, PartialEq, Eq)]
pub enum Record {
    /// A line.
    Line(Line),
    /// So many lines were dropped here.
    Dropped(u64),
}

/// What stands before the text of a line: `1700000000000 hello-00001-5d stdout `, with `+` when it goes on.
pub fn write_line(
    out: &mut Vec<u8>,
    at: UnixMillis,
    instance: &InstanceId,
    stream: Stream,
    goes_on: bool,
    text: &[u8],
) {
    let cut = if goes_on { "+" } else { "" };
    write!(out, "{} {instance} {stream}{cut} ", at.0).expect("memory takes all");
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// In place of lines that were dropped: `1700000000000 - dropped 17`.
pub fn write_dropped(out: &mut Vec<u8>, at: UnixMillis, lines: u64) {
    writeln!(out, "{} - dropped {lines}", at.0).expect("memory takes all");
}

impl Record {
    /// Reads what was written, without the end of the line. `None` when it is nothing of ours, or only a part.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = bytes.splitn(4, |byte| *byte == b' ');
        let mut field = || fields.next();
        let at = UnixMillis(number(field()?)?);
        let instance = std::str::from_utf8(field()?).ok()?;
        let kind = field()?;
        let text = field()?;
        let (stream, goes_on) = match kind {
            b"dropped" => return Some(Self::Dropped(number(text)?)),
            b"stdout" => (Stream::Stdout, false),
            b"stdout+" => (Stream::Stdout, true),
            b"stderr" => (Stream::Stderr, false),
            b"stderr+" => (Stream::Stderr, true),
            _ => return None,
        };
        Some(Self::Line(Line { at, instance: InstanceId(Arc::from(instance)), stream, goes_on, text: text.to_vec() }))
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
