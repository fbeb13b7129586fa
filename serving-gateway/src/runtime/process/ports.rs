//! Ports for processes: one for each, that nobody else has.
//!
//! A port must be free when it is given away, and stay so until the program listens, which we cannot do for it. So ports
//! are taken from outside the range from which the kernel takes those of outgoing connections: our own connections would
//! take them, and one to a port that nobody listens on yet could be connected to itself. Whoever else takes one first wins;
//! the instance then fails, and the next one gets another.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_env::Chance;
use tokio::net::TcpSocket;

/// Below, people expect services that they know.
const LOWEST: u16 = 20_000;

/// The least that is to be chosen from.
const FEWEST: u16 = 1_000;

/// How many ports that others have are passed over.
const MOST_TRIES: usize = 1_000;

/// All ports to give away, and those that are.
#[derive(Debug)]
pub struct Ports {
    from: RangeInclusive<u16>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The one that is looked at next: one that was given back is used again as late as can be.
    next: u16,
    given: BTreeSet<u16>,
}

/// A port that was given away. Dropped, it is given back.
#[derive(Debug)]
pub struct Port {
    number: u16,
    ports: Arc<Ports>,
}

impl Ports {
    /// Those that the kernel does not give away itself.
    pub fn new(chance: &dyn Chance) -> Arc<Self> {
        let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        let from = outside(&text);
        // Another gateway on this machine looks elsewhere first.
        let next = from.start() + chance.below(from.len() as u64) as u16;
        Arc::new(Self { from, state: Mutex::new(State { next, given: BTreeSet::new() }) })
    }

    /// A port that is free on every address of this machine.
    ///
    /// # Errors
    /// There is none, or sockets cannot be had.
    pub fn reserve(self: &Arc<Self>) -> io::Result<Port> {
        let mut state = self.state.lock();
        for _ in 0..MOST_TRIES {
            let number = state.next;
            state.next = if number == *self.from.end() { *self.from.start() } else { number + 1 };
            if !state.given.contains(&number) && is_free(number)? {
                state.given.insert(number);
                return Ok(Port { number, ports: self.clone() });
            }
        }
        let range = format!("{}-{}", self.from.start(), self.from.end());
        Err(io::Error::new(io::ErrorKind::AddrInUse, format!("{MOST_TRIES} ports of {range} are taken")))
    }
}

impl Port {
    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Where a process that has it is reached.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.ports.state.lock().given.remove(&self.number);
    }
}

/// Whether a program could listen on it, at whatever address. One that was closed a minute ago may still be taken.
fn is_free(port: u16) -> io::Result<bool> {
    let taken = |why: &io::Error| why.kind() == io::ErrorKind::AddrInUse;
    // This one conflicts with both protocols, where there are two.
    match TcpSocket::new_v6().and_then(|socket| socket.bind((Ipv6Addr::UNSPECIFIED, port).into())) {
        Ok(()) => return Ok(true),
        Err(why) if taken(&why) => return Ok(false),
        Err(_) => {}
    }
    match TcpSocket::new_v4()?.bind((Ipv4Addr::UNSPECIFIED, port).into()) {
        Ok(()) => Ok(true),
        Err(why) if taken(&why) => Ok(false),
        Err(why) => Err(why),
    }
}

/// The largest range outside of the kernel's own, which is two numbers in `text`.
fn outside(text: &str) -> RangeInclusive<u16> {
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    let (Some(Ok(low)), Some(Ok(high))) = (numbers.next(), numbers.next()) else { return LOWEST..=u16::MAX };
    let below = low.saturating_sub(LOWEST);
    let above = u16::MAX - high;
    match () {
        () if below.max(above) < FEWEST => LOWEST..=u16::MAX,
        () if below >= above => LOWEST..=low - 1,
        () => high + 1..=u16::MAX,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use pelton_env::SeededChance;

    use super::*;

    #[test]
    fn ports_are_outside_of_what_the_kernel_gives_away() {
        for (text, want) in [
            ("32768\t60999\n", 20_000..=32_767),
            ("10000 40000", 40_001..=65_535),
            ("1024 65535", 20_000..=65_535),
            ("20500 65000", 20_000..=65_535),
            ("", 20_000..=65_535),
            ("x y", 20_000..=65_535),
        ] {
            assert_eq!(outside(text), want, "{text:?}");
        }
    }

    #[test]
    fn nobody_gets_what_another_has() {
        let ports = Ports::new(&SeededChance::new(1));
        let first = ports.reserve().unwrap();
        let range = *ports.from.start()..=*ports.from.end();
        // All around, to the place where it began.
        ports.state.lock().next = first.number();
        let second = ports.reserve().unwrap();
        assert_ne!(first.number(), second.number());
        // Somebody whom we do not know has the next one.
        let other = std::iter::repeat_with(|| ports.reserve().unwrap().number())
            .find_map(|number| TcpListener::bind(("127.0.0.1", number)).ok())
            .unwrap();
        let number = other.local_addr().unwrap().port();
        ports.state.lock().next = number;
        let third = ports.reserve().unwrap();
        assert_ne!(third.number(), number);
        let given = [first.number(), second.number(), third.number()];
        assert!(given.iter().all(|number| range.contains(number)), "{given:?}");
        assert_eq!(ports.state.lock().given, given.into());
        drop((first, second, third));
        assert!(ports.state.lock().given.is_empty());
    }
}
