//! Short names for texts, the same on every node and after every start.

use pelton_client::TriggerId;

/// A strong ETag: the FNV-1a hash of the document, of 64 bits, in quotes.
///
/// It is not cryptographic, and need not be: the documents are ours, so nobody can choose two that collide.
#[must_use]
pub fn etag(document: &[u8]) -> String {
    format!("\"{:016x}\"", fnv1a([document]))
}

/// A UUID that depends on the name alone (RFC 9562, version 8: the bits mean what the maker says).
pub(super) fn uid(name: &str) -> String {
    let half = |part: u8| u128::from(fnv1a([&[part], name.as_bytes()]));
    let bits = half(0) << 64 | half(1);
    let bits = bits & !(0xf << 76) | 0x8 << 76;
    let bits = bits & !(0x3 << 62) | 0x2 << 62;
    TriggerId(bits).to_string()
}

/// FNV-1a of 64 bits over the parts, one behind the other.
fn fnv1a<const N: usize>(parts: [&[u8]; N]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    parts.into_iter().flatten().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The test vectors of the FNV reference implementation.
    #[test]
    fn the_hash_is_fnv_1a() {
        let rows = [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8_u64)];
        for (text, want) in rows {
            assert_eq!(fnv1a([text.as_bytes()]), want, "{text}");
        }
        assert_eq!(etag(b"foobar"), "\"85944171f73967e8\"");
    }

    proptest! {
        #[test] // Each step of FNV-1a can be undone, so that one byte alone always tells.
        fn one_other_byte_is_another_etag(
            document in prop::collection::vec(any::<u8>(), 1..64),
            at in any::<prop::sample::Index>(),
            flip in 1..=u8::MAX,
        ) {
            let mut other = document.clone();
            other[at.index(document.len())] ^= flip;
            prop_assert_ne!(etag(&document), etag(&other));
        }

        #[test]
        fn a_uid_is_a_uuid(name in "[a-z.]{0,40}") {
            let uid = uid(&name);
            let dashes: Vec<_> = uid.match_indices('-').map(|(at, _)| at).collect();
            prop_assert_eq!((uid.len(), dashes), (36, vec![8, 13, 18, 23]));
            prop_assert_eq!(&uid[14..15], "8");
            prop_assert!("89ab".contains(&uid[19..20]));
            prop_assert!(uid.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        }
    }
}
