//! What a watch is asked to be.

use std::time::Duration;

use pelton_env::Chance;

use crate::query::Query;
use crate::status::ApiError;
use crate::versions;

/// How often a watcher that wants to know is told how far everything was told, though nothing changes.
pub const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// How long a watch lasts that does not say: at least, and at most as much more.
const LENGTH: Duration = Duration::from_secs(30 * 60);

/// The longest that may be asked for.
const MAX_LENGTH: Duration = Duration::from_secs(24 * 60 * 60);

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With everything that is there.
    Everything,
    /// With what changed after a version.
    After(u64),
    /// With what changes from now on.
    Now,
}

/// What a watch is asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Where it begins.
    pub start: Start,
    /// The version that must be reached before.
    pub at_least: u64,
    /// Whether the end of what is there is marked.
    pub marks_initial_end: bool,
    /// Whether it is told how far everything was told.
    pub allows_bookmarks: bool,
    /// How long it lasts.
    pub length: Duration,
}

/// What a query asks for.
///
/// # Errors
/// It cannot be read, or asks for what does not fit together.
pub fn options(query: &Query, chance: &dyn Chance) -> Result<Options, ApiError> {
    let allows_bookmarks = query.flag("allowWatchBookmarks")?;
    let version = versions::version(query)?;
    let length = match query.number("timeoutSeconds")? {
        Some(seconds) if seconds > 0 => Duration::from_secs(seconds).min(MAX_LENGTH),
        _ => LENGTH + LENGTH.mul_f64(chance.unit()),
    };
    let matching = query.text("resourceVersionMatch");
    let base = Options { start: Start::Now, at_least: 0, marks_initial_end: false, allows_bookmarks, length };
    if query.text("sendInitialEvents").is_none() {
        if matching.is_some() {
            let why = "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            return Err(ApiError::invalid_options("ListOptions", "resourceVersionMatch", why));
        }
        return Ok(match version {
            None | Some(0) => Options { start: Start::Everything, ..base },
            Some(version) => Options { start: Start::After(version), at_least: version, ..base },
        });
    }
    let sends = query.flag("sendInitialEvents")?;
    if matching != Some("NotOlderThan") {
        let why = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        return Err(ApiError::invalid_options("ListOptions", "resourceVersionMatch", why));
    }
    let at_least = version.unwrap_or(0);
    Ok(match (sends, version) {
        // The end is marked by a bookmark, so only for those who take them.
        (true, _) => Options { start: Start::Everything, at_least, marks_initial_end: allows_bookmarks, ..base },
        (false, None | Some(0)) => base,
        (false, Some(version)) => Options { start: Start::After(version), at_least, ..base },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No dice.
    #[derive(Debug)]
    struct Half;

    impl Chance for Half {
        fn bits(&self) -> u64 {
            1 << 63
        }
    }

    #[test]
    fn a_watch_begins_where_it_is_asked_to() {
        use Start::{After, Everything, Now};
        for (query, want) in [
            ("", Ok((Everything, 0, false))),
            ("resourceVersion=0", Ok((Everything, 0, false))),
            ("resourceVersion=7", Ok((After(7), 7, false))),
            (
                "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
                Ok((Everything, 0, true)),
            ),
            ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=7", Ok((Everything, 7, false))),
            ("sendInitialEvents=false&resourceVersionMatch=NotOlderThan", Ok((Now, 0, false))),
            ("sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=7", Ok((After(7), 7, false))),
            ("sendInitialEvents=true", Err(422)),
            ("resourceVersionMatch=NotOlderThan", Err(422)),
            ("sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=7", Err(422)),
            ("resourceVersion=x", Err(400)),
            ("timeoutSeconds=-1", Err(400)),
        ] {
            let got = options(&Query::parse(query), &Half);
            let got = got.map(|it| (it.start, it.at_least, it.marks_initial_end)).map_err(|e| e.code.as_u16());
            assert_eq!(got, want, "{query}");
        }
        let length = |query: &str| options(&Query::parse(query), &Half).unwrap().length;
        assert_eq!(length("timeoutSeconds=5"), Duration::from_secs(5));
        assert_eq!(length("timeoutSeconds=999999999999"), MAX_LENGTH);
        assert!((LENGTH..LENGTH * 2).contains(&length("timeoutSeconds=0")));
    }
}
