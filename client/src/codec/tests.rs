use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn encoded(put: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    put(&mut out);
    out.freeze()
}

proptest! {
    /// Any ranges read back as the set that they are; those of a set read back as they are. Nothing is left over.
    #[test]
    fn ranges_read_back(ranges in vec((any::<u64>(), 0_u64..300), 0..40), near: bool) {
        let ranges: Vec<_> = ranges
            .into_iter()
            .map(|(from, length)| if near { (from % 2_000, length) } else { (from, length) })
            .map(|(from, length)| (Offset(from), Offset(from.saturating_add(length))))
            .collect();
        let mut set = RangeSet::new();
        ranges.iter().for_each(|(from, to)| set.insert_range(*from, *to));
        let set: Vec<_> = set.ranges().collect();
        let mut bytes = encoded(|out| put_ranges(out, &ranges));
        let mut read = RangeSet::new();
        get_ranges(&mut bytes).unwrap().into_iter().for_each(|(from, to)| read.insert_range(from, to));
        prop_assert_eq!(read.ranges().collect::<Vec<_>>(), set.clone());
        prop_assert!(bytes.is_empty());
        let mut bytes = encoded(|out| put_ranges(out, &set));
        prop_assert_eq!(get_ranges(&mut bytes), Ok(set));
    }

    #[test]
    fn attempts_read_back(attempts in vec((any::<u64>(), any::<u32>()), 0..40)) {
        let attempts: Vec<_> = attempts.into_iter().map(|(offset, count)| (Offset(offset), count)).collect();
        let mut bytes = encoded(|out| put_attempts(out, &attempts));
        prop_assert_eq!(get_attempts(&mut bytes), Ok(attempts));
        prop_assert!(bytes.is_empty());
    }

    /// What comes from a disk is refused or read, and never more than is there.
    #[test]
    fn no_bytes_make_reading_ranges_fail_otherwise(bytes in vec(any::<u8>(), 0..80)) {
        let _ = get_ranges(&mut Bytes::from(bytes.clone()));
        let _ = get_attempts(&mut Bytes::from(bytes));
    }
}
