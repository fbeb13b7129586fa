//! What happens in the demo, and what is printed of it.

mod courier;

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use pelton_resource::{Resource, parse_documents};
use tokio::sync::{Mutex, mpsc};

use super::subscriber::{Received, Subscriber};
use crate::admin::Admin;
use crate::api::view::{DeadLetterView, SelectionBody};
use crate::command::apply::store_own;
use crate::command::{print, print_line};
use crate::exit::Failure;
use crate::http::{Connection, Url};
use crate::kube::{Change, Follow, KubeApi, Place, Selection, kinds, object};
use crate::node::Addresses;
use crate::terminal::{Paint, Tone, escape};

/// How often the API is asked for what it cannot announce.
const POLL: Duration = Duration::from_millis(25);

/// Retries of the Trigger whose subscriber is broken, so attempts before a dead letter.
const RETRIES: u32 = 2;

/// An event: id, type, data.
type Told = (&'static str, &'static str, &'static str);

/// The events.
const EVENTS: [Told; 3] = [
    ("order-1", "com.example.order.placed", r#"{"item": "pelton wheel", "total": 1890.00}"#),
    ("order-2", "com.example.order.paid", r#"{"card": "**** 4242", "total": 1890.00}"#),
    ("note-3", "com.example.newsletter", r#"{"text": "water is wet"}"#),
];

/// Everything the demo plays with.
pub struct Stage {
    ingress: String,
    admin: Mutex<Admin>,
    kube: Mutex<KubeApi>,
    warehouse: Subscriber,
    payments: Subscriber,
    reports: Mutex<mpsc::Receiver<Received>>,
    started: Instant,
    paint: Paint,
}

impl Stage {
    /// Starts the subscribers.
    pub fn build(addresses: &Addresses) -> Result<Self, Failure> {
        let (sender, reports) = mpsc::channel(256);
        Ok(Self {
            ingress: format!("http://{}", addresses.ingress.expect("the demo has every role")),
            admin: Mutex::new(Admin::new(api(addresses)?)),
            kube: Mutex::new(KubeApi::new(api(addresses)?.into())),
            warehouse: Subscriber::start("warehouse", sender.clone())?,
            payments: Subscriber::start("payments", sender)?,
            reports: Mutex::new(reports),
            started: Instant::now(),
            paint: Paint::stdout(),
        })
    }

    /// Plays it all.
    pub async fn tell(&self) -> Result<(), Failure> {
        self.payments.set_broken(true);
        self.set_up().await?;
        let accepted = self.send().await?;
        let mut delivered = self.watch_deliveries().await?;
        let letter = self.dead_letter().await?;
        delivered.extend(self.mend_and_redrive(&letter).await?);
        delivered.push(self.wake_the_courier().await?);
        self.sum_up(accepted + 1, &delivered)
    }

    /// Stops the subscribers.
    pub async fn close(self, grace: Duration) {
        self.warehouse.shutdown(grace).await;
        self.payments.shutdown(grace).await;
    }

    async fn set_up(&self) -> Result<(), Failure> {
        self.heading("A broker, three triggers and a service")?;
        let text = format!("{MANIFEST}{}", courier::MANIFEST)
            .replace("PROGRAM", &courier::program()?)
            .replace("WAREHOUSE", &self.warehouse.url())
            .replace("PAYMENTS", &self.payments.url())
            .replace("RETRIES", &RETRIES.to_string());
        let resources = parse_documents(&text, "demo")
            .map_err(|errors| Failure::Failed(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
        let mut stored = Vec::new();
        for resource in &resources {
            stored.push(store_own(&mut *self.kube.lock().await, resource).await?);
        }
        for resource in &stored {
            let what = match resource {
                Resource::Broker(_) => "takes events in at /shop/orders".to_owned(),
                Resource::Trigger(trigger) => format!(
                    "wants {} for {}",
                    serde_json::to_string(&trigger.spec.filters).unwrap_or_default(),
                    trigger.spec.subscriber.uri.as_deref().unwrap_or("the service"),
                ),
                Resource::Service(_) => "runs `pelton display` while there is work for it".to_owned(),
                // The manifest above has no other kinds.
                _ => String::new(),
            };
            self.line(Tone::Good, "applied", &format!("{}: {what}", resource.key()))?;
        }
        for resource in &stored {
            self.until_ready(resource).await?;
        }
        self.line(Tone::Notice, "broken", "the subscriber payments answers 503 for now")
    }

    async fn until_ready(&self, resource: &Resource) -> Result<(), Failure> {
        let mut api = self.kube.lock().await;
        let meta = resource.meta();
        let (place, selection) = (Place::Namespace(meta.namespace.clone()), Selection::named(&meta.name));
        let mut follow = Follow::new(&mut api, kinds::row(resource.kind()), place, selection);
        loop {
            for change in follow.next().await? {
                let Change::Is(object) = change else { continue };
                if object::typed::<Resource>(object)?.conditions().is_ready() {
                    return Ok(());
                }
            }
        }
    }

    async fn send(&self) -> Result<usize, Failure> {
        self.heading("Three events")?;
        let mut broker = self.broker()?;
        for event in EVENTS {
            self.post(&mut broker, event).await?;
        }
        Ok(EVENTS.len())
    }

    fn broker(&self) -> Result<Connection, Failure> {
        Ok(Connection::new(Url::parse(&self.ingress)?))
    }

    async fn post(&self, broker: &mut Connection, (id, ty, data): Told) -> Result<(), Failure> {
        let mut headers = HeaderMap::new();
        for (name, value) in [("ce-specversion", "1.0"), ("ce-id", id), ("ce-source", "/demo"), ("ce-type", ty)] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = broker.call(Method::POST, "/shop/orders", headers, data.into()).await?;
        if answer.status != StatusCode::ACCEPTED {
            return Err(Failure::Failed(format!("{id} was answered {}", answer.status)));
        }
        self.line(Tone::Good, "accepted", &format!("{id} {ty}: {}, it is on the disk", answer.status))
    }

    /// Follows the requests until the good subscriber has its event and the broken one has refused its event for the
    /// last time. Gives what was delivered.
    async fn watch_deliveries(&self) -> Result<Vec<Received>, Failure> {
        self.heading("Delivery")?;
        let (mut delivered, mut attempts) = (Vec::new(), 0);
        while delivered.is_empty() || attempts <= RETRIES {
            let received = self.next_report().await?;
            if received.status.is_success() {
                delivered.push(received);
            } else {
                attempts += 1;
            }
        }
        Ok(delivered)
    }

    async fn next_report(&self) -> Result<Received, Failure> {
        let received = self.reports.lock().await.recv().await;
        let received = received.ok_or_else(|| Failure::Failed("the subscribers are gone".into()))?;
        let (tone, what) = match (received.status.is_success(), received.attempt) {
            (true, _) => (Tone::Good, "delivered"),
            (false, 1) => (Tone::Bad, "failed"),
            (false, _) => (Tone::Bad, "retried"),
        };
        let text = format!(
            "{} to {}: attempt {} was answered {}",
            received.id,
            received.subscriber,
            received.attempt,
            received.status.as_u16()
        );
        self.line(tone, what, &text)?;
        Ok(received)
    }

    async fn dead_letter(&self) -> Result<DeadLetterView, Failure> {
        self.heading("The dead letter")?;
        let letter = loop {
            let page = self.admin.lock().await.dead_letters(Some("shop/payments"), 1, None).await?;
            if let Some(letter) = page.items.into_iter().next() {
                break letter;
            }
            tokio::time::sleep(POLL).await;
        };
        let text = format!(
            "{} is kept at {} after {} attempts: {}, answer {} \"{}\"",
            letter.id.as_deref().unwrap_or("?"),
            letter.position,
            letter.attempts,
            letter.cause,
            letter.code.map_or_else(|| "none".into(), |code| code.to_string()),
            letter.detail.trim(),
        );
        self.line(Tone::Notice, "dead letter", &text)?;
        Ok(letter)
    }

    async fn mend_and_redrive(&self, letter: &DeadLetterView) -> Result<Vec<Received>, Failure> {
        self.heading("Mend the subscriber, send it again")?;
        self.payments.set_broken(false);
        self.line(Tone::Good, "mended", "the subscriber payments answers 200 from now on")?;
        let selection = SelectionBody {
            trigger: Some(letter.trigger.clone()),
            position: Some(letter.position.clone()),
            all: false,
        };
        let count = self.admin.lock().await.redrive(&selection).await?;
        self.line(Tone::Good, "redriven", &format!("{count} dead letter of {}", letter.trigger))?;
        let received = self.next_report().await?;
        if !received.status.is_success() {
            return Err(Failure::Failed("the mended subscriber still refuses".into()));
        }
        let left = self.admin.lock().await.dead_letters(None, 1, None).await?.items.len();
        self.line(Tone::Good, "dead letters", &format!("{left} left"))?;
        Ok(vec![received])
    }

    fn sum_up(&self, accepted: usize, delivered: &[Received]) -> Result<(), Failure> {
        let unmatched = EVENTS.iter().filter(|(id, ..)| delivered.iter().all(|received| received.id != *id));
        let unmatched: Vec<&str> = unmatched.map(|(id, ..)| *id).collect();
        let seconds = self.started.elapsed().as_secs_f64();
        print_line("")?;
        print_line(&format!(
            "{accepted} accepted, {} delivered, {} matched no trigger ({}), none lost. {seconds:.1} s.",
            delivered.len(),
            unmatched.len(),
            unmatched.join(", "),
        ))
    }

    fn heading(&self, text: &str) -> Result<(), Failure> {
        print(&format!("\n{}\n", self.paint.tone(Tone::Strong, text)))
    }

    fn line(&self, tone: Tone, what: &str, text: &str) -> Result<(), Failure> {
        let time = format!("{:6.2} s", self.started.elapsed().as_secs_f64());
        let time = self.paint.tone(Tone::Faint, time);
        print(&format!("{time}  {}  {}\n", self.paint.tone(tone, format!("{what:<12}")), escape(text)))
    }
}

fn api(addresses: &Addresses) -> Result<Url, Failure> {
    Ok(Url::parse(&format!("http://{}", addresses.api))?)
}

/// Says how to go on with what is running.
pub fn invite(addresses: &Addresses) -> Result<(), Failure> {
    let api = addresses.api;
    print(&format!(
        "\nIt goes on until Ctrl-C. In another terminal:\n  export PELTON_API=http://{api}\n  pelton get triggers -n shop\n  \
         pelton send --broker shop/orders --type com.example.order.placed --data '{{\"total\": 1}}'\n  \
         pelton service describe shop/courier\n  pelton logs -f shop/courier\n  pelton deadletters list\n"
    ))
}

const MANIFEST: &str = r#"
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: orders, namespace: shop}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: warehouse, namespace: shop}
spec:
  broker: orders
  filters: [{exact: {type: com.example.order.placed}}]
  subscriber: {uri: "WAREHOUSE"}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: payments, namespace: shop}
spec:
  broker: orders
  filters: [{suffix: {type: .paid}}]
  subscriber: {uri: "PAYMENTS"}
  delivery: {retry: RETRIES, backoffPolicy: linear, backoffDelay: PT0.3S}
"#;
