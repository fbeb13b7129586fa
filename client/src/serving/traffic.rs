//! Which revisions a Route's traffic goes to, and how its status says so.

use std::collections::{BTreeMap, VecDeque};

use pelton_resource::serving::{Route, TrafficTarget};
use pelton_resource::{ConditionStatus, Conditions, Kind, conditions};

use super::rollout::{Goal, Rollout, Share};
use crate::Resources;

/// A part of a Route's traffic and the revision it is for, before a rollout divides it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned<'a> {
    /// The tag that has a host of its own; empty for none.
    pub tag: &'a str,
    /// The Configuration whose latest ready revision it is; `None` when the Route names the revision.
    pub latest_of: Option<&'a str>,
    /// The revision.
    pub revision_name: &'a str,
    /// Its percent of all requests to the Route's own host, 0 to 100.
    pub percent: u8,
}

/// Why a Route's traffic cannot go where it is to go. Until that is mended the Route keeps the traffic it has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrafficError {
    /// What a target names is not there.
    #[error("{kind} {name:?} does not exist")]
    Missing {
        /// Configuration or Revision.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// What a target names did not become ready.
    #[error("{} failed: {message}", what(*kind, name))]
    Failed {
        /// Configuration or Revision.
        kind: Kind,
        /// Its name.
        name: String,
        /// What its condition says.
        message: String,
    },
    /// What a target names may yet become ready.
    #[error("{} is not ready yet", what(*kind, name))]
    Waiting {
        /// Configuration or Revision.
        kind: Kind,
        /// Its name.
        name: String,
    },
}

fn what(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Configuration => format!("the latest revision of Configuration {name:?}"),
        _ => format!("{kind} {name:?}"),
    }
}

impl TrafficError {
    /// The reason for a condition, which is Knative's: what is missing.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Missing { kind: Kind::Configuration, .. } => "ConfigurationMissing",
            Self::Missing { .. } | Self::Failed { .. } | Self::Waiting { .. } => "RevisionMissing",
        }
    }

    /// Whether it is over by itself when what waits becomes ready.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting { .. })
    }
}

/// The revision of each target of a Route's `spec`. Targets that say the same twice become one.
///
/// # Errors
/// The first target that cannot be served, one that fails before one that waits.
pub fn assign<'a>(route: &'a Route, resources: &'a Resources) -> Result<Vec<Assigned<'a>>, TrafficError> {
    let mut assigned: Vec<Assigned<'a>> = Vec::with_capacity(route.spec.traffic.len());
    let mut error: Option<TrafficError> = None;
    for target in &route.spec.traffic {
        match revision_of(target, &route.metadata.namespace, resources) {
            Ok((latest_of, revision_name)) => {
                let percent = target.percent.unwrap_or(0).clamp(0, 100) as u8;
                let one = Assigned { tag: &target.tag, latest_of, revision_name, percent };
                let same = |known: &&mut Assigned<'_>| Assigned { percent, ..(**known).clone() } == one;
                match assigned.iter_mut().find(same) {
                    Some(known) => known.percent = known.percent.saturating_add(percent).min(100),
                    None => assigned.push(one),
                }
            }
            Err(why) if error.as_ref().is_none_or(|known| known.is_waiting() && !why.is_waiting()) => error = Some(why),
            Err(_) => {}
        }
    }
    error.map_or(Ok(assigned), Err)
}

/// The Configuration that a target follows, if it does, and its revision.
fn revision_of<'a>(
    target: &'a TrafficTarget,
    namespace: &str,
    resources: &'a Resources,
) -> Result<(Option<&'a str>, &'a str), TrafficError> {
    if !target.is_latest() {
        return named(&target.revision_name, namespace, resources).map(|name| (None, name));
    }
    let (kind, name) = (Kind::Configuration, target.configuration_name.clone());
    let Some(configuration) = resources.configuration(namespace, &name) else {
        return Err(TrafficError::Missing { kind, name });
    };
    let latest = &configuration.status.latest_ready_revision_name;
    if latest.is_empty() {
        return Err(not_ready(kind, name, &configuration.status.conditions));
    }
    match resources.revision(namespace, latest) {
        Some(_) => Ok((Some(&target.configuration_name), latest)),
        None => Err(TrafficError::Missing { kind: Kind::Revision, name: latest.clone() }),
    }
}

fn named<'a>(name: &'a str, namespace: &str, resources: &Resources) -> Result<&'a str, TrafficError> {
    let kind = Kind::Revision;
    match resources.revision(namespace, name) {
        None => Err(TrafficError::Missing { kind, name: name.to_owned() }),
        Some(revision) if revision.status.conditions.is_ready() => Ok(name),
        Some(revision) => Err(not_ready(kind, name.to_owned(), &revision.status.conditions)),
    }
}

fn not_ready(kind: Kind, name: String, is: &Conditions) -> TrafficError {
    match is.find(conditions::READY) {
        Some(ready) if ready.status == ConditionStatus::False => {
            TrafficError::Failed { kind, name, message: ready.message.clone() }
        }
        _ => TrafficError::Waiting { kind, name },
    }
}

/// What rollouts are to lead to: for each Configuration that is followed, its share of the Route's own host, and
/// everything at the host of each of its tags.
#[must_use]
pub fn goals<'a>(assigned: &[Assigned<'a>]) -> Vec<Goal<'a>> {
    let mut goals: Vec<Goal<'a>> = Vec::new();
    for one in assigned {
        let Some(configuration_name) = one.latest_of else { continue };
        let goal = Goal { configuration_name, tag: "", percent: one.percent, revision_name: one.revision_name };
        let same = |known: &&mut Goal<'_>| known.tag.is_empty() && known.configuration_name == configuration_name;
        match goals.iter_mut().find(same) {
            Some(known) => known.percent = known.percent.saturating_add(one.percent).min(100),
            None => goals.push(goal),
        }
        if !one.tag.is_empty() {
            goals.push(Goal { tag: one.tag, percent: 100, ..goal });
        }
    }
    goals
}

/// `status.traffic`: each target with its revision, or with the several that a rollout divides it among.
#[must_use]
pub fn in_status(assigned: &[Assigned<'_>], rollout: &Rollout, url_of: &dyn Fn(&str) -> String) -> Vec<TrafficTarget> {
    // Targets that follow one Configuration take from its shares in their order.
    let mut shares: BTreeMap<&str, VecDeque<Share>> = rollout
        .iter()
        .filter(|one| one.tag.is_empty())
        .map(|one| (one.configuration_name.as_str(), one.revisions.iter().cloned().collect()))
        .collect();
    let mut traffic = Vec::with_capacity(assigned.len());
    for one in assigned {
        let mut push = |revision_name: &str, percent: u8| {
            traffic.push(TrafficTarget {
                tag: one.tag.to_owned(),
                revision_name: revision_name.to_owned(),
                latest_revision: Some(one.latest_of.is_some()),
                percent: (percent > 0).then_some(i64::from(percent)),
                url: if one.tag.is_empty() { String::new() } else { url_of(one.tag) },
                ..TrafficTarget::default()
            });
        };
        let mut left = one.percent;
        if let Some(shares) = one.latest_of.and_then(|configuration| shares.get_mut(configuration)) {
            while left > 0
                && let Some(mut share) = shares.pop_front()
            {
                let taken = share.percent.min(left);
                push(&share.revision_name, taken);
                left -= taken;
                share.percent -= taken;
                if share.percent > 0 {
                    shares.push_front(share);
                }
            }
        }
        if left > 0 || one.percent == 0 {
            push(one.revision_name, left);
        }
    }
    traffic
}

#[cfg(test)]
mod tests;
