//! What became of an event.
//!
//! Where it stands for each Trigger follows from what is replicated: cursors and dead letters. The single attempts, and the
//! replies they brought, are known from the memory of the dispatchers only, which is bounded: the answer says since when
//! that is complete.
//!
//! | query | what |
//! | --- | --- |
//! | `source`, `id` | the event; required |
//! | `broker` | `namespace/name`: only what is in that Broker |
//! | `since`, `until`, `data`, `next` | as of a list of events |

mod decision;
mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use pelton_client::{
    Attempt, BrokerName, Client, DispatchQuery, GroupCursors, GroupId, MAX_ASKED_EVENTS, MAX_TOLD_ATTEMPTS, Position,
    ReadError, Resources, TriggerId,
};
use pelton_env::UnixMillis;
use pelton_event::Event;
use pelton_resource::Trigger;

use self::decision::Facts;
use self::standing::Standing;
use super::Api;
use super::dispatchers::{self, Told};
use super::events::asked::Asked;
use super::events::scan::CLOCKS_DIFFER_BY;
use super::events::time::rfc3339;
use super::events::{known_broker, permit};
use super::events_view::{AttemptView, CopyView, MemoryView, ReplyTo, TraceView, TriggerTrace};
use super::problem::Problem;
use super::resources::{current, trigger_name};
use super::router::{Outcome, ok, query_value};

/// Copies of the event in one answer; `next` leads to more.
const MAX_COPIES: usize = 8;

/// Triggers of one copy that are looked at. Those that it is for come first.
const MAX_TRIGGERS: usize = 200;

/// Dead letters that are looked for at a time.
const LOOKED_FOR: usize = 16;

const _: () = assert!(MAX_COPIES <= MAX_ASKED_EVENTS);

/// One copy that was found.
struct Found {
    position: Position,
    broker: String,
    arrived: UnixMillis,
    event: Event,
}

/// Finds the copies of an event, and says what became of each.
pub async fn show<C: Client>(api: &Api<C>, query: &str) -> Outcome {
    for name in ["source", "id"] {
        if query_value(query, name).is_none_or(|value| value.is_empty()) {
            return Err(Problem::bad_request(format!("{name}: the event is named by its source and its id")));
        }
    }
    let asked = Asked::read(query, api.clock.now())?;
    let broker = match query_value(query, "broker") {
        None => None,
        Some(text) => {
            let name = BrokerName::parse(&text);
            let name = name.ok_or_else(|| Problem::bad_request(format!("broker: {text:?} is no NAMESPACE/NAME")))?;
            Some(known_broker(api, name.namespace(), name.name())?)
        }
    };
    // For all of it: where there are many Triggers, what follows the scan is no less work.
    let _permit = permit(&api.scans, "look through the log")?;
    let mut scan = asked.scan(&api.client).await?;
    let (mut found, mut beyond) = (Vec::new(), None);
    let run = scan.run(asked.until, |position, arrived, record| {
        if broker.as_ref().is_some_and(|broker| record.broker() != broker.as_str()) {
            return ControlFlow::Continue(());
        }
        let Ok(event) = record.event() else { return ControlFlow::Continue(()) };
        if !asked.is_wanted(arrived, &event) {
            return ControlFlow::Continue(());
        }
        if found.len() == MAX_COPIES {
            beyond = Some(position);
            return ControlFlow::Break(());
        }
        found.push(Found { position, broker: record.broker().to_owned(), arrived, event: event.detached() });
        ControlFlow::Continue(())
    });
    run.await?;
    if let Some(position) = beyond {
        scan.back_to(position);
    }
    let looked = scan.looked();
    let tracer = Tracer::ask(api, &found).await?;
    let mut copies = Vec::with_capacity(found.len());
    for copy in &found {
        copies.push(tracer.copy(copy, &asked).await?);
    }
    ok(&TraceView { now: rfc3339(tracer.now), copies, dispatchers: tracer.memories(), looked })
}

/// What is known of all copies together.
struct Tracer<'a, C> {
    api: &'a Api<C>,
    now: UnixMillis,
    resources: Arc<Resources>,
    cursors: BTreeMap<GroupId, GroupCursors>,
    told: Vec<Told>,
}

impl<'a, C: Client> Tracer<'a, C> {
    /// Cursors first: an attempt that ended since is in the memory that is asked after them.
    async fn ask(api: &'a Api<C>, found: &[Found]) -> Result<Self, ReadError> {
        let groups: BTreeSet<GroupId> = found.iter().map(|copy| copy.position.group).collect();
        let mut cursors = BTreeMap::new();
        for group in groups {
            cursors.insert(group, api.client.cursors(group).await?);
        }
        let told = match found.is_empty() {
            true => Vec::new(),
            false => {
                let events = found.iter().map(|copy| copy.position).collect();
                dispatchers::ask(api, &DispatchQuery::Attempts(events)).await
            }
        };
        Ok(Self { api, now: api.clock.now(), resources: current(api), cursors, told })
    }

    fn memories(&self) -> Vec<MemoryView> {
        let memory = |told: &Told| {
            let since = told.report.iter().flat_map(|report| &report.since);
            MemoryView {
                node: told.node.clone(),
                answers: told.report.is_some(),
                since: since.map(|(group, since)| (group.0, rfc3339((*since).into()))).collect(),
            }
        };
        self.told.iter().map(memory).collect()
    }

    /// All attempts of a group that ended after this are told by those who made them; `None` when somebody does not answer who
    /// may have made some.
    fn remembered_since(&self, group: GroupId) -> Option<UnixMillis> {
        let mut latest = UnixMillis(0);
        for told in &self.told {
            let report = told.report.as_ref()?;
            if let Some(since) = report.since.get(&group) {
                latest = latest.max((*since).into());
            }
            if report.attempts.len() >= MAX_TOLD_ATTEMPTS
                && let Some(oldest) = report.attempts.first()
            {
                latest = latest.max(oldest.ended.into());
            }
        }
        (latest > UnixMillis(0)).then_some(latest)
    }

    /// Whether every attempt for an event that came then is told. Who took it in may have another clock than who delivered it.
    fn all_are_told(&self, remembered: Option<UnixMillis>, arrived: UnixMillis) -> bool {
        let differ_by = if self.told.len() > 1 { CLOCKS_DIFFER_BY } else { Duration::ZERO };
        remembered.is_some_and(|since| since.plus(differ_by) <= arrived)
    }

    async fn copy(&self, copy: &Found, asked: &Asked) -> Result<CopyView, Problem> {
        let attempts: Vec<&Attempt> = {
            let all = self.told.iter().filter_map(|told| told.report.as_ref()).flat_map(|report| &report.attempts);
            let mut attempts: Vec<_> = all.collect();
            attempts.sort_by_key(|attempt| attempt.ended);
            attempts
        };
        let reply_to = attempts.iter().find(|attempt| attempt.reply == Some(copy.position)).map(|attempt| ReplyTo {
            position: attempt.event,
            trigger: trigger_name(&self.resources, attempt.trigger),
        });
        let remembered = self.remembered_since(copy.position.group);
        let all_remembered = self.all_are_told(remembered, copy.arrived);
        let candidates = self.candidates(copy, &attempts);
        let more_triggers = candidates.len().saturating_sub(MAX_TRIGGERS) as u64;
        let triggers = candidates.into_iter().take(MAX_TRIGGERS).map(|(id, matches)| {
            let own = attempts.iter().filter(|it| it.trigger == id && it.event == copy.position);
            let own: Vec<Attempt> = own.map(|attempt| (*attempt).clone()).collect();
            self.trigger(copy, id, matches, own, all_remembered)
        });
        let triggers = stream::iter(triggers).buffered(LOOKED_FOR).try_collect().await?;
        let remembered_since = match (all_remembered, remembered) {
            (true, _) => None,
            (false, since) => Some(rfc3339(since.unwrap_or(self.now))),
        };
        Ok(CopyView {
            event: asked.view(copy.position, &copy.broker, copy.arrived, &copy.event),
            reply_to,
            triggers,
            more_triggers,
            remembered_since,
        })
    }

    /// The Triggers that have to do with a copy, and whether it passes their filters: those that it is for, or for which
    /// something was done, then the others of its Broker, each by name.
    fn candidates(&self, copy: &Found, attempts: &[&Attempt]) -> Vec<(TriggerId, Option<bool>)> {
        let attribute = |name: &str| copy.event.attribute(name).map(|value| value.to_canonical());
        let of_broker = |trigger: &Trigger| {
            BrokerName::new(&trigger.metadata.namespace, trigger.broker_name()).as_str() == copy.broker
        };
        let mut all: BTreeMap<TriggerId, Option<bool>> = self
            .resources
            .triggers
            .iter()
            .filter(|(_, trigger)| of_broker(trigger))
            .map(|(id, trigger)| (*id, Some(trigger.filter_expr().matches(&attribute))))
            .collect();
        let mut touched = BTreeSet::new();
        touched.extend(attempts.iter().filter(|it| it.event == copy.position).map(|attempt| attempt.trigger));
        if let Some(cursors) = self.cursors.get(&copy.position.group) {
            let pending = cursors.cursors.iter().filter(|(_, it)| it.pending.contains(copy.position.offset));
            touched.extend(pending.map(|(id, _)| *id));
        }
        for id in &touched {
            all.entry(*id).or_insert(None);
        }
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_cached_key(|(id, matches)| {
            let is_for = *matches == Some(true) || touched.contains(id);
            (!is_for, trigger_name(&self.resources, *id))
        });
        all
    }

    async fn trigger(
        &self,
        copy: &Found,
        id: TriggerId,
        matches: Option<bool>,
        attempts: Vec<Attempt>,
        all_remembered: bool,
    ) -> Result<TriggerTrace, Problem> {
        let trigger = self.resources.triggers.get(&id);
        let cursor = self.cursors.get(&copy.position.group);
        let standing = cursor.and_then(|cursors| Standing::of(cursors, id, copy.position.offset));
        let may_be_dead = standing.as_ref().is_none_or(|standing| !standing.is_pending);
        // What its filter does not let pass now it may have let pass once, unless nobody ever tried.
        let never_passed = matches == Some(false) && attempts.is_empty() && all_remembered;
        let letter = match may_be_dead && !never_passed {
            true => self.api.client.dead_letter(id, copy.position).await?,
            false => None,
        };
        let subscriber = trigger.and_then(|trigger| trigger.status.subscriber_uri.as_deref());
        let facts = Facts {
            now: self.now,
            arrived: copy.arrived,
            trigger: trigger.map(Arc::as_ref),
            matches,
            standing,
            letter: letter.as_ref(),
            attempts: &attempts,
            all_remembered,
            has_broker: self.resources.brokers.contains_key(copy.broker.as_str()),
            circuit_open_until: subscriber.and_then(|uri| self.circuit_open_until(uri)),
        };
        let (state, why) = facts.decide();
        Ok(TriggerTrace {
            trigger: trigger_name(&self.resources, id),
            matches,
            looks_since: facts.looks_since(),
            state,
            why,
            failed_attempts: facts.failed_attempts(),
            attempts: attempts.iter().map(attempt_view).collect(),
        })
    }

    /// When the subscriber is probed next, if its circuit is open on any node.
    fn circuit_open_until(&self, uri: &str) -> Option<UnixMillis> {
        let uri: http::Uri = uri.parse().ok()?;
        let host = uri.host()?;
        let target = format!("{host}:{}", uri.port_u16().unwrap_or(80));
        let reports = self.told.iter().filter_map(|told| told.report.as_ref());
        reports.filter_map(|report| report.open_circuits.get(&target)).max().map(|until| (*until).into())
    }
}

fn attempt_view(attempt: &Attempt) -> AttemptView {
    AttemptView {
        asked: attempt.asked,
        number: attempt.number,
        ended: rfc3339(attempt.ended.into()),
        took_millis: attempt.took_millis,
        result: attempt.result,
        code: attempt.code,
        reply: attempt.reply,
        next: attempt.next.map(|next| rfc3339(next.into())),
    }
}
