//! What goes on, as lines.

use pelton_env::UnixMillis;

use crate::api::top_view::{TopView, TriggerTop};
use crate::table::{Table, or_dash};
use crate::terminal::escape;

/// The lines: a summary, Brokers, Triggers, Revisions. Rates are since `before`.
#[must_use]
pub fn lines(now: &TopView, before: Option<&TopView>) -> Vec<String> {
    let rates = Rates::between(now, before);
    let mut lines = summary(now, &rates);
    let mut section = |table: Table, more: u64, what: &str| {
        lines.push(String::new());
        lines.extend(table.to_string().lines().map(str::to_owned));
        if more > 0 {
            lines.push(format!("{more} more {what}"));
        }
    };
    section(brokers(now, &rates), 0, "");
    section(triggers(now, &rates), now.more_triggers, "Triggers");
    if !now.revisions.is_empty() {
        section(revisions(now), now.more_revisions, "Revisions, most of them without instances");
    }
    lines
}

fn summary(now: &TopView, rates: &Rates<'_>) -> Vec<String> {
    let time = crate::api::rfc3339(UnixMillis(now.now_millis));
    let letters = format!("{}{}", if now.more_dead_letters { "more than " } else { "" }, now.dead_letters);
    let mut lines = vec![format!(
        "{time}   events in {}/s   not matched yet {}   dead letters {letters}",
        rates.rate(now.events, rates.before.map(|before| before.events)),
        now.unmatched,
    )];
    if !now.silent.is_empty() {
        let nodes: Vec<_> = now.silent.iter().map(|node| escape(node)).collect();
        lines.push(format!("no answer from the dispatcher of {}: what it counts is missing", nodes.join(", ")));
    }
    lines
}

fn brokers(now: &TopView, rates: &Rates<'_>) -> Table {
    let mut table = Table::new(&["BROKER", "READY", "TRIGGERS", "BACKLOG", "IN/s", "OUT/s", "DEAD LETTERS"]);
    for broker in &now.brokers {
        let before = rates.before.and_then(|before| before.brokers.iter().find(|it| it.name == broker.name));
        table.row([
            broker.name.clone(),
            yes(broker.ready),
            broker.triggers.to_string(),
            broker.backlog.to_string(),
            rates.rate(broker.matched, before.map(|before| before.matched)),
            rates.rate(broker.delivered, before.map(|before| before.delivered)),
            letters(broker.dead_letters),
        ]);
    }
    table
}

/// A dash where they were not all counted.
fn letters(count: Option<u64>) -> String {
    or_dash(count.map(|count| count.to_string()))
}

fn triggers(now: &TopView, rates: &Rates<'_>) -> Table {
    let mut table = Table::new(&["TRIGGER", "BROKER", "STATE", "BACKLOG", "IN/s", "OUT/s", "FAILED/s", "DEAD LETTERS"]);
    for trigger in &now.triggers {
        let before = rates.before.and_then(|before| before.triggers.iter().find(|it| it.name == trigger.name));
        table.row([
            trigger.name.clone(),
            trigger.broker.clone(),
            state(trigger).to_owned(),
            trigger.backlog.to_string(),
            rates.rate(trigger.matched, before.map(|before| before.matched)),
            rates.rate(trigger.delivered, before.map(|before| before.delivered)),
            rates.rate(trigger.failed, before.map(|before| before.failed)),
            letters(trigger.dead_letters),
        ]);
    }
    table
}

fn revisions(now: &TopView) -> Table {
    let mut table = Table::new(&["REVISION", "READY", "INSTANCES", "DESIRED", "CONCURRENCY", "IN FLIGHT", "QUEUED"]);
    for revision in &now.revisions {
        let here = |count: Option<u32>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
        let concurrency = match revision.concurrency {
            0 => "any".to_owned(),
            at_once => at_once.to_string(),
        };
        table.row([
            revision.name.clone(),
            yes(revision.ready),
            revision.instances.to_string(),
            revision.desired.to_string(),
            concurrency,
            here(revision.in_flight),
            here(revision.queued),
        ]);
    }
    table
}

fn state(trigger: &TriggerTop) -> &'static str {
    match (trigger.paused, trigger.ready) {
        (true, _) => "paused",
        (false, true) => "ready",
        (false, false) => "not ready",
    }
}

fn yes(is: bool) -> String {
    if is { "True".to_owned() } else { "False".to_owned() }
}

/// Rates between two looks.
struct Rates<'a> {
    before: Option<&'a TopView>,
    seconds: f64,
}

impl<'a> Rates<'a> {
    fn between(now: &TopView, before: Option<&'a TopView>) -> Self {
        let millis = before.map_or(0, |before| now.now_millis.saturating_sub(before.now_millis));
        Self { before: before.filter(|_| millis > 0), seconds: millis as f64 / 1000.0 }
    }

    /// How much more it is a second. What has become less was counted by a process that is gone: nobody knows.
    fn rate(&self, now: u64, before: Option<u64>) -> String {
        let more = before.filter(|_| self.before.is_some()).and_then(|before| now.checked_sub(before));
        match more.map(|more| more as f64 / self.seconds) {
            None => "-".to_owned(),
            Some(0.0) => "0".to_owned(),
            Some(rate) if rate < 9.95 => format!("{rate:.1}"),
            Some(rate) => format!("{rate:.0}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::top_view::{BrokerTop, RevisionTop};

    fn view(now_millis: u64, count: u64) -> TopView {
        let trigger = |name: &str, paused| TriggerTop {
            name: name.to_owned(),
            broker: "b".to_owned(),
            ready: true,
            paused,
            backlog: 7,
            matched: count,
            delivered: count / 2,
            dead_letters: (!paused).then_some(3),
            ..TriggerTop::default()
        };
        TopView {
            now_millis,
            events: 2 * count,
            dead_letters: 3,
            silent: vec!["node-b".to_owned()],
            brokers: vec![BrokerTop {
                name: "default/b".to_owned(),
                ready: true,
                matched: count,
                ..BrokerTop::default()
            }],
            triggers: vec![trigger("default/t", false), trigger("default/u", true)],
            more_triggers: 9,
            revisions: vec![RevisionTop { name: "default/r-00001".to_owned(), instances: 2, ..RevisionTop::default() }],
            ..TopView::default()
        }
    }

    #[test]
    fn rates_follow_from_two_looks() {
        let first = view(1_000, 100);
        let one = lines(&first, None).join("\n");
        assert!(
            one.contains("events in -/s") && one.contains("default/t   b        ready    7         -      -"),
            "{one}"
        );
        let two = lines(&view(3_000, 300), Some(&first)).join("\n");
        for want in [
            "events in 200/s",
            "dead letters 3",
            "no answer from the dispatcher of node-b",
            "default/t   b        ready    7         100    50      0          3",
            "default/u   b        paused   7         100    50      0          -",
            "9 more Triggers",
            "default/r-00001   False   2           0         any           -           -",
        ] {
            assert!(two.contains(want), "{want:?} is not in\n{two}");
        }
        let back = lines(&view(5_000, 50), Some(&view(3_000, 300))).join("\n");
        assert!(back.contains("events in -/s"), "a process that counted began anew: {back}");
        let same_moment = lines(&first, Some(&first)).join("\n");
        assert!(same_moment.contains("events in -/s"), "{same_moment}");
    }
}
