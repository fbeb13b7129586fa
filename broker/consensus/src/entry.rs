//! What an entry is outside of openraft: a kind, a number of events and a body. The same in the log and on the wire.

use bytes::{Bytes, BytesMut};
use openraft::EntryPayload;

use crate::codec;
use crate::command::FIRST_COMMAND_KIND;
use crate::proposal::Proposal;
use crate::types::Payload;
use crate::{Command, Space};

const KIND_BLANK: u8 = 0;
pub(crate) const KIND_MEMBERSHIP: u8 = 1;
/// In memory only: [`payload`] takes it for unknown, as every version does, and nothing is sent or written of it.
const KIND_UNREADABLE: u8 = 2;

/// An entry's content.
pub(crate) struct Content {
    pub(crate) kind: u8,
    pub(crate) event_count: u32,
    pub(crate) body: Bytes,
}

/// The kind is none that this version knows, or the body is not of its kind.
#[derive(Debug, thiserror::Error)]
#[error("an entry of kind {kind} cannot be read by this version")]
pub(crate) struct UnknownEntry {
    kind: u32,
}

impl From<UnknownEntry> for std::io::Error {
    fn from(error: UnknownEntry) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// A command's body is not copied.
pub(crate) fn content(payload: Payload) -> Content {
    match payload {
        EntryPayload::Blank => Content { kind: KIND_BLANK, event_count: 0, body: Bytes::new() },
        EntryPayload::Membership(membership) => {
            let mut out = BytesMut::new();
            codec::put_membership(&mut out, &membership);
            Content { kind: KIND_MEMBERSHIP, event_count: 0, body: out.freeze() }
        }
        EntryPayload::Normal(Proposal { command, .. }) => {
            Content { kind: command.kind, event_count: command.event_count, body: command.body }
        }
    }
}

/// Stands for the content of an entry that is damaged here, of which no more than the id is known.
pub(crate) fn unreadable() -> Payload {
    let command = Command { kind: KIND_UNREADABLE, event_count: 0, body: Bytes::new(), space: Space::Last };
    EntryPayload::Normal(Proposal { command, ticket: None })
}

pub(crate) fn is_unreadable(payload: &Payload) -> bool {
    matches!(payload, EntryPayload::Normal(proposal) if proposal.command.kind == KIND_UNREADABLE)
}

/// Whether entries of this kind say who votes.
pub(crate) fn is_membership(kind: u8) -> bool {
    kind == KIND_MEMBERSHIP
}

/// What [`content`] was made of.
pub(crate) fn payload(kind: u32, event_count: u32, body: Bytes) -> Result<Payload, UnknownEntry> {
    let unknown = UnknownEntry { kind };
    match u8::try_from(kind) {
        Ok(KIND_BLANK) if body.is_empty() && event_count == 0 => Ok(EntryPayload::Blank),
        Ok(KIND_MEMBERSHIP) if event_count == 0 => {
            let membership = codec::get_membership(&mut body.clone()).map_err(|_| unknown)?;
            Ok(EntryPayload::Membership(membership))
        }
        Ok(kind) if kind >= FIRST_COMMAND_KIND => {
            // Its leader has admitted it; here it asks for no space of its own.
            let command = Command { kind, event_count, body, space: Space::Last };
            Ok(EntryPayload::Normal(Proposal { command, ticket: None }))
        }
        _ => Err(unknown),
    }
}
