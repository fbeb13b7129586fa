//! Conditions: what is true of a resource now, and since when (Knative, "Error signalling").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Time;

/// The condition that sums up the others.
pub const READY: &str = "Ready";
/// Broker: events can be sent to `status.address`.
pub const ADDRESSABLE: &str = "Addressable";
/// Broker and Trigger: the dead-letter sink has a URL, or none is asked for.
pub const DEAD_LETTER_SINK_RESOLVED: &str = "DeadLetterSinkResolved";
/// Trigger: its Broker exists and is Ready.
pub const BROKER_READY: &str = "BrokerReady";
/// Trigger: what its dependency annotation names is Ready, or nothing is named.
pub const DEPENDENCY_READY: &str = "DependencyReady";
/// Trigger: the subscriber has a URL.
pub const SUBSCRIBER_RESOLVED: &str = "SubscriberResolved";
/// Trigger: the dispatcher has a cursor for it and delivers.
pub const SUBSCRIPTION_READY: &str = "SubscriptionReady";
/// Service: its Configuration is Ready.
pub const CONFIGURATIONS_READY: &str = "ConfigurationsReady";
/// Service: its Route is Ready.
pub const ROUTES_READY: &str = "RoutesReady";
/// Revision: what it runs on is there.
pub const RESOURCES_AVAILABLE: &str = "ResourcesAvailable";
/// Revision: its instances come up and stay.
pub const CONTAINER_HEALTHY: &str = "ContainerHealthy";
/// Revision: it has instances, or is about to. A Revision that has none is Ready all the same.
pub const ACTIVE: &str = "Active";
/// Route: every traffic target has a Revision.
pub const ALL_TRAFFIC_ASSIGNED: &str = "AllTrafficAssigned";
/// Route and DomainMapping: requests to its hosts are answered.
pub const INGRESS_READY: &str = "IngressReady";
/// Route and DomainMapping: there is a certificate for its hosts, or none is asked for.
pub const CERTIFICATE_PROVISIONED: &str = "CertificateProvisioned";
/// DomainMapping: what it refers to has an address.
pub const REFERENCE_RESOLVED: &str = "ReferenceResolved";
/// DomainMapping: the domain is its own and nobody else's.
pub const DOMAIN_CLAIMED: &str = "DomainClaimed";

/// What `Ready` of a Broker depends on.
pub const BROKER_CONDITIONS: &[&str] = &[ADDRESSABLE, DEAD_LETTER_SINK_RESOLVED];
/// What `Ready` of a Trigger depends on.
pub const TRIGGER_CONDITIONS: &[&str] =
    &[BROKER_READY, DEAD_LETTER_SINK_RESOLVED, DEPENDENCY_READY, SUBSCRIBER_RESOLVED, SUBSCRIPTION_READY];
/// What `Ready` of a Service depends on.
pub const SERVICE_CONDITIONS: &[&str] = &[CONFIGURATIONS_READY, ROUTES_READY];
/// What `Ready` of a Configuration depends on: nothing. It is marked itself.
pub const CONFIGURATION_CONDITIONS: &[&str] = &[];
/// What `Ready` of a Revision depends on. [`ACTIVE`] is not among them.
pub const REVISION_CONDITIONS: &[&str] = &[RESOURCES_AVAILABLE, CONTAINER_HEALTHY];
/// What `Ready` of a Route depends on.
pub const ROUTE_CONDITIONS: &[&str] = &[ALL_TRAFFIC_ASSIGNED, INGRESS_READY, CERTIFICATE_PROVISIONED];
/// What `Ready` of a DomainMapping depends on.
pub const DOMAIN_MAPPING_CONDITIONS: &[&str] =
    &[REFERENCE_RESOLVED, DOMAIN_CLAIMED, CERTIFICATE_PROVISIONED, INGRESS_READY];

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not, and that needs somebody.
    False,
    /// Not known yet. A condition that is absent is Unknown too.
    #[default]
    Unknown,
}

/// How bad it is when a condition is False.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Severity {
    /// An error: the resource does not work. Written as an empty string.
    #[default]
    #[serde(rename = "")]
    Error,
    /// Worth knowing; the resource works.
    Warning,
    /// For information.
    Info,
}

impl Severity {
    fn is_error(&self) -> bool {
        *self == Self::Error
    }
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Its name, such as `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, in one CamelCase word. Empty when there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How bad it is when False.
    #[serde(default, skip_serializing_if = "Severity::is_error")]
    pub severity: Severity,
    /// When `status` last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
}

/// The conditions of a resource, sorted by type, each type once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Conditions(Vec<Condition>);

impl Conditions {
    /// No conditions.
    pub(crate) const NONE: Self = Self(Vec::new());

    /// The condition of that type.
    #[must_use]
    pub fn find(&self, kind: &str) -> Option<&Condition> {
        self.0.iter().find(|c| c.kind == kind)
    }

    /// Whether the condition of that type holds; absent is Unknown.
    #[must_use]
    pub fn status(&self, kind: &str) -> ConditionStatus {
        self.find(kind).map_or(ConditionStatus::Unknown, |c| c.status)
    }

    /// Whether `Ready` is True.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.status(READY) == ConditionStatus::True
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The conditions, sorted by type.
    pub fn iter(&self) -> std::slice::Iter<'_, Condition> {
        self.0.iter()
    }

    /// Writes conditions at the moment `now`, for a resource whose `Ready` depends on `dependents`.
    pub fn write<'a>(&'a mut self, dependents: &'static [&'static str], now: Time) -> ConditionWriter<'a> {
        ConditionWriter { conditions: self, dependents, now }
    }

    /// Puts a condition in its place. The time moves only when the status does.
    fn set(&mut self, mut condition: Condition) {
        match self.0.binary_search_by(|c| c.kind.as_str().cmp(&condition.kind)) {
            Ok(at) => {
                if self.0[at].status == condition.status && self.0[at].last_transition_time.is_some() {
                    condition.last_transition_time = self.0[at].last_transition_time;
                }
                self.0[at] = condition;
            }
            Err(at) => self.0.insert(at, condition),
        }
    }
}

/// Marks conditions, and keeps `Ready` true to them.
///
/// `Ready` is True when all its dependents are, False when one is, else Unknown; when not True it carries the reason
/// and message of the first dependent that is to blame. When it has no dependents, it is marked itself.
#[derive(Debug)]
pub struct ConditionWriter<'a> {
    conditions: &'a mut Conditions,
    dependents: &'static [&'static str],
    now: Time,
}

impl ConditionWriter<'_> {
    /// Makes every dependent that is not there Unknown, and `Ready` if there are none.
    pub fn initialize(&mut self) -> &mut Self {
        let alone: &[&str] = if self.dependents.is_empty() { &[READY] } else { &[] };
        for kind in self.dependents.iter().chain(alone) {
            if self.conditions.find(kind).is_none() {
                self.put(kind, ConditionStatus::Unknown, "", "", Severity::Error);
            }
        }
        self.sum_up()
    }

    /// The condition holds.
    pub fn mark_true(&mut self, kind: &str) -> &mut Self {
        self.mark_true_because(kind, "", "")
    }

    /// The condition holds, and there is something to say about it.
    pub fn mark_true_because(&mut self, kind: &str, reason: &str, message: &str) -> &mut Self {
        self.put(kind, ConditionStatus::True, reason, message, Severity::Error);
        self.sum_up()
    }

    /// The condition does not hold.
    pub fn mark_false(&mut self, kind: &str, reason: &str, message: &str) -> &mut Self {
        self.put(kind, ConditionStatus::False, reason, message, Severity::Error);
        self.sum_up()
    }

    /// Whether the condition holds is not known.
    pub fn mark_unknown(&mut self, kind: &str, reason: &str, message: &str) -> &mut Self {
        self.put(kind, ConditionStatus::Unknown, reason, message, Severity::Error);
        self.sum_up()
    }

    /// Something is wrong that does not stop the resource from working. `Ready` is not affected.
    ///
    /// # Panics
    /// When `Ready` depends on a condition of that type: it would then be both an error and a warning.
    pub fn warn(&mut self, kind: &str, reason: &str, message: &str) -> &mut Self {
        assert!(!self.dependents.contains(&kind) && kind != READY, "{kind} is not a warning");
        self.put(kind, ConditionStatus::False, reason, message, Severity::Warning);
        self
    }

    /// Says what is so without a judgement, such as whether a Revision is `Active`. `Ready` is not affected.
    ///
    /// # Panics
    /// When `Ready` depends on a condition of that type.
    pub fn inform(&mut self, kind: &str, status: ConditionStatus, reason: &str, message: &str) -> &mut Self {
        assert!(!self.dependents.contains(&kind) && kind != READY, "{kind} is a judgement");
        self.put(kind, status, reason, message, Severity::Info);
        self
    }

    /// Takes a condition away, such as a warning that is over.
    pub fn clear(&mut self, kind: &str) -> &mut Self {
        self.conditions.0.retain(|c| c.kind != kind);
        self.sum_up()
    }

    fn put(&mut self, kind: &str, status: ConditionStatus, reason: &str, message: &str, severity: Severity) {
        let (kind, reason, message) = (kind.to_owned(), reason.to_owned(), message.to_owned());
        let last_transition_time = Some(self.now);
        self.conditions.set(Condition { kind, status, reason, message, severity, last_transition_time });
    }

    fn sum_up(&mut self) -> &mut Self {
        if self.dependents.is_empty() {
            return self;
        }
        let conditions = &*self.conditions;
        let first = |status| self.dependents.iter().find(|kind| conditions.status(kind) == status);
        let blamed = first(ConditionStatus::False).or_else(|| first(ConditionStatus::Unknown));
        let (status, reason, message) = match blamed {
            None => (ConditionStatus::True, String::new(), String::new()),
            Some(kind) => match conditions.find(kind) {
                Some(c) => (c.status, c.reason.clone(), c.message.clone()),
                None => (ConditionStatus::Unknown, String::new(), String::new()),
            },
        };
        self.put(READY, status, &reason, &message, Severity::Error);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T1: u64 = 1_700_000_000_000;
    const T2: u64 = 1_700_000_060_000;

    fn at(millis: u64) -> Time {
        Time::from_unix_millis(millis)
    }

    #[test]
    fn ready_sums_up_its_dependents() {
        use ConditionStatus::{False, True, Unknown};
        let rows = [
            (True, True, True, ""),
            (True, Unknown, Unknown, "RU"),
            (Unknown, False, False, "RF"),
            (False, True, False, "RF"),
            (False, Unknown, False, "RF"),
            (Unknown, Unknown, Unknown, "RU"),
        ];
        for (first, second, want, reason) in rows {
            let mut conditions = Conditions::default();
            let mut writer = conditions.write(BROKER_CONDITIONS, at(T1));
            for (kind, status) in [(ADDRESSABLE, first), (DEAD_LETTER_SINK_RESOLVED, second)] {
                match status {
                    True => writer.mark_true(kind),
                    False => writer.mark_false(kind, "RF", "false"),
                    Unknown => writer.mark_unknown(kind, "RU", "unknown"),
                };
            }
            assert_eq!(conditions.status(READY), want, "{first:?} {second:?}");
            assert_eq!(conditions.find(READY).unwrap().reason, reason, "{first:?} {second:?}");
        }
    }

    #[test]
    fn absent_is_unknown() {
        let mut conditions = Conditions::default();
        assert_eq!(conditions.status(READY), ConditionStatus::Unknown);
        conditions.write(BROKER_CONDITIONS, at(T1)).mark_true(ADDRESSABLE);
        assert_eq!(conditions.status(READY), ConditionStatus::Unknown);
        conditions.write(TRIGGER_CONDITIONS, at(T1)).initialize();
        assert!(TRIGGER_CONDITIONS.iter().all(|kind| conditions.find(kind).is_some()));
    }

    #[test]
    fn the_time_moves_only_when_the_status_does() {
        let mut conditions = Conditions::default();
        conditions.write(BROKER_CONDITIONS, at(T1)).mark_false(ADDRESSABLE, "A", "a");
        conditions.write(BROKER_CONDITIONS, at(T2)).mark_false(ADDRESSABLE, "B", "b");
        let addressable = conditions.find(ADDRESSABLE).unwrap();
        assert_eq!((addressable.reason.as_str(), addressable.last_transition_time), ("B", Some(at(T1))));
        conditions.write(BROKER_CONDITIONS, at(T2)).mark_true(ADDRESSABLE);
        assert_eq!(conditions.find(ADDRESSABLE).unwrap().last_transition_time, Some(at(T2)));
        // Ready was False and is now Unknown: it moved as well.
        assert_eq!(conditions.find(READY).unwrap().last_transition_time, Some(at(T2)));
    }

    #[test]
    fn a_warning_leaves_ready_alone_and_goes_when_it_is_over() {
        let mut conditions = Conditions::default();
        conditions.write(&[ADDRESSABLE], at(T1)).mark_true(ADDRESSABLE).warn("SubscriberGone", "Gone", "410");
        assert!(conditions.is_ready());
        let json = serde_json::to_value(&conditions).unwrap();
        assert_eq!(json[2]["severity"], "Warning");
        assert_eq!(json[1].get("severity"), None);
        conditions.write(&[ADDRESSABLE], at(T2)).clear("SubscriberGone");
        assert_eq!(conditions.iter().count(), 2);
    }

    /// A Revision that was scaled to zero is healthy (Knative Serving, `revision_lifecycle.go`).
    #[test]
    fn a_revision_that_is_not_active_is_ready() {
        let mut conditions = Conditions::default();
        let mut writer = conditions.write(REVISION_CONDITIONS, at(T1));
        writer.mark_true(RESOURCES_AVAILABLE).mark_true(CONTAINER_HEALTHY);
        writer.inform(ACTIVE, ConditionStatus::False, "NoTraffic", "no requests come in");
        assert!(conditions.is_ready());
        assert_eq!(conditions.find(ACTIVE).unwrap().severity, Severity::Info);
        conditions.write(REVISION_CONDITIONS, at(T2)).mark_true(CONTAINER_HEALTHY);
        assert!(conditions.is_ready());
    }

    #[test]
    fn ready_alone_is_marked_itself() {
        let mut conditions = Conditions::default();
        conditions.write(CONFIGURATION_CONDITIONS, at(T1)).initialize();
        assert_eq!(conditions.iter().count(), 1);
        assert_eq!(conditions.status(READY), ConditionStatus::Unknown);
        conditions.write(CONFIGURATION_CONDITIONS, at(T1)).mark_false(READY, "RevisionFailed", "why");
        conditions.write(CONFIGURATION_CONDITIONS, at(T2)).initialize();
        assert_eq!(conditions.find(READY).unwrap().reason, "RevisionFailed");
        conditions.write(CONFIGURATION_CONDITIONS, at(T2)).mark_true(READY);
        assert!(conditions.is_ready());
    }

    /// Knative Serving, `*_lifecycle.go`.
    #[test]
    fn the_kinds_of_serving_have_knatives_conditions() {
        let rows: [(&str, &'static [&str], &[&str]); 5] = [
            ("Service", SERVICE_CONDITIONS, &["ConfigurationsReady", "Ready", "RoutesReady"]),
            ("Configuration", CONFIGURATION_CONDITIONS, &["Ready"]),
            ("Revision", REVISION_CONDITIONS, &["ContainerHealthy", "Ready", "ResourcesAvailable"]),
            ("Route", ROUTE_CONDITIONS, &["AllTrafficAssigned", "CertificateProvisioned", "IngressReady", "Ready"]),
            (
                "DomainMapping",
                DOMAIN_MAPPING_CONDITIONS,
                &["CertificateProvisioned", "DomainClaimed", "IngressReady", "Ready", "ReferenceResolved"],
            ),
        ];
        for (kind, dependents, want) in rows {
            let mut conditions = Conditions::default();
            conditions.write(dependents, at(T1)).initialize();
            let found: Vec<_> = conditions.iter().map(|c| c.kind.as_str()).collect();
            assert_eq!(found, want, "{kind}");
        }
    }

    #[test]
    fn conditions_are_sorted_by_type() {
        let mut conditions = Conditions::default();
        conditions.write(TRIGGER_CONDITIONS, at(T1)).mark_true(SUBSCRIPTION_READY).initialize();
        let kinds: Vec<_> = conditions.iter().map(|c| c.kind.as_str()).collect();
        assert!(kinds.is_sorted(), "{kinds:?}");
    }
}
