//! Following what becomes of objects, with no polling.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use pelton_control_plane::kinds::Row;
use serde_json::Value;
use tokio::time::sleep;

use super::api::{KubeApi, Place, Selection};
use super::error::{KubeError, Status};
use super::object;
use crate::http::{CallError, Streamed};

/// The longest line of a watch that is read: an object has 2 MiB at most, and whoever wrote which field stands in it as well.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// How often in a row a watch that breaks off is begun anew before that is told.
const RETRIES: u32 = 10;

/// The pause before a watch is begun anew, which doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest such pause.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// What became of an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is there, new or otherwise than before.
    Is(Value),
    /// It is gone. As it was last.
    Gone(Value),
}

/// Follows the objects of a kind: those that there are, and then each change, also over the end of a watch, a connection or
/// a server. When changes were missed, what is there is compared with what was told.
#[derive(Debug)]
pub struct Follow<'a> {
    api: &'a mut KubeApi,
    row: &'static Row,
    place: Place,
    selection: Selection,
    /// What was told, by namespace and name.
    told: BTreeMap<(String, String), Value>,
    /// Where the next watch begins, and none when it is to be listed anew.
    version: Option<String>,
    lines: Option<Lines>,
    failures: u32,
}

impl<'a> Follow<'a> {
    /// Follows the selected objects. Begins with the first call of [`Follow::next`].
    pub fn new(api: &'a mut KubeApi, row: &'static Row, place: Place, selection: Selection) -> Self {
        Self { api, row, place, selection, told: BTreeMap::new(), version: None, lines: None, failures: 0 }
    }

    /// The next changes. The first are all that is there, and may be none.
    ///
    /// # Errors
    /// It is refused, or nobody answers for some time.
    pub async fn next(&mut self) -> Result<Vec<Change>, KubeError> {
        loop {
            match self.step().await {
                Ok(Some(changes)) => {
                    self.failures = 0;
                    return Ok(changes);
                }
                Ok(None) => {}
                // One that ends its answer, or cannot answer now, is asked anew; who was never reached is not waited for.
                Err(error) if is_passing(&error) && self.version.is_some() && self.failures < RETRIES => {
                    tracing::debug!(%error, "a watch is begun anew");
                    self.lines = None;
                    sleep((FIRST_PAUSE * 2_u32.pow(self.failures)).min(MAX_PAUSE)).await;
                    self.failures += 1;
                }
                Err(KubeError::Refused(status)) if status.code == 410 => {
                    (self.lines, self.version) = (None, None);
                    let changes = self.list().await?;
                    return Ok(changes);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Vec<Change>>, KubeError> {
        let Some(version) = self.version.clone() else { return self.list().await.map(Some) };
        let lines = match &mut self.lines {
            Some(lines) => lines,
            none => none.insert(Lines::new(self.api.watch(self.row, &self.place, &self.selection, &version).await?)),
        };
        let Some(line) = lines.next().await? else {
            // It has lasted as long as the server lets one; a server that lets none last is not asked all the time.
            self.lines = None;
            sleep(FIRST_PAUSE).await;
            return Ok(None);
        };
        let mut event: Value = serde_json::from_slice(&line).map_err(|error| not_understood(error.to_string()))?;
        let object = event.get_mut("object").map(Value::take).unwrap_or_default();
        let kind = object::text(&event, "/type").to_owned();
        if kind == "ERROR" {
            let status: Status = serde_json::from_value(object).map_err(|error| not_understood(error.to_string()))?;
            return Err(KubeError::Refused(Box::new(status)));
        }
        self.version = Some(object::text(&object, "/metadata/resourceVersion").to_owned());
        Ok(match kind.as_str() {
            "ADDED" | "MODIFIED" => Some(vec![self.is(object)]),
            "DELETED" => {
                self.told.remove(&key(&object));
                Some(vec![Change::Gone(object)])
            }
            _ => None,
        })
    }

    /// What is there, as changes to what was told.
    async fn list(&mut self) -> Result<Vec<Change>, KubeError> {
        let list = self.api.list(self.row, &self.place, &self.selection).await?;
        self.version = Some(list.version);
        let mut before = std::mem::take(&mut self.told);
        let mut changes = Vec::new();
        for item in list.items {
            if before.remove(&key(&item)).as_ref() == Some(&item) {
                self.told.insert(key(&item), item);
            } else {
                changes.push(self.is(item));
            }
        }
        changes.extend(before.into_values().map(Change::Gone));
        Ok(changes)
    }

    fn is(&mut self, object: Value) -> Change {
        self.told.insert(key(&object), object.clone());
        Change::Is(object)
    }
}

fn key(object: &Value) -> (String, String) {
    (object::namespace(object).to_owned(), object::name(object).to_owned())
}

/// Whether it may be otherwise a moment later.
fn is_passing(error: &KubeError) -> bool {
    matches!(error, KubeError::NoAnswer(_)) || error.has_code(503) || error.has_code(429)
}

fn not_understood(detail: String) -> KubeError {
    KubeError::NotUnderstood { status: http::StatusCode::OK, detail }
}

/// An answer that is read line by line.
#[derive(Debug)]
struct Lines {
    streamed: Streamed,
    read: Vec<u8>,
}

impl Lines {
    fn new(streamed: Streamed) -> Self {
        Self { streamed, read: Vec::new() }
    }

    /// The next line. Nothing is lost when it is dropped and called again.
    async fn next(&mut self) -> Result<Option<Bytes>, KubeError> {
        let mut looked_at = 0;
        loop {
            if let Some(end) = self.read[looked_at..].iter().position(|byte| *byte == b'\n') {
                let rest = self.read.split_off(looked_at + end + 1);
                let mut line = std::mem::replace(&mut self.read, rest);
                line.pop();
                return Ok(Some(line.into()));
            }
            looked_at = self.read.len();
            if looked_at > MAX_LINE_BYTES {
                return Err(not_understood("a line without an end".to_owned()));
            }
            match self.streamed.piece().await? {
                Some(piece) => self.read.extend_from_slice(&piece),
                None if self.read.is_empty() => return Ok(None),
                None => {
                    let source = "it ends within a line".into();
                    let authority = self.streamed.authority().to_owned();
                    return Err(CallError::Broken { authority, source }.into());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
