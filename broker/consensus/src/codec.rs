//! Our own disk and wire form of what Raft stores besides commands: votes and memberships.
//!
//! Little-endian. Each begins with a version byte.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::EmptyNode;

use crate::types::{LeaderId, LogId, Membership, StoredMembership, Vote};

const VERSION: u8 = 1;

/// The bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored {what} cannot be read: it is cut short or of another version")]
pub(crate) struct Undecodable {
    what: &'static str,
}

impl From<Undecodable> for std::io::Error {
    fn from(error: Undecodable) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// `version u8 | term u64 | node u64 | committed u8`
pub(crate) fn encode_vote(vote: &Vote) -> Bytes {
    let mut out = BytesMut::with_capacity(18);
    out.put_u8(VERSION);
    out.put_u64_le(vote.leader_id.term);
    out.put_u64_le(vote.leader_id.node_id);
    out.put_u8(u8::from(vote.committed));
    out.freeze()
}

pub(crate) fn decode_vote(mut bytes: &[u8]) -> Result<Vote, Undecodable> {
    let mut read = || {
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        let leader_id = LeaderId { term: bytes.try_get_u64_le().ok()?, node_id: bytes.try_get_u64_le().ok()? };
        Some(Vote { leader_id, committed: bytes.try_get_u8().ok()? == 1 })
    };
    read().ok_or(Undecodable { what: "vote" })
}

/// `version u8 | configs u16 | (voters u16 | voter u64 ...) ... | nodes u16 | node u64 ...`
pub(crate) fn put_membership(out: &mut BytesMut, membership: &Membership) {
    out.put_u8(VERSION);
    let configs = membership.get_joint_config();
    out.put_u16_le(configs.len() as u16);
    for voters in configs {
        out.put_u16_le(voters.len() as u16);
        for voter in voters {
            out.put_u64_le(*voter);
        }
    }
    out.put_u16_le(membership.nodes().count() as u16);
    for (node, EmptyNode {}) in membership.nodes() {
        out.put_u64_le(*node);
    }
}

pub(crate) fn get_membership(bytes: &mut impl Buf) -> Result<Membership, Undecodable> {
    let mut read = || {
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        let mut configs = Vec::new();
        for _ in 0..bytes.try_get_u16_le().ok()? {
            let mut voters = BTreeSet::new();
            for _ in 0..bytes.try_get_u16_le().ok()? {
                voters.insert(bytes.try_get_u64_le().ok()?);
            }
            configs.push(voters);
        }
        let mut nodes = BTreeMap::new();
        for _ in 0..bytes.try_get_u16_le().ok()? {
            nodes.insert(bytes.try_get_u64_le().ok()?, EmptyNode {});
        }
        Membership::new(configs, nodes).ok()
    };
    read().ok_or(Undecodable { what: "membership" })
}

/// `present u8 | term u64 | node u64 | index u64`
pub(crate) fn put_log_id(out: &mut BytesMut, log_id: Option<LogId>) {
    out.put_u8(u8::from(log_id.is_some()));
    let (term, node, index) = log_id.map_or((0, 0, 0), |id| (id.leader_id.term, id.leader_id.node_id, id.index));
    out.put_u64_le(term);
    out.put_u64_le(node);
    out.put_u64_le(index);
}

pub(crate) fn get_log_id(bytes: &mut impl Buf) -> Result<Option<LogId>, Undecodable> {
    let mut read = || {
        let present = bytes.try_get_u8().ok()? == 1;
        let leader_id = LeaderId { term: bytes.try_get_u64_le().ok()?, node_id: bytes.try_get_u64_le().ok()? };
        let index = bytes.try_get_u64_le().ok()?;
        Some(present.then_some(LogId { leader_id, index }))
    };
    read().ok_or(Undecodable { what: "log id" })
}

pub(crate) fn put_stored_membership(out: &mut BytesMut, stored: &StoredMembership) {
    put_log_id(out, *stored.log_id());
    put_membership(out, stored.membership());
}

pub(crate) fn get_stored_membership(bytes: &mut impl Buf) -> Result<StoredMembership, Undecodable> {
    let log_id = get_log_id(bytes)?;
    Ok(StoredMembership::new(log_id, get_membership(bytes)?))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_a_vote_or_a_membership_panic(noise in vec(any::<u8>(), 0..256)) {
            let mut versioned = vec![VERSION];
            versioned.extend_from_slice(&noise);
            for bytes in [noise, versioned] {
                if let Ok(vote) = decode_vote(&bytes) {
                    prop_assert_eq!(decode_vote(&encode_vote(&vote)).unwrap(), vote);
                }
                let _ = (get_membership(&mut &bytes[..]), get_log_id(&mut &bytes[..]));
                let _ = get_stored_membership(&mut &bytes[..]);
            }
        }

        #[test]
        fn no_damage_makes_a_membership_panic(at in any::<Index>(), with in any::<u8>()) {
            let mut out = BytesMut::new();
            put_stored_membership(&mut out, &StoredMembership::new(None, membership()));
            let at = at.index(out.len());
            out[at] = with;
            let _ = get_stored_membership(&mut &out[..]);
        }
    }

    fn membership() -> Membership {
        let configs = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([2, 3, 4])];
        let nodes: BTreeMap<u64, EmptyNode> = (1..=5).map(|node| (node, EmptyNode {})).collect();
        Membership::new(configs, nodes).unwrap()
    }

    #[test]
    fn votes_and_memberships_read_back() {
        let vote = Vote { leader_id: LeaderId { term: 7, node_id: 9 }, committed: true };
        assert_eq!(decode_vote(&encode_vote(&vote)).unwrap(), vote);
        let stored = StoredMembership::new(Some(LogId { leader_id: vote.leader_id, index: 12 }), membership());
        let mut out = BytesMut::new();
        put_stored_membership(&mut out, &stored);
        assert_eq!(get_stored_membership(&mut out.freeze()).unwrap(), stored);
    }

    #[test]
    fn a_form_cut_short_is_refused_and_never_half_read() {
        let vote = encode_vote(&Vote { leader_id: LeaderId { term: 7, node_id: 9 }, committed: true });
        for cut in 0..vote.len() {
            assert!(decode_vote(&vote[..cut]).is_err(), "{cut}");
        }
        let mut out = BytesMut::new();
        put_stored_membership(&mut out, &StoredMembership::new(None, membership()));
        for cut in 0..out.len() {
            assert!(get_stored_membership(&mut &out[..cut]).is_err(), "{cut}");
        }
    }
}
