//! The token that a request shows.

use http::{HeaderMap, header};

/// What stands in `Authorization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    /// Nothing.
    Nothing,
    /// A token.
    Token(&'a str),
    /// Something else, or several.
    Other,
}

/// The token of a request.
pub fn shown(headers: &HeaderMap) -> Shown<'_> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = all.next() else { return Shown::Nothing };
    if all.next().is_some() {
        return Shown::Other;
    }
    let scheme_and_token = first.to_str().ok().and_then(|text| text.trim().split_once(' '));
    match scheme_and_token {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Shown::Token(token.trim())
        }
        _ => Shown::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bearer_token_is_taken() {
        let rows: &[(&[&str], Shown<'_>)] = &[
            (&[], Shown::Nothing),
            (&["Bearer abc"], Shown::Token("abc")),
            (&["bearer  abc "], Shown::Token("abc")),
            (&["Bearer "], Shown::Other),
            (&["Bearer"], Shown::Other),
            (&["Basic abc"], Shown::Other),
            (&[""], Shown::Other),
            (&["Bearer a", "Bearer b"], Shown::Other),
        ];
        for (values, want) in rows {
            let mut headers = HeaderMap::new();
            for value in *values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(shown(&headers), *want, "{values:?}");
        }
    }
}
