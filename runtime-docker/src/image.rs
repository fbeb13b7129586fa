//! The image of a revision: what its name says, and when it is fetched.

use std::fmt;

use pelton_serving_gateway::runtime::PullPolicy;

use crate::engine::{Engine, EngineError};

/// The tag of a name without one. Without a tag the engine would fetch all that there are.
const LATEST: &str = "latest";

/// The reference of an image: `name`, `name:tag`, `name@sha256:...`, with the host of a registry before it or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    text: String,
    name: String,
    tag_or_digest: String,
}

impl Reference {
    /// Reads a reference. `None` when it is none; the engine knows more rules than the characters.
    pub fn parse(text: &str) -> Option<Self> {
        let is_known = |c: char| c.is_ascii_alphanumeric() || "._-/:@+[]".contains(c);
        if text.is_empty() || !text.chars().all(is_known) || text.split('/').any(|part| matches!(part, "" | "." | ".."))
        {
            return None;
        }
        let (tagged, digest) = match text.split_once('@') {
            Some((tagged, digest)) => (tagged, Some(digest)),
            None => (text, None),
        };
        // A colon before a slash is that of a port.
        let (name, tag) = match tagged.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (tagged, None),
        };
        let tag_or_digest = digest.or(tag).unwrap_or(LATEST);
        let is_whole = !name.is_empty() && !tag_or_digest.is_empty();
        is_whole.then(|| Self { text: text.to_owned(), name: name.to_owned(), tag_or_digest: tag_or_digest.to_owned() })
    }

    /// Without tag and digest.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The digest, else the tag.
    pub fn tag_or_digest(&self) -> &str {
        &self.tag_or_digest
    }
}

/// As it was written.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum NoImage {
    /// It must not be fetched.
    #[error("the image {0} is not there, and imagePullPolicy is Never")]
    NotThere(Reference),
    /// It cannot be fetched, or it is not known whether it is there.
    #[error("the image {image} cannot be had")]
    Engine {
        /// Which.
        image: Reference,
        /// Why not.
        source: EngineError,
    },
}

/// Sees to it that an image is there.
///
/// # Errors
/// [`NoImage`].
pub async fn provide(engine: &Engine, image: &Reference, policy: PullPolicy) -> Result<(), NoImage> {
    let failed = |source| NoImage::Engine { image: image.clone(), source };
    let is_there = match policy {
        PullPolicy::Always => false,
        PullPolicy::IfNotPresent | PullPolicy::Never => engine.has_image(image).await.map_err(failed)?,
    };
    match policy {
        _ if is_there => Ok(()),
        PullPolicy::Never => Err(NoImage::NotThere(image.clone())),
        PullPolicy::Always | PullPolicy::IfNotPresent => engine.pull(image).await.map_err(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The grammar of distribution/reference, as far as it matters here.
    #[test]
    fn references_are_split_as_engines_split_them() {
        for (text, want) in [
            ("hello", Some(("hello", "latest"))),
            ("hello:1.2", Some(("hello", "1.2"))),
            ("ghcr.io/team/hello", Some(("ghcr.io/team/hello", "latest"))),
            ("localhost:5000/hello", Some(("localhost:5000/hello", "latest"))),
            ("localhost:5000/hello:v1", Some(("localhost:5000/hello", "v1"))),
            ("[::1]:5000/hello:v1", Some(("[::1]:5000/hello", "v1"))),
            ("hello@sha256:ab", Some(("hello", "sha256:ab"))),
            ("localhost:5000/hello:v1@sha256:ab", Some(("localhost:5000/hello", "sha256:ab"))),
            ("", None),
            ("hello world", None),
            ("hello?all=1", None),
            ("a/../../containers", None),
            ("/hello", None),
            ("hello:", None),
            (":v1", None),
            ("hello@", None),
        ] {
            let read = Reference::parse(text);
            let read = read.as_ref().map(|read| (read.name(), read.tag_or_digest()));
            assert_eq!(read, want, "{text:?}");
        }
    }
}
