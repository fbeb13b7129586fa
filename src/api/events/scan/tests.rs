use pelton_client::memory::MemoryClient;
use pelton_client::{BrokerName, Hops};
use pelton_event::Event;

use super::*;

/// A log with an event each second, from second 1000 on.
async fn log(count: u64) -> MemoryClient {
    let client = MemoryClient::new();
    for n in 0..count {
        client.clock().set(UnixMillis((1_000 + n) * 1_000));
        let event = Event::builder().id(&n.to_string()).source("/s").ty("t").build().unwrap();
        client.append(&BrokerName::new("default", "b"), &[event], Hops::FULL).await.unwrap();
    }
    client
}

/// The offsets that a reader visits, up to so many.
async fn visited(scan: &mut Scan<'_, MemoryClient>, until: Option<u64>, most: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    let visit = |position: Position, _, _: &Record| {
        seen.push(position.offset.0);
        if seen.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    scan.run(until.map(|second| UnixMillis(second * 1_000)), visit).await.unwrap();
    seen
}

#[tokio::test]
async fn a_time_is_found_by_halves_and_with_a_margin() {
    let client = log(100).await;
    let group = client.groups()[0];
    for (second, want) in [(0, 0), (1_000, 0), (1_001, 1), (1_050, 50), (1_099, 99), (1_100, 100), (9_999, 100)] {
        let since = UnixMillis(second * 1_000);
        let found = seek(&client, group, Offset(0), Offset(100), since).await.unwrap();
        assert_eq!(found, Offset(want), "second {second}");
    }
    let mut scan = Scan::begin(&client, Some(UnixMillis(1_050_000))).await.unwrap();
    let seen = visited(&mut scan, None, usize::MAX).await;
    assert_eq!(seen.first(), Some(&45), "clocks may differ");
    assert_eq!(seen.last(), Some(&99));
    assert_eq!(scan.looked().next, None);
}

#[tokio::test]
async fn the_end_is_found_from_wherever_one_begins() {
    let client = log(100).await;
    let group = client.groups()[0];
    for at_least in [0, 1, 42, 99, 100] {
        assert_eq!(end_above(&client, group, Offset(at_least)).await, Ok(Offset(100)), "from {at_least}");
    }
    let empty = MemoryClient::new();
    assert_eq!(end_above(&empty, group, Offset(0)).await, Ok(Offset(0)));
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was_and_ends_where_the_log_ended() {
    let client = log(10).await;
    let mut scan = Scan::begin(&client, None).await.unwrap();
    assert_eq!(visited(&mut scan, None, 4).await, [0, 1, 2, 3]);
    scan.back_to(Position { group: client.groups()[0], offset: Offset(3) });
    let looked = scan.looked();
    assert_eq!((looked.events, looked.to.as_deref()), (4, Some("1970-01-01T00:16:43.000Z")));
    let late = Event::builder().id("late").source("/s").ty("t").build().unwrap();
    client.append(&BrokerName::new("default", "b"), &[late], Hops::FULL).await.unwrap();
    let mut scan = Scan::at(&client, looked.next.unwrap().parse().unwrap());
    assert_eq!(visited(&mut scan, None, usize::MAX).await, [3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(scan.looked().next, None, "what came later is for the next question");
}

#[tokio::test]
async fn what_is_later_is_not_read_to_its_end() {
    let client = log(40).await;
    let mut scan = Scan::begin(&client, None).await.unwrap();
    assert_eq!(visited(&mut scan, Some(1_003), usize::MAX).await, [0, 1, 2, 3]);
    assert_eq!(scan.looked().next, None);
}

#[tokio::test]
async fn what_went_away_meanwhile_is_counted() {
    let client = log(20).await;
    let group = client.groups()[0];
    client.purge_below(Offset(8));
    let place = Place { next: Offset(2), end: Offset(12) };
    let mut scan = Scan::at(&client, Places(BTreeMap::from([(group, place)])));
    assert_eq!(visited(&mut scan, None, usize::MAX).await, [8, 9, 10, 11]);
    assert_eq!(scan.looked().missing, 6);
    let mut gone = Scan::at(&client, Places(BTreeMap::from([(GroupId(77), place)])));
    assert_eq!(visited(&mut gone, None, usize::MAX).await, [0; 0]);
    assert_eq!((gone.looked().missing, gone.looked().next), (10, None));
}

#[tokio::test]
async fn one_request_looks_at_so_much_and_no_more() {
    let client = MemoryClient::new();
    let event = |n: usize| Event::builder().id(&n.to_string()).source("/s").ty("t").build().unwrap();
    let batch: Vec<_> = (0..1_000).map(event).collect();
    for _ in 0..101 {
        client.append(&BrokerName::new("default", "b"), &batch, Hops::FULL).await.unwrap();
    }
    let mut scan = Scan::begin(&client, None).await.unwrap();
    let seen = visited(&mut scan, None, usize::MAX).await.len() as u64;
    assert!((MAX_EVENTS..MAX_EVENTS + 1_000).contains(&seen), "{seen}");
    let mut rest = Scan::at(&client, scan.looked().next.unwrap().parse().unwrap());
    assert_eq!(seen + visited(&mut rest, None, usize::MAX).await.len() as u64, 101_000);
}
