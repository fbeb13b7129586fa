use pelton_client::TriggerId;

use super::*;

const GROUP: GroupId = GroupId(1);

fn entry(index: u64, kind: u8, first_offset: u64, event_count: u32, body: &Bytes) -> Entry<'_> {
    Entry { index, term: 1, kind, first_offset: Offset(first_offset), event_count, body, protocol: 1 }
}

#[test]
fn a_trigger_that_starts_at_the_latest_begins_after_the_last_event_before_it() {
    let mut core = Core::default();
    assert_eq!(core.apply(GROUP, entry(1, EVENTS, 0, 7, &Bytes::new())), Effect::Events);
    let start =
        Change::Start { version: 1, triggers: vec![(TriggerId(1), None), (TriggerId(2), Some(Offset(3)))] }.encode(1);
    assert_eq!(core.apply(GROUP, entry(2, command::CHANGE, 7, 0, &start)), Effect::Changed(Ok(2)));
    core.apply(GROUP, entry(3, EVENTS, 7, 1, &Bytes::new()));
    assert_eq!(core.group.cursors[&TriggerId(1)].floor(Offset(0)), Offset(7));
    assert_eq!(core.group.cursors[&TriggerId(2)].floor(Offset(0)), Offset(3));
    assert_eq!(core.next, Offset(8));
    assert_eq!(Core::decode(&mut core.encode(), GROUP, true), Ok(core));
}

#[test]
fn an_entry_of_a_newer_program_is_told_and_changes_nothing() {
    let mut core = Core::default();
    let before = core.clone();
    assert!(matches!(core.apply(GROUP, entry(1, 200, 0, 0, &Bytes::new())), Effect::Unreadable(_)));
    assert!(matches!(core.apply(GROUP, entry(1, command::CHANGE, 0, 0, &Bytes::new())), Effect::Unreadable(_)));
    assert_eq!(core, before);
}

#[test]
fn the_keys_of_calls_read_back_in_few_bytes_and_older_states_have_none() {
    let mut core = Core::default();
    let empty = core.encode().len();
    let calls = 3_000_u64;
    for nth in 0..calls {
        // Three producers by turns, one of them about to wrap; a call of several events now and then.
        let key = ProducerKey { producer: u64::MAX - nth % 3, sequence: (u64::MAX - 500).wrapping_add(nth / 3) };
        core.calls.insert(key, Offset(1_000_000 + nth + nth / 7));
    }
    let bytes = core.encode();
    let each = (bytes.len() - empty) as u64 / calls;
    assert!(each <= 4, "{each} B a call");
    assert_eq!(Core::decode(&mut bytes.clone(), GROUP, true), Ok(core));
    let older = bytes.slice(..empty - 16);
    assert_eq!(Core::decode(&mut older.clone(), GROUP, false).map(|core| core.calls.iter().len()), Ok(0));
    for cut in (0..bytes.len()).step_by(7) {
        assert!(Core::decode(&mut bytes.slice(..cut), GROUP, true).is_err(), "cut at {cut}");
    }
}

/// A leader that is replaced may still have the drop of a trigger on its way that the next one has started.
#[test]
fn a_drop_that_is_older_than_a_start_drops_nothing() {
    let mut core = Core::default();
    let start = Change::Start { version: 8, triggers: vec![(TriggerId(1), None)] }.encode(1);
    core.apply(GROUP, entry(1, command::CHANGE, 0, 0, &start));
    for (index, version, left) in [(2, 7, 1), (3, 8, 0)] {
        let drop = Change::Drop { version, triggers: vec![TriggerId(1)] }.encode(1);
        core.apply(GROUP, entry(index, command::CHANGE, 0, 0, &drop));
        assert_eq!((core.group.cursors.len(), core.triggers_as_of), (left, 8), "a drop of version {version}");
    }
}

mod sessions;
