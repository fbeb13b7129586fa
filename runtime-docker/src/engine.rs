//! The Engine API as far as it is needed here, over the engine's Unix socket. Docker speaks it, and Podman.
//!
//! It is spoken by hyper and not by a client library (bollard): generated models refuse a whole answer for one word that
//! they do not know, which Podman's are full of (bollard issues 238, 293, 701), bodies have neither bound nor time limit
//! there, and what is needed is fifteen requests. Here only the fields that are read must be as the API says.

mod answers;
mod error;
mod frames;
mod transport;

pub use answers::Inspected;
pub use error::EngineError;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use pelton_serving_gateway::logs::{LineWriter, Stream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use self::answers::{Created, Info, Listed, Progress, Waited};
use self::frames::Frames;
use self::transport::{ANSWERS_WITHIN, Call, Transport};
use crate::image::Reference;

/// The newest version of the API that this was written for: what engines of 2024 speak, and the oldest of Docker 29.
const NEWEST: Version = Version(1, 44);

/// How long an engine may take to say that it is there: every deployment waits for that.
const PONGS_WITHIN: Duration = Duration::from_secs(10);

/// How long the engine may be silent while it fetches an image.
const PULL_STALLS_AFTER: Duration = Duration::from_secs(5 * 60);

/// The longest line of an image's progress.
const MAX_PROGRESS_BYTES: usize = 1024 * 1024;

/// A version of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

/// What became of a container that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It was there, and is gone.
    Done,
    /// Somebody else had removed it, or is doing so.
    ByOthers,
}

/// An engine.
#[derive(Debug)]
pub struct Engine {
    transport: Transport,
    /// Of the API, once the engine has told its own. What is before each path then.
    prefix: OnceLock<String>,
}

impl Engine {
    /// The engine that listens at that socket. Nothing is asked yet.
    pub fn new(socket: PathBuf) -> Self {
        Self { transport: Transport::new(socket), prefix: OnceLock::new() }
    }

    fn prefix(&self) -> &str {
        self.prefix.get().map_or("", String::as_str)
    }

    /// Agrees on a version of the API. To be called before anything else.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn meet(&self) -> Result<(), EngineError> {
        let call = Call { within: PONGS_WITHIN, ..Call::new(Method::GET, "/_ping") };
        let answer = self.transport.ask(&call, "").await?;
        let told = answer.headers().get("api-version").and_then(|value| value.to_str().ok());
        let theirs = told.and_then(Version::parse);
        let theirs = theirs.ok_or_else(|| call.not_understood("it does not tell its API-Version"))?;
        let Version(major, minor) = theirs.min(NEWEST);
        let _ = self.prefix.set(format!("/v{major}.{minor}"));
        Ok(())
    }

    /// Whether containers can be paused there.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn can_pause(&self) -> Result<bool, EngineError> {
        Ok(self.read::<Info>(&Call::new(Method::GET, "/info")).await?.can_pause())
    }

    /// Whether an image is there.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn has_image(&self, image: &Reference) -> Result<bool, EngineError> {
        match self.done(&Call::new(Method::GET, format!("/images/{image}/json"))).await {
            Ok(()) => Ok(true),
            Err(why) if why.is_not_found() => Ok(false),
            Err(why) => Err(why),
        }
    }

    /// Fetches an image from where its name says, without a password.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn pull(&self, image: &Reference) -> Result<(), EngineError> {
        let (name, tag) = (query(image.name()), query(image.tag_or_digest()));
        let mut call = Call::new(Method::POST, format!("/images/create?fromImage={name}&tag={tag}"));
        call.within = PULL_STALLS_AFTER;
        let mut body = self.transport.open(&call, self.prefix()).await?.into_body();
        let mut line = Vec::new();
        while let Some(mut piece) = next(&call, &mut body, PULL_STALLS_AFTER).await? {
            while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
                line.extend_from_slice(&piece[..end]);
                piece.advance(end + 1);
                progress(&call, &line)?;
                line.clear();
            }
            line.extend_from_slice(&piece);
            if line.len() > MAX_PROGRESS_BYTES {
                return Err(call.not_understood("a line of its progress has no end"));
            }
        }
        progress(&call, &line)
    }

    /// Creates a container of that name. Gives what the engine warns of, such as limits that it cannot set.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn create(&self, name: &str, container: &Value) -> Result<Vec<String>, EngineError> {
        let mut call = Call::new(Method::POST, format!("/containers/create?name={name}"));
        call.body = Some(container.clone());
        Ok(self.read::<Created>(&call).await?.warnings.unwrap_or_default())
    }

    /// Starts a container that was created.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn start(&self, name: &str) -> Result<(), EngineError> {
        self.done(&container(name, "start")).await
    }

    /// What a container is doing.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn inspect(&self, name: &str) -> Result<Inspected, EngineError> {
        self.read(&Call::new(Method::GET, format!("/containers/{name}/json"))).await
    }

    /// Asks a container to end, kills it after that many seconds, and waits for its end.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn stop(&self, name: &str, seconds: u64) -> Result<(), EngineError> {
        let mut call = container(name, &format!("stop?t={seconds}"));
        call.within += Duration::from_secs(seconds);
        self.done(&call).await
    }

    /// Kills a container. It may end a little later.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn kill(&self, name: &str) -> Result<(), EngineError> {
        self.done(&container(name, "kill?signal=SIGKILL")).await
    }

    /// Lets a container stand still.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn pause(&self, name: &str) -> Result<(), EngineError> {
        self.done(&container(name, "pause")).await
    }

    /// Lets a paused container go on.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn unpause(&self, name: &str) -> Result<(), EngineError> {
        self.done(&container(name, "unpause")).await
    }

    /// Waits until a container that was started does not run any more, however long that takes, and gives the code of its
    /// end. It does not wait for the *next* end: Podman may never tell of one that comes at once (podman issue 28514).
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn wait(&self, name: &str) -> Result<i64, EngineError> {
        let call = container(name, "wait");
        // Docker sends the head at once, Podman before 3.0 with the body.
        let unhurried = Call { within: Duration::MAX, ..call };
        Ok(self.read::<Waited>(&unhurried).await?.status_code)
    }

    /// Gives what a container prints to `stdout` and `stderr`, from its beginning on or from now, until it has ended.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn follow(
        &self,
        name: &str,
        from: From,
        stdout: &mut LineWriter,
        stderr: &mut LineWriter,
    ) -> Result<(), EngineError> {
        let tail = match from {
            From::Beginning => "all",
            From::Now => "0",
        };
        let path = format!("/containers/{name}/logs?follow=true&stdout=true&stderr=true&tail={tail}");
        let call = Call::new(Method::GET, path);
        let mut body =
            self.transport.open(&Call { within: Duration::MAX, ..call.clone() }, self.prefix()).await?.into_body();
        let mut frames = Frames::default();
        while let Some(piece) = next(&call, &mut body, Duration::MAX).await? {
            let mut bytes = &*piece;
            while let Some((stream, text)) = frames.next(&mut bytes).map_err(|why| call.not_understood(why))? {
                match stream {
                    Stream::Stdout => stdout.write(text).await,
                    Stream::Stderr => stderr.write(text).await,
                }
            }
        }
        Ok(())
    }

    /// Removes a container, whatever it is doing, with the volumes that have no name.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn remove(&self, name: &str) -> Result<Removal, EngineError> {
        match self.done(&Call::new(Method::DELETE, format!("/containers/{name}?force=true&v=true"))).await {
            Ok(()) => Ok(Removal::Done),
            Err(why) if why.is_not_found() || why.is_conflict() => Ok(Removal::ByOthers),
            Err(why) => Err(why),
        }
    }

    /// Removes all containers with that label, and says how many there were. One that cannot be removed is told to people.
    ///
    /// # Errors
    /// [`EngineError`]: it is not known which there are.
    pub async fn remove_all(&self, label: &str) -> Result<usize, EngineError> {
        let filters = query(&json!({ "label": [label] }).to_string());
        let list = Call::new(Method::GET, format!("/containers/json?all=true&filters={filters}"));
        let found: Vec<Listed> = self.read(&list).await?;
        let mut removed = 0;
        for Listed { id, state } in found {
            if state == "paused" {
                // Not every engine kills what stands still.
                let _ = self.unpause(&id).await;
            }
            match self.remove(&id).await {
                Ok(_) => removed += 1,
                Err(error) => tracing::warn!(id, %error, "a container that nobody needs any more cannot be removed"),
            }
        }
        Ok(removed)
    }

    async fn done(&self, call: &Call) -> Result<(), EngineError> {
        self.transport.ask(call, self.prefix()).await.map(drop)
    }

    async fn read<T: DeserializeOwned>(&self, call: &Call) -> Result<T, EngineError> {
        let answer = self.transport.ask(call, self.prefix()).await?;
        serde_json::from_slice(answer.body()).map_err(|why| call.not_understood(why))
    }
}

/// From where on it is read what a container prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// From the first that it printed.
    Beginning,
    /// From now on.
    Now,
}

fn container(name: &str, verb: &str) -> Call {
    Call { within: ANSWERS_WITHIN, ..Call::new(Method::POST, format!("/containers/{name}/{verb}")) }
}

fn query(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

/// The next piece of a body, which comes within that time.
async fn next(call: &Call, body: &mut Incoming, within: Duration) -> Result<Option<Bytes>, EngineError> {
    loop {
        let frame = timeout(within, body.frame()).await;
        let frame = frame.map_err(|_| EngineError::TooLate { call: call.to_string(), within })?;
        match frame.transpose().map_err(|why| call.no_answer(why))? {
            None => return Ok(None),
            // Trailers are of no use.
            Some(frame) => match frame.into_data() {
                Ok(piece) => return Ok(Some(piece)),
                Err(_) => continue,
            },
        }
    }
}

/// One line of a pull, which may say that it failed.
fn progress(call: &Call, line: &[u8]) -> Result<(), EngineError> {
    if line.trim_ascii().is_empty() {
        return Ok(());
    }
    let progress: Progress = serde_json::from_slice(line).map_err(|why| call.not_understood(why))?;
    match progress.failure() {
        None => Ok(()),
        // The status was sent before it was known.
        Some(message) => Err(EngineError::Refused { call: call.to_string(), status: http::StatusCode::OK, message }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for (text, want) in [
            ("1.9", Some(Version(1, 9))),
            ("1.41", Some(Version(1, 41))),
            ("1.52", Some(NEWEST)),
            ("2.0", Some(NEWEST)),
            ("1", None),
            ("", None),
            ("one.two", None),
        ] {
            assert_eq!(Version::parse(text).map(|theirs| theirs.min(NEWEST)), want, "{text}");
        }
    }
}
