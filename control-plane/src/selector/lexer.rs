//! The tokens of label selectors.

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A key, a value, or a word like `in` where it stands for one.
    Word(&'a str),
    Equals,
    DoubleEquals,
    NotEquals,
    Not,
    Comma,
    Open,
    Close,
    /// `>` or `<`, which select nodes and nothing that is served here.
    Order(&'a str),
    End,
}

impl<'a> Token<'a> {
    pub(super) fn text(self) -> &'a str {
        match self {
            Self::Word(text) | Self::Order(text) => text,
            Self::Equals => "=",
            Self::DoubleEquals => "==",
            Self::NotEquals => "!=",
            Self::Not => "!",
            Self::Comma => ",",
            Self::Open => "(",
            Self::Close => ")",
            Self::End => "",
        }
    }
}

/// The text that is still to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lexer<'a>(&'a str);

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The next token, without taking it.
    pub(super) fn peek(self) -> Token<'a> {
        let rest = self.0.trim_start_matches(is_space);
        for token in [Token::DoubleEquals, Token::NotEquals, Token::Equals, Token::Not] {
            if rest.starts_with(token.text()) {
                return token;
            }
        }
        match rest.bytes().next() {
            None => Token::End,
            Some(b',') => Token::Comma,
            Some(b'(') => Token::Open,
            Some(b')') => Token::Close,
            Some(b'<' | b'>') => Token::Order(&rest[..1]),
            Some(_) => {
                let end = rest.find(|c| is_space(c) || "=!(),<>".contains(c)).unwrap_or(rest.len());
                Token::Word(&rest[..end])
            }
        }
    }

    pub(super) fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.0 = &self.0.trim_start_matches(is_space)[token.text().len()..];
        token
    }
}

/// No other white space is any to Kubernetes.
fn is_space(c: char) -> bool {
    [' ', '\t', '\r', '\n'].contains(&c)
}
