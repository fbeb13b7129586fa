//! What the query of a request says.

use percent_encoding::percent_decode_str;

use crate::status::ApiError;

/// The members of a query, decoded. Those that nobody knows are nobody's business.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands behind the `?`. Empty members are skipped: some clients send `?&limit=500`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let members = text.split('&').filter(|member| !member.is_empty());
        Self(members.map(|member| member.split_once('=').unwrap_or((member, ""))).map(decoded).collect())
    }

    /// These members with others before them, which count where both have one.
    #[must_use]
    pub fn with(&self, others: Self) -> Self {
        Self(others.0.into_iter().chain(self.0.iter().cloned()).collect())
    }

    /// The first member of that name. An empty one is as good as none.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// All members of that name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a member is `true`, as Go reads it.
    ///
    /// # Errors
    /// It is neither true nor false.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.text(name) {
            None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some(other) => Err(ApiError::bad_request(format!("{name}: {other:?} is neither true nor false"))),
        }
    }

    /// A number that is not negative.
    ///
    /// # Errors
    /// It is none.
    pub fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let bad = |_| ApiError::bad_request(format!("{name}: {text:?} is not a number that can be used here"));
        text.parse().map(Some).map_err(bad)
    }
}

fn decoded((key, value): (&str, &str)) -> (String, String) {
    (decode(key), decode(value))
}

/// Undoes percent-coding and `+`; bytes that are no UTF-8 are replaced, and what is no code stays.
fn decode(text: &str) -> String {
    decode_segment(&text.replace('+', " "))
}

/// A segment of a path, decoded. A `+` is a plus there.
#[must_use]
pub fn decode_segment(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_and_decoded() {
        let query = Query::parse("&limit=500&labelSelector=a%3Db%2Cc+in+%28d%29&watch=1&x&dryRun=All&dryRun=None&e=");
        assert_eq!(query.text("labelSelector"), Some("a=b,c in (d)"));
        assert_eq!((query.text("x"), query.text("e"), query.text("nothing")), (None, None, None));
        assert_eq!(query.all("dryRun").collect::<Vec<_>>(), ["All", "None"]);
        assert_eq!((query.number("limit"), query.number("nothing")), (Ok(Some(500)), Ok(None)));
        assert_eq!((query.flag("watch"), query.flag("nothing")), (Ok(true), Ok(false)));
        for bad in ["limit=-1", "limit=a", "limit=99999999999999999999"] {
            assert!(Query::parse(bad).number("limit").is_err(), "{bad}");
        }
        assert!(Query::parse("watch=maybe").flag("watch").is_err());
        assert_eq!(Query::parse(""), Query::default());
        assert_eq!(decode_segment("a%2fb+c"), "a/b+c");
        assert_eq!(Query::parse("x=%zz%+f%").text("x"), Some("%zz% f%"));
    }
}
