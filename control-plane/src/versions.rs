//! Which version of the resources a request wants, and waiting for it.

use std::sync::Arc;
use std::time::Duration;

use pelton_client::Resources;
use pelton_client::version::version_after;
use tokio::sync::watch;

use crate::query::Query;
use crate::status::ApiError;

/// How long a version that is not reached yet is waited for.
const WAIT: Duration = Duration::from_secs(3);

/// What a request says about versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: what is known now.
    Any,
    /// At least this one.
    AtLeast(u64),
    /// This one and no other.
    Exactly(u64),
}

/// What a list or a get wants.
///
/// # Errors
/// The parameters cannot be read, or do not fit together.
pub fn wanted(query: &Query) -> Result<Wanted, ApiError> {
    let version = version(query)?;
    match (query.text("resourceVersionMatch"), version) {
        (None, None | Some(0)) => Ok(Wanted::Any),
        (None | Some("NotOlderThan"), Some(version)) => Ok(Wanted::AtLeast(version)),
        (Some("Exact"), Some(version)) if version > 0 => Ok(Wanted::Exactly(version)),
        (Some("Exact"), Some(_)) => Err(ApiError::invalid_options(
            "ListOptions",
            "resourceVersionMatch",
            "Forbidden: \"Exact\" is forbidden for resourceVersion \"0\"",
        )),
        (Some("Exact" | "NotOlderThan"), None) => {
            let why = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided";
            Err(ApiError::invalid_options("ListOptions", "resourceVersionMatch", why))
        }
        (Some(other), _) => {
            let why = format!("Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\"");
            Err(ApiError::invalid_options("ListOptions", "resourceVersionMatch", &why))
        }
    }
}

/// The `resourceVersion` of a query.
///
/// # Errors
/// It is no number.
pub fn version(query: &Query) -> Result<Option<u64>, ApiError> {
    query.text("resourceVersion").map(parse).transpose()
}

/// Reads a version.
///
/// # Errors
/// It is none.
pub fn parse(text: &str) -> Result<u64, ApiError> {
    let bad = |_| ApiError::bad_request(format!("resourceVersion: Invalid value: {text:?}: it is none of this server"));
    text.parse().map_err(bad)
}

/// The version of a whole state of the resources.
#[must_use]
pub fn of(resources: &Resources) -> u64 {
    version_after(resources.version)
}

/// The resources, once they are what is wanted.
///
/// # Errors
/// The version is not reached in time, or is over.
pub async fn reach(mut resources: watch::Receiver<Arc<Resources>>, wanted: Wanted) -> Result<Arc<Resources>, ApiError> {
    let least = match wanted {
        Wanted::Any => 0,
        Wanted::AtLeast(version) | Wanted::Exactly(version) => version,
    };
    let reached = async { resources.wait_for(|resources| of(resources) >= least).await.map(|found| found.clone()) };
    let reached = tokio::time::timeout(WAIT, reached).await;
    let found = match reached {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => return Err(ApiError::unavailable("the server is going down")),
        Err(_) => return Err(ApiError::version_too_large(least, of(&resources.borrow()))),
    };
    match wanted {
        Wanted::Exactly(version) if of(&found) != version => Err(ApiError::expired()),
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_read_as_kubernetes_reads_it() {
        for (query, want) in [
            ("", Ok(Wanted::Any)),
            ("resourceVersion=0", Ok(Wanted::Any)),
            ("resourceVersion=", Ok(Wanted::Any)),
            ("resourceVersion=7", Ok(Wanted::AtLeast(7))),
            ("resourceVersion=7&resourceVersionMatch=NotOlderThan", Ok(Wanted::AtLeast(7))),
            ("resourceVersion=7&resourceVersionMatch=Exact", Ok(Wanted::Exactly(7))),
            ("resourceVersion=x", Err(400)),
            ("resourceVersionMatch=Exact", Err(422)),
            ("resourceVersion=0&resourceVersionMatch=Exact", Err(422)),
            ("resourceVersion=7&resourceVersionMatch=Newest", Err(422)),
        ] {
            let got = wanted(&Query::parse(query)).map_err(|error| error.code.as_u16());
            assert_eq!(got, want, "{query}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_that_comes_is_waited_for() {
        let (sender, receiver) = watch::channel(Arc::new(Resources::default().with([], 3)));
        let next = Arc::new(Resources::default().with([], 4));
        let reaching = reach(receiver.clone(), Wanted::AtLeast(version_after(4)));
        let (reached, _) = tokio::join!(reaching, async { sender.send_replace(next) });
        assert_eq!(reached.unwrap().version, 4);
        let error = reach(receiver.clone(), Wanted::AtLeast(version_after(5))).await.unwrap_err();
        assert_eq!((error.code.as_u16(), error.details.causes[0].reason), (504, "ResourceVersionTooLarge"));
        let error = reach(receiver, Wanted::Exactly(version_after(3))).await.unwrap_err();
        assert_eq!(error.reason, "Expired");
    }
}
