//! What is told of, how often, and how much of it.

use pelton_resource::parse_documents;

use super::*;
use crate::admission::uid_from_bits;

/// A Broker with that condition.
fn broker(name: &str, kind: &str, status: ConditionStatus, reason: &str) -> Resource {
    let text =
        format!("apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {{name: {name}, namespace: default}}\n");
    let Resource::Broker(mut broker) = parse_documents(&text, "test").unwrap().remove(0) else { panic!("a Broker") };
    broker.metadata.uid = Some(format!("uid-of-{name}"));
    let mut write = broker.status.write_conditions(Time::from_unix_millis(0));
    match (kind, status) {
        (READY, ConditionStatus::True) => write.mark_true("Addressable").mark_true("DeadLetterSinkResolved"),
        (READY, ConditionStatus::False) => write.mark_false("Addressable", reason, "it is not"),
        (READY, ConditionStatus::Unknown) => write.mark_unknown("Addressable", reason, ""),
        (_, ConditionStatus::False) => write.warn(kind, reason, "it is odd"),
        _ => write.clear(kind),
    };
    Resource::Broker(broker)
}

/// Stores resources as a controller does, with what is told of them.
struct Registry {
    resources: Resources,
    teller: Teller,
    now: u64,
}

impl Registry {
    fn new() -> Self {
        Self { resources: Resources::default(), teller: Teller::default(), now: 1_000_000 }
    }

    /// Type, reason, count and name of each Event that is told.
    fn put(&mut self, stored: Vec<Resource>) -> Vec<(String, String, u64, String)> {
        let mut next = self.resources.version * 1_000_000;
        let mut new_uid = || {
            next += 1;
            uid_from_bits(1, next)
        };
        let events = self.resources.core_of(Kind::Event).count();
        let told = self.teller.tell(&stored, &self.resources, events, UnixMillis(self.now), &mut new_uid);
        let shown = told.iter().map(|event| {
            let Resource::Core(event) = event else { panic!("an Event") };
            let text = |at| event.text(at).unwrap().to_owned();
            (text("/type"), text("/reason"), event.content["count"].as_u64().unwrap(), event.metadata.name.clone())
        });
        let shown = shown.collect();
        let all = stored.into_iter().chain(told);
        self.resources = self.resources.with(all, self.resources.version + 1);
        shown
    }
}

#[test]
fn trouble_is_told_of_and_that_it_is_over() {
    use ConditionStatus::{False, True, Unknown};
    let mut registry = Registry::new();
    let mut names = std::collections::BTreeSet::new();
    for (at, (kind, status, reason, want)) in [
        (READY, Unknown, "Starting", None),
        (READY, True, "", None),
        (READY, False, "Lost", Some(("Warning", "Lost", 1))),
        (READY, False, "Lost", None),
        (READY, False, "Other", Some(("Warning", "Other", 1))),
        (READY, True, "", Some(("Normal", "Ready", 1))),
        (READY, Unknown, "Moving", None),
        (READY, True, "", None),
        (READY, False, "Lost", Some(("Warning", "Lost", 2))),
        (READY, Unknown, "Moving", None),
        (READY, True, "", Some(("Normal", "Ready", 2))),
        ("AnswersWell", False, "OddAnswers", Some(("Warning", "OddAnswers", 1))),
        ("AnswersWell", False, "OddAnswers", None),
        ("AnswersWell", True, "", None),
        ("AnswersWell", False, "OddAnswers", Some(("Warning", "OddAnswers", 2))),
    ]
    .into_iter()
    .enumerate()
    {
        registry.now += 2_000;
        let told = registry.put(vec![broker("b", kind, status, reason)]);
        let found = told.first().map(|(kind, reason, count, _)| (kind.as_str(), reason.as_str(), *count));
        assert_eq!(found, want, "row {at}: {told:?}");
        assert!(told.len() <= 1);
        names.extend(told.into_iter().map(|(.., name)| name));
    }
    assert_eq!(registry.resources.core_of(Kind::Event).count(), names.len());
    for event in registry.resources.core_of(Kind::Event) {
        let resource = Resource::from(event.as_ref().clone());
        assert_eq!(resource.validate(&pelton_resource::Defaults::default()), Ok(()));
        assert_eq!(event.text("/involvedObject/uid"), Some("uid-of-b"));
        assert_eq!(event.text("/source/component"), Some(COMPONENT));
    }
}

#[test]
fn what_is_told_of_one_resource_and_of_all_has_a_bound() {
    use ConditionStatus::{False, True};
    let mut registry = Registry::new();
    let flap = |registry: &mut Registry, name: &str, times: usize| {
        (0..times)
            .map(|n| {
                let status = if n.is_multiple_of(2) { False } else { True };
                registry.put(vec![broker(name, READY, status, "Lost")]).len()
            })
            .sum::<usize>()
    };
    assert_eq!(flap(&mut registry, "a", 100), 25);
    registry.now += 300_000;
    assert_eq!(flap(&mut registry, "a", 10), 1);
    registry.now += 100_000;
    let many = |from: usize| (from..from + 300).map(|n| broker(&format!("b{n}"), READY, False, "Lost")).collect();
    assert_eq!(registry.put(many(0)).len(), 100, "at once");
    registry.now += 1_000;
    assert_eq!(registry.put(many(1_000)).len(), 1, "and one a second then");
    for round in 0..20 {
        registry.now += 100_000;
        registry.put(many(2_000 + round * 300));
    }
    assert_eq!(registry.resources.core_of(Kind::Event).count(), MAX_TOLD);
    registry.now += 100_000;
    registry.put(vec![broker("b0", READY, True, "")]);
    assert_eq!(registry.put(vec![broker("b0", READY, False, "Lost")]).len(), 1, "what is there is counted on");
    assert!(registry.teller.known.len() <= 2 * MAX_KNOWN, "{}", registry.teller.known.len());
}

#[test]
fn texts_are_cut_to_what_kubernetes_takes() {
    let mut registry = Registry::new();
    let name = "b".repeat(253);
    let reason = "R".repeat(200);
    let mut resource = broker("b", READY, ConditionStatus::False, &reason);
    resource.meta_mut().name = name;
    registry.put(vec![resource]);
    let event = registry.resources.core_of(Kind::Event).next().unwrap();
    assert_eq!((event.metadata.name.len(), event.text("/reason").unwrap().len()), (253, MAX_REASON_BYTES));
}
