//! Text that goes to a terminal or a log: nothing in it may move the cursor, change the colour or begin a line.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::IsTerminal as _;

/// `text` on one line and harmless: control characters, bidirectional controls and line separators become escapes.
///
/// Everything else stays as it is, so ordinary text in any script is readable.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_dangerous(c) => write!(out, "\\u{{{:x}}}", u32::from(c)).expect("a String takes every write"),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// As [`escape`], but line breaks and tabs stay: for text that is shown as a block.
#[must_use]
pub fn escape_block(text: &str) -> String {
    text.split('\n')
        .map(|line| line.split('\t').map(escape).collect::<Vec<_>>().join("\t"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Whether a character can do something to a terminal, or to the reading order of the text around it.
#[must_use]
pub fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Colours, when the output is a terminal and `NO_COLOR` is not set.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    on: bool,
}

/// What a piece of text means; the colour follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It worked.
    Good,
    /// It did not.
    Bad,
    /// Worth a look.
    Notice,
    /// Of less interest.
    Faint,
    /// A heading.
    Strong,
}

impl Paint {
    /// For standard output as it is.
    #[must_use]
    pub fn stdout() -> Self {
        Self { on: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) }
    }

    /// No colours.
    #[cfg(test)]
    pub fn plain() -> Self {
        Self { on: false }
    }

    /// `text` in the colour of its tone. The text is not escaped here.
    #[must_use]
    pub fn tone<T: fmt::Display>(self, tone: Tone, text: T) -> Painted<T> {
        Painted { on: self.on, tone, text }
    }
}

/// Text with a colour around it.
#[derive(Debug)]
pub struct Painted<T> {
    on: bool,
    tone: Tone,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.on {
            return self.text.fmt(f);
        }
        let code = match self.tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Notice => "33",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        write!(f, "\x1b[{code}m")?;
        self.text.fmt(f)?;
        f.write_str("\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The attacks of log injection: line breaks, terminal sequences, NUL, bidirectional overrides.
    #[test]
    fn what_could_act_on_a_terminal_is_escaped() {
        for (text, want) in [
            ("plain", "plain"),
            ("größe 日本語 🎉", "größe 日本語 🎉"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\x1b[31mred", "\\u{1b}[31mred"),
            ("\0\x07\x7f\u{9b}", "\\u{0}\\u{7}\\u{7f}\\u{9b}"),
            ("a\u{202e}b\u{2066}c\u{200f}", "a\\u{202e}b\\u{2066}c\\u{200f}"),
            ("a\u{2028}b", "a\\u{2028}b"),
        ] {
            assert_eq!(escape(text), want, "{text:?}");
        }
        assert_eq!(escape_block("a\tb\n\x1bc"), "a\tb\n\\u{1b}c");
    }
}
