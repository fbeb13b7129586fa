//! What is looked at is enough, and no more than what changed.

use std::collections::BTreeMap;

use pelton_resource::{Kind, ResourceKey, Time, parse_documents};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::admission::uid_from_bits;
use crate::status::reconcile;

const EVENTING: &str = "apiVersion: eventing.knative.dev/v1";

fn parse(text: &str) -> Resource {
    parse_documents(text, "test").unwrap().remove(0)
}

fn trigger(name: &str, id: u64, broker: &str, subscriber: &str) -> Resource {
    let uid = uid_from_bits(0, id);
    let mut trigger = parse(&format!(
        "{EVENTING}\nkind: Trigger\nmetadata: {{name: {name}, namespace: default}}\nspec: {{broker: {broker}, subscriber: \
         {{{subscriber}}}}}\n"
    ));
    trigger.meta_mut().uid = Some(uid);
    trigger
}

fn broker(name: &str, sink: &str) -> Resource {
    parse(&format!("{EVENTING}\nkind: Broker\nmetadata: {{name: {name}, namespace: default}}\nspec: {{{sink}}}\n"))
}

fn external(name: &str, host: &str) -> Resource {
    parse(&format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\nspec: {{type: ExternalName, \
         externalName: {host}}}\n"
    ))
}

fn facts(warnings: &BTreeMap<TriggerId, Option<crate::Warning>>) -> Facts<'_> {
    Facts { ingress: Some("http://in"), is_started: &|_| true, warnings, now: Time::from_unix_millis(5) }
}

const REF: &str = "ref: {apiVersion: v1, kind: Service, name: s, namespace: default}";

/// Resources and their statuses, followed.
#[derive(Default)]
struct House {
    resources: Resources,
    statuses: Statuses,
}

impl House {
    fn put(&mut self, resources: impl IntoIterator<Item = Resource>) {
        self.resources = self.resources.with(resources, self.resources.version + 1);
        self.statuses.follow(&self.resources);
    }

    fn take(&mut self, kind: Kind, name: &str) {
        let key = ResourceKey::new(kind, "default", name);
        self.resources = self.resources.without(&key, self.resources.version + 1);
        self.statuses.follow(&self.resources);
    }

    /// Makes every status true as a controller does; gives how often something was looked at.
    fn settle(&mut self) -> usize {
        let mut looked_at = 0;
        for _ in 0..5 {
            looked_at += self.statuses.count();
            let changed = self.statuses.reconcile(facts(&BTreeMap::new()));
            self.statuses.done();
            if changed.is_empty() {
                return looked_at;
            }
            self.put(changed);
        }
        panic!("it never settles");
    }
}

/// With many Triggers, a write of something else costs what it did with none.
#[test]
fn what_a_change_has_looked_at_is_what_speaks_of_it() {
    const TRIGGERS: u64 = 10_000;
    let mut house = House::default();
    house.put([broker("a", ""), broker("b", "")]);
    house.put((2..TRIGGERS).map(|id| trigger(&format!("t{id}"), id, "a", "uri: 'http://s.example'")));
    house.put([trigger("t0", 0, "b", REF), trigger("t1", 1, "b", "uri: 'http://s.example'")]);
    house.settle();
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: default}\ndata: {k: v}\n";
    house.put([parse(config)]);
    assert_eq!(house.statuses.count(), 0, "nothing speaks of a ConfigMap");
    house.put([trigger("new", TRIGGERS, "a", "uri: 'http://s.example'")]);
    assert_eq!(house.statuses.count(), 1);
    assert_eq!(house.settle(), 2, "before and after its status is written");
    house.put([external("s", "s.example")]);
    assert_eq!(house.settle(), 2, "the one that it leads to");
    let (_, led) = house.resources.trigger("default", "t0").unwrap();
    assert_eq!(led.status.subscriber_uri.as_deref(), Some("http://s.example"));
    house.take(Kind::Broker, "b");
    assert_eq!(house.settle(), 4, "its two, before and after");
    house.statuses.look_at(TriggerId::parse(&uid_from_bits(0, 7)).unwrap());
    house.statuses.look_at(TriggerId(7));
    assert_eq!(house.statuses.count(), 1, "one that is not there is not looked at");
    house.statuses.look_at_all();
    assert_eq!(house.statuses.count() as u64, TRIGGERS + 2);
}

/// What failed to be written is looked at again.
#[test]
fn what_is_not_done_is_kept() {
    let mut house = House::default();
    house.put([broker("a", ""), trigger("t", 1, "a", "uri: 'http://s.example'")]);
    assert_eq!(house.statuses.reconcile(facts(&BTreeMap::new())).len(), 2);
    house.put([external("s", "s.example")]);
    assert_eq!(house.statuses.reconcile(facts(&BTreeMap::new())).len(), 2);
}

/// Whoever leads the registry anew has heard nothing yet, and takes nothing away.
#[test]
fn a_warning_stays_until_somebody_takes_it_back() {
    let mut house = House::default();
    house.put([broker("a", ""), trigger("t", 1, "a", "uri: 'http://s.example'")]);
    house.settle();
    let id = TriggerId::parse(&uid_from_bits(0, 1)).unwrap();
    let warning = crate::Warning { reason: "SubscriberGone".to_owned(), message: "410".to_owned() };
    let said = |house: &mut House, warning: Option<crate::Warning>| {
        house.statuses.look_at(id);
        let changed = house.statuses.reconcile(facts(&BTreeMap::from([(id, warning)])));
        house.statuses.done();
        house.put(changed);
        house.settle();
    };
    let reason = |house: &House| {
        let conditions = &house.resources.trigger("default", "t").unwrap().1.status.conditions;
        conditions.find(crate::status::DELIVERY_WARNING).map(|condition| condition.reason.clone())
    };
    said(&mut house, Some(warning));
    house.statuses.look_at_all();
    house.settle();
    assert_eq!(reason(&house).as_deref(), Some("SubscriberGone"), "nothing was said since");
    said(&mut house, None);
    assert_eq!(reason(&house), None);
}

#[derive(Debug, Clone)]
enum Op {
    Trigger { name: u8, broker: u8, subscriber: u8 },
    Broker { name: u8, sink: bool },
    External { host: u8 },
    TakeTrigger(u8),
    TakeBroker(u8),
    TakeExternal,
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..3_u8, 0..2_u8, 0..3_u8).prop_map(|(name, broker, subscriber)| Op::Trigger { name, broker, subscriber }),
        (0..2_u8, any::<bool>()).prop_map(|(name, sink)| Op::Broker { name, sink }),
        (0..2_u8).prop_map(|host| Op::External { host }),
        (0..3_u8).prop_map(Op::TakeTrigger),
        (0..2_u8).prop_map(Op::TakeBroker),
        Just(Op::TakeExternal),
    ]
}

proptest! {
    /// Whatever changes, looking at what it has to do with comes to the same as looking at everything.
    #[test]
    fn looking_at_what_changed_is_enough(ops in vec(any_op(), 1..40)) {
        let mut house = House::default();
        for op in ops {
            match op {
                Op::Trigger { name, broker, subscriber } => {
                    let to_broker = format!("ref: {{{EVENTING}, kind: Broker, name: b{broker}, namespace: default}}");
                    let subscriber = ["uri: 'http://s.example'", REF, &to_broker][usize::from(subscriber)];
                    house.put([trigger(&format!("t{name}"), name.into(), &format!("b{broker}"), subscriber)]);
                }
                Op::Broker { name, sink } => {
                    let sink = if sink { format!("delivery: {{deadLetterSink: {{{REF}}}}}") } else { String::new() };
                    house.put([broker(&format!("b{name}"), &sink)]);
                }
                Op::External { host } => house.put([external("s", &format!("h{host}.example"))]),
                Op::TakeTrigger(name) => house.take(Kind::Trigger, &format!("t{name}")),
                Op::TakeBroker(name) => house.take(Kind::Broker, &format!("b{name}")),
                Op::TakeExternal => house.take(Kind::CoreService, "s"),
            }
            house.settle();
            prop_assert_eq!(reconcile(&house.resources, facts(&BTreeMap::new())), vec![]);
        }
    }
}
