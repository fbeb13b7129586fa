//! Answers that are none of the API, or break off.

use pelton_serving_gateway::logs::Stream;
use pelton_serving_gateway::runtime::conformance::{Deployed, ask};
use pelton_serving_gateway::runtime::{Exit, InstanceEvent};

use crate::stub::Fault;
use crate::support::{Place, stop, why_not_started};

fn refused() -> Fault {
    Fault::Refused(500, "the engine has a bad day".to_owned())
}

#[tokio::test]
async fn a_start_that_goes_wrong_says_why_and_leaves_nothing() {
    for (needle, fault, want) in [
        ("/start", refused(), "the engine has a bad day"),
        ("/start", Fault::CutOff, "the engine gave no whole answer to POST /containers/"),
        ("/json", Fault::Garbage, "is not understood"),
        ("/json", Fault::CutOff, "the engine gave no whole answer to GET /containers/"),
        ("/json", Fault::Refused(404, "No such container".to_owned()), "No such container"),
    ] {
        let place = Place::with_stub();
        let mut deployed = place.deployed().await;
        place.stub().break_next(needle, fault.clone());
        let why = why_not_started(&mut deployed).await;
        assert!(why.contains(want), "{needle}, {fault:?}: {why}");
        let (id, _) = deployed.serve().await;
        stop(&mut deployed, &id).await;
        deployed.is_over().await;
        place.until_none().await;
    }
}

/// Whoever asks once too often changes nothing: what counts is what the container does.
#[tokio::test]
async fn an_end_is_told_whatever_becomes_of_the_question() {
    for fault in [Fault::Garbage, Fault::CutOff, refused()] {
        let place = Place::with_stub();
        place.stub().break_next("/wait", fault);
        let mut deployed = place.deployed().await;
        let (id, address) = deployed.serve().await;
        assert!(ask(address, "/exit/3").await.is_err(), "it has no time to answer");
        assert_eq!(deployed.exit(&id).await, Exit::Code(3));
        deployed.is_over().await;
        place.until_none().await;
    }
}

/// What it prints is lost for a while, or for good; it serves all the same.
#[tokio::test]
async fn an_instance_runs_whatever_becomes_of_what_it_prints() {
    for fault in [Fault::Garbage, Fault::CutOff, refused()] {
        let place = Place::with_stub();
        place.stub().break_next("/logs", fault);
        let mut deployed = place.deployed().await;
        let (id, address) = deployed.serve().await;
        assert!(ask(address, "/").await.is_ok());
        stop(&mut deployed, &id).await;
        deployed.is_over().await;
        place.until_none().await;
    }
}

#[tokio::test]
async fn whoever_cannot_be_asked_to_end_is_killed() {
    let place = Place::with_stub();
    let change = |spec: &mut pelton_serving_gateway::runtime::WorkloadSpec| {
        spec.grace = std::time::Duration::from_millis(50);
    };
    let mut deployed = Deployed::new(place.fixture(), &["serve"], change).await;
    let (id, _) = deployed.serve().await;
    for needle in ["/stop", "/kill"] {
        place.stub().break_next(needle, refused());
    }
    deployed.workload.stop(&id);
    assert_eq!(deployed.exit(&id).await, Exit::Stopped);
    assert_eq!(deployed.last_lines(&id, Stream::Stdout), Vec::<String>::new(), "it was not asked");
    deployed.is_over().await;
    place.until_none().await;
}

#[tokio::test]
async fn a_port_that_is_not_published_is_said() {
    let place = Place::with_stub();
    let mut deployed = place.deployed().await;
    let id = place.until_ahead().await;
    place.stub().forget_the_port_of(&id);
    deployed.workload.start();
    match deployed.event().await {
        InstanceEvent::NotStarted { why } => assert!(why.contains("port 8080"), "{why}"),
        other => panic!("it starts: {other:?}"),
    }
    deployed.is_over().await;
    place.until_none().await;
}
