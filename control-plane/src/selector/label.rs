//! Label selectors.

use std::collections::{BTreeMap, BTreeSet};

use super::error::SelectorError;
use super::lexer::{Lexer, Token};
use super::names::{check_key, check_value};

/// What the labels of an object have to be. The empty selector takes every object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    Exists,
    Absent,
    /// `=` and `==` are `in` with one value.
    In(BTreeSet<String>),
    /// `!=` is `notin` with one value. Both take objects without the key.
    NotIn(BTreeSet<String>),
}

impl LabelSelector {
    /// Reads `a=b,c==d,e!=f,g in (h,i),j notin (k),l,!m`, with white space between words as it likes.
    ///
    /// A value may be empty: `a=`, `a in ()` and `a in (,)` all ask for that one. `in` and `notin` are keys and values
    /// where those are expected.
    ///
    /// # Errors
    /// When the text is too long, does not follow the grammar, or names what no label can be.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        super::check_length(text)?;
        let mut lexer = Lexer::new(text);
        let mut requirements = Vec::new();
        if lexer.peek() == Token::End {
            return Ok(Self(requirements));
        }
        loop {
            requirements.push(requirement(&mut lexer)?);
            match lexer.next() {
                Token::End => return Ok(Self(requirements)),
                Token::Comma => {}
                found => return Err(unexpected(found, "',' or 'end of string'")),
            }
        }
    }

    /// Whether every object is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object with these labels is taken.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|Requirement { key, operator }| {
            let value = labels.get(key);
            match operator {
                Operator::Exists => value.is_some(),
                Operator::Absent => value.is_none(),
                Operator::In(values) => value.is_some_and(|value| values.contains(value)),
                Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            }
        })
    }
}

fn requirement(lexer: &mut Lexer<'_>) -> Result<Requirement, SelectorError> {
    let is_absent = lexer.peek() == Token::Not;
    if is_absent {
        lexer.next();
    }
    let key = match lexer.next() {
        Token::Word(word) => word,
        found => return Err(unexpected(found, if is_absent { "identifier" } else { "!, identifier" })),
    };
    check_key(key).map_err(|reason| SelectorError::Key { key: key.to_owned(), reason })?;
    if is_absent {
        return Ok(Requirement { key: key.to_owned(), operator: Operator::Absent });
    }
    if matches!(lexer.peek(), Token::End | Token::Comma) {
        return Ok(Requirement { key: key.to_owned(), operator: Operator::Exists });
    }
    let operator = match lexer.next() {
        Token::Equals | Token::DoubleEquals => Operator::In(one_value(lexer, key)?),
        Token::NotEquals => Operator::NotIn(one_value(lexer, key)?),
        Token::Word("in") => Operator::In(values(lexer, key)?),
        Token::Word("notin") => Operator::NotIn(values(lexer, key)?),
        found => return Err(unexpected(found, "in, notin, =, ==, !=")),
    };
    Ok(Requirement { key: key.to_owned(), operator })
}

fn one_value(lexer: &mut Lexer<'_>, key: &str) -> Result<BTreeSet<String>, SelectorError> {
    Ok(BTreeSet::from([value(lexer, key)?]))
}

fn values(lexer: &mut Lexer<'_>, key: &str) -> Result<BTreeSet<String>, SelectorError> {
    let open = lexer.next();
    if open != Token::Open {
        return Err(unexpected(open, "'('"));
    }
    let mut values = BTreeSet::new();
    loop {
        values.insert(value(lexer, key)?);
        match lexer.next() {
            Token::Close => return Ok(values),
            Token::Comma => {}
            found => return Err(unexpected(found, "',' or ')'")),
        }
    }
}

/// A word; or nothing, which is the empty value, where no word stands. What stands there then is for the caller.
fn value(lexer: &mut Lexer<'_>, key: &str) -> Result<String, SelectorError> {
    let Token::Word(value) = lexer.peek() else { return Ok(String::new()) };
    lexer.next();
    let (key, value) = (key.to_owned(), value.to_owned());
    match check_value(&value) {
        Ok(()) => Ok(value),
        Err(reason) => Err(SelectorError::Value { key, value, reason }),
    }
}

fn unexpected(found: Token<'_>, expected: &'static str) -> SelectorError {
    SelectorError::Unexpected { found: found.text().to_owned(), expected }
}

#[cfg(test)]
mod tests;
