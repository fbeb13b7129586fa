//! What follows from what.

use super::*;

const DEADLINE: Duration = Duration::from_secs(600);

/// A book, and a cluster that does at once what it is asked to.
struct Scene {
    book: Book,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Self { book: Book::new(8080, DEADLINE), now: Instant::now() }
    }

    fn start(&mut self) {
        self.book.start(self.now);
    }

    /// A Pod that runs, as the two watches tell of it.
    fn runs(&mut self, name: &str) {
        self.book.pod(pod(name));
        self.book.slice(format!("slice-{name}"), vec![Endpoint { pod: name.to_owned(), address: address(name) }]);
    }

    fn leaves(&mut self, name: &str) {
        self.book.pod(PodFact { is_leaving: true, lost: "somebody".to_owned(), ..pod(name) });
    }

    fn ends(&mut self, name: &str, exit: Exit) {
        self.book.pod(PodFact { end: Some(exit), ..pod(name) });
    }

    /// What is told, with all that Pods print read at once.
    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            let outcomes = self.book.take_outcomes();
            if outcomes.is_empty() {
                return told;
            }
            for outcome in outcomes {
                match outcome {
                    Outcome::Tell(InstanceEvent::Started { id, address }) => told.push(format!("{id} at {address}")),
                    Outcome::Tell(InstanceEvent::NotStarted { why }) => told.push(format!("not: {why}")),
                    Outcome::Tell(InstanceEvent::Exited { id, exit }) => told.push(format!("{id} {exit:?}")),
                    Outcome::Listen { .. } => {}
                    Outcome::ReadToTheEnd(pod) => self.book.was_read(&pod),
                }
            }
        }
    }

    /// The scale that is asked for, which is then so.
    fn scale(&mut self) -> Option<u32> {
        let scale = self.book.plan().scale;
        if let Some(replicas) = scale {
            self.book.was_scaled(replicas, None);
        }
        scale
    }
}

fn pod(name: &str) -> PodFact {
    PodFact { name: name.to_owned(), ip: Some(address(name).ip()), ..PodFact::default() }
}

fn address(name: &str) -> SocketAddr {
    let last = name.bytes().map(u64::from).sum::<u64>() % 256;
    format!("10.0.0.{last}:9000").parse().unwrap()
}

fn deletes(names: &[&str]) -> Plan {
    Plan { delete: names.iter().map(|&name| name.to_owned()).collect(), ..Plan::default() }
}

/// A Pod, and where it is, in either order.
#[test]
fn an_instance_has_started_once_both_watches_say_so() {
    for slice_first in [false, true] {
        let mut scene = Scene::new();
        scene.start();
        assert_eq!(scene.scale(), Some(1));
        let endpoints = vec![Endpoint { pod: "a".to_owned(), address: address("a") }];
        if slice_first {
            scene.book.slice("s".to_owned(), endpoints.clone());
            assert!(scene.told().is_empty());
            scene.book.pod(pod("a"));
        } else {
            scene.book.pod(pod("a"));
            assert!(scene.told().is_empty());
            scene.book.slice("s".to_owned(), endpoints.clone());
        }
        assert_eq!(scene.told(), ["a at 10.0.0.97:9000"]);
        scene.book.slice("s".to_owned(), endpoints);
        scene.book.pod(pod("a"));
        assert!(scene.told().is_empty(), "once");
        assert!(scene.book.plan().is_empty());
    }
}

#[test]
fn the_one_that_is_stopped_is_marked_and_the_scale_goes_down() {
    let mut scene = Scene::new();
    for name in ["a", "b"] {
        scene.start();
        scene.runs(name);
    }
    assert_eq!(scene.scale(), Some(2));
    scene.told();
    scene.book.stop("a");
    scene.book.stop("a");
    let plan = scene.book.plan();
    assert_eq!(plan, Plan { mark: vec!["a".to_owned()], scale: Some(1), delete: Vec::new() });
    scene.book.was_marked("a");
    assert_eq!(scene.scale(), Some(1));
    assert!(scene.book.plan().is_empty(), "it is for Kubernetes to act");
    scene.leaves("a");
    assert!(scene.told().is_empty(), "it is not gone");
    scene.book.pod_gone("a");
    assert_eq!(scene.told(), ["a Stopped"]);
    assert!(scene.book.plan().is_empty());
}

/// Kubernetes ended another: that one is lost, the chosen one is deleted, and one comes that counts for the next start.
#[test]
fn the_one_that_is_stopped_ends_whatever_kubernetes_chose() {
    let mut scene = Scene::new();
    for name in ["a", "b"] {
        scene.start();
        scene.runs(name);
    }
    scene.scale();
    scene.told();
    scene.book.stop("a");
    scene.scale();
    scene.leaves("b");
    assert_eq!(scene.book.plan(), deletes(&["a"]));
    scene.book.was_deleted("a");
    assert!(scene.book.plan().is_empty());
    scene.book.pod_gone("b");
    scene.book.pod_gone("a");
    assert_eq!(scene.told(), ["b Lost(\"somebody\")", "a Stopped"]);
    scene.start();
    assert_eq!(scene.scale(), None, "Kubernetes makes one by itself");
    scene.runs("c");
    assert_eq!(scene.told(), [format!("c at {}", address("c"))]);
    assert!(scene.book.plan().is_empty());
}

/// Nobody asked for the one that comes in the place of a lost one, and nothing else changes.
#[test]
fn a_lost_one_is_replaced_without_a_call() {
    let mut scene = Scene::new();
    scene.start();
    scene.runs("a");
    scene.scale();
    scene.told();
    scene.leaves("a");
    scene.runs("b");
    scene.book.pod_gone("a");
    assert_eq!(scene.told(), [format!("b at {}", address("b")), "a Lost(\"somebody\")".to_owned()]);
    assert!(scene.book.plan().is_empty());
    scene.book.stop("b");
    assert_eq!(scene.scale(), Some(0));
}

/// What is left of one that was evicted is deleted; that it is one of the replicas no more, Kubernetes knows.
#[test]
fn what_is_left_of_an_evicted_one_is_deleted() {
    let mut scene = Scene::new();
    scene.start();
    scene.runs("a");
    scene.scale();
    scene.told();
    scene.book.pod(PodFact { is_over: true, lost: "Evicted".to_owned(), end: Some(Exit::Signal(9)), ..pod("a") });
    assert_eq!(scene.told(), ["a Lost(\"Evicted\")"]);
    assert_eq!(scene.book.plan(), deletes(&["a"]));
}

/// A container that ends is not started again: its Pod goes, even when the scale is the same because another is wanted.
#[test]
fn a_pod_whose_container_ended_goes() {
    let mut scene = Scene::new();
    scene.start();
    scene.runs("a");
    scene.scale();
    scene.told();
    scene.ends("a", Exit::Code(3));
    assert!(scene.book.plan().is_empty(), "what it printed is read first");
    // What the kubelet does next was not asked for.
    scene.book.pod(PodFact { end: Some(Exit::Code(4)), is_restarted: true, ..pod("a") });
    assert_eq!(scene.told(), ["a Code(3)"]);
    assert_eq!(scene.book.plan(), Plan { mark: vec!["a".to_owned()], scale: Some(0), delete: Vec::new() });
    scene.start();
    assert_eq!(scene.book.plan(), deletes(&["a"]));
}

/// It was never ready, and had an address.
#[test]
fn one_that_ends_at_once_has_started_and_exited() {
    let mut scene = Scene::new();
    scene.start();
    scene.scale();
    scene.ends("a", Exit::Code(7));
    assert_eq!(scene.told(), [format!("a at {}:8080", address("a").ip()), "a Code(7)".to_owned()]);
    assert_eq!(scene.book.plan().scale, Some(0));
    scene.start();
    scene.book.pod(PodFact { ip: None, end: Some(Exit::Code(7)), ..pod("b") });
    assert_eq!(scene.told(), ["not: its container ended before it had an address: Code(7)"]);
}

#[test]
fn one_that_does_not_come_is_told_with_all_that_is_known() {
    let mut scene = Scene::new();
    scene.start();
    scene.scale();
    scene.book.pod(PodFact { pull_error: Some("ErrImagePull: not found".to_owned()), ..pod("a") });
    assert!(scene.told().is_empty(), "the kubelet tries again");
    scene.book.pod(PodFact { trouble: Some("ImagePullBackOff: back-off".to_owned()), ..pod("a") });
    assert_eq!(scene.told(), ["not: ImagePullBackOff: back-off; ErrImagePull: not found"]);
    assert_eq!(scene.book.plan(), Plan { mark: vec!["a".to_owned()], scale: Some(0), delete: Vec::new() });
    scene.scale();
    scene.book.was_marked("a");
    scene.leaves("a");
    scene.book.pod_gone("a");
    assert!(scene.told().is_empty() && scene.book.plan().is_empty());
}

/// Of three that are wanted one comes; a shortage that was seen before the last scale does not count.
#[test]
fn a_shortage_fails_those_that_do_not_come() {
    let mut scene = Scene::new();
    for _ in 0..3 {
        scene.start();
    }
    scene.scale();
    scene.book.pod(pod("a"));
    let short = |replicas| DeploymentFact { replicas, shortage: Some("quota".to_owned()), version: None };
    scene.book.deployment(short(3));
    assert_eq!(scene.told(), ["not: quota", "not: quota"]);
    assert_eq!(scene.scale(), Some(1));
    scene.book.deployment(short(1));
    assert!(scene.told().is_empty());
    scene.book.slice("s".to_owned(), vec![Endpoint { pod: "a".to_owned(), address: address("a") }]);
    assert_eq!(scene.told().len(), 1);
}

#[test]
fn a_start_ends_at_its_deadline_and_not_before() {
    for (pods, trouble, want) in [
        (vec![], None, "Kubernetes has made no Pod that runs"),
        (vec![PodFact { waits_for: Some("Unschedulable: no node".to_owned()), ..pod("a") }], None, "Unschedulable"),
        (vec![], Some("no answer"), "no answer"),
    ] {
        let mut scene = Scene::new();
        scene.start();
        scene.scale();
        for pod in pods {
            scene.book.pod(pod);
        }
        if let Some(trouble) = trouble {
            scene.book.call_failed(trouble.to_owned());
        }
        let due = scene.book.next_wake().unwrap();
        assert_eq!(due, scene.now + DEADLINE);
        scene.book.tick(due - Duration::from_millis(1));
        assert!(scene.told().is_empty());
        scene.book.tick(due);
        let told = scene.told();
        assert!(told.len() == 1 && told[0].starts_with("not: it did not start within 600 s") && told[0].contains(want));
        assert_eq!((scene.book.next_wake(), scene.book.plan().scale), (None, Some(0)));
    }
}

/// Somebody else scales the Deployment, or deletes it. What is older than our own last word is no news.
#[test]
fn the_scale_is_what_is_asked_for_here() {
    let mut scene = Scene::new();
    scene.start();
    scene.runs("a");
    scene.told();
    scene.book.was_scaled(1, Some(10));
    for (version, replicas, want) in [(9, 0, None), (10, 1, None), (11, 5, Some(1))] {
        scene.book.deployment(DeploymentFact { replicas, version: Some(version), shortage: None });
        assert_eq!(scene.book.plan().scale, want, "version {version}");
    }
    scene.book.was_scaled(1, Some(12));
    scene.book.deployment_gone();
    assert_eq!(scene.book.plan().scale, Some(1));
    scene.book.made_again();
    assert_eq!(scene.book.plan().scale, Some(1));
}

/// After a list: who is missing is gone, who is there is not, and nothing is told twice.
#[test]
fn a_list_ends_those_that_are_missing_and_no_others() {
    let mut scene = Scene::new();
    for name in ["a", "b", "c"] {
        scene.start();
        scene.runs(name);
    }
    scene.scale();
    scene.told();
    scene.book.stop("c");
    scene.scale();
    scene.book.pods_listed(vec![pod("a")]);
    scene.book.slices_listed(Vec::new());
    let told = scene.told();
    assert_eq!(told, ["b Lost(\"\")", "c Stopped"]);
    scene.book.pods_listed(vec![pod("a")]);
    assert!(scene.told().is_empty(), "no slice is no end");
}

/// The one that came in the place of another may be heard of before the other's end.
#[test]
fn one_that_comes_before_the_loss_is_known_changes_nothing() {
    let mut scene = Scene::new();
    for name in ["a", "z"] {
        scene.start();
        scene.runs(name);
    }
    scene.scale();
    scene.told();
    scene.book.slice("s".to_owned(), vec![Endpoint { pod: "b".to_owned(), address: address("b") }]);
    let leaving = PodFact { is_leaving: true, ..pod("z") };
    scene.book.pods_listed(vec![pod("a"), pod("b"), leaving]);
    assert_eq!(scene.told(), [format!("b at {}", address("b"))]);
    assert!(scene.book.plan().is_empty());
    scene.start();
    assert_eq!(scene.scale(), Some(3), "a start is a start");
}

#[test]
fn when_all_are_dropped_each_end_is_told() {
    let mut scene = Scene::new();
    for name in ["a", "b"] {
        scene.start();
        scene.runs(name);
    }
    scene.start();
    scene.told();
    scene.book.drop_all();
    assert!(!scene.book.is_over());
    scene.book.pod_gone("a");
    // It comes too late.
    scene.runs("c");
    scene.ends("b", Exit::Code(0));
    assert_eq!(scene.told(), ["a Stopped", "b Stopped"]);
    assert!(scene.book.is_over());
}

/// A call that is refused for good ends every start, with the reason.
#[test]
fn a_refusal_ends_every_start() {
    let mut scene = Scene::new();
    scene.start();
    scene.start();
    scene.book.refused("forbidden");
    assert_eq!(scene.told(), ["not: forbidden", "not: forbidden"]);
    assert!(scene.book.plan().is_empty());
}
