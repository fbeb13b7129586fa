//! Errors as they go over the wire, and back.

use std::time::Duration;

use pelton_proto::broker::v1 as wire;
use wire::refusal::Reason;

use crate::retry::Refused;
use crate::{AppendError, ApplyError, ClusterError, GroupId, NodeId, Offset, OperationError, ReadError};

/// An error that has a wire form.
pub(super) trait Wire: Refused {
    fn to_wire(&self) -> wire::Refusal;
    /// A reason of a newer program is one of which all that is known is that nothing was done.
    fn from_wire(refusal: wire::Refusal) -> Self;
}

fn plain(reason: Reason) -> wire::Refusal {
    wire::Refusal { reason: reason.into(), ..wire::Refusal::default() }
}

fn not_leader(leader: Option<NodeId>) -> wire::Refusal {
    wire::Refusal { leader: leader.map_or(0, |node| node.0), ..plain(Reason::NotLeader) }
}

fn leader(refusal: &wire::Refusal) -> Option<NodeId> {
    Some(refusal.leader).filter(|leader| *leader != 0).map(NodeId)
}

fn group(refusal: &wire::Refusal) -> GroupId {
    GroupId(u32::try_from(refusal.wanted).unwrap_or(0))
}

impl Wire for AppendError {
    fn to_wire(&self) -> wire::Refusal {
        match self {
            Self::Overloaded { retry_after } => {
                let millis = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
                wire::Refusal { retry_after_millis: millis, ..plain(Reason::Overloaded) }
            }
            Self::StorageFull => plain(Reason::StorageFull),
            Self::Damaged => plain(Reason::Damaged),
            Self::TooLarge { size_bytes, limit_bytes } => {
                let (wanted, limit) = (*size_bytes as u64, *limit_bytes as u64);
                wire::Refusal { wanted, limit, ..plain(Reason::TooLarge) }
            }
            Self::NotLeader { leader } => not_leader(*leader),
            Self::Unavailable => plain(Reason::Unavailable),
            Self::NoQuorum { group, reached, voters } => {
                let (wanted, limit) = (u64::from(*reached), u64::from(*voters));
                wire::Refusal { group: group.0, wanted, limit, ..plain(Reason::NoQuorum) }
            }
            Self::OutcomeUnknown => plain(Reason::OutcomeUnknown),
        }
    }

    fn from_wire(refusal: wire::Refusal) -> Self {
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        match refusal.reason() {
            Reason::NoQuorum => Self::NoQuorum {
                group: GroupId(refusal.group),
                reached: count(refusal.wanted),
                voters: count(refusal.limit),
            },
            Reason::Overloaded => Self::Overloaded { retry_after: Duration::from_millis(refusal.retry_after_millis) },
            Reason::StorageFull => Self::StorageFull,
            Reason::Damaged => Self::Damaged,
            Reason::TooLarge => {
                Self::TooLarge { size_bytes: refusal.wanted as usize, limit_bytes: refusal.limit as usize }
            }
            Reason::NotLeader => Self::NotLeader { leader: leader(&refusal) },
            Reason::OutcomeUnknown => Self::OutcomeUnknown,
            _ => Self::Unavailable,
        }
    }
}

impl Wire for ReadError {
    fn to_wire(&self) -> wire::Refusal {
        match self {
            Self::Purged { wanted, first } => {
                wire::Refusal { wanted: wanted.0, limit: first.0, ..plain(Reason::Purged) }
            }
            Self::UnknownGroup(group) => wire::Refusal { wanted: group.0.into(), ..plain(Reason::UnknownGroup) },
            Self::Storage(why) => wire::Refusal { text: why.clone(), ..plain(Reason::Storage) },
            Self::NotLeader { leader } => not_leader(*leader),
            Self::Unavailable => plain(Reason::Unavailable),
        }
    }

    fn from_wire(refusal: wire::Refusal) -> Self {
        match refusal.reason() {
            Reason::Purged => Self::Purged { wanted: Offset(refusal.wanted), first: Offset(refusal.limit) },
            Reason::UnknownGroup => Self::UnknownGroup(group(&refusal)),
            Reason::Storage => Self::Storage(refusal.text),
            Reason::NotLeader => Self::NotLeader { leader: leader(&refusal) },
            _ => Self::Unavailable,
        }
    }
}

impl Wire for OperationError {
    fn to_wire(&self) -> wire::Refusal {
        match self {
            Self::UnknownTrigger => plain(Reason::UnknownTrigger),
            Self::UnknownDeadLetter => plain(Reason::UnknownDeadLetter),
            Self::UnknownGroup(group) => wire::Refusal { wanted: group.0.into(), ..plain(Reason::UnknownGroup) },
            Self::NotLeader { leader } => not_leader(*leader),
            Self::SessionEnded => plain(Reason::SessionEnded),
            Self::Unavailable => plain(Reason::Unavailable),
            Self::TooLarge => plain(Reason::TooLarge),
            Self::OutcomeUnknown => plain(Reason::OutcomeUnknown),
        }
    }

    fn from_wire(refusal: wire::Refusal) -> Self {
        match refusal.reason() {
            Reason::UnknownTrigger => Self::UnknownTrigger,
            Reason::UnknownDeadLetter => Self::UnknownDeadLetter,
            Reason::UnknownGroup => Self::UnknownGroup(group(&refusal)),
            Reason::NotLeader => Self::NotLeader { leader: leader(&refusal) },
            Reason::SessionEnded => Self::SessionEnded,
            Reason::TooLarge => Self::TooLarge,
            Reason::OutcomeUnknown => Self::OutcomeUnknown,
            _ => Self::Unavailable,
        }
    }
}

impl Wire for ApplyError {
    fn to_wire(&self) -> wire::Refusal {
        let of = |reason, kind: &str, name: &str, text: &str| wire::Refusal {
            kind: kind.to_owned(),
            name: name.to_owned(),
            text: text.to_owned(),
            ..plain(reason)
        };
        match self {
            Self::Invalid { kind, name, errors } => of(Reason::Invalid, kind, name, errors),
            Self::Conflict { kind, name, current } => of(Reason::Conflict, kind, name, current),
            Self::NotFound { kind, name } => of(Reason::NotFound, kind, name, ""),
            Self::AlreadyExists { kind, name } => of(Reason::AlreadyExists, kind, name, ""),
            Self::TooMuch { bytes, limit } => {
                wire::Refusal { wanted: *bytes, limit: *limit, ..plain(Reason::TooLarge) }
            }
            Self::NotLeader { leader } => not_leader(*leader),
            Self::Unavailable => plain(Reason::Unavailable),
            Self::OutcomeUnknown => plain(Reason::OutcomeUnknown),
        }
    }

    fn from_wire(refusal: wire::Refusal) -> Self {
        let reason = refusal.reason();
        let named = leader(&refusal);
        let wire::Refusal { kind, name, text, wanted, limit, .. } = refusal;
        match reason {
            Reason::Invalid => Self::Invalid { kind, name, errors: text },
            Reason::Conflict => Self::Conflict { kind, name, current: text },
            Reason::NotFound => Self::NotFound { kind, name },
            Reason::AlreadyExists => Self::AlreadyExists { kind, name },
            Reason::TooLarge => Self::TooMuch { bytes: wanted, limit },
            Reason::NotLeader => Self::NotLeader { leader: named },
            Reason::OutcomeUnknown => Self::OutcomeUnknown,
            _ => Self::Unavailable,
        }
    }
}

impl Wire for ClusterError {
    fn to_wire(&self) -> wire::Refusal {
        match self {
            Self::Refused(why) => wire::Refusal { text: why.clone(), ..plain(Reason::Refused) },
            Self::NotLeader { leader } => not_leader(*leader),
            Self::Unavailable => plain(Reason::Unavailable),
            Self::OutcomeUnknown => plain(Reason::OutcomeUnknown),
        }
    }

    fn from_wire(refusal: wire::Refusal) -> Self {
        match refusal.reason() {
            Reason::Refused => Self::Refused(refusal.text),
            Reason::NotLeader => Self::NotLeader { leader: leader(&refusal) },
            Reason::OutcomeUnknown => Self::OutcomeUnknown,
            _ => Self::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back<E: Wire + std::fmt::Debug>(errors: Vec<E>) {
        for error in errors {
            assert_eq!(format!("{:?}", E::from_wire(error.to_wire())), format!("{error:?}"));
        }
    }

    #[test]
    fn every_error_comes_back_as_it_was() {
        let (some, none) = (Some(NodeId(3)), None);
        back(vec![
            AppendError::Overloaded { retry_after: Duration::from_millis(1_500) },
            AppendError::StorageFull,
            AppendError::Damaged,
            AppendError::TooLarge { size_bytes: 9, limit_bytes: 8 },
            AppendError::NotLeader { leader: some },
            AppendError::NotLeader { leader: none },
            AppendError::Unavailable,
            AppendError::NoQuorum { group: GroupId(7), reached: 1, voters: 3 },
            AppendError::OutcomeUnknown,
        ]);
        back(vec![
            ReadError::Purged { wanted: Offset(1), first: Offset(5) },
            ReadError::UnknownGroup(GroupId(7)),
            ReadError::Storage("why".to_owned()),
            ReadError::NotLeader { leader: some },
            ReadError::Unavailable,
        ]);
        back(vec![
            OperationError::UnknownTrigger,
            OperationError::UnknownDeadLetter,
            OperationError::UnknownGroup(GroupId(7)),
            OperationError::NotLeader { leader: none },
            OperationError::SessionEnded,
            OperationError::Unavailable,
            OperationError::TooLarge,
            OperationError::OutcomeUnknown,
        ]);
        let (kind, name) = (|| "Trigger".to_owned(), || "default/t".to_owned());
        back(vec![
            ApplyError::Invalid { kind: kind(), name: name(), errors: "spec.broker".to_owned() },
            ApplyError::Conflict { kind: kind(), name: name(), current: "12".to_owned() },
            ApplyError::NotFound { kind: kind(), name: name() },
            ApplyError::AlreadyExists { kind: kind(), name: name() },
            ApplyError::TooMuch { bytes: 9, limit: 8 },
            ApplyError::NotLeader { leader: some },
            ApplyError::Unavailable,
            ApplyError::OutcomeUnknown,
        ]);
        back(vec![
            ClusterError::Refused("why".to_owned()),
            ClusterError::NotLeader { leader: some },
            ClusterError::Unavailable,
            ClusterError::OutcomeUnknown,
        ]);
    }

    /// A refusal says that nothing was done, whatever a newer node means by it.
    #[test]
    fn an_unknown_reason_is_that_nothing_was_done() {
        let newer = wire::Refusal { reason: 4711, ..wire::Refusal::default() };
        assert_eq!(AppendError::from_wire(newer.clone()), AppendError::Unavailable);
        assert_eq!(OperationError::from_wire(newer), OperationError::Unavailable);
    }
}
