use super::error::{JsonFault, ScanError};
use super::string::RawString;
use crate::limits::MAX_DATA_NESTING;

/// Whether the bytes are one JSON value in UTF-8, white space around it allowed, nested no deeper than is allowed.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let mut scanner = Scanner::new(text);
    scanner.skip_space();
    scanner.skip_value(MAX_DATA_NESTING).is_ok() && scanner.at_end().is_ok()
}

/// Walks over JSON text, checking the grammar, without recursion and without memory beyond one bit a level.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// One bit a level: set for an object. Two levels more than data may have, for the envelope and a batch.
const STACK_WORDS: usize = (MAX_DATA_NESTING + 2).div_ceil(64);

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Offset in bytes of what comes next.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(crate) fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes the byte if it comes next.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.take(byte) { Ok(()) } else { Err(self.fault(JsonFault::Syntax)) }
    }

    /// Nothing but white space may follow.
    pub(crate) fn at_end(&mut self) -> Result<(), ScanError> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.fault(JsonFault::Syntax)) }
    }

    /// Reads a string; the escapes in it are checked and left as they are.
    pub(crate) fn string(&mut self) -> Result<RawString<'a>, ScanError> {
        self.expect(b'"')?;
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut has_escape = false;
        loop {
            // Past the plain characters in one go; this loop is where most of the time is spent.
            let rest = &bytes[self.at..];
            self.at += rest.iter().position(|&byte| IS_STRING_STOP[usize::from(byte)]).unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => {
                    let inner = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(RawString { inner, has_escape });
                }
                Some(b'\\') => {
                    has_escape = true;
                    self.at += 1;
                    self.escape()?;
                }
                // A control character, or the end of the text.
                _ => return Err(self.fault(JsonFault::Syntax)),
            }
        }
    }

    /// Passes over a whole value, whatever it is, and gives its text. Arrays and objects inside it may go `max_depth`
    /// deep.
    pub(crate) fn skip_value(&mut self, max_depth: usize) -> Result<&'a str, ScanError> {
        let start = self.at;
        let max_depth = max_depth.min(STACK_WORDS * 64);
        let mut stack = [0_u64; STACK_WORDS];
        let mut depth = 0;
        loop {
            // At the start of a value.
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if depth == max_depth {
                        return Err(self.fault(JsonFault::TooDeep));
                    }
                    let is_object = open == b'{';
                    let bit = 1 << (depth % 64);
                    stack[depth / 64] = (stack[depth / 64] & !bit) | if is_object { bit } else { 0 };
                    self.at += 1;
                    self.skip_space();
                    if !self.take(if is_object { b'}' } else { b']' }) {
                        depth += 1;
                        if is_object {
                            self.member_name()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                }
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') => self.literal("null")?,
                _ => return Err(self.fault(JsonFault::Syntax)),
            }
            // At the end of a value: close what ends with it, until something follows.
            loop {
                if depth == 0 {
                    return Ok(&self.text[start..self.at]);
                }
                let is_object = stack[(depth - 1) / 64] & (1 << ((depth - 1) % 64)) != 0;
                self.skip_space();
                if self.take(b',') {
                    self.skip_space();
                    if is_object {
                        self.member_name()?;
                    }
                    break;
                }
                self.expect(if is_object { b'}' } else { b']' })?;
                depth -= 1;
            }
        }
    }

    /// A name, the colon and the space up to the value.
    fn member_name(&mut self) -> Result<(), ScanError> {
        self.string()?;
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        Ok(())
    }

    /// Reads a number by the grammar of RFC 8259, section 6, and gives its text.
    pub(crate) fn number(&mut self) -> Result<&'a str, ScanError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.fault(JsonFault::Syntax)) } else { Ok(()) }
    }

    pub(crate) fn literal(&mut self, word: &str) -> Result<(), ScanError> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.fault(JsonFault::Syntax))
    }

    fn escape(&mut self) -> Result<(), ScanError> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.fault(JsonFault::Syntax));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.fault(JsonFault::Syntax)),
        }
        Ok(())
    }

    pub(crate) fn fault(&self, fault: JsonFault) -> ScanError {
        ScanError { fault, at: self.at }
    }
}

/// The bytes that end a plain stretch of a string: the quote, the backslash and control characters.
static IS_STRING_STOP: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    /// RFC 8259, section by section.
    #[test]
    fn the_grammar_of_json() {
        for (text, want) in [
            ("null", true),
            (" true\t\r\n", true),
            ("false", true),
            ("0", true),
            ("-0", true),
            ("-0.0e+0", true),
            ("1e400", true),
            ("12345678901234567890123", true),
            ("1.10", true),
            ("\"\"", true),
            ("\"\\ud800\"", true),
            ("\"\\u00e9\\\\\\/\\b\"", true),
            ("\"\u{7f}é😀\"", true),
            ("[]", true),
            ("[ ]", true),
            ("{ }", true),
            ("[1,[2,{\"a\":[]}],3]", true),
            ("{\"a\":1,\"a\":{}}", true),
            ("[{},[],[{}]]", true),
            ("", false),
            (" ", false),
            ("nul", false),
            ("True", false),
            ("01", false),
            ("+1", false),
            ("1.", false),
            (".5", false),
            ("1e", false),
            ("--1", false),
            ("1 2", false),
            ("\"", false),
            ("\"\\x\"", false),
            ("\"\\u12g4\"", false),
            ("\"\n\"", false),
            ("'a'", false),
            ("[1,]", false),
            ("[,1]", false),
            ("[1 2]", false),
            ("[1}", false),
            ("{\"a\":1]", false),
            ("{\"a\"}", false),
            ("{\"a\":}", false),
            ("{\"a\":1,}", false),
            ("{a:1}", false),
            ("[", false),
            ("{\"a\":[", false),
            ("]", false),
            ("NaN", false),
            ("\u{feff}1", false),
        ] {
            assert_eq!(is_value(text.as_bytes()), want, "{text:?}");
        }
        assert!(!is_value(b"\"\xff\""));
    }

    #[test]
    fn nesting_is_bounded_and_needs_no_stack() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert!(is_value(nested(MAX_DATA_NESTING).as_bytes()), "{open}");
            assert!(!is_value(nested(MAX_DATA_NESTING + 1).as_bytes()), "{open}");
            assert!(!is_value(nested(1_000_000).as_bytes()), "{open}");
            assert!(!is_value(open.repeat(1_000_000).as_bytes()), "{open}");
        }
    }

    proptest! {
        /// The scanner takes exactly what an independent parser takes.
        #[test]
        fn agrees_with_serde_json(text in "[\\[\\]{}:,\"\\\\ a0-9eEu.+\\-]{0,24}|(true|null|false|\\[|\\]|\\{|\\}|\"a\"|:|,|1\\.5| ){0,12}") {
            let want = serde_json::from_str::<&RawValue>(&text).is_ok();
            prop_assert_eq!(is_value(text.as_bytes()), want, "{:?}", text);
        }
    }
}
