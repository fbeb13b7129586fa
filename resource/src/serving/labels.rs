//! The labels and annotations by which the kinds of Knative Serving know each other.

use crate::meta::ObjectMeta;

/// Label of what a Configuration made: its name.
pub const CONFIGURATION: &str = "serving.knative.dev/configuration";
/// Label of a Revision: the generation of its Configuration that it was made from.
pub const CONFIGURATION_GENERATION: &str = "serving.knative.dev/configurationGeneration";
/// Label of what a Configuration made: its uid.
pub const CONFIGURATION_UID: &str = "serving.knative.dev/configurationUID";
/// Label of what a Service made, directly or not: its name.
pub const SERVICE: &str = "serving.knative.dev/service";
/// Label of what a Service made, directly or not: its uid.
pub const SERVICE_UID: &str = "serving.knative.dev/serviceUID";
/// Label of what belongs to a Revision: its name.
pub const REVISION: &str = "serving.knative.dev/revision";
/// Label of what belongs to a Route: its name.
pub const ROUTE: &str = "serving.knative.dev/route";
/// Label of a Revision: see [`RoutingState`].
pub const ROUTING_STATE: &str = "serving.knative.dev/routingState";
/// Label of a Route or Service: see [`Visibility`].
pub const VISIBILITY: &str = "networking.knative.dev/visibility";

/// Annotation of a Revision: the names of the Routes that point to it, with commas between them.
pub const ROUTES: &str = "serving.knative.dev/routes";
/// Annotation of a Revision: when [`ROUTING_STATE`] last changed, in RFC 3339.
pub const ROUTING_STATE_MODIFIED: &str = "serving.knative.dev/routingStateModified";
/// Annotation: who created it.
pub const CREATOR: &str = "serving.knative.dev/creator";
/// Annotation: who changed it last.
pub const LAST_MODIFIER: &str = "serving.knative.dev/lastModifier";
/// Annotation of a Revision: `true` keeps it from garbage collection.
pub const NO_GC: &str = "serving.knative.dev/no-gc";
/// Annotation of a Service or Route: over how long traffic moves to a new latest Revision, in whole seconds.
pub const ROLLOUT_DURATION: &str = "serving.knative.dev/rollout-duration";
/// Annotation of a Route's status: how far the rollouts are.
pub const ROLLOUT: &str = "serving.knative.dev/rollout";
/// Annotation of a Revision: how long it may take to come up, in whole seconds.
pub const PROGRESS_DEADLINE: &str = "serving.knative.dev/progress-deadline";

/// Whether traffic can reach a Revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoutingState {
    /// Not decided yet: it is new.
    Pending,
    /// A Route points to it.
    Active,
    /// No Route points to it, so it can be deleted when there are too many.
    Reserve,
}

impl RoutingState {
    /// The value of the label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Reserve => "reserve",
        }
    }

    /// The state that a label's value stands for.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        [Self::Pending, Self::Active, Self::Reserve].into_iter().find(|state| state.as_str() == text)
    }
}

/// From where a Route can be reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// From everywhere.
    #[default]
    External,
    /// By the cluster-local names only.
    ClusterLocal,
}

/// The value of [`VISIBILITY`] that hides a Route from outside.
pub const CLUSTER_LOCAL: &str = "cluster-local";

impl Visibility {
    /// What the label of a Route or Service says.
    #[must_use]
    pub fn of(meta: &ObjectMeta) -> Self {
        match meta.labels.get(VISIBILITY).map(String::as_str) {
            Some(CLUSTER_LOCAL) => Self::ClusterLocal,
            _ => Self::External,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routing_states_have_names() {
        for state in [RoutingState::Pending, RoutingState::Active, RoutingState::Reserve] {
            assert_eq!(RoutingState::of(state.as_str()), Some(state));
        }
        for wrong in ["", "Active", "inactive"] {
            assert_eq!(RoutingState::of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_route_is_seen_from_outside_unless_its_label_says_otherwise() {
        let labelled = |value: Option<&str>| {
            let mut meta = ObjectMeta::default();
            meta.labels.extend(value.map(|value| (VISIBILITY.to_owned(), value.to_owned())));
            Visibility::of(&meta)
        };
        assert_eq!(labelled(None), Visibility::External);
        assert_eq!(labelled(Some("cluster-local")), Visibility::ClusterLocal);
        assert_eq!(labelled(Some("")), Visibility::External);
    }
}
