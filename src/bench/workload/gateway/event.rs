//! An event to a consumer that does not run: from POST sent to POST received, over a bare spawn to its first byte.
//!
//! Sender and consumer read the same clock, that of the machine: the consumer says at what time it had the event.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::super::super::bare::Bare;
use super::super::super::consumer::{Told, machine_time};
use super::super::super::error::{BenchError, Doing};
use super::super::super::events::{MATCHING_TYPE, Target, Template};
use super::super::super::lab::Lab;
use super::super::super::load::read_answer;
use super::super::super::manifest::Manifest;
use super::super::super::product::Product;
use super::super::super::report::{Goal, Row};
use super::super::super::rounds::{Sample, Side, pairs};
use super::super::no_rows;
use super::{bare, median_millis, starts, stopping_after};

const GOAL: Goal = Goal::AtMost { must: 3.0, aim: 1.5 };

/// How long an event may take to arrive.
const ARRIVE_LIMIT: Duration = Duration::from_secs(60);

/// How long the first events may take to arrive, and how long nothing comes after the last of them.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);
const TRY_LIMIT: Duration = Duration::from_secs(2);
const QUIET: Duration = Duration::from_millis(300);

/// Measures the row.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let label = "gateway, event to a stopped consumer, p50".to_owned();
    let count = starts(lab);
    let system = Arc::new(Bare::new()?);
    let listening = || "listening for the consumer".to_owned();
    let arrivals = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.doing(listening)?;
    let product = Product::start(&lab.directory("product")?, lab.workers).await?;
    let service = stopping_after("cold", "50ms")?.telling(arrivals.local_addr().doing(listening)?);
    product.serve(std::slice::from_ref(&service)).await?;
    product.apply(&Manifest::trigger_to(&service, MATCHING_TYPE)).await?;
    let sender = Sender { lab, ingress: product.ingress, arrivals };
    sender.settle().await?;
    product.at_zero().await?;
    let pairs = pairs(lab, lab.rounds, &label, async |side| {
        let times = match side {
            Side::Reference => bare(&system, move |system| system.in_turn(count)).await?,
            Side::Ours => {
                let mut times = Vec::with_capacity(count);
                for _ in 0..count {
                    times.push(sender.travel().await?);
                    product.at_zero().await?;
                }
                times
            }
        };
        Ok(Sample::from(median_millis(&times)))
    })
    .await?;
    product.stop().await?;
    let row = Row::of_pairs(label, &pairs, ("ms", "ms, bare spawn"), GOAL).ok_or_else(|| no_rows("gateway-event"))?;
    Ok(vec![row.note(format!("{count} events a measurement, each acknowledged and delivered at the first attempt"))])
}

struct Sender<'a> {
    lab: &'a Lab,
    ingress: SocketAddr,
    arrivals: UdpSocket,
}

impl Sender<'_> {
    /// Sends events until one arrives: then the trigger is in effect.
    async fn settle(&self) -> Result<(), BenchError> {
        let began = Instant::now();
        while began.elapsed() < SETTLE_LIMIT {
            let mut sent = self.send().await?;
            sent.acknowledged().await?;
            if let Ok(arrived) = timeout(TRY_LIMIT, self.arrival()).await {
                arrived?;
                while let Ok(another) = timeout(QUIET, self.arrival()).await {
                    another?;
                }
                return Ok(());
            }
        }
        Err(BenchError::TooLate { what: "the trigger in effect".to_owned(), limit: SETTLE_LIMIT })
    }

    /// Sends one event and says how long it took to the consumer. Anything else that the consumer has is an error: each
    /// event comes once.
    async fn travel(&self) -> Result<Duration, BenchError> {
        let mut sent = self.send().await?;
        let Ok(told) = timeout(ARRIVE_LIMIT, self.arrival()).await else {
            return Err(BenchError::TooLate { what: "an event delivered".to_owned(), limit: ARRIVE_LIMIT });
        };
        let told = told?;
        if told.id != sent.id {
            let reason = format!("the consumer had the event {} in place of {}", told.id, sent.id);
            return Err(BenchError::Load { reason });
        }
        sent.acknowledged().await?;
        Ok(told.at.saturating_sub(sent.at))
    }

    async fn send(&self) -> Result<Sent, BenchError> {
        let template = Template::binary(self.ingress, Target::DefaultBroker, MATCHING_TYPE);
        let number = self.lab.ids().fetch_add(1, Ordering::Relaxed);
        let mut request = template.buffer();
        template.stamp(&mut request, number, 0);
        let sending = || format!("sending an event to {}", self.ingress);
        let mut stream = TcpStream::connect(self.ingress).await.doing(sending)?;
        stream.set_nodelay(true).doing(sending)?;
        let at = machine_time();
        stream.write_all(&request).await.doing(sending)?;
        Ok(Sent { id: format!("{number:016x}"), at, stream, ingress: self.ingress })
    }

    /// The next event that the consumer has.
    async fn arrival(&self) -> Result<Told, BenchError> {
        let mut datagram = [0; 200];
        let bytes = self.arrivals.recv(&mut datagram).await.doing(|| "waiting for an event".to_owned())?;
        let missing = || BenchError::Missing { place: "a datagram".to_owned(), field: "event".to_owned() };
        Told::of_datagram(&datagram[..bytes]).ok_or_else(missing)
    }
}

/// An event that is on its way.
struct Sent {
    id: String,
    at: Duration,
    stream: TcpStream,
    ingress: SocketAddr,
}

impl Sent {
    async fn acknowledged(&mut self) -> Result<(), BenchError> {
        match read_answer(&mut self.stream, &mut Vec::new(), self.ingress).await?.status {
            200..=299 => Ok(()),
            status => Err(BenchError::Load { reason: format!("an event was answered {status}") }),
        }
    }
}
