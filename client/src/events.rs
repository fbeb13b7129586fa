//! Kubernetes Events: what became of resources, for people who ask `kubectl describe` or `kubectl events`.
//!
//! Told is what may call for somebody: that a resource is not Ready, and why; that a subscriber answers badly; and that what
//! was told of is Ready again. That something became Ready without trouble is not told of: ten thousand Triggers that are
//! applied would be ten thousand Events for nobody. The same Event again raises its count.
//!
//! No Event is about an Event, and nothing follows from one, so telling causes nothing to be told.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use pelton_env::UnixMillis;
use pelton_resource::conditions::READY;
use pelton_resource::{Condition, ConditionStatus, CoreObject, Kind, ObjectMeta, Resource, Severity, Time};
use serde_json::{Map, Value, json};

use crate::Resources;

/// Who tells, as an Event says it.
pub const COMPONENT: &str = "pelton-controller";

/// Events of all that there may be for a new one to be told: a resource that is told of already still is.
pub const MAX_TOLD: usize = 1_000;

/// Of one resource: 25 at once, and then one every five minutes, as the filter of Kubernetes' own controllers has it.
const OF_ONE: Rate = Rate { at_once: 25, every_millis: 300_000 };

/// Of all resources: each is a write of the registry, and a Broker that goes may be that of ten thousand Triggers.
const OF_ALL: Rate = Rate { at_once: 100, every_millis: 1_000 };

/// Resources of which it is known how much was told, before those of which nothing was told lately are forgotten. With
/// [`OF_ALL`] these are never more than a few hundred.
const MAX_KNOWN: usize = 1_000;

/// The longest message and reason, in bytes, as in Kubernetes.
const MAX_MESSAGE_BYTES: usize = 1024;
const MAX_REASON_BYTES: usize = 128;

/// The longest beginning of a name that leaves room for what tells the Events of one resource apart.
const MAX_NAME_BYTES: usize = 236;

#[derive(Debug, Clone, Copy)]
struct Rate {
    at_once: u64,
    every_millis: u64,
}

/// What is left of a rate: the moment from which on all of it is.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket(u64);

impl Bucket {
    fn has(self, rate: Rate, now: u64) -> bool {
        self.0.saturating_sub(now) + rate.every_millis <= rate.at_once * rate.every_millis
    }

    fn take(&mut self, rate: Rate, now: u64) {
        self.0 = self.0.max(now) + rate.every_millis;
    }
}

#[derive(Debug, Default)]
struct Known {
    bucket: Bucket,
    /// Whether what was told last is that something is wrong.
    is_warned: bool,
}

/// Makes Events of what becomes of resources.
#[derive(Debug, Default)]
pub struct Teller {
    /// By uid.
    known: BTreeMap<String, Known>,
    all: Bucket,
}

struct Told<'a> {
    is_warning: bool,
    reason: &'a str,
    message: String,
}

impl Teller {
    /// The Events that are to be stored for resources that are about to be stored in the place of those of `current`, which has
    /// so many `events`. `new_uid` gives a uid for each that is new.
    pub fn tell<'a>(
        &mut self,
        stored: impl IntoIterator<Item = &'a Resource>,
        current: &Resources,
        events: usize,
        now: UnixMillis,
        new_uid: &mut dyn FnMut() -> String,
    ) -> Vec<Resource> {
        let mut made: Vec<Resource> = Vec::new();
        for after in stored.into_iter().filter(|it| !it.kind().is_core()) {
            let Some(uid) = after.meta().uid.clone() else { continue };
            let before = current.find(&after.key());
            let is_warned = self.known.get(&uid).is_some_and(|known| known.is_warned);
            for told in what(before.as_ref(), after, is_warned) {
                if !self.may_tell(&uid, now.0) {
                    tracing::debug!(of = %after.key(), reason = told.reason, "an Event is left out: there are too many");
                    continue;
                }
                let name = name_of(after.meta(), &uid, &told);
                let again = current.core_object(Kind::Event, &after.meta().namespace, &name);
                if again.is_none() && events + made.len() >= MAX_TOLD {
                    continue;
                }
                let time = Time::from_unix_millis(now.0);
                let event = match again {
                    Some(event) => counted(event.as_ref().clone(), time),
                    None => event(after, name, &told, time, new_uid()),
                };
                made.push(event.into());
                self.take(uid.clone(), told.is_warning, now.0);
            }
        }
        made
    }

    fn may_tell(&self, uid: &str, now: u64) -> bool {
        let bucket = self.known.get(uid).map(|known| known.bucket).unwrap_or_default();
        bucket.has(OF_ONE, now) && self.all.has(OF_ALL, now)
    }

    fn take(&mut self, uid: String, is_warning: bool, now: u64) {
        self.all.take(OF_ALL, now);
        if self.known.len() >= MAX_KNOWN {
            self.known.retain(|_, known| known.bucket.0 > now);
        }
        let known = self.known.entry(uid).or_default();
        known.bucket.take(OF_ONE, now);
        known.is_warned = is_warning;
    }
}

/// What is to be told of a resource that was `before` and is `after`.
fn what<'a>(before: Option<&Resource>, after: &'a Resource, is_warned: bool) -> Vec<Told<'a>> {
    let mut all = Vec::new();
    for is in after.conditions().iter() {
        let was = before.and_then(|before| before.conditions().find(&is.kind));
        let is_ready = is.kind == READY;
        match is.status {
            ConditionStatus::False if (is_ready || is.severity == Severity::Warning) && !is_the_same(was, is) => {
                let reason = if is.reason.is_empty() { "NotReady" } else { is.reason.as_str() };
                all.push(Told { is_warning: true, reason, message: is.message.clone() });
            }
            ConditionStatus::True if is_ready => {
                let was = was.map_or(ConditionStatus::Unknown, |was| was.status);
                let is_again = was == ConditionStatus::False || (is_warned && was == ConditionStatus::Unknown);
                let message = format!("{} {} is ready again", after.kind(), after.meta().name);
                all.extend(is_again.then_some(Told { is_warning: false, reason: READY, message }));
            }
            ConditionStatus::True | ConditionStatus::False | ConditionStatus::Unknown => {}
        }
    }
    all
}

/// Whether a condition that is False was so before and for the same reason.
fn is_the_same(was: Option<&Condition>, is: &Condition) -> bool {
    was.is_some_and(|was| was.status == ConditionStatus::False && was.reason == is.reason)
}

/// The same Event has the same name.
fn name_of(of: &ObjectMeta, uid: &str, told: &Told<'_>) -> String {
    let mut hasher = DefaultHasher::new();
    (uid, told.is_warning, told.reason, &told.message).hash(&mut hasher);
    let name = cut(&of.name, MAX_NAME_BYTES).trim_end_matches(['.', '-']);
    format!("{name}.{:016x}", hasher.finish())
}

fn event(of: &Resource, name: String, told: &Told<'_>, now: Time, uid: String) -> CoreObject {
    let meta = of.meta();
    let metadata = ObjectMeta {
        name,
        namespace: meta.namespace.clone(),
        uid: Some(uid),
        creation_timestamp: Some(now),
        ..ObjectMeta::default()
    };
    let content = json!({
        "involvedObject": {
            "apiVersion": of.kind().api_version(), "kind": of.kind().as_str(),
            "namespace": meta.namespace, "name": meta.name, "uid": meta.uid,
        },
        "type": if told.is_warning { "Warning" } else { "Normal" },
        "reason": cut(told.reason, MAX_REASON_BYTES),
        "message": cut(&told.message, MAX_MESSAGE_BYTES),
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": "",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    });
    let content = if let Value::Object(content) = content { content } else { Map::new() };
    CoreObject { kind: Kind::Event, metadata, content }
}

fn counted(mut event: CoreObject, now: Time) -> CoreObject {
    let count = event.content.get("count").and_then(Value::as_u64).unwrap_or(0);
    event.content.insert("count".to_owned(), json!(count.saturating_add(1).min(i32::MAX as u64)));
    event.content.insert("lastTimestamp".to_owned(), json!(now));
    event
}

/// The beginning of a text that is at most so long.
fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

#[cfg(test)]
mod tests;
