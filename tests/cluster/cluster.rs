//! Nodes that make a cluster, and what is done to them.

use std::net::SocketAddr;
use std::sync::Arc;

use pelton_log::OnDamage;
use rustix::process::Signal;

use crate::authority::Authority;
use crate::command::{pelton, run};
use crate::load::{Ledger, Load};
use crate::network::Network;
use crate::oracle::{Outcome, Subscriber, check};
use crate::status::Status;
use crate::support::event::TYPE_A;
use crate::support::node::INGRESS_PORT;
use crate::support::{Node, Start, trigger, wait_for};
use crate::{logs, one_at_a_time, rounds};

/// Where nodes listen for each other.
pub const PEER_PORT: u16 = 7400;

/// So many more acknowledged events of a node are progress.
const PROGRESS: usize = 25;

/// Machines of a network that have no node at first.
const SPARE_MACHINES: usize = 2;

/// The nodes of a cluster, by machine.
pub struct Cluster {
    pub network: Network,
    pub authority: Authority,
    names: Vec<String>,
    /// How each node is started.
    starts: Vec<Start>,
    nodes: Vec<Option<Node>>,
    subscriber: Subscriber,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// So many nodes that form a cluster, with one Trigger. `dress` may change how a node is started.
    #[track_caller]
    pub fn start(count: usize, dress: impl Fn(usize, Start) -> Start) -> Self {
        let network = Network::new(count + SPARE_MACHINES);
        if let Err(why) = network.can_cut() {
            crate::support::skipped("nodes in name spaces of the network; they are on loopback", &why);
        }
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path());
        let subscriber = Subscriber::start(network.own());
        let (starts, nodes) = (Vec::new(), Vec::new());
        let names = (0..count).map(|machine| format!("node-{machine}")).collect();
        let mut cluster = Self { network, authority, names, starts, nodes, subscriber, folder };
        for machine in 0..count {
            let start = cluster.prepared(machine, &cluster.names[machine], count);
            cluster.starts.push(dress(machine, start));
        }
        let spawned: Vec<_> = cluster.starts.iter().map(Start::spawn).collect();
        let ready = cluster.starts.iter().zip(spawned).map(|(start, process)| Some(start.ready(process)));
        cluster.nodes = ready.collect();
        cluster.apply(&trigger(
            "all",
            &cluster.subscriber.url(),
            &format!("  filter: {{attributes: {{type: {TYPE_A}}}}}\n"),
        ));
        cluster
    }

    pub fn peer(&self, machine: usize) -> SocketAddr {
        SocketAddr::new(self.network.host(machine), PEER_PORT)
    }

    /// How a node of that name is started on a machine, with a folder of its own, to form a cluster with the first
    /// `count` machines, or to join it.
    pub fn prepared(&self, machine: usize, name: &str, count: usize) -> Start {
        self.prepared_by(&self.authority, machine, name, count)
    }

    /// The same, with a certificate of some authority.
    pub fn prepared_by(&self, authority: &Authority, machine: usize, name: &str, count: usize) -> Start {
        let join: Vec<_> = (0..count).map(|machine| self.peer(machine).to_string()).collect();
        let join = join.join(",");
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let peer = self.peer(machine).to_string();
        Start::server(&folder, self.network.host(machine))
            .wrapped(&strs(&self.network.wrapper(machine)))
            .args(&["--name", name, "--peer-listen", &peer])
            .args(&if count == 0 { vec![] } else { vec!["--join", &join] })
            .args(&strs(&authority.flags(name, self.network.host(machine))))
    }

    /// Stores resources, through whichever node is up.
    #[track_caller]
    pub fn apply(&self, manifest: &str) {
        let file = self.folder.path().join("resources.yaml");
        std::fs::write(&file, manifest).unwrap();
        self.command(&["apply", "-f", &file.display().to_string()]);
    }

    /// Runs a command of the command line until it succeeds, against a node that is up. Gives what it printed.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> String {
        self.says(words, |code, _| code == 0)
    }

    /// What a command prints, once its exit code and what it prints are good.
    #[track_caller]
    fn says(&self, words: &[&str], is_good: impl Fn(i32, &str) -> bool) -> String {
        wait_for(&format!("pelton {words:?}"), || {
            let node = self.nodes.iter().flatten().next().expect("a node is up");
            let (code, stdout, stderr) = run(pelton().args(words).env("PELTON_API", format!("http://{}", node.api)));
            if is_good(code, &stdout) { Ok(stdout) } else { Err(format!("exit code {code}: {stderr}")) }
        })
    }

    /// Where events come in on every machine, also on one that has no node yet.
    pub fn ingresses(&self) -> Vec<SocketAddr> {
        let machines = 0..self.network.count();
        machines.map(|machine| SocketAddr::new(self.network.host(machine), INGRESS_PORT)).collect()
    }

    /// The machines whose node is up.
    pub fn up(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|machine| self.nodes[*machine].is_some()).collect()
    }

    /// Those of them that take events.
    pub fn up_with_ingress(&self) -> Vec<usize> {
        self.up().into_iter().filter(|machine| !self.node(*machine).ingress.ip().is_unspecified()).collect()
    }

    pub fn node(&self, machine: usize) -> &Node {
        self.nodes[machine].as_ref().expect("the node is up")
    }

    /// SIGKILL.
    #[track_caller]
    pub fn kill(&mut self, machine: usize) {
        self.nodes[machine].take().expect("the node is up").process.kill();
    }

    /// SIGKILL of all nodes, and only then a look at whether they are gone.
    #[track_caller]
    pub fn kill_all(&mut self) {
        self.nodes.iter().flatten().for_each(|node| node.process.killer().kill());
        self.nodes.iter_mut().for_each(|node| node.take().expect("the node was up").process.kill());
    }

    /// SIGTERM, and the end in good order.
    #[track_caller]
    pub fn stop(&mut self, machine: usize) {
        self.nodes[machine].take().expect("the node is up").process.stop();
    }

    /// Starts what was killed or stopped, all at once, and waits until they are ready.
    #[track_caller]
    pub fn restart(&mut self, machines: &[usize]) {
        let spawned: Vec<_> = machines.iter().map(|machine| self.starts[*machine].spawn()).collect();
        for (machine, process) in machines.iter().zip(spawned) {
            self.nodes[*machine] = Some(self.starts[*machine].ready(process));
        }
    }

    /// SIGSTOP. To the others it is silent; to the system it has every connection it had.
    pub fn pause(&self, machine: usize) {
        self.node(machine).process.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self, machine: usize) {
        self.node(machine).process.signal(Signal::CONT);
    }

    /// The node of a machine is another from now on, which waits to be started. The machine may be new.
    pub fn replace(&mut self, machine: usize, name: &str, start: Start) {
        if self.starts.len() == machine {
            self.names.push(name.to_owned());
            self.starts.push(start);
            self.nodes.push(None);
        } else {
            self.names[machine] = name.to_owned();
            self.starts[machine] = start;
        }
    }

    pub fn name(&self, machine: usize) -> String {
        self.names[machine].clone()
    }

    /// How a node is started.
    pub fn start_of(&self, machine: usize) -> &Start {
        &self.starts[machine]
    }

    /// What `pelton status` says. It ends with 1 when something is wrong, and prints it.
    #[track_caller]
    pub fn status(&self) -> Status {
        Status::read(
            &self.says(&["status", "-o", "json"], |code, said| code == 0 || (code == 1 && said.starts_with('{'))),
        )
    }

    /// Waits until every replica has what its leader has, and knows it.
    #[track_caller]
    pub fn wait_until_caught_up(&self) {
        let nodes = self.up().len();
        wait_for("every replica to catch up", || self.status().caught_up(nodes));
    }

    /// Forgets a node that was told to end by itself, once it has; gives its exit code and what it said.
    #[track_caller]
    pub fn ended(&mut self, machine: usize) -> (Option<i32>, String) {
        let node = self.nodes[machine].take().expect("the node was up");
        let status = node.process.wait();
        (status.code(), node.process.said())
    }
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// A cluster under load, from calm to calm.
pub struct Scene {
    pub cluster: Cluster,
    pub load: Load,
    pub ledger: Arc<Ledger>,
}

/// Runs a scenario on three nodes: `fault` as often as the environment says, and all that must hold at the end.
#[track_caller]
pub fn scenario(what: &str, fault: impl FnMut(&mut Scene, usize)) {
    scenario_with(what, |_, start| start, fault);
}

/// The same, with nodes that are started in a way of their own.
#[track_caller]
pub fn scenario_with(what: &str, dress: impl Fn(usize, Start) -> Start, mut fault: impl FnMut(&mut Scene, usize)) {
    let _one = one_at_a_time();
    let mut scene = Scene::new(Cluster::start(3, dress), false);
    for round in 0..rounds() {
        fault(&mut scene, round);
        scene.all_take("once all is healed");
    }
    scene.ends(what);
}

impl Scene {
    /// Producers for a cluster, `forgetful` ones or not, that have begun.
    #[track_caller]
    pub fn new(cluster: Cluster, forgetful: bool) -> Self {
        let ledger = Arc::<Ledger>::default();
        let load = Load::start(&cluster.ingresses(), &ledger, forgetful);
        let scene = Self { cluster, load, ledger };
        scene.all_take("before anything has happened");
        scene
    }

    /// Waits until every node that is up, and takes events, acknowledges some.
    #[track_caller]
    pub fn all_take(&self, when: &str) {
        self.take(&self.cluster.up_with_ingress(), when);
    }

    /// Waits until these nodes acknowledge events.
    #[track_caller]
    pub fn take(&self, machines: &[usize], when: &str) {
        self.load.wait_for(&format!("events to be taken {when}"), machines, PROGRESS);
    }

    /// Everything has come; then the nodes stop, and their logs say the same. Gives what came of it, and how many
    /// events are in the logs.
    #[track_caller]
    pub fn ends(self, what: &str) -> (Outcome, u64) {
        self.ends_on(what, OnDamage::Refuse)
    }

    /// The same, on disks of which some were damaged and repaired.
    #[track_caller]
    pub fn ends_repaired(self, what: &str) -> (Outcome, u64) {
        self.ends_on(what, OnDamage::Keep)
    }

    #[track_caller]
    fn ends_on(self, what: &str, on_damage: OnDamage) -> (Outcome, u64) {
        let Self { mut cluster, load, ledger } = self;
        load.stop();
        let outcome = check(what, &ledger, &cluster.subscriber);
        let machines = cluster.up();
        let letters = cluster.node(machines[0]).dead_letters("all");
        assert!(letters.is_empty(), "{what}: a subscriber that takes everything has dead letters: {letters:?}");
        cluster.wait_until_caught_up();
        machines.iter().for_each(|machine| cluster.stop(*machine));
        let data = machines.iter().map(|machine| cluster.starts[*machine].data_folder());
        let data: Vec<_> = data.filter(|data| data.join("log").exists()).collect();
        let events = logs::agree(data.iter().copied(), on_damage);
        eprintln!("{what}: the logs of {} nodes agree on {events} events", data.len());
        (outcome, events)
    }
}
