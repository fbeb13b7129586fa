//! The machines of a test: name spaces of the network that a switch joins, or else addresses of loopback.
//!
//! A name space is held by a process that ends with the test, and everything in it is gone with its last process. What
//! one machine sends to another is lost when the first has a wrong hardware address for the second: the frame leaves,
//! the switch knows no such port, and nobody takes it. That is silent, goes one way, holds for connections that exist,
//! and needs no packet filter in the kernel.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::support::Unable;
use crate::support::skip::has;
use crate::support::wait::DEADLINE;

/// How many networks this process has made: each gets addresses of its own.
static MADE: AtomicU32 = AtomicU32::new(0);

/// The host part of the test's own address.
const OWN: u8 = 254;

/// A hardware address that nobody has.
const NOBODY: &str = "02:00:00:00:ff:ff";

/// The machines, and what joins them.
#[derive(Debug)]
pub struct Network {
    /// The first three bytes of every address.
    prefix: [u8; 3],
    count: usize,
    /// Of each machine; none over loopback.
    spaces: Vec<Space>,
    /// Joins them. It goes last, and takes the test's own end of the cable with it.
    _switch: Option<Space>,
    /// Why there are no name spaces.
    why_not: Option<Unable>,
}

impl Network {
    /// `count` machines, in name spaces where the system allows it.
    pub fn new(count: usize) -> Self {
        let number = fresh();
        let [.., high, low] = number.to_be_bytes();
        // RFC 2544: for tests of networks, and nobody's own.
        let prefix = [198, 18 + (high & 1), low];
        match joined(count, prefix, &format!("pt{number:x}")) {
            Ok((switch, spaces)) => Self { prefix, count, spaces, _switch: Some(switch), why_not: None },
            Err(why) => Self::loopback(count, why),
        }
    }

    /// Machines that are only addresses of loopback.
    pub fn loopback(count: usize, why: Unable) -> Self {
        let [.., high, low] = fresh().to_be_bytes();
        let prefix = [127, 64 | (high & 63), low];
        Self { prefix, count, spaces: Vec::new(), _switch: None, why_not: Some(why) }
    }

    /// Whether what one machine sends to another can be lost; else why not.
    pub fn can_cut(&self) -> Result<(), Unable> {
        self.why_not.clone().map_or(Ok(()), Err)
    }

    /// How many machines there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The address of a machine.
    pub fn host(&self, machine: usize) -> IpAddr {
        address(self.prefix, host_part(machine)).into()
    }

    /// The address at which the machines reach this process.
    pub fn own(&self) -> IpAddr {
        address(self.prefix, OWN).into()
    }

    /// The words before a program's own that run it on a machine. The process keeps its id.
    pub fn wrapper(&self, machine: usize) -> Vec<String> {
        self.spaces.get(machine).map(Space::enter).unwrap_or_default()
    }

    /// A socket on a machine. A thread goes there for it; the socket stays there, whoever uses it.
    #[track_caller]
    pub fn datagrams(&self, machine: usize) -> UdpSocket {
        let host = self.host(machine);
        let space = self.spaces.get(machine).map(|space| format!("/proc/{}/ns/net", space.0.id()));
        let bound = std::thread::spawn(move || {
            if let Some(space) = space {
                let space = std::fs::File::open(space)?;
                move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))?;
            }
            let socket = UdpSocket::bind((host, 0))?;
            socket.set_read_timeout(Some(DEADLINE))?;
            std::io::Result::Ok(socket)
        });
        bound.join().unwrap().unwrap()
    }

    /// From now on nothing that `from` sends reaches `to`. Nothing else changes.
    #[track_caller]
    pub fn cut(&self, from: usize, to: usize) {
        self.point(from, to, NOBODY);
    }

    /// Everything reaches everybody again.
    #[track_caller]
    pub fn heal(&self) {
        for from in 0..self.spaces.len() {
            for to in (0..self.spaces.len()).filter(|to| *to != from) {
                self.point(from, to, &hardware(to));
            }
        }
    }

    #[track_caller]
    fn point(&self, from: usize, to: usize, at: &str) {
        neighbour(&self.spaces[from], self.prefix, to, at).unwrap();
    }
}

/// Another number each time, and most likely another than that of any process that runs.
fn fresh() -> u32 {
    std::process::id().wrapping_add(MADE.fetch_add(1, Ordering::Relaxed).wrapping_mul(7919))
}

fn host_part(machine: usize) -> u8 {
    u8::try_from(machine + 1).ok().filter(|part| *part < OWN).expect("tests have few machines")
}

fn address([a, b, c]: [u8; 3], host: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, host)
}

fn hardware(machine: usize) -> String {
    format!("02:00:00:00:00:{:02x}", host_part(machine))
}

/// A name space of the network, and the process that holds it until its standard input ends.
#[derive(Debug)]
struct Space(Child);

impl Space {
    fn new() -> Result<Self, Unable> {
        let mut command = Command::new("unshare");
        command.args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut space = Self(command.spawn().map_err(|error| Unable::start("unshare", &error))?);
        // What is written comes back once `unshare` has become `cat`, and so has done its work.
        let (stdin, stdout) = (space.0.stdin.as_mut(), space.0.stdout.as_mut());
        let written = stdin.expect("it is piped").write_all(b"x");
        let there = written.and_then(|()| stdout.expect("it is piped").read_exact(&mut [0; 1]));
        match there {
            Ok(()) => Ok(space),
            Err(error) => Err(Unable::Refused(format!("unshare --net: {error}"))),
        }
    }

    fn enter(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.0.id()), "--".to_owned()]
    }

    /// Runs `ip` inside.
    fn ip(&self, words: &str) -> Result<(), Unable> {
        let enter = self.enter();
        run(Command::new(&enter[0]).args(&enter[1..]).arg("ip").args(words.split(' ')))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(command: &mut Command) -> Result<(), Unable> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| Unable::start(&command.get_program().to_string_lossy(), &error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Unable::Refused(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// Name spaces with a cable each to a switch, and one from here.
fn joined(count: usize, prefix: [u8; 3], name: &str) -> Result<(Space, Vec<Space>), Unable> {
    ["unshare", "nsenter", "ip"].into_iter().try_for_each(has)?;
    let switch = Space::new()?;
    switch.ip("link add switch type bridge")?;
    switch.ip("link set switch up")?;
    let here = |words: &str| run(Command::new("ip").args(words.split(' ')));
    here(&format!("link add {name} type veth peer name test netns {}", switch.0.id()))?;
    here(&format!("addr add {}/24 dev {name}", address(prefix, OWN)))?;
    here(&format!("link set {name} up"))?;
    switch.ip("link set test master switch up")?;
    let mut spaces = Vec::new();
    for machine in 0..count {
        let space = Space::new()?;
        let (port, pid) = (format!("port{machine}"), space.0.id());
        switch.ip(&format!("link add {port} type veth peer name eth0 address {} netns {pid}", hardware(machine)))?;
        switch.ip(&format!("link set {port} master switch up"))?;
        space.ip(&format!("addr add {}/24 dev eth0", address(prefix, host_part(machine))))?;
        space.ip("link set eth0 up")?;
        space.ip("link set lo up")?;
        for other in (0..count).filter(|other| *other != machine) {
            neighbour(&space, prefix, other, &hardware(other))?;
        }
        spaces.push(space);
    }
    Ok((switch, spaces))
}

/// Says where a machine is, for one that sends to it.
fn neighbour(space: &Space, prefix: [u8; 3], machine: usize, at: &str) -> Result<(), Unable> {
    let address = address(prefix, host_part(machine));
    space.ip(&format!("neigh replace {address} lladdr {at} dev eth0 nud permanent"))
}

/// What the partitions of the other tests rest on.
#[test]
fn what_is_cut_is_lost_one_way_and_comes_back() {
    let network = Network::new(2);
    if let Err(why) = network.can_cut() {
        return crate::support::skipped("partitions", &why);
    }
    let sockets: Vec<_> = (0..2).map(|machine| network.datagrams(machine)).collect();
    let send = |from: usize, what: &str| {
        let to = sockets[1 - from].local_addr().unwrap();
        sockets[from].send_to(what.as_bytes(), to).unwrap();
    };
    let receive = |at: usize| {
        let mut buffer = [0; 16];
        let length = sockets[at].recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    send(0, "whole");
    assert_eq!(receive(1), "whole");
    network.cut(0, 1);
    send(0, "lost");
    send(1, "other way");
    assert_eq!(receive(0), "other way");
    network.heal();
    send(0, "healed");
    assert_eq!(receive(1), "healed", "nothing of the time of the cut comes late");
}
