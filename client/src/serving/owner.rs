//! Who made a resource, and the identity of what controllers make.

use std::hash::Hasher;

use pelton_env::UnixMillis;
use pelton_resource::{Kind, ObjectMeta, OwnerReference};
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::TriggerId;

/// The identity of a resource. Admission gives one to every resource.
pub(super) fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

/// Who says what a resource should be.
pub(super) fn owner(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().find(|owner| owner.controller == Some(true))
}

/// What an owner is, when its kind is one of ours.
pub(super) fn kind_of(owner: &OwnerReference) -> Option<Kind> {
    Kind::of(&owner.api_version, &owner.kind)
}

/// Whether a resource was made for the `owner` of that kind.
pub(super) fn is_owned(meta: &ObjectMeta, owner: &ObjectMeta, owner_kind: Kind) -> bool {
    self::owner(meta).is_some_and(|found| kind_of(found) == Some(owner_kind) && found.uid == uid(owner))
}

/// The uid of a resource that is made for the one with `owner_uid`, at `now` and of the resources as of `version`. A
/// function of what it is given, so that controllers need no dice; the version tells it from an earlier resource of the
/// same name, and the moment from one of another life of the registry.
///
/// Its form is that of a UUID of version 8, the one for values of one's own making (RFC 9562, section 5.8).
pub(super) fn owned_uid(owner_uid: &str, kind: Kind, name: &str, version: u64, now: UnixMillis) -> String {
    let mut hasher = SipHasher24::new();
    for part in [owner_uid, kind.as_str(), name] {
        hasher.write(part.as_bytes());
        hasher.write_u8(0xff);
    }
    hasher.write_u64(version);
    hasher.write_u64(now.0);
    let hash = hasher.finish128().as_u128();
    let marked = hash & !(0xf << 76) & !(0x3 << 62) | (0x8 << 76) | (0x2 << 62);
    TriggerId(marked).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_uid_is_another_when_anything_is_another() {
        let uid = owned_uid("u", Kind::Route, "a", 1, UnixMillis(1));
        assert_eq!(uid, owned_uid("u", Kind::Route, "a", 1, UnixMillis(1)));
        assert!(TriggerId::parse(&uid).is_some() && &uid[14..15] == "8", "{uid}");
        let all = [
            uid,
            owned_uid("v", Kind::Route, "a", 1, UnixMillis(1)),
            owned_uid("u", Kind::Configuration, "a", 1, UnixMillis(1)),
            owned_uid("u", Kind::Route, "b", 1, UnixMillis(1)),
            owned_uid("u", Kind::Route, "a", 2, UnixMillis(1)),
            owned_uid("u", Kind::Route, "a", 1, UnixMillis(2)),
        ];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
