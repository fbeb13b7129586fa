//! The consumer that runs only while there is work: cold, woken by an event, paused, stopped. Every time is measured.

use std::time::Instant;

use http::StatusCode;
use pelton_resource::{Kind, ResourceKey};

use super::{POLL, Stage};
use crate::admin::LogsQuery;
use crate::api::serving_view::LogRecord;
use crate::command::demo::subscriber::Received;
use crate::command::service::describe::state;
use crate::exit::Failure;
use crate::terminal::Tone;

/// The event that it is woken by: id, type, data.
const EVENT: (&str, &str, &str) = ("order-4", "com.example.order.packed", r#"{"to": "the mill by the river"}"#);

/// The Service, which runs `pelton display`, and its Trigger. `PROGRAM` is this program.
pub const MANIFEST: &str = r#"
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: courier, namespace: shop}
spec:
  template:
    metadata:
      annotations: {pelton.dev/idle-pause: 300ms, pelton.dev/idle-stop: 1200ms}
    spec:
      containers: [{command: [PROGRAM, display]}]
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: courier, namespace: shop}
spec:
  broker: orders
  filters: [{suffix: {type: .packed}}]
  subscriber: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: courier}}
"#;

/// This program, as [`MANIFEST`] names it.
///
/// # Errors
/// Its path is not known, or is no text.
pub fn program() -> Result<String, Failure> {
    let path = std::env::current_exe().map_err(|error| Failure::failed("the path of pelton is not known", &error))?;
    let path = path.to_str().ok_or_else(|| Failure::Failed("the path of pelton is no UTF-8".into()))?;
    // A string of JSON is one of YAML.
    serde_json::to_string(path).map_err(|error| Failure::failed("the path of pelton cannot be written", &error))
}

fn service() -> ResourceKey {
    ResourceKey::new(Kind::Service, "shop", "courier")
}

impl Stage {
    /// Sends an event to a consumer that does not run, and looks on until it does not run again.
    pub(super) async fn wake_the_courier(&self) -> Result<Received, Failure> {
        self.heading("A consumer that runs only while there is work")?;
        self.until(&["stopped"]).await?;
        self.line(Tone::Notice, "cold", "no process of courier runs; it was started once, to see that it comes up")?;
        let query = LogsQuery { follow: true, tail: Some(0), since: None };
        let mut printed = self.admin.lock().await.logs(&service(), &query).await?;
        let (id, ty, _) = EVENT;
        self.post(&mut self.broker()?, EVENT).await?;
        let accepted = Instant::now();
        loop {
            let Some(record) = printed.next().await? else {
                return Err(Failure::Failed("the logs of courier ended".into()));
            };
            let LogRecord::Line { text, .. } = record else { continue };
            if text.starts_with(crate::command::display::GREETING) {
                self.line(Tone::Good, "started", &format!("its process listens {} later", millis(accepted)))?;
            }
            if text.contains(ty) {
                break;
            }
        }
        self.line(Tone::Good, "delivered", &format!("{id} to courier, {} after it was accepted", millis(accepted)))?;
        let delivered = Instant::now();
        let since = || format!("{:.1} s after the event", delivered.elapsed().as_secs_f64());
        // On a machine that stands still for long enough the first of the two goes by unseen.
        if self.until(&["paused", "stopped"]).await? == "paused" {
            self.line(Tone::Notice, "paused", &format!("{}: its process is held, and keeps its memory", since()))?;
        }
        self.until(&["stopped"]).await?;
        self.line(Tone::Notice, "stopped", &format!("{}: nothing of it runs, until the next event", since()))?;
        Ok(Received { subscriber: "courier", id: id.to_owned(), ty: ty.to_owned(), attempt: 1, status: StatusCode::OK })
    }

    /// Waits until the courier's only Revision is in one of those states, and says in which.
    async fn until(&self, states: &[&str]) -> Result<&'static str, Failure> {
        loop {
            let instances = self.admin.lock().await.instances(&service()).await?;
            if let Some(is) = instances.first().map(state).filter(|is| states.contains(is)) {
                return Ok(is);
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

fn millis(since: Instant) -> String {
    format!("{} ms", since.elapsed().as_millis())
}
