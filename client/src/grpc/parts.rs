//! What is too large or too old a form for a message of its own: cursors, dead letters, progress, resources.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use pelton_proto::broker::v1 as wire;
use pelton_resource::{Kind, Resource, ResourceKey};

use super::PART_BYTES;
use crate::codec::{
    Undecodable, get_cursor, get_letter, get_progress, get_selection, put_cursor, put_letter, put_progress,
    put_selection,
};
use crate::{DeadLetter, GroupCursors, GroupId, Offset, Progress, Selection, TriggerId, Write};

/// The version of the binary forms.
const VERSION: u8 = 1;

fn versioned(put: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    out.put_u8(VERSION);
    put(&mut out);
    out.freeze()
}

fn check_version(bytes: &mut Bytes) -> Result<(), Undecodable> {
    match bytes.try_get_u8()? {
        VERSION => Ok(()),
        other => Err(Undecodable::Version(other)),
    }
}

/// All of it, and nothing after it.
fn whole<T>(mut bytes: Bytes, get: impl FnOnce(&mut Bytes) -> Result<T, Undecodable>) -> Result<T, Undecodable> {
    check_version(&mut bytes)?;
    let got = get(&mut bytes)?;
    if bytes.is_empty() { Ok(got) } else { Err(Undecodable::Malformed) }
}

pub(super) fn progress_to_wire(progress: &Progress) -> Bytes {
    versioned(|out| put_progress(out, progress))
}

pub(super) fn progress_from_wire(bytes: Bytes, group: GroupId) -> Result<Progress, Undecodable> {
    whole(bytes, |bytes| get_progress(bytes, group))
}

pub(super) fn selection_to_wire(selection: Selection) -> Bytes {
    versioned(|out| put_selection(out, selection))
}

pub(super) fn selection_from_wire(bytes: Bytes, group: GroupId) -> Result<Selection, Undecodable> {
    whole(bytes, |bytes| get_selection(bytes, group))
}

/// Cursors in parts, each with the scanned mark.
pub(super) fn cursors_to_wire(cursors: &GroupCursors) -> Vec<Bytes> {
    let head = |out: &mut BytesMut| out.put_u64_le(cursors.scanned.0);
    in_parts(head, cursors.cursors.iter(), |out, (trigger, cursor)| put_cursor(out, *trigger, cursor))
}

pub(super) fn cursors_from_wire(parts: Vec<Bytes>) -> Result<GroupCursors, Undecodable> {
    let mut all = GroupCursors::default();
    for mut part in parts {
        check_version(&mut part)?;
        all.scanned = Offset(part.try_get_u64_le()?);
        while !part.is_empty() {
            let (trigger, cursor) = get_cursor(&mut part)?;
            all.cursors.insert(trigger, cursor);
        }
    }
    Ok(all)
}

/// Dead letters in parts.
pub(super) fn letters_to_wire(letters: &[DeadLetter]) -> Vec<Bytes> {
    in_parts(|_| {}, letters.iter(), put_letter)
}

pub(super) fn letters_from_wire(parts: Vec<Bytes>, group: GroupId) -> Result<Vec<DeadLetter>, Undecodable> {
    let mut all = Vec::new();
    for mut part in parts {
        check_version(&mut part)?;
        while !part.is_empty() {
            all.push(get_letter(&mut part, group)?);
        }
    }
    Ok(all)
}

/// At least one part, each of about [`PART_BYTES`].
fn in_parts<T>(
    head: impl Fn(&mut BytesMut),
    items: impl Iterator<Item = T>,
    put: impl Fn(&mut BytesMut, T),
) -> Vec<Bytes> {
    let begin = || {
        let mut part = BytesMut::new();
        part.put_u8(VERSION);
        head(&mut part);
        part
    };
    let (mut parts, mut part) = (Vec::new(), begin());
    for item in items {
        if part.len() >= PART_BYTES {
            parts.push(std::mem::replace(&mut part, begin()).freeze());
        }
        put(&mut part, item);
    }
    parts.push(part.freeze());
    parts
}

/// Puts what belongs into one message together.
pub(super) fn grouped<T>(items: impl IntoIterator<Item = T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut groups, mut bytes) = (vec![Vec::new()], 0);
    for item in items {
        let more = size(&item);
        if bytes > 0 && bytes + more > PART_BYTES {
            groups.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        if let Some(last) = groups.last_mut() {
            last.push(item);
        }
    }
    groups
}

pub(super) fn resource_to_wire(resource: &Resource) -> Bytes {
    serde_json::to_vec(resource).expect("a resource has no map whose keys are no texts").into()
}

pub(super) fn resource_from_wire(bytes: &Bytes) -> Result<Resource, Undecodable> {
    serde_json::from_slice(bytes).map_err(|_| Undecodable::Malformed)
}

pub(super) fn key_to_wire(key: &ResourceKey) -> wire::ResourceKey {
    wire::ResourceKey { kind: key.kind.id().to_owned(), namespace: key.namespace.clone(), name: key.name.clone() }
}

pub(super) fn key_from_wire(key: wire::ResourceKey) -> Result<ResourceKey, Undecodable> {
    let kind = Kind::of_id(&key.kind).ok_or(Undecodable::Malformed)?;
    Ok(ResourceKey::new(kind, key.namespace, key.name))
}

pub(super) fn write_to_wire(write: &Write) -> wire::WriteRequest {
    use wire::write_request::Write as Sent;
    let (sent, version) = match write {
        Write::Create(resource) => (Sent::Create(resource_to_wire(resource)), ""),
        Write::Replace { resource, version } => (Sent::Replace(resource_to_wire(resource)), version.as_str()),
        Write::Delete { key, version } => (Sent::Delete(key_to_wire(key)), version.as_str()),
    };
    wire::WriteRequest { write: Some(sent), version: version.to_owned() }
}

pub(super) fn write_from_wire(request: wire::WriteRequest) -> Result<Write, Undecodable> {
    use wire::write_request::Write as Sent;
    let wire::WriteRequest { write, version } = request;
    Ok(match write.ok_or(Undecodable::Malformed)? {
        Sent::Create(resource) => Write::Create(Box::new(resource_from_wire(&resource)?)),
        Sent::Replace(resource) => Write::Replace { resource: Box::new(resource_from_wire(&resource)?), version },
        Sent::Delete(key) => Write::Delete { key: key_from_wire(key)?, version },
    })
}

pub(super) fn trigger_to_wire(trigger: TriggerId) -> Bytes {
    Bytes::copy_from_slice(&trigger.0.to_be_bytes())
}

pub(super) fn trigger_from_wire(bytes: &Bytes) -> Result<TriggerId, Undecodable> {
    let bytes = bytes[..].try_into().map_err(|_| Undecodable::Malformed)?;
    Ok(TriggerId(u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use pelton_env::UnixMillis;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::{Cause, Cursor, LastAnswer, Position, RangeSet, Upto};

    const GROUP: GroupId = GroupId(4);

    fn cursors(triggers: u128, ranges: u64) -> GroupCursors {
        let cursor = |n: u128| {
            let mut pending = RangeSet::new();
            (0..ranges).for_each(|at| pending.insert_range(Offset(300 * at), Offset(300 * at + 150)));
            Cursor {
                epoch: n as u64,
                changed: 2,
                upto: Upto::At(Offset(9)),
                pending,
                attempts: [(Offset(1), 3)].into(),
            }
        };
        let cursors = (0..triggers).map(|n| (TriggerId(n), cursor(n))).collect();
        GroupCursors { scanned: Offset(77), cursors }
    }

    #[test]
    fn cursors_come_back_from_as_many_parts_as_they_take() {
        for (triggers, ranges, least) in [(0, 0, 1), (3, 2, 1), (100, 5_000, 4)] {
            let all = cursors(triggers, ranges);
            let parts = cursors_to_wire(&all);
            assert!(parts.len() >= least, "{} parts", parts.len());
            let back = cursors_from_wire(parts).unwrap();
            assert_eq!((back.scanned, back.cursors), (all.scanned, all.cursors));
        }
    }

    #[test]
    fn dead_letters_come_back() {
        let letter = |n: u64| DeadLetter {
            trigger: TriggerId(9),
            position: Position { group: GROUP, offset: Offset(n) },
            attempts: 4,
            cause: Cause::Reply,
            destination: "http://sink.example/".repeat(40),
            answer: LastAnswer { code: Some(500), detail: Bytes::from_static(b"refused") },
            at: UnixMillis(5),
        };
        let letters: Vec<_> = (0..1_000).map(letter).collect();
        let parts = letters_to_wire(&letters);
        assert!(parts.len() > 1);
        assert_eq!(letters_from_wire(parts, GROUP), Ok(letters));
        assert_eq!(letters_from_wire(letters_to_wire(&[]), GROUP), Ok(vec![]));
    }

    #[test]
    fn writes_come_back() {
        let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: n}\nspec: {type: ExternalName}\n";
        let resource = Box::new(pelton_resource::parse_documents(text, "test").unwrap().remove(0));
        let version = "70000".to_owned();
        for write in [
            Write::Create(resource.clone()),
            Write::Replace { resource: resource.clone(), version: version.clone() },
            Write::Delete { key: resource.key(), version },
        ] {
            assert_eq!(write_from_wire(write_to_wire(&write)).unwrap(), write);
        }
        assert!(write_from_wire(wire::WriteRequest::default()).is_err());
    }

    #[test]
    fn a_message_is_filled_and_no_item_is_lost() {
        let sizes = vec![PART_BYTES, 1, PART_BYTES - 1, 1, 2 * PART_BYTES, 3];
        let groups = grouped(sizes.clone(), |size| *size);
        assert_eq!(groups.concat(), sizes);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 1, 1, 1]);
        assert_eq!(grouped(Vec::<usize>::new(), |size| *size), vec![Vec::<usize>::new()]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(noise in vec(any::<u8>(), 0..200), versioned: bool) {
            let mut bytes = noise;
            if versioned && !bytes.is_empty() {
                bytes[0] = VERSION;
            }
            let bytes = Bytes::from(bytes);
            let _ = cursors_from_wire(vec![bytes.clone()]);
            let _ = letters_from_wire(vec![bytes.clone()], GROUP);
            let _ = progress_from_wire(bytes.clone(), GROUP);
            let _ = selection_from_wire(bytes.clone(), GROUP);
            let _ = resource_from_wire(&bytes);
            let _ = trigger_from_wire(&bytes);
        }
    }
}
