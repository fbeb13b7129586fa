//! What became of an event, for people.

use std::fmt::Write as _;

use pelton_client::Recipient;

use crate::api::events_view::{AttemptView, CopyView, MemoryView, State, TraceView, TriggerTrace};
use crate::event_view::indent_json;
use crate::table::Table;
use crate::terminal::escape;

/// Which Triggers are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Those that the event is for, or was; the others are counted.
    Concerned,
    /// All of them.
    All,
}

/// All copies.
#[must_use]
pub fn text(trace: &TraceView, shown: Shown) -> String {
    let mut out = String::new();
    for (at, copy) in trace.copies.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        describe(&mut out, copy, trace, shown);
    }
    let looked = &trace.looked;
    let copies = match trace.copies.len() {
        1 => "1 copy".to_owned(),
        count => format!("{count} copies"),
    };
    let _ = writeln!(
        out,
        "\n{copies} in {} events, looked at up to {}{}",
        looked.events,
        looked.to.as_deref().unwrap_or("the beginning"),
        missing(looked.missing)
    );
    out
}

/// What nobody looked at, as the end of a sentence.
#[must_use]
pub fn missing(events: u64) -> String {
    match events {
        0 => String::new(),
        events => format!("; {events} went out of the log meanwhile, or cannot be read"),
    }
}

fn describe(out: &mut String, copy: &CopyView, trace: &TraceView, shown: Shown) {
    let event = &copy.event;
    let _ = writeln!(out, "{}  {}", event.position, escape(event.attribute("type")));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "  {name:<9} {}", escape(value));
    };
    for name in ["source", "id", "subject"] {
        if !event.attribute(name).is_empty() {
            line(name, event.attribute(name));
        }
    }
    line("broker", &event.broker);
    line("arrived", &event.arrived);
    if let Some(reply) = &copy.reply_to {
        line("reply to", &format!("{} by {}", reply.position, reply.trigger));
    }
    if let Some(json) = &event.event {
        let _ = writeln!(out, "{}", indent_json(json.get(), "    "));
    }
    let is_shown = |trigger: &&TriggerTrace| shown == Shown::All || trigger.state != State::FilteredOut;
    let triggers: Vec<_> = copy.triggers.iter().filter(is_shown).collect();
    for trigger in &triggers {
        out.push('\n');
        self::trigger(out, trigger);
    }
    let left_out = (copy.triggers.len() - triggers.len()) as u64;
    if copy.triggers.is_empty() && copy.more_triggers == 0 {
        out.push_str("\n  The Broker has no Trigger.\n");
    }
    if left_out > 0 {
        let others = if left_out == 1 { "1 Trigger does".to_owned() } else { format!("{left_out} Triggers do") };
        let _ = writeln!(out, "\n  {others} not let it pass (shown with -o wide).");
    }
    if copy.more_triggers > 0 {
        let _ = writeln!(out, "\n  {} more Triggers of the Broker were not looked at.", copy.more_triggers);
    }
    if copy.remembered_since.is_some() {
        let _ = writeln!(out, "\n  {}", forgotten(event.position.group.0, &trace.dispatchers));
    }
}

fn trigger(out: &mut String, trigger: &TriggerTrace) {
    let _ = writeln!(out, "  {}  {}", escape(&trigger.trigger), trigger.state.as_str());
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "    {name:<9} {}", escape(value));
    };
    line(
        "matches",
        match trigger.matches {
            Some(true) => "yes",
            Some(false) => "no",
            None => "nobody knows: the Trigger is gone",
        },
    );
    if let Some(since) = &trigger.looks_since {
        line("looks", &format!("since {since}"));
    }
    line("why", &trigger.why);
    let remembered = trigger.attempts.iter().filter(|it| it.asked == Recipient::Subscriber && !it.result.is_success());
    let remembered = remembered.count();
    if let Some(failed) = trigger.failed_attempts.filter(|failed| *failed as usize > remembered) {
        line("failed", &format!("{failed} attempts, of which {remembered} are remembered"));
    }
    if !trigger.attempts.is_empty() {
        let mut table = Table::new(&["#", "ENDED", "ASKED", "RESULT", "CODE", "TOOK", "THEN"]);
        for attempt in &trigger.attempts {
            table.row(cells(attempt));
        }
        for row in table.to_string().lines() {
            let _ = writeln!(out, "      {row}");
        }
    }
}

fn cells(attempt: &AttemptView) -> [String; 7] {
    let asked = match attempt.asked {
        Recipient::Subscriber => "subscriber",
        Recipient::DeadLetterSink => "dead-letter-sink",
    };
    let then = match (&attempt.reply, &attempt.next) {
        (Some(reply), _) => format!("reply {reply}"),
        (None, Some(next)) => format!("next {next}"),
        (None, None) => String::new(),
    };
    [
        attempt.number.to_string(),
        attempt.ended.clone(),
        asked.to_owned(),
        attempt.result.as_str().to_owned(),
        attempt.code.map_or_else(|| "-".to_owned(), |code| code.to_string()),
        format!("{}ms", attempt.took_millis),
        then,
    ]
}

/// That attempts may be missing, with what each dispatcher remembers.
fn forgotten(group: u32, dispatchers: &[MemoryView]) -> String {
    let mut parts = Vec::new();
    for memory in dispatchers {
        let node = escape(&memory.node);
        match (memory.answers, memory.since.get(&group)) {
            (false, _) => parts.push(format!("{node} does not answer")),
            (true, Some(since)) => parts.push(format!("{node} remembers those since {since}")),
            (true, None) => {}
        }
    }
    if parts.is_empty() {
        return "Attempts made for it are not kept any more: no dispatcher remembers this log group.".to_owned();
    }
    format!("Attempts made before are not kept any more: {}.", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trace() -> TraceView {
        let trigger = |name: &str, state: &str, matches: bool| json!({"trigger": name, "matches": matches, "state": state, "why": "because\u{1b}", "looksSince": "T0"});
        let mut tried = trigger("default/t", "dead-letter", true);
        tried["failedAttempts"] = json!(3);
        tried["attempts"] = json!([
            {"asked": "subscriber", "number": 3, "ended": "T1", "tookMillis": 4, "result": "failed", "code": 503, "next": "T2"},
            {"asked": "dead-letter-sink", "number": 1, "ended": "T3", "tookMillis": 5, "result": "timeout"},
            {"asked": "subscriber", "number": 1, "ended": "T4", "tookMillis": 6, "result": "replied", "code": 200, "reply": "1/9"},
        ]);
        let event = json!({
            "position": "1/7", "broker": "default/b", "arrived": "T", "dataBytes": 0,
            "attributes": {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"},
        });
        serde_json::from_value(json!({
            "now": "T9",
            "copies": [{
                "event": event,
                "replyTo": {"position": "1/2", "trigger": "default/first"},
                "triggers": [tried, trigger("default/u", "filtered-out", false)],
                "moreTriggers": 4,
                "rememberedSince": "T8",
            }],
            "dispatchers": [
                {"node": "a", "answers": true, "since": {"1": "T8"}},
                {"node": "b", "answers": false},
                {"node": "c", "answers": true, "since": {"2": "T0"}},
            ],
            "looked": {"events": 12, "to": "T7", "missing": 2},
        }))
        .unwrap()
    }

    #[test]
    fn everything_that_is_known_is_said_and_nothing_acts_on_the_terminal() {
        let text = text(&trace(), Shown::Concerned);
        for want in [
            "1/7  t\n",
            "  reply to  1/2 by default/first\n",
            "  default/t  dead-letter\n",
            "    why       because\\u{1b}\n",
            "    failed    3 attempts, of which 1 are remembered\n",
            "#   ENDED   ASKED              RESULT    CODE   TOOK   THEN\n",
            "3   T1      subscriber         failed    503    4ms    next T2\n",
            "1   T3      dead-letter-sink   timeout   -      5ms\n",
            "1   T4      subscriber         replied   200    6ms    reply 1/9\n",
            "  1 Trigger does not let it pass",
            "  4 more Triggers",
            "Attempts made before are not kept any more: a remembers those since T8, b does not answer.\n",
            "1 copy in 12 events, looked at up to T7; 2 went out of the log",
        ] {
            assert!(text.contains(want), "{want:?} is not in\n{text}");
        }
        assert!(!text.contains("default/u") && !text.contains('\u{1b}'), "{text}");
        assert!(super::text(&trace(), Shown::All).contains("default/u  filtered-out\n"));
    }

    #[test]
    fn nobody_who_remembers_is_said_too() {
        assert!(forgotten(1, &[]).contains("no dispatcher remembers"));
    }
}
