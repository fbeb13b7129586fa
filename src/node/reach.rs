//! Under which address something that listens here is reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use pelton_peer::PeerAddress;

/// An address that a producer on this machine can use: that of a listener on all interfaces is none.
#[must_use]
pub fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let loopback: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(loopback, address.port())
}

/// `host:port` that others can use: for a listener on all interfaces the host by which other nodes reach this one.
#[must_use]
pub fn advertised(address: SocketAddr, host: Option<&PeerAddress>) -> String {
    match host.map(PeerAddress::host) {
        Some(host) if address.ip().is_unspecified() && host.contains(':') => format!("[{host}]:{}", address.port()),
        Some(host) if address.ip().is_unspecified() => format!("{host}:{}", address.port()),
        Some(_) | None => reachable(address).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_all_interfaces_is_reached_by_loopback() {
        for (bound, want) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("10.0.0.7:80", "10.0.0.7:80"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
        ] {
            assert_eq!(reachable(bound.parse().unwrap()).to_string(), want);
        }
    }

    #[test]
    fn others_are_told_the_host_that_they_know() {
        for (bound, host, want) in [
            ("0.0.0.0:80", Some("a.example:7400"), "a.example:80"),
            ("[::]:80", Some("[fd00::1]:7400"), "[fd00::1]:80"),
            ("10.0.0.7:80", Some("a.example:7400"), "10.0.0.7:80"),
            ("127.0.0.1:80", Some("a.example:7400"), "127.0.0.1:80"),
            ("0.0.0.0:80", None, "127.0.0.1:80"),
        ] {
            let host: Option<PeerAddress> = host.map(|host| host.parse().unwrap());
            assert_eq!(advertised(bound.parse().unwrap(), host.as_ref()), want, "{bound} {host:?}");
        }
    }
}
