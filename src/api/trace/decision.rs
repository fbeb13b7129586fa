//! Where an event stands for a Trigger, from what is known. Pure.

use std::time::Duration;

use pelton_client::{Attempt, DeadLetter, Recipient};
use pelton_env::UnixMillis;
use pelton_resource::{StartPosition, Trigger, annotations};

use super::standing::Standing;
use crate::api::events::time::rfc3339;
use crate::api::events_view::State;

/// How long an attempt may be remembered before what it came to is stored: progress goes out every 100 ms, and a group that
/// changes its leader takes some seconds. What is pending or not reached still after that is to be delivered once more.
const STORED_WITHIN: Duration = Duration::from_secs(10);

/// What is known of one event and one Trigger.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The moment.
    pub now: UnixMillis,
    /// When the event was taken in.
    pub arrived: UnixMillis,
    /// The Trigger; `None` when it is gone.
    pub trigger: Option<&'a Trigger>,
    /// Whether the event passes its filter as it is now.
    pub matches: Option<bool>,
    /// What the stored cursor says.
    pub standing: Option<Standing>,
    /// The dead letter that it is.
    pub letter: Option<&'a DeadLetter>,
    /// The attempts that are remembered, oldest first.
    pub attempts: &'a [Attempt],
    /// Whether every attempt that can have been made is among these.
    pub all_remembered: bool,
    /// When the subscriber is probed next, if its circuit is open.
    pub circuit_open_until: Option<UnixMillis>,
    /// Whether the Trigger's Broker is there.
    pub has_broker: bool,
}

impl Facts<'_> {
    /// Where the event stands, and that in a sentence.
    #[must_use]
    pub fn decide(&self) -> (State, String) {
        if let Some(letter) = self.letter {
            return (State::DeadLetter, dead_letter(letter));
        }
        let to_do = self.to_do();
        let Some(success) = self.attempts.iter().rev().find(|attempt| attempt.result.is_success()) else {
            return to_do.unwrap_or_else(|| self.is_done());
        };
        match to_do {
            Some((state, why)) if self.is_to_do_again(success) => {
                let at = rfc3339(success.ended.into());
                (state, format!("delivered at {at}, and to be delivered again: {why}"))
            }
            _ => delivered(success),
        }
    }

    /// Whether an event that was delivered will be once more, and it is not only that the cursor is behind what was done.
    fn is_to_do_again(&self, success: &Attempt) -> bool {
        let was_set_back = self.standing.is_some_and(|standing| standing.is_pending || standing.was_rewound);
        was_set_back && !self.is_recent(success)
    }

    fn is_recent(&self, attempt: &Attempt) -> bool {
        self.now.since(attempt.ended.into()) < STORED_WITHIN
    }

    /// Of an event that the cursor has not done with: where it stands, whatever was done.
    fn to_do(&self) -> Option<(State, String)> {
        let standing = self.standing?;
        if standing.is_pending {
            return Some((State::Waiting, self.what_for()));
        }
        if standing.is_passed || (self.matches == Some(false) && self.attempts.is_empty()) {
            return None;
        }
        // That it was matched is stored with what comes of it.
        match self.attempts.last().is_some_and(|last| self.is_recent(last)) {
            true => Some((State::Waiting, self.what_for())),
            false => Some((State::NotReached, self.not_reached(standing))),
        }
    }

    /// Of an event that is not to be delivered, is no dead letter, and of which no success is remembered.
    fn is_done(&self) -> (State, String) {
        let has_tried = !self.attempts.is_empty();
        if self.matches == Some(false) && !has_tried {
            let why = match self.was_changed() {
                false => "the filter does not let it pass",
                true => "the filter, as it is now, does not let it pass",
            };
            return (State::FilteredOut, why.to_owned());
        }
        let Some(standing) = self.standing else {
            return (State::NotStarted, "the Trigger has not started in the event's log group yet".to_owned());
        };
        if has_tried {
            let why = "done since its last attempt that is remembered: delivered, or a dead letter that was discarded";
            return (State::Done, why.to_owned());
        }
        if let Some(since) = self.starts_later().filter(|_| !standing.was_rewound) {
            return (State::BeforeStart, format!("the Trigger is there since {since}, and began with what came then"));
        }
        if self.all_remembered {
            let why =
                "passed by without an attempt: the Trigger began or was rewound to behind it, or had another filter";
            return (State::NeverTried, why.to_owned());
        }
        let why = "done: delivered, or a dead letter that was discarded; its attempts are not remembered";
        (State::Done, why.to_owned())
    }

    /// Why a pending event waits.
    fn what_for(&self) -> String {
        let Some(trigger) = self.trigger else {
            return "the Trigger is gone, and its cursor is about to go".to_owned();
        };
        if is_paused(trigger) {
            return "the Trigger is paused".to_owned();
        }
        if !self.has_broker {
            return format!("the Broker {:?} is gone", trigger.broker_name());
        }
        let last = self.attempts.last();
        let is_for_sink = last.is_some_and(|last| last.asked == Recipient::DeadLetterSink);
        if trigger.status.subscriber_uri.is_none() && !is_for_sink {
            return "the subscriber has no URL yet".to_owned();
        }
        let next = last.and_then(|last| last.next).map(UnixMillis::from).filter(|next| *next > self.now);
        if let Some((last, next)) = last.zip(next) {
            return format!("in retry until {}: {}", rfc3339(next), ended(last));
        }
        if let Some(until) = self.circuit_open_until.filter(|_| !is_for_sink) {
            let until = rfc3339(until);
            return format!(
                "the circuit of the subscriber is open: it failed too often, and is probed next at {until}"
            );
        }
        match last {
            Some(last) => format!("its next attempt is due, or on its way: {}", ended(last)),
            None => "its turn is to come, or its attempt is on its way".to_owned(),
        }
    }

    fn not_reached(&self, standing: Standing) -> String {
        let behind = match standing.behind {
            0 => "it is the next that the Trigger looks at".to_owned(),
            behind => format!("the Trigger has {behind} events of the log to look at before it"),
        };
        match self.trigger {
            Some(trigger) if is_paused(trigger) => format!("the Trigger is paused; {behind}"),
            _ => behind,
        }
    }

    /// Since when the Trigger is there and where it was to start.
    #[must_use]
    pub fn looks_since(&self) -> Option<String> {
        let trigger = self.trigger?;
        let created = trigger.metadata.creation_timestamp?;
        Some(match start(trigger) {
            None | Some(StartPosition::Latest) => created.to_string(),
            Some(_) => {
                let start = trigger.metadata.annotation(annotations::START).unwrap_or_default();
                format!("{created}, from {start}")
            }
        })
    }

    /// Failed attempts that are stored.
    #[must_use]
    pub fn failed_attempts(&self) -> Option<u32> {
        let letter = self.letter.map(|letter| letter.attempts);
        letter.or_else(|| self.standing.map(|standing| standing.failed_attempts).filter(|attempts| *attempts > 0))
    }

    /// When the Trigger was made, if that was after the event came and it was to begin at the end of the log.
    fn starts_later(&self) -> Option<String> {
        let trigger = self.trigger?;
        let created = trigger.metadata.creation_timestamp?;
        let at_the_end = matches!(start(trigger), None | Some(StartPosition::Latest));
        // Whole seconds, cut: what is later by it is later.
        (at_the_end && created.unix_millis() > self.arrived.0).then(|| created.to_string())
    }

    fn was_changed(&self) -> bool {
        self.trigger.is_some_and(|trigger| trigger.metadata.generation.is_some_and(|generation| generation > 1))
    }
}

fn is_paused(trigger: &Trigger) -> bool {
    trigger.metadata.annotation(annotations::PAUSED) == Some("true")
}

fn start(trigger: &Trigger) -> Option<StartPosition> {
    trigger.metadata.annotation(annotations::START).and_then(StartPosition::of)
}

fn delivered(success: &Attempt) -> (State, String) {
    let at = rfc3339(success.ended.into());
    let number = success.number;
    match (success.asked, success.reply) {
        (Recipient::DeadLetterSink, _) => (State::DeadLetterSink, format!("the dead-letter sink took it at {at}")),
        (Recipient::Subscriber, None) => (State::Delivered, format!("delivered at {at} by attempt {number}")),
        (Recipient::Subscriber, Some(reply)) => {
            (State::Delivered, format!("delivered at {at} by attempt {number}, with the reply {reply}"))
        }
    }
}

fn dead_letter(letter: &DeadLetter) -> String {
    let answer = match letter.answer.code {
        Some(code) => format!("the last answer was {code}"),
        None => "there was no answer to the last".to_owned(),
    };
    let (at, cause) = (rfc3339(letter.at), letter.cause.as_str());
    format!("given up at {at} after {} attempts ({cause}); {answer}", letter.attempts)
}

fn ended(attempt: &Attempt) -> String {
    let result = attempt.result.as_str();
    match attempt.code {
        Some(code) => format!("attempt {} {result} with {code}", attempt.number),
        None => format!("attempt {} ended with {result}", attempt.number),
    }
}

#[cfg(test)]
mod tests;
