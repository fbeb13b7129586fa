//! What follows from the outcome of an attempt.

use std::time::Duration;

use pelton_client::{AppendError, AttemptResult, Cause, Client, DeadLetter, LastAnswer, Offset, Position, Recipient};
use pelton_event::Event;
use tokio::time::Instant;

use super::slot::{Alarm, Slot};
use super::{Group, Happened, Seen};
use crate::dead_letter::{kept, kept_destination, last_answer};
use crate::delivery::{Attempted, Content, Next, NoAnswer, Verdict, classify};
use crate::journal::{Entry, result_of};
use crate::metrics::Ended;
use crate::options::LONGEST_WAIT;
use crate::plan::Plan;
use crate::pool::{Outcome, Ticket};
use crate::reply::stored_reply;
use crate::trigger::{Asked, SinkErrand};

impl<C: Client> Group<C> {
    pub(super) fn on_outcome(&mut self, outcome: Outcome, seen: Seen) {
        // The reply's bytes count until it is encoded into the log's next batch.
        let Outcome { ticket, plan, target, attempted, closed_circuit, reply: _reply } = outcome;
        self.snapshot.ended();
        match attempted {
            Some(attempted) => self.on_attempted(ticket, &plan, attempted, seen),
            None => {
                if let Some(slot) = self.slots.current(ticket.slot, ticket.generation) {
                    slot.state.not_sent(ticket.offset);
                }
            }
        }
        // Also when its user is another by now: that one may have been refused because of this attempt.
        self.queue(ticket.slot);
        self.unpark(&target, closed_circuit);
    }

    /// An attempt was made, or could not be.
    pub(super) fn on_attempted(
        &mut self,
        ticket: Ticket,
        plan: &std::sync::Arc<Plan>,
        attempted: Attempted,
        seen: Seen,
    ) {
        let Some(slot) = self.slots.current(ticket.slot, ticket.generation) else { return };
        let verdict = classify(&attempted);
        let entry = entry_of(slot, ticket, verdict, &attempted, seen);
        if ticket.asked == Asked::Subscriber {
            slot.metrics.attempted(match (verdict, &attempted) {
                (Verdict::Impossible, _) => Ended::Impossible,
                (_, Err(_)) => Ended::NoAnswer,
                (Verdict::Retry | Verdict::BadReply, _) => Ended::Retryable,
                (Verdict::Reject | Verdict::Gone, _) => Ended::Rejected,
                _ => Ended::Success,
            });
        }
        match ticket.asked {
            Asked::Subscriber => self.on_subscriber(ticket, plan, verdict, attempted, entry),
            Asked::Sink => self.on_sink(ticket, plan, verdict, &attempted, entry),
        }
        self.touched(ticket.slot);
        self.queue(ticket.slot);
    }

    fn on_subscriber(
        &mut self,
        ticket: Ticket,
        plan: &std::sync::Arc<Plan>,
        verdict: Verdict,
        attempted: Attempted,
        entry: Entry,
    ) {
        match (verdict, attempted) {
            (Verdict::Reply, Ok(answer)) => match (ticket.hops.lowered(), answer.content) {
                (Some(hops), Content::Event(reply)) => {
                    let reply = stored_reply(*reply, self.shared.clock.now());
                    self.store_reply(ticket, plan, hops, reply, entry);
                }
                _ => {
                    if let Some(slot) = self.slots.get_mut(ticket.slot) {
                        slot.state.failed(ticket.offset);
                        slot.tally.failed();
                    }
                    self.journal.push(entry.ending(AttemptResult::HopCount));
                    let detail = kept("the reply has passed the broker as often as it may");
                    let answer = LastAnswer { code: Some(answer.status), detail };
                    self.give_up(ticket, plan, Cause::HopCount, answer);
                }
            },
            (Verdict::Delivered | Verdict::DeliveredIgnored | Verdict::DeliveredForeign, _) => {
                self.journal.push(entry);
                self.on_delivered(ticket, verdict);
            }
            (verdict, attempted) => {
                if verdict == Verdict::Gone {
                    self.alarm(ticket.slot, Some(Alarm::Gone));
                }
                self.on_failed(ticket, plan, verdict, &attempted, entry);
            }
        }
    }

    fn on_delivered(&mut self, ticket: Ticket, verdict: Verdict) {
        let Some(slot) = self.slots.get_mut(ticket.slot) else { return };
        slot.state.done(ticket.offset);
        slot.metrics.delivered();
        slot.tally.delivered();
        self.progress.ended();
        let alarm = match verdict {
            Verdict::DeliveredForeign => Some(Alarm::ForeignBody),
            // Whatever it answered it is there.
            _ => slot.alarm.filter(|alarm| *alarm != Alarm::Gone),
        };
        match verdict {
            Verdict::DeliveredIgnored => slot.metrics.ignored_body(),
            Verdict::DeliveredForeign => slot.metrics.foreign_body(),
            _ => {}
        }
        if alarm != slot.alarm || alarm != slot.shown {
            self.alarm(ticket.slot, alarm);
        }
        self.after_end(ticket.slot);
    }

    /// The subscriber did not take the event, or its reply could not be kept.
    fn on_failed(
        &mut self,
        ticket: Ticket,
        plan: &std::sync::Arc<Plan>,
        verdict: Verdict,
        attempted: &Attempted,
        entry: Entry,
    ) {
        let (now, jitter) = (self.shared.clock.now(), self.shared.chance.unit());
        let Some(slot) = self.slots.get_mut(ticket.slot) else { return };
        let attempts = slot.state.failed(ticket.offset);
        slot.tally.failed();
        #[cfg(feature = "bugs")]
        let attempts = attempts + u32::from(pelton_env::bugs::Bug::GivenUpTooEarly.is_on());
        match plan.retries.after_failure(verdict, attempted, attempts, now, jitter) {
            Next::Retry { wait, hold } => {
                self.journal.push(entry.next_at(now.plus(wait)));
                slot.metrics.retried();
                slot.state.retry_at(ticket.offset, after(wait));
                if let Some(hold) = hold {
                    slot.state.hold(after(hold));
                }
            }
            Next::GiveUp(cause) => {
                self.journal.push(entry);
                self.give_up(ticket, plan, cause, last_answer(attempted));
            }
        }
    }

    fn give_up(&mut self, ticket: Ticket, plan: &std::sync::Arc<Plan>, cause: Cause, answer: LastAnswer) {
        let destination =
            plan.subscriber.as_ref().map_or_else(String::new, |subscriber| kept_destination(&subscriber.url));
        if plan.sink.is_none() {
            return self.keep(ticket.slot, ticket.offset, cause, destination, answer);
        }
        if let Some(slot) = self.slots.get_mut(ticket.slot) {
            slot.state.send_to_sink(ticket.offset, SinkErrand { cause, destination, answer, tries: 0 });
        }
    }

    fn on_sink(
        &mut self,
        ticket: Ticket,
        plan: &std::sync::Arc<Plan>,
        verdict: Verdict,
        attempted: &Attempted,
        entry: Entry,
    ) {
        let (now, jitter) = (self.shared.clock.now(), self.shared.chance.unit());
        let Some(slot) = self.slots.get_mut(ticket.slot) else { return };
        // Whatever a sink says in a 2xx, it has the event. It is not asked for a reply.
        if attempted.as_ref().is_ok_and(|answer| (200..300).contains(&answer.status)) {
            self.journal.push(entry.ending(AttemptResult::Delivered));
            slot.state.done(ticket.offset);
            slot.metrics.sent_to_sink();
            self.progress.ended();
            return self.after_end(ticket.slot);
        }
        slot.metrics.sink_failed();
        let Some(errand) = slot.state.errand(ticket.offset) else { return };
        errand.tries = errand.tries.saturating_add(1);
        let (tries, cause) = (errand.tries, errand.cause);
        match plan.retries.after_failure(verdict, attempted, tries, now, jitter) {
            Next::Retry { wait, .. } => {
                self.journal.push(entry.next_at(now.plus(wait)));
                slot.state.retry_at(ticket.offset, after(wait));
            }
            Next::GiveUp(_) => {
                self.journal.push(entry);
                let destination = plan.sink.as_ref().map_or_else(String::new, |sink| kept_destination(&sink.url));
                self.keep(ticket.slot, ticket.offset, cause, destination, last_answer(attempted));
            }
        }
    }

    /// Keeps an event as a dead letter. It counts once it is stored.
    pub(super) fn keep(&mut self, at: u32, offset: Offset, cause: Cause, destination: String, answer: LastAnswer) {
        let (position, now) = (Position { group: self.group, offset }, self.shared.clock.now());
        let Some(slot) = self.slots.get_mut(at) else { return };
        let attempts = slot.state.attempts(offset);
        tracing::info!(trigger = %slot.id, %position, cause = cause.as_str(), attempts, "kept as a dead letter");
        let trigger = slot.id;
        let letter = DeadLetter { trigger, position, attempts, cause, destination, answer, at: now };
        self.progress.ended();
        self.progress.kept(slot.metrics.clone(), &letter);
        slot.state.dead(letter);
        self.touched(at);
        self.after_end(at);
    }

    /// There is one pending event less: a trigger whose window was full may go on.
    fn after_end(&mut self, at: u32) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        if slot.lagging_at.is_none()
            && slot.state.follow() == crate::trigger::Follow::Own
            && slot.state.has_room()
            && !slot.plan.paused
        {
            self.place(at);
        }
    }

    // --- replies ---

    fn store_reply(
        &mut self,
        ticket: Ticket,
        plan: &std::sync::Arc<Plan>,
        hops: pelton_client::Hops,
        reply: Event,
        entry: Entry,
    ) {
        let append = self.client.append(&plan.broker, std::slice::from_ref(&reply), hops);
        let plan = plan.clone();
        self.appending += 1;
        self.begin(async move {
            let result = append.await.map(|appended| appended.position);
            Happened::Appended { ticket, plan, entry, result }
        });
    }

    /// The reply is stored, so the event is delivered; or it is not, and the delivery as a whole has failed.
    pub(super) fn on_appended(
        &mut self,
        ticket: Ticket,
        plan: &std::sync::Arc<Plan>,
        entry: Entry,
        result: Result<Position, AppendError>,
    ) {
        self.appending -= 1;
        if self.slots.current(ticket.slot, ticket.generation).is_none() {
            return;
        }
        match result {
            Ok(reply) => {
                self.journal.push(entry.replied(reply));
                self.on_delivered(ticket, Verdict::Reply);
            }
            Err(why) => {
                tracing::warn!(%why, "a reply was not stored");
                let entry = entry.ending(AttemptResult::ReplyNotStored);
                let is_retryable = why.is_retryable();
                let attempted = Err(NoAnswer::Broken(format!("the reply was not stored: {why}")));
                if is_retryable {
                    self.on_failed(ticket, plan, Verdict::Reply, &attempted, entry);
                } else {
                    if let Some(slot) = self.slots.get_mut(ticket.slot) {
                        slot.state.failed(ticket.offset);
                        slot.tally.failed();
                    }
                    self.journal.push(entry);
                    let answer = LastAnswer { code: None, detail: kept(&format!("the reply was not stored: {why}")) };
                    self.give_up(ticket, plan, Cause::Reply, answer);
                }
            }
        }
        self.touched(ticket.slot);
        self.queue(ticket.slot);
    }

    // --- warnings ---

    /// What is to be warned of is another than before.
    fn alarm(&mut self, at: u32, alarm: Option<Alarm>) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        if slot.alarm != alarm {
            slot.alarm = alarm;
            slot.told = None;
        }
        self.tell(at);
    }

    /// Has the status say what is to be warned of. What gets lost on the way is said again with what happens next.
    pub(super) fn tell(&mut self, at: u32) {
        let Some((id, alarm)) = self.slots.get_mut(at).and_then(|slot| Some((slot.id, slot.news()?))) else {
            return;
        };
        let (client, warning) = (self.client.clone(), alarm.map(Alarm::warning));
        self.begin(async move {
            if let Err(why) = client.warn(id, warning).await {
                tracing::warn!(trigger = %id, %why, "a warning could not be shown, or not be taken back");
            }
            Happened::Warned
        });
    }
}

/// The attempt as it is remembered, before what follows from it is known.
fn entry_of(slot: &mut Slot, ticket: Ticket, verdict: Verdict, attempted: &Attempted, seen: Seen) -> Entry {
    let (asked, before) = match ticket.asked {
        Asked::Subscriber => (Recipient::Subscriber, slot.state.attempts(ticket.offset)),
        Asked::Sink => (Recipient::DeadLetterSink, slot.state.errand(ticket.offset).map_or(0, |errand| errand.tries)),
    };
    let code = attempted.as_ref().ok().map(|answer| answer.status);
    Entry::new(slot.id, ticket.offset, asked, before.saturating_add(1), seen.time)
        .took(seen.at.saturating_duration_since(ticket.begun))
        .with(result_of(verdict, attempted), code)
}

fn after(wait: Duration) -> Instant {
    Instant::now() + wait.min(LONGEST_WAIT)
}
