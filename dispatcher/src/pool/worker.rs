//! The task of one connection.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pelton_http_front::SendFailed;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::connection::Connection;
use super::in_slot::send_in_slot;
use super::{Job, Target};
use crate::delivery::{Attempted, NoAnswer};
use crate::options::LONGEST_WAIT;
use crate::reply::{Collected, Want, read_answer};
use crate::request::delivery_request;

/// Makes attempts at `target`, one after the other, until there is nothing to do for a while.
pub async fn run(target: Arc<Target>) {
    let alarm = Box::pin(sleep(target.options().idle_timeout));
    let line = Line { target, connection: None, settled: false };
    let mut worker = Worker { line, alarm, counted_out: false, rests: false };
    while let Some(job) = worker.next_job().await {
        worker.make(job).await;
        worker.line.settle();
    }
}

struct Worker {
    line: Line,
    /// Ends an attempt that takes too long, and a rest that does. One timer that is moved on: a new one for each would
    /// go through the runtime's timer wheel, and its lock, twice a delivery.
    alarm: Pin<Box<Sleep>>,
    counted_out: bool,
    /// Counted as idle.
    rests: bool,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.line.settle();
        if !self.counted_out {
            self.line.target.lost_worker(self.rests);
        }
    }
}

impl Worker {
    /// The next job, or `None` when this worker is to end.
    async fn next_job(&mut self) -> Option<Job> {
        let Self { line: Line { target, connection, .. }, alarm, rests, .. } = self;
        if let Some(job) = target.take() {
            return Some(job);
        }
        loop {
            if let Some(job) = target.rest() {
                return Some(job);
            }
            *rests = true;
            let stays = if connection.is_some() || target.gate().is_some() {
                alarm.as_mut().reset(Instant::now() + target.options().idle_timeout);
                tokio::select! {
                    biased;
                    () = target.called() => true,
                    () = closed(connection) => false,
                    () = alarm.as_mut() => false,
                }
            } else {
                false
            };
            *rests = false;
            match target.rise(stays) {
                Some(job) => return Some(job),
                None if stays => {}
                None => {
                    self.counted_out = true;
                    return None;
                }
            }
        }
    }

    async fn make(&mut self, mut job: Job) {
        if !self.line.target.still_admits(job.permit) {
            return job.finish(None).await;
        }
        let may_wait = job.slot.as_ref().map_or(Duration::ZERO, |slot| slot.may_wait());
        self.alarm.as_mut().reset(Instant::now() + job.plan.timeout.saturating_add(may_wait).min(LONGEST_WAIT));
        let attempted = tokio::select! {
            biased;
            attempted = self.line.attempt(&mut job) => attempted,
            // The connection goes with the attempt: whatever comes on it is not the answer to the next request.
            () = self.alarm.as_mut() => Some(Err(NoAnswer::Timeout)),
        };
        job.finish(attempted).await;
    }
}

/// Waits until the other side closes the connection, if there is one.
async fn closed(connection: &mut Option<Connection>) {
    match connection {
        Some(connection) => connection.closed().await,
        None => std::future::pending().await,
    }
}

/// The way to the target.
struct Line {
    target: Arc<Target>,
    /// `None` also while an attempt is using it.
    connection: Option<Connection>,
    /// Whether the first connection was made, or given up on.
    settled: bool,
}

impl Line {
    /// `None` when it was not made after all.
    async fn attempt(&mut self, job: &mut Job) -> Option<Attempted> {
        match job.slot.take() {
            Some(slot) => {
                self.settle();
                send_in_slot(slot, job).await
            }
            None => Some(self.over_network(job).await),
        }
    }

    async fn over_network(&mut self, job: &mut Job) -> Attempted {
        let Some(route) = job.plan.endpoint(job.ticket.asked).and_then(|endpoint| endpoint.route.as_ref().ok()) else {
            return Err(NoAnswer::Impossible("there is no URL any more".to_owned()));
        };
        job.is_sent = true;
        let mut request = delivery_request(&job.plan, job.ticket.asked, route, &job.event);
        loop {
            let mut connection = self.connect().await?;
            self.settle();
            match connection.send(request).await {
                Ok((head, mut body)) => {
                    let want = Want::of(&head, job.ticket.asked);
                    let charge = (want == Want::Event).then(|| job.charge_for_reply());
                    let mut collected = Collected::new(want, charge);
                    let complete = connection.collect(&mut body, &mut collected).await?;
                    if complete && connection.is_reusable() {
                        self.connection = Some(connection);
                    }
                    let (answer, charge) = read_answer(&head, collected, complete, job.plan.encoding);
                    job.reply = charge;
                    return Ok(answer);
                }
                // The other side closed it while it was idle; nothing was sent, so this is no attempt.
                Err(SendFailed::Unsent(unsent, _)) if connection.was_used() => request = *unsent,
                Err(SendFailed::Unsent(_, why) | SendFailed::Broken(why)) => return Err(NoAnswer::Broken(why)),
            }
        }
    }

    /// The connection there is, or a new one.
    async fn connect(&mut self) -> Result<Connection, NoAnswer> {
        if let Some(mut connection) = self.connection.take()
            && connection.ready().await
        {
            return Ok(connection);
        }
        let limit = self.target.options().connect_timeout;
        match timeout(limit, Connection::open(self.target.network(), self.target.authority())).await {
            Ok(opened) => opened.map_err(NoAnswer::Connect),
            Err(_) => Err(NoAnswer::Connect(format!("not within {} s", limit.as_secs_f32()))),
        }
    }

    fn settle(&mut self) {
        if !self.settled {
            self.settled = true;
            self.target.settled();
        }
    }
}
