//! A whole data folder that the program from before there were clusters left: identity, log, registry store.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::cluster::Cluster;
use crate::command::{pelton, run};
use crate::support::sink::answer;
use crate::support::{Node, Sink, Start, trigger, wait_until};

/// Written by `pelton up` of the commit "dispatcher: one longest wait for attempts and for the waits between them", and
/// stopped: 20 events that the Trigger `waiting` has tried and failed to deliver, and three that `given-up` has as dead
/// letters. The number of files; then each as its name, its length and the pieces of 64 bytes that are not zeros, every
/// number a `u32`.
const FOLDER: &[u8] = include_bytes!("../data/before_clusters.bin");

const WAITING: usize = 20;
const GIVEN_UP: usize = 3;

/// Dead letters of any age are kept: those of the folder grow old.
const KEEP: [&str; 2] = ["--dead-letter-age", "36500d"];

fn unpack(into: &Path) {
    let mut rest = FOLDER;
    let mut take = |len: usize| {
        let (now, later) = rest.split_at(len);
        rest = later;
        now
    };
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap()) as usize;
    for _ in 0..number(take(4)) {
        let name_len = number(take(4));
        let path = into.join(std::str::from_utf8(take(name_len)).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut content = vec![0; number(take(4))];
        for _ in 0..number(take(4)) {
            let at = number(take(4));
            let end = content.len().min(at + 64);
            content[at..end].copy_from_slice(&take(64)[..end - at]);
        }
        fs::write(path, content).unwrap();
    }
}

/// Takes events in and notes which they are.
fn noting(host: IpAddr) -> (Sink, Arc<Mutex<BTreeSet<String>>>) {
    let came = Arc::<Mutex<BTreeSet<String>>>::default();
    let noted = Arc::clone(&came);
    let sink = Sink::start_at(host, move |request, stream| {
        noted.lock().extend(request.header("ce-id").map(str::to_owned));
        answer(stream, 200, "", b"")
    });
    (sink, came)
}

fn waiting(sink: &Sink) -> String {
    trigger("waiting", &sink.url(), "  filter: {attributes: {type: test.waiting}}\n")
}

/// Everything that the folder holds is there, and what had no subscriber then has one now.
#[track_caller]
fn has_everything(node: &Node, came: &Mutex<BTreeSet<String>>) {
    let want: BTreeSet<String> = (1..=WAITING).map(|number| format!("waiting-{number}")).collect();
    wait_until("what waited to be delivered", || *came.lock() == want);
    let letters = node.dead_letters("given-up");
    assert_eq!(letters.len(), GIVEN_UP, "{letters:?}");
    node.is_well("it was opened by a newer program");
}

#[test]
fn up_goes_on_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (sink, came) = noting(IpAddr::from([127, 0, 0, 1]));
    let start = Start::new(folder.path()).manifest(&waiting(&sink)).args(&KEEP);
    unpack(start.data_folder());
    let node = start.node();
    has_everything(&node, &came);
    node.process.stop();
    let node = start.node();
    assert_eq!(node.dead_letters("given-up").len(), GIVEN_UP, "and once more");
    node.process.stop();
    let (code, said, error) = run(pelton().args(["log", "verify"]).arg(start.data_folder()));
    assert!(code == 0 && said.contains("whole"), "{said}{error}");
}

/// It is a cluster of one then, which others can join.
#[test]
fn a_server_goes_on_with_it_and_takes_in_others() {
    let mut cluster = Cluster::start(1, |_, start| {
        unpack(start.data_folder());
        start.args(&KEEP)
    });
    let (sink, came) = noting(cluster.network.own());
    cluster.apply(&waiting(&sink));
    has_everything(cluster.node(0), &came);
    for machine in [1, 2] {
        let name = format!("late-{machine}");
        let start = cluster.prepared(machine, &name, 1).args(&KEEP);
        cluster.replace(machine, &name, start);
        cluster.restart(&[machine]);
    }
    wait_until("every group to have three replicas", || cluster.status().replicas_answer().is_ok());
    cluster.wait_until_caught_up();
    // What the first one held is on the others.
    cluster.kill(0);
    wait_until("the dead letters to be there without the first node", || {
        let (code, said, _) = run(pelton()
            .args(["deadletters", "list", "--trigger", "default/given-up", "-o", "json"])
            .env("PELTON_API", format!("http://{}", cluster.node(1).api)));
        code == 0 && said.matches("given-up-").count() >= GIVEN_UP
    });
}
