//! What goes on at this moment. It costs one look at the cursors of each group and one question to each dispatcher, whatever
//! the log holds.
//!
//! | query | what |
//! | --- | --- |
//! | `limit` | Triggers and Revisions in the answer, each |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pelton_client::{
    Client, DeadLetter, DispatchQuery, GroupCursors, GroupId, Offset, ReadError, Resources, TriggerCounts, TriggerId,
    Upto,
};
use pelton_resource::serving::Revision;
use pelton_resource::{ConditionStatus, Conditions, Trigger, annotations, conditions};
use tokio::time::timeout;

use super::Api;
use super::dispatchers;
use super::events::scan::end_of;
use super::events::too_many;
use super::problem::Problem;
use super::resources::current;
use super::router::{Outcome, ok, query_value};
use super::top_view::{BrokerTop, RevisionTop, TopView, TriggerTop};

/// Triggers and Revisions in an answer, unless told otherwise.
const LISTED: usize = 50;

/// The most that are listed.
const MAX_LISTED: usize = 1_000;

/// Brokers that are listed: those with Triggers come first where there are more.
const MAX_BROKERS: usize = 1_000;

/// How long one waits for those before him.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// Dead letters that are counted.
const MAX_LETTERS: usize = 1_000;

/// What goes on.
pub async fn show<C: Client>(api: &Api<C>, query: &str) -> Outcome {
    let limit = match query_value(query, "limit") {
        None => LISTED,
        Some(text) => text.parse().ok().filter(|limit| (1..=MAX_LISTED).contains(limit)).ok_or_else(|| {
            Problem::bad_request(format!("limit: expected a number from 1 to {MAX_LISTED}, got {text:?}"))
        })?,
    };
    // It copies every cursor: those who ask at once have one turn after the other.
    let turn = timeout(TURN_WITHIN, api.tops.acquire()).await;
    let _turn = turn.map_err(|_| too_many("ask what goes on"))?;
    let resources = current(api);
    let (ends, cursors) = read_groups(&api.client).await?;
    let told = dispatchers::ask(api, &DispatchQuery::Counts).await;
    let dead = Dead::of(&api.client.dead_letters(None, None, MAX_LETTERS + 1).await?);
    let mut counts = BTreeMap::<TriggerId, TriggerCounts>::new();
    for one in told.iter().filter_map(|told| told.report.as_ref()).flat_map(|report| &report.counts) {
        let sum = counts.entry(one.trigger).or_insert(TriggerCounts { matched: 0, delivered: 0, failed: 0, ..*one });
        sum.matched += one.matched;
        sum.delivered += one.delivered;
        sum.failed += one.failed;
    }
    let mut triggers: Vec<TriggerTop> = resources
        .triggers
        .iter()
        .map(|(id, trigger)| trigger_top(trigger, backlog(*id, &ends, &cursors), counts.get(id), dead.of_trigger(*id)))
        .collect();
    let brokers = brokers(&resources, &triggers);
    triggers.sort_by(|a, b| b.backlog.cmp(&a.backlog).then(b.matched.cmp(&a.matched)).then(a.name.cmp(&b.name)));
    let more_triggers = triggers.len().saturating_sub(limit) as u64;
    triggers.truncate(limit);
    let (revisions, more_revisions) = revisions(api, &resources, limit);
    ok(&TopView {
        now_millis: api.clock.now().0,
        events: ends.values().map(|end| end.0).sum(),
        unmatched: unmatched(&ends, &cursors),
        dead_letters: dead.counted,
        more_dead_letters: dead.all_below.is_some(),
        silent: told.iter().filter(|told| told.report.is_none()).map(|told| told.node.clone()).collect(),
        brokers,
        triggers,
        more_triggers,
        revisions,
        more_revisions,
    })
}

/// Dead letters, counted as far as that goes.
struct Dead {
    counted: u64,
    of: BTreeMap<TriggerId, u64>,
    /// Where there are more: those of the triggers before this one are all counted.
    all_below: Option<TriggerId>,
}

impl Dead {
    /// Of letters in the order of their triggers, of which one more than [`MAX_LETTERS`] says that there are more.
    fn of(letters: &[DeadLetter]) -> Self {
        let counted = &letters[..letters.len().min(MAX_LETTERS)];
        let mut of = BTreeMap::<TriggerId, u64>::new();
        for letter in counted {
            *of.entry(letter.trigger).or_default() += 1;
        }
        Self { counted: counted.len() as u64, of, all_below: letters.get(MAX_LETTERS).map(|letter| letter.trigger) }
    }

    fn of_trigger(&self, id: TriggerId) -> Option<u64> {
        let all_are_counted = self.all_below.is_none_or(|below| id < below);
        all_are_counted.then(|| self.of.get(&id).copied().unwrap_or(0))
    }
}

type Groups = (BTreeMap<GroupId, Offset>, BTreeMap<GroupId, GroupCursors>);

async fn read_groups<C: Client>(client: &C) -> Result<Groups, ReadError> {
    let (mut ends, mut cursors) = (BTreeMap::new(), BTreeMap::new());
    for group in client.groups() {
        let read = client.cursors(group).await?;
        // The mark of those that follow the end is close to it.
        let at_least = read.scanned.max(client.first(group).await?);
        ends.insert(group, end_of(client, group, at_least).await?);
        cursors.insert(group, read);
    }
    Ok((ends, cursors))
}

/// What lies beyond the marks of those that follow the end.
fn unmatched(ends: &BTreeMap<GroupId, Offset>, cursors: &BTreeMap<GroupId, GroupCursors>) -> u64 {
    let in_group = |(group, cursors): (&GroupId, &GroupCursors)| {
        ends.get(group).map_or(0, |end| end.0.saturating_sub(cursors.scanned.0))
    };
    cursors.iter().map(in_group).sum()
}

/// What waits for a Trigger at most, in all groups.
fn backlog(id: TriggerId, ends: &BTreeMap<GroupId, Offset>, cursors: &BTreeMap<GroupId, GroupCursors>) -> u64 {
    let in_group = |(group, cursors): (&GroupId, &GroupCursors)| {
        let Some(cursor) = cursors.cursors.get(&id) else { return 0 };
        let unseen = match cursor.upto {
            // It is matched as events come: what lies beyond its mark is told for all together.
            Upto::Scanned => 0,
            Upto::At(at) => ends.get(group).map_or(0, |end| end.0.saturating_sub(at.0)),
        };
        cursor.pending.len() + unseen
    };
    cursors.iter().map(in_group).sum()
}

fn is_ready(conditions: &Conditions) -> bool {
    conditions.status(conditions::READY) == ConditionStatus::True
}

fn trigger_top(
    trigger: &Trigger,
    backlog: u64,
    counts: Option<&TriggerCounts>,
    dead_letters: Option<u64>,
) -> TriggerTop {
    TriggerTop {
        name: format!("{}/{}", trigger.metadata.namespace, trigger.metadata.name),
        broker: trigger.broker_name().to_owned(),
        ready: is_ready(&trigger.status.conditions),
        paused: trigger.metadata.annotation(annotations::PAUSED) == Some("true"),
        backlog,
        matched: counts.map_or(0, |counts| counts.matched),
        delivered: counts.map_or(0, |counts| counts.delivered),
        failed: counts.map_or(0, |counts| counts.failed),
        dead_letters,
    }
}

fn brokers(resources: &Resources, triggers: &[TriggerTop]) -> Vec<BrokerTop> {
    let mut brokers: BTreeMap<&str, BrokerTop> = resources
        .brokers
        .iter()
        .map(|(name, broker)| {
            let ready = is_ready(&broker.status.conditions);
            let name = name.as_str();
            (name, BrokerTop { name: name.to_owned(), ready, dead_letters: Some(0), ..BrokerTop::default() })
        })
        .collect();
    for trigger in triggers {
        let namespace = trigger.name.split('/').next().unwrap_or_default();
        let name = format!("{namespace}/{}", trigger.broker);
        let Some(broker) = brokers.get_mut(name.as_str()) else { continue };
        broker.triggers += 1;
        broker.backlog += trigger.backlog;
        broker.matched += trigger.matched;
        broker.delivered += trigger.delivered;
        broker.dead_letters = broker.dead_letters.zip(trigger.dead_letters).map(|(all, more)| all + more);
    }
    let mut brokers: Vec<_> = brokers.into_values().collect();
    if brokers.len() > MAX_BROKERS {
        brokers.sort_by_key(|broker| std::cmp::Reverse(broker.triggers));
        brokers.truncate(MAX_BROKERS);
        brokers.sort_by(|a, b| a.name.cmp(&b.name));
    }
    brokers
}

/// Revisions that have instances or should have some, and how many there are beside these.
fn revisions<C: Client>(api: &Api<C>, resources: &Resources, limit: usize) -> (Vec<RevisionTop>, u64) {
    let census = api.gateway.as_ref().and_then(|gateway| gateway.census());
    let top = |revision: &Arc<Revision>| {
        let counted = census.and_then(|census| census.of(revision.metadata.uid.as_deref()?));
        let number = |count: Option<i32>| count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        RevisionTop {
            name: format!("{}/{}", revision.metadata.namespace, revision.metadata.name),
            ready: is_ready(&revision.status.conditions),
            instances: number(revision.status.actual_replicas),
            desired: number(revision.status.desired_replicas),
            concurrency: revision.spec.container_concurrency.unwrap_or(0),
            in_flight: counted.map(|counted| counted.counts.in_flight),
            queued: counted.map(|counted| counted.counts.queued),
        }
    };
    let all = resources.revisions.values().map(top);
    let has_some = |count: Option<u32>| count.is_some_and(|count| count > 0);
    let is_busy = |it: &RevisionTop| it.instances + it.desired > 0 || has_some(it.in_flight) || has_some(it.queued);
    let mut busy: Vec<_> = all.filter(is_busy).collect();
    busy.truncate(limit);
    let more = (resources.revisions.len() - busy.len()) as u64;
    (busy, more)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pelton_client::{Cause, LastAnswer, Position};
    use pelton_env::UnixMillis;

    use super::*;

    fn letters(counts: &[(u128, usize)]) -> Vec<DeadLetter> {
        let letter = |trigger| DeadLetter {
            trigger: TriggerId(trigger),
            position: Position { group: GroupId(1), offset: Offset(0) },
            attempts: 1,
            cause: Cause::Rejected,
            destination: String::new(),
            answer: LastAnswer { code: None, detail: Bytes::new() },
            at: UnixMillis(0),
        };
        counts.iter().flat_map(|&(trigger, count)| std::iter::repeat_n(letter(trigger), count)).collect()
    }

    /// What was not counted is no number.
    #[test]
    fn dead_letters_are_counted_as_far_as_it_goes() {
        type Row = (&'static [(u128, usize)], u64, bool, [Option<u64>; 3]);
        let rows: [Row; 4] = [
            (&[], 0, false, [Some(0), Some(0), Some(0)]),
            (&[(1, 2), (3, 998)], 1_000, false, [Some(2), Some(0), Some(998)]),
            (&[(1, 2), (3, 999)], 1_000, true, [Some(2), Some(0), None]),
            (&[(1, 1_000), (2, 1)], 1_000, true, [Some(1_000), None, None]),
        ];
        for (counts, counted, more, want) in rows {
            let dead = Dead::of(&letters(counts));
            assert_eq!((dead.counted, dead.all_below.is_some()), (counted, more), "{counts:?}");
            assert_eq!([1, 2, 3].map(|id| dead.of_trigger(TriggerId(id))), want, "{counts:?}");
        }
    }
}
