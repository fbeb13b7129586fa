use std::time::Duration;

use super::*;
use crate::{Offset, Position};

fn done(group: u32, duplicates: u32) -> Result<Appended, AppendError> {
    Ok(Appended { position: Position { group: GroupId(group), offset: Offset(7) }, duplicates })
}

#[test]
fn a_parted_call_has_the_fate_of_all_its_parts() {
    let full = || Err(AppendError::StorageFull);
    let large = || Err(AppendError::TooLarge { size_bytes: 2, limit_bytes: 1 });
    let busy = || Err(AppendError::Overloaded { retry_after: Duration::from_secs(1) });
    let unknown = || Err(AppendError::OutcomeUnknown);
    for (answers, want) in [
        (vec![done(1, 2), done(2, 3)], done(1, 5)),
        (vec![done(2, 0)], done(2, 0)),
        (vec![full(), busy()], full()),
        (vec![done(1, 0), full()], unknown()),
        (vec![full(), done(1, 0)], unknown()),
        (vec![full(), unknown()], unknown()),
        (vec![done(1, 0), large()], large()),
    ] {
        assert_eq!(together(answers.clone()), want, "{answers:?}");
    }
}

#[test]
fn parts_keep_the_order_of_their_events() {
    let event = |id: &str| Event::builder().id(id).source("/s").ty("t").build().unwrap();
    let events: Vec<_> = ["0", "1", "2", "3", "4"].map(event).into();
    let (a, b) = (Target::Group(GroupId(1)), Target::Any);
    let parts = parts(&[b, a, b, a, a], &events);
    let ids: Vec<(Target, Vec<&str>)> =
        parts.iter().map(|(target, part)| (*target, part.iter().map(Event::id).collect())).collect();
    assert_eq!(ids, [(b, vec!["0", "2"]), (a, vec!["1", "3", "4"])]);
}
