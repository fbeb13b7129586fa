//! When images are fetched (`imagePullPolicy`), and what goes wrong then.

use pelton_serving_gateway::runtime::PullPolicy::{Always, IfNotPresent, Never};
use pelton_serving_gateway::runtime::WorkloadSpec;
use pelton_serving_gateway::runtime::conformance::Deployed;

use crate::stub::{Fault, IMAGE};
use crate::support::Place;

const OTHER: &str = "registry.example:5000/team/hello:v2";
const PULL: &str = "POST /images/create";

/// Each policy with an image that is there, one that a registry has, and one that nobody has.
#[tokio::test]
async fn images_are_fetched_as_the_policy_says() {
    for (policy, image, is_pulled, why) in [
        (Always, IMAGE, true, None),
        (Always, OTHER, true, None),
        (Always, "nobody/has:it", true, Some("pull access denied for nobody/has")),
        (IfNotPresent, IMAGE, false, None),
        (IfNotPresent, OTHER, true, None),
        (IfNotPresent, "nobody/has:it", true, Some("pull access denied for nobody/has")),
        (Never, IMAGE, false, None),
        (Never, OTHER, false, Some("the image registry.example:5000/team/hello:v2 is not there, and")),
        (Never, "nobody/has:it", false, Some("the image nobody/has:it is not there, and imagePullPolicy is Never")),
    ] {
        let row = format!("{policy:?} {image}");
        let place = Place::with_stub();
        place.stub().publish(IMAGE);
        place.stub().publish(OTHER);
        let change = |spec: &mut WorkloadSpec| {
            spec.image = image.to_owned();
            spec.image_pull_policy = policy;
        };
        match why {
            Some(want) => {
                let why = place.why_not(change).await;
                assert!(why.contains(want), "{row}: {why}");
            }
            None => {
                let mut deployed = Deployed::new(place.fixture(), &["serve"], change).await;
                deployed.serve().await;
                assert!(place.stub().has_image(image), "{row}");
            }
        }
        let calls = place.stub().calls();
        assert_eq!(calls.iter().filter(|call| *call == PULL).count(), usize::from(is_pulled), "{row}: {calls:?}");
    }
}

#[tokio::test]
async fn a_digest_is_fetched_as_such_and_a_name_alone_is_its_latest() {
    for (image, want) in [
        ("hello@sha256:00ff", "hello@sha256:00ff"),
        ("hello:v1@sha256:00ff", "hello@sha256:00ff"),
        ("hello", "hello:latest"),
    ] {
        let place = Place::with_stub();
        place.stub().publish(want);
        let change = |spec: &mut WorkloadSpec| {
            spec.image = image.to_owned();
            spec.image_pull_policy = IfNotPresent;
        };
        let mut deployed = Deployed::new(place.fixture(), &["serve"], change).await;
        deployed.serve().await;
        assert!(place.stub().has_image(want), "{image}");
    }
}

/// The status of a pull is sent before it is known whether it succeeds.
#[tokio::test]
async fn a_pull_that_fails_midway_says_why() {
    let place = Place::with_stub();
    place.stub().publish("broken:v1");
    let why = place
        .why_not(|spec| {
            spec.image = "broken:v1".to_owned();
            spec.image_pull_policy = IfNotPresent;
        })
        .await;
    assert!(why.contains("broken:v1") && why.contains("no space left on device"), "{why}");
    for fault in [Fault::Garbage, Fault::CutOff, Fault::Refused(500, "toomanyrequests".to_owned())] {
        place.stub().publish("hello:v1");
        place.stub().break_next(PULL, fault.clone());
        let why = place
            .why_not(|spec| {
                spec.image = "hello:v1".to_owned();
                spec.image_pull_policy = Always;
            })
            .await;
        assert!(why.contains("the image hello:v1 cannot be had"), "{fault:?}: {why}");
    }
    place.until_none().await;
}
