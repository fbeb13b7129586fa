//! What becomes of the objects of one kind: a list, and a watch that goes on from it for ever.

use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::call::{CallError, call};
use crate::pause::Pause;

/// How many objects are asked for at a time.
const PAGE: u32 = 500;

/// How long a watch lasts before it is renewed: before a connection that is dead without a word would be noticed otherwise.
const WATCH_SECONDS: u32 = 60;

/// The longest pause between two tries to watch.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A watch that lasted so long was well.
const SOUND_AFTER: Duration = Duration::from_secs(1);

/// Something that becomes of objects.
#[derive(Debug)]
pub enum Change<K> {
    /// These are all there are.
    Listed(Vec<K>),
    /// One is so.
    Is(K),
    /// One is no more, and was so last.
    Gone(K),
}

/// The objects that a watch is about.
#[derive(Debug, Clone)]
pub struct Watched<K> {
    /// Those of one kind in one namespace.
    pub api: Api<K>,
    /// Of these, the ones with these labels.
    pub selector: String,
}

/// What a watch needs of a kind.
pub trait Kind: Resource + Clone + Debug + DeserializeOwned + Send + 'static {}

impl<K: Resource + Clone + Debug + DeserializeOwned + Send + 'static> Kind for K {}

impl<K: Kind> Watched<K> {
    /// All there are, and the version as of which that is so.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn list(&self) -> Result<(Vec<K>, String), CallError> {
        let mut all = Vec::new();
        let mut params = ListParams::default().labels(&self.selector).limit(PAGE);
        loop {
            let page = call(self.api.list(&params)).await?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok((all, page.metadata.resource_version.unwrap_or_default())),
            }
        }
    }

    /// Hears what becomes of them after `version`, for ever. When that version is forgotten they are listed anew.
    pub async fn follow(self, version: String, mut hear: impl FnMut(Change<K>)) {
        let mut version = Some(version);
        let mut pause = Pause::new(LONGEST_PAUSE);
        loop {
            let began = Instant::now();
            let outcome = match version.take() {
                Some(from) => {
                    let (ended, outcome) = self.watch(from, &mut hear).await;
                    version = Some(ended);
                    outcome
                }
                None => self.list().await.map(|(objects, as_of)| {
                    hear(Change::Listed(objects));
                    version = Some(as_of);
                }),
            };
            match outcome {
                Ok(()) => {}
                Err(error) if error.is_expired() => {
                    tracing::debug!(selector = self.selector, "what a watch was to go on from is forgotten");
                    version = None;
                }
                Err(error) => tracing::debug!(selector = self.selector, %error, "a watch was interrupted"),
            }
            if began.elapsed() >= SOUND_AFTER {
                pause.reset();
            }
            pause.wait().await;
        }
    }

    /// Hears what becomes of them until the watch ends. Gives the version up to which all was heard.
    async fn watch(&self, mut version: String, hear: &mut impl FnMut(Change<K>)) -> (String, Result<(), CallError>) {
        let params = WatchParams::default().labels(&self.selector).timeout(WATCH_SECONDS);
        let events = match call(self.api.watch(&params, &version)).await {
            Ok(events) => events,
            Err(error) => return (version, Err(error)),
        };
        let mut events = pin!(events.map_err(CallError::from));
        while let Some(event) = events.next().await {
            match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    version = object.resource_version().unwrap_or(version);
                    hear(Change::Is(object));
                }
                Ok(WatchEvent::Deleted(object)) => {
                    version = object.resource_version().unwrap_or(version);
                    hear(Change::Gone(object));
                }
                Ok(WatchEvent::Bookmark(mark)) => version = mark.metadata.resource_version,
                Ok(WatchEvent::Error(status)) => return (version, Err(kube::Error::Api(status).into())),
                Err(error) => return (version, Err(error)),
            }
        }
        (version, Ok(()))
    }
}

/// The value of a label, or nothing.
pub fn label<'a>(object: &'a impl Resource, name: &str) -> &'a str {
    object.meta().labels.as_ref().and_then(|labels| labels.get(name)).map_or("", String::as_str)
}
