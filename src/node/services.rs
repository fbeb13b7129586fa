//! The services of this process, as its dispatcher asks for them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Full;
use pelton_dispatcher::{AnswerBody, NotServed, Service, Services, Slot, Unanswered, Waiting};
use pelton_resource::serving::naming::CLUSTER_DOMAIN;
use pelton_serving_gateway::{self as gateway, Deliveries, WaitingEvents};

use super::gateway_ports::GatewayPorts;

/// Which hosts are those of services: `{service}.{namespace}.svc.cluster.local`, which no name server knows, and those below
/// the gateways' domain at their ports, which not every system's does.
#[derive(Debug, Clone)]
pub struct ServiceHosts {
    domain: String,
    ports: GatewayPorts,
}

impl ServiceHosts {
    /// Those below `domain` at `ports`.
    pub fn new(domain: String, ports: GatewayPorts) -> Self {
        Self { domain, ports }
    }

    /// Those of one gateway at that port.
    #[cfg(test)]
    pub fn alone(domain: &str, port: u16) -> Self {
        let (_sender, view) = tokio::sync::watch::channel(Arc::default());
        Self::new(domain.to_owned(), GatewayPorts::new(Some(port), view))
    }

    /// Whether gateways are asked for that host at that port.
    pub fn have(&self, host: &str, port: u16) -> bool {
        (self.is_below_domain(host) && self.ports.have(port)) || is_in_cluster(host)
    }

    /// Whether gateways may be asked for that host, depending on the port and on where gateways are then.
    pub fn may_have(&self, host: &str) -> bool {
        self.is_below_domain(host) || is_in_cluster(host)
    }

    fn is_below_domain(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        host.strip_suffix(self.domain.as_str()).is_some_and(|rest| rest.ends_with('.'))
    }

    /// Where gateways are.
    pub fn ports(&self) -> &GatewayPorts {
        &self.ports
    }
}

fn is_in_cluster(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.strip_suffix(CLUSTER_DOMAIN).is_some_and(|rest| rest.ends_with(".svc."))
}

/// The services of a gateway in this process.
#[derive(Debug)]
pub struct OwnServices {
    hosts: ServiceHosts,
    deliveries: Deliveries,
}

impl OwnServices {
    /// Those of a gateway with these hosts.
    pub fn new(hosts: ServiceHosts, deliveries: Deliveries) -> Self {
        Self { hosts, deliveries }
    }
}

impl Services for OwnServices {
    fn find(&self, host: &str, port: u16) -> Option<Arc<dyn Service>> {
        let is_ours = self.hosts.have(host, port);
        is_ours.then(|| {
            let (host, authority) = (host.into(), format!("{host}:{port}").into());
            Arc::new(OwnService { host, authority, deliveries: self.deliveries.clone() }) as Arc<dyn Service>
        })
    }
}

#[derive(Debug)]
struct OwnService {
    host: Box<str>,
    /// The same with its port: what waits is counted by both, as the dispatcher knows subscribers by both.
    authority: Box<str>,
    deliveries: Deliveries,
}

impl Service for OwnService {
    fn try_slot(&self) -> Option<Box<dyn Slot>> {
        self.deliveries.try_slot(&self.host).map(boxed)
    }

    fn slot(&self) -> BoxFuture<'_, Result<Box<dyn Slot>, NotServed>> {
        Box::pin(async {
            let slot = self.deliveries.slot(&self.host).await;
            slot.map(boxed).map_err(|why| NotServed(why.to_string()))
        })
    }

    fn waits(&self, waiting: Waiting, matched: u64) {
        let Waiting { events, at_once } = waiting;
        self.deliveries.waits(&self.authority, WaitingEvents { events, at_once }, matched);
    }
}

#[derive(Debug)]
struct OwnSlot(gateway::Slot);

fn boxed(slot: gateway::Slot) -> Box<dyn Slot> {
    Box::new(OwnSlot(slot))
}

impl Slot for OwnSlot {
    fn may_wait(&self) -> Duration {
        self.0.may_wait()
    }

    fn send(
        self: Box<Self>,
        request: Request<Full<Bytes>>,
    ) -> BoxFuture<'static, Result<Response<AnswerBody>, Unanswered>> {
        Box::pin(async move {
            self.0.send(request).await.map_err(|why| match why {
                gateway::Unanswered::Unsent(why) => Unanswered::Unsent(why),
                gateway::Unanswered::TimeUp(_) => Unanswered::TimeUp,
                gateway::Unanswered::Broken(why) => Unanswered::Broken(why),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services_lead_to_the_gateway_and_no_others() {
        let hosts = ServiceHosts::alone("localhost", 8081);
        let rows = [
            ("hello.default.svc.cluster.local", 80, true),
            ("hello.default.svc.cluster.local.", 80, true),
            ("hello.default.cluster.local", 80, false),
            ("svc.cluster.local", 80, false),
            ("hello.default.svc", 80, false),
            ("hello.default.localhost", 8081, true),
            ("hello.default.localhost", 80, false),
            ("localhost", 8081, false),
            ("example.com", 8081, false),
            ("127.0.0.1", 8081, false),
        ];
        for (host, port, want) in rows {
            assert_eq!(hosts.have(host, port), want, "{host}:{port}");
        }
    }
}
