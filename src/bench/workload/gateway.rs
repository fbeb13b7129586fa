//! The serving gateway: what it costs a request, and how fast a consumer is there that did not run.
//!
//! Requests go to the consumer of `bench consumer`. What is compared is always the way to it: through the gateway, through
//! nginx in front of the very same instance, or a spawn of the same program by nobody but the system.

pub mod cold;
pub mod cold_hundred;
pub mod event;
pub mod idle;
pub mod latency;
pub mod resume;
pub mod step;
pub mod warm;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::bare::Bare;
use super::super::error::BenchError;
use super::super::events::Template;
use super::super::first_byte::get;
use super::super::lab::Lab;
use super::super::load::{Load, closed};
use super::super::nginx::Nginx;
use super::super::product::Product;
use super::super::report::millis;
use super::super::rounds::at_quantile;
use super::super::service::Service;

/// When an instance is paused.
const IDLE_PAUSE: &str = "pelton.dev/idle-pause";

/// When it is stopped.
const IDLE_STOP: &str = "pelton.dev/idle-stop";

/// Spawns of which one measurement is the median.
fn starts(lab: &Lab) -> usize {
    if lab.quick { 15 } else { 50 }
}

/// A Service of the consumer that is stopped when it was idle for so long, and never paused.
fn stopping_after(name: &str, idle: &'static str) -> Result<Service, BenchError> {
    Ok(Service::of_consumer(name)?.with(IDLE_PAUSE, "never").with(IDLE_STOP, idle))
}

/// The median, milliseconds.
fn median_millis(times: &[Duration]) -> f64 {
    at_quantile(times.iter().copied().map(millis), 0.5).unwrap_or(f64::NAN)
}

/// Runs what waits for the system on a thread of its own.
async fn bare<T: Send + 'static>(
    bare: &Arc<Bare>,
    run: impl FnOnce(&Bare) -> Result<T, BenchError> + Send + 'static,
) -> Result<T, BenchError> {
    let bare = Arc::clone(bare);
    let ran = tokio::task::spawn_blocking(move || run(&bare)).await;
    ran.unwrap_or_else(|error| Err(BenchError::Load { reason: format!("a thread failed: {error}") }))
}

/// One instance that runs all the time, with the gateway and nginx in front of it.
struct Proxies {
    product: Product,
    nginx: Nginx,
    gateway_load: Load,
    nginx_load: Load,
    direct_load: Load,
}

impl Proxies {
    /// Starts all, and puts each under load once.
    async fn start(lab: &Lab, connections: usize) -> Result<Self, BenchError> {
        // Before anything else is started for nothing.
        Nginx::find()?;
        let product = Product::start(&lab.directory("product")?, lab.workers).await?;
        let service = Service::of_consumer("warm")?
            .with(IDLE_PAUSE, "never")
            .with(IDLE_STOP, "never")
            .with("autoscaling.knative.dev/min-scale", "1")
            .with("autoscaling.knative.dev/max-scale", "1");
        product.serve(std::slice::from_ref(&service)).await?;
        let instance = instance(product.gateway, &service).await?;
        let nginx = Nginx::start(&lab.directory("nginx")?, instance, lab.workers).await?;
        let load = |server| lab.load(server, Template::get(&service.host(), "/"), connections);
        let (gateway_load, nginx_load, direct_load) = (load(product.gateway), load(nginx.address()), load(instance));
        for load in [&direct_load, &nginx_load, &gateway_load] {
            closed(load, lab.warm_up()).await?.demand_no_refusal()?;
        }
        Ok(Self { product, nginx, gateway_load, nginx_load, direct_load })
    }

    async fn stop(self) -> Result<(), BenchError> {
        self.nginx.stop().await;
        self.product.stop().await
    }
}

/// Where the only instance of the consumer listens, which it says itself.
async fn instance(gateway: SocketAddr, service: &Service) -> Result<SocketAddr, BenchError> {
    let body = get(gateway, &service.host(), Instant::now()).await?.body;
    let json: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let port = json["port"].as_u64().and_then(|port| u16::try_from(port).ok());
    let missing = || BenchError::Missing { place: "the consumer's answer".to_owned(), field: "port".to_owned() };
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port.ok_or_else(missing)?)))
}
