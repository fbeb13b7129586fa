//! The task of one connection.

use std::sync::Arc;

use tokio::time::timeout;

use super::connection::Connection;
use super::{Job, Target};
use crate::delivery::{Attempted, NoAnswer};
use crate::reply::{Collected, Want, read_answer};
use crate::request::delivery_request;

/// Makes attempts at `target`, one after the other, until there is nothing to do for a while.
pub async fn run(target: Arc<Target>) {
    let mut worker = Worker { target, connection: None, settled: false, counted_out: false };
    while let Some(job) = worker.next_job().await {
        worker.make(job).await;
        worker.settle();
    }
}

struct Worker {
    target: Arc<Target>,
    connection: Option<Connection>,
    settled: bool,
    counted_out: bool,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.settle();
        if !self.counted_out {
            self.target.lost_worker();
        }
    }
}

impl Worker {
    /// The next job, or `None` when this worker is to end.
    async fn next_job(&mut self) -> Option<Job> {
        if let Some(job) = self.target.take() {
            return Some(job);
        }
        loop {
            if let Some(job) = self.target.rest() {
                return Some(job);
            }
            let stays = match &mut self.connection {
                None => false,
                Some(connection) => {
                    let target = &self.target;
                    tokio::select! {
                        biased;
                        () = target.called() => true,
                        () = connection.closed() => false,
                        () = tokio::time::sleep(target.options().idle_timeout) => false,
                    }
                }
            };
            match self.target.rise(stays) {
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
        if !self.target.still_admits(job.permit) {
            return job.finish(None).await;
        }
        let attempted = match timeout(job.plan.timeout, self.attempt(&mut job)).await {
            Ok(attempted) => attempted,
            Err(_) => {
                // Whatever is on the connection, it is not the answer to the next request.
                self.connection = None;
                Err(NoAnswer::Timeout)
            }
        };
        job.finish(Some(attempted)).await;
    }

    async fn attempt(&mut self, job: &mut Job) -> Attempted {
        let Some(route) = job.plan.endpoint(job.ticket.asked).and_then(|endpoint| endpoint.route.as_ref().ok()) else {
            return Err(NoAnswer::Impossible("there is no URL any more".to_owned()));
        };
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
                Err((_, Some(unsent))) if connection.was_used() => request = unsent,
                Err((why, _)) => return Err(NoAnswer::Broken(why)),
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
        match timeout(limit, Connection::open(self.target.authority())).await {
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
