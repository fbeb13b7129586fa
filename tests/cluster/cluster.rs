//! Nodes that make a cluster, and what is done to them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use pelton_log::OnDamage;
use rustix::process::Signal;

use crate::authority::Authority;
use crate::command::{pelton, run};
use crate::logs::{self, Agreed};
use crate::network::Network;
pub use crate::scene::{Plan, Scene, planned, scenario, scenario_with};
use crate::sessions::{self, Sessions};
use crate::status::Status;
use crate::subscriber::Subscriber;
use crate::support::event::TYPE_A;
use crate::support::node::INGRESS_PORT;
use crate::support::{Node, Start, trigger, wait_for, wait_until};

/// Has a debug build speak other versions of the protocol: what makes one program two, for tests of an upgrade.
pub const PROTOCOL: &str = "PELTON_TEST_PROTOCOL";

/// Where nodes listen for each other.
pub const PEER_PORT: u16 = 7400;

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
    /// Those that stand still.
    paused: BTreeSet<usize>,
    /// What nodes said that have ended, and when they had.
    said: Vec<(String, Instant)>,
    pub subscriber: Subscriber,
    /// Whether logs may have been damaged and repaired.
    pub on_damage: OnDamage,
    folder: Arc<tempfile::TempDir>,
}

impl Cluster {
    /// So many nodes that form a cluster, with one Trigger. `dress` may change how a node is started.
    #[track_caller]
    pub fn start(count: usize, dress: impl Fn(usize, Start) -> Start) -> Self {
        sessions::start_clock();
        let network = Network::new(count + SPARE_MACHINES);
        if let Err(why) = network.can_cut() {
            crate::support::skipped("nodes in name spaces of the network; they are on loopback", &why);
        }
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let authority = Authority::new(folder.path());
        let subscriber = Subscriber::start(network.own());
        let (starts, nodes) = (Vec::new(), Vec::new());
        let names = (0..count).map(|machine| format!("node-{machine}")).collect();
        let (paused, said, on_damage) = (BTreeSet::new(), Vec::new(), OnDamage::Refuse);
        let mut cluster =
            Self { network, authority, names, starts, nodes, paused, said, subscriber, on_damage, folder };
        for machine in 0..count {
            let start = cluster.prepared(machine, &cluster.names[machine], count);
            cluster.starts.push(dress(machine, start));
        }
        let spawned: Vec<_> = cluster.starts.iter().map(Start::spawn).collect();
        let ready = cluster.starts.iter().zip(spawned).map(|(start, process)| Some(start.ready(process)));
        cluster.nodes = ready.collect();
        // Until then the loss of a node is the loss of what only it has.
        wait_for("every group to have its replicas", || match cluster.status().problems() {
            none if none == "[]" => Ok(()),
            problems => Err(problems),
        });
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
            let awake = self.up().into_iter().find(|machine| !self.paused.contains(machine));
            let node = self.node(awake.expect("a node is up"));
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
        self.node(machine).process.kill();
        self.bury(machine);
    }

    /// SIGKILL of all nodes, and only then a look at whether they are gone.
    #[track_caller]
    pub fn kill_all(&mut self) {
        self.nodes.iter().flatten().for_each(|node| node.process.killer().kill());
        self.up().into_iter().for_each(|machine| self.kill(machine));
    }

    /// SIGTERM, and the end in good order.
    #[track_caller]
    pub fn stop(&mut self, machine: usize) {
        self.node(machine).process.stop();
        self.bury(machine);
    }

    /// Forgets a node that has ended, and keeps what it said.
    fn bury(&mut self, machine: usize) -> String {
        let died = Instant::now();
        let said = self.nodes[machine].take().expect("the node was up").process.said_in_all();
        self.said.push((said.clone(), died));
        said
    }

    /// Starts what was killed or stopped, all at once, and waits until they are ready.
    #[track_caller]
    pub fn restart(&mut self, machines: &[usize]) {
        let spawned: Vec<_> = machines.iter().map(|machine| self.starts[*machine].spawn()).collect();
        for (machine, process) in machines.iter().zip(spawned) {
            self.nodes[*machine] = Some(self.starts[*machine].ready(process));
        }
    }

    /// SIGSTOP. To the others it is silent; to the system it has every connection it had. It stands still when this is
    /// done.
    #[track_caller]
    pub fn pause(&mut self, machine: usize) {
        let process = &self.node(machine).process;
        process.signal(Signal::STOP);
        wait_until("the process to stand still", || process.state() == Some('T'));
        self.paused.insert(machine);
    }

    /// SIGCONT.
    pub fn resume(&mut self, machine: usize) {
        self.paused.remove(&machine);
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

    /// Waits until every replica has what was committed when this was called. For while there is load.
    #[track_caller]
    pub fn wait_until_applied(&self) {
        let (nodes, then) = (self.up().len(), self.status().commits());
        wait_for("every replica to apply what there was", || self.status().has_applied(nodes, &then));
    }

    /// Has the node of a machine speak other versions of the protocol from its next start on.
    pub fn speaks(&mut self, machine: usize, versions: &str) {
        self.starts[machine] = self.starts[machine].clone().env(PROTOCOL, versions);
    }

    /// What the data of all nodes is in, for those who look at it when the cluster has ended: it goes with the last of them.
    pub fn folder(&self) -> Arc<tempfile::TempDir> {
        Arc::clone(&self.folder)
    }

    /// Waits until all of these events were delivered.
    #[track_caller]
    pub fn wait_until_delivered(&self, numbers: &BTreeSet<u64>) {
        self.subscriber.wait_for("what was held to be delivered", numbers);
    }

    /// Forgets a node that was told to end by itself, once it has; gives its exit code and what it said.
    #[track_caller]
    pub fn ended(&mut self, machine: usize) -> (Option<i32>, String) {
        let status = self.node(machine).process.wait();
        (status.code(), self.bury(machine))
    }

    /// What the nodes that have ended said of a group, in the order of its time.
    pub fn said_of(&self, group: u64) -> String {
        let word = format!("group={group}");
        let lines = self.said.iter().flat_map(|(said, _)| said.lines());
        let mut lines: Vec<&str> = lines.filter(|line| line.split(' ').any(|part| part == word)).collect();
        // Each begins with its time.
        lines.sort_unstable();
        lines.join("\n")
    }

    /// Stops all nodes. Gives what their logs say, once they agree, and who delivered when.
    #[track_caller]
    pub fn autopsy(&mut self, what: &str) -> (Agreed, Sessions) {
        let machines = self.up();
        machines.iter().for_each(|machine| self.stop(*machine));
        let data = machines.iter().map(|machine| self.starts[*machine].data_folder());
        let data: Vec<_> = data.filter(|data| data.join("log").exists()).collect();
        let agreed = logs::agree(data.iter().copied(), self.on_damage);
        eprintln!("{what}: the logs of {} nodes agree on {} events", data.len(), agreed.events);
        let mut sessions = Sessions::new();
        for (said, died) in &self.said {
            let panic = said.lines().find(|line| line.contains("panicked at"));
            assert!(panic.is_none(), "{what}: {panic:?} in {said}");
            sessions::collect(&mut sessions, said, *died);
        }
        (agreed, sessions)
    }
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}
