use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn errors() -> Vec<AppendError> {
    vec![
        AppendError::Overloaded { retry_after: Duration::from_secs(1) },
        AppendError::StorageFull,
        AppendError::Damaged,
        AppendError::TooLarge { size_bytes: 2, limit_bytes: 1 },
        AppendError::NotLeader { leader: None },
        AppendError::NotLeader { leader: Some(NodeId(3)) },
        AppendError::Unavailable,
        AppendError::OutcomeUnknown,
    ]
}

#[test]
fn what_follows_from_an_error() {
    let first = Next::Wait(FIRST_WAIT);
    for (error, keyed, want) in [
        (AppendError::Overloaded { retry_after: Duration::ZERO }, true, Next::GiveUp),
        (AppendError::StorageFull, true, Next::GiveUp),
        (AppendError::Damaged, true, Next::GiveUp),
        (AppendError::TooLarge { size_bytes: 2, limit_bytes: 1 }, true, Next::GiveUp),
        (AppendError::NotLeader { leader: None }, true, first),
        (AppendError::NotLeader { leader: Some(NodeId(3)) }, true, Next::Follow(NodeId(3))),
        (AppendError::Unavailable, true, first),
        (AppendError::Unavailable, false, first),
        (AppendError::OutcomeUnknown, true, first),
        (AppendError::OutcomeUnknown, false, Next::GiveUp),
    ] {
        assert_eq!(Tries::new(keyed).after(&error), want, "{error:?}, keyed: {keyed}");
    }
}

#[test]
fn waits_grow_up_to_a_bound() {
    let mut tries = Tries::new(true);
    let waits: Vec<_> = (0..8)
        .map(|_| match tries.after(&AppendError::Unavailable) {
            Next::Wait(wait) => wait.as_millis(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(waits, [5, 10, 20, 40, 80, 100, 100, 100]);
}

#[test]
fn two_nodes_that_name_each_other_are_left_alone_for_a_while() {
    let mut tries = Tries::new(true);
    let named = AppendError::NotLeader { leader: Some(NodeId(2)) };
    let followed = (0..100).filter(|_| matches!(tries.after(&named), Next::Follow(_))).count();
    assert_eq!(followed, 75, "three of four");
}

#[test]
fn what_the_caller_is_told() {
    let told = |error: AppendError| Tries::new(true).verdict(error);
    assert_eq!(told(AppendError::NotLeader { leader: Some(NodeId(1)) }), AppendError::Unavailable);
    assert_eq!(told(AppendError::StorageFull), AppendError::StorageFull);
    assert_eq!(told(AppendError::OutcomeUnknown), AppendError::OutcomeUnknown);
    let mut tries = Tries::new(false);
    assert_eq!(tries.after(&OperationError::SessionEnded), Next::GiveUp);
    assert_eq!(tries.verdict(OperationError::SessionEnded), OperationError::SessionEnded);
}

proptest! {
    /// Once a try may have been done, no later refusal is passed on: it would say that nothing was.
    #[test]
    fn nobody_is_told_that_nothing_was_done_when_it_may_have_been(order in vec(0_usize..7, 1..20)) {
        let mut tries = Tries::new(true);
        let mut unknown = false;
        for at in order {
            let error = errors().swap_remove(at);
            unknown |= error == AppendError::OutcomeUnknown;
            tries.after(&error);
            let told = tries.verdict(error);
            prop_assert_eq!(tries.may_be_done(), unknown);
            prop_assert_eq!(told == AppendError::OutcomeUnknown, unknown);
            let is_leaderless = matches!(told, AppendError::NotLeader { .. });
            prop_assert!(!is_leaderless, "who leads is not the caller's business");
        }
    }
}
