//! The container that is created before it is needed.

use crate::support::{Place, stop};

#[tokio::test]
async fn a_start_is_only_a_start() {
    let place = Place::with_stub();
    let mut deployed = place.deployed().await;
    for _ in 0..3 {
        let ahead = place.until_ahead().await;
        place.stub().calls();
        let (id, address) = deployed.start().await;
        assert_eq!(&*id.0, ahead);
        assert!(address.ip().is_loopback(), "{address}");
        let calls = place.stub().calls();
        let want = [format!("POST /containers/{id}/start"), format!("GET /containers/{id}/json")];
        assert_eq!(calls[..2], want, "{calls:?}");
        stop(&mut deployed, &id).await;
    }
    deployed.is_over().await;
    place.until_none().await;
}

/// `docker container prune` removes what does not run.
#[tokio::test]
async fn one_that_somebody_cleaned_up_is_created_again() {
    let place = Place::new();
    let mut deployed = place.deployed().await;
    let ahead = place.until_ahead().await;
    assert_eq!(place.api("DELETE", &format!("/containers/{ahead}")).await.0, 204);
    let (id, _) = deployed.serve().await;
    stop(&mut deployed, &id).await;
    deployed.is_over().await;
    place.until_none().await;
}

/// Many at a time: one is ahead, and the others are created.
#[tokio::test]
async fn many_start_at_a_time() {
    const MANY: usize = 12;
    let place = Place::new();
    let mut deployed = place.deployed().await;
    for _ in 0..MANY {
        deployed.workload.start();
    }
    let mut addresses = std::collections::BTreeSet::new();
    for _ in 0..MANY {
        match deployed.event().await {
            pelton_serving_gateway::runtime::InstanceEvent::Started { address, .. } => addresses.insert(address),
            other => panic!("all start: {other:?}"),
        };
    }
    assert_eq!(addresses.len(), MANY);
    place
        .until("all run, and one is ahead", |seen| {
            seen.len() == MANY + 1 && seen.iter().filter(|(_, state)| state == "running").count() == MANY
        })
        .await;
    drop(deployed);
    place.until_none().await;
}
