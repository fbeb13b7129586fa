//! Heartbeats of all groups to one node in one message.
//!
//! Each group's leader beats on its own clock. The first beat for a node waits a moment for others, so a node with many
//! groups sends few messages; the moment is far below any heartbeat interval.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_proto::consensus::v1 as proto;
use tokio::sync::oneshot;

use crate::NodeId;
use crate::transport::{NoAnswer, Transport};

/// How long the first beat waits for others.
const COLLECT: Duration = Duration::from_millis(3);

struct Waiting {
    beat: proto::heartbeat_request::Beat,
    answer: oneshot::Sender<Result<proto::AppendResponse, NoAnswer>>,
}

/// What waits to be sent, by node. Every group has one beat on its way to a node at a time, so that is its bound.
#[derive(Clone)]
pub(crate) struct Heartbeats {
    transport: Option<Arc<dyn Transport>>,
    collecting: Arc<Mutex<HashMap<NodeId, Vec<Waiting>>>>,
}

impl Heartbeats {
    pub(crate) fn new(transport: Option<Arc<dyn Transport>>) -> Self {
        Self { transport, collecting: Arc::default() }
    }

    /// Sends a beat together with those of other groups.
    pub(crate) async fn beat(
        &self,
        to: NodeId,
        beat: proto::heartbeat_request::Beat,
        within: Duration,
    ) -> Result<proto::AppendResponse, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut collecting = self.collecting.lock();
            let waiting = collecting.entry(to).or_default();
            waiting.push(Waiting { beat, answer });
            waiting.len() == 1
        };
        if is_first {
            tokio::spawn(self.clone().send_soon(to, within));
        }
        let answered = tokio::time::timeout(within, answered).await;
        answered.map_err(|_| NoAnswer::because("no heartbeat in time"))?.unwrap_or_else(|_| {
            // The task that sends was ended with its runtime.
            Err(NoAnswer::because("this node is stopping"))
        })
    }

    async fn send_soon(self, to: NodeId, within: Duration) {
        tokio::time::sleep(COLLECT).await;
        let waiting = self.collecting.lock().remove(&to).unwrap_or_default();
        let (beats, answers): (Vec<_>, Vec<_>) = waiting.into_iter().map(|one| (one.beat, one.answer)).unzip();
        let groups: Vec<_> = beats.iter().map(|beat| beat.group).collect();
        let within_millis = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
        let request = proto::HeartbeatRequest { beats, within_millis };
        let response = match &self.transport {
            Some(transport) => tokio::time::timeout(within, transport.heartbeat(to, request))
                .await
                .unwrap_or_else(|_| Err(NoAnswer::because("the heartbeats were not answered in time"))),
            None => Err(NoAnswer::because("this node reaches no others")),
        };
        let mut response = response.map(|response| response.answers.into_iter());
        for (group, answer) in groups.into_iter().zip(answers) {
            let told = match &mut response {
                Err(no_answer) => Err(no_answer.clone()),
                Ok(answers) => match answers.next() {
                    Some(proto::heartbeat_response::Answer { group: of, response: Some(response) }) if of == group => {
                        Ok(response)
                    }
                    _ => Err(NoAnswer::because("the group did not answer the heartbeat in time")),
                },
            };
            // Nobody waits any more once its time has passed.
            let _ = answer.send(told);
        }
    }
}

#[cfg(test)]
mod tests;
