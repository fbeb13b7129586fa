//! An attempt at a service of this process.

use std::io;

use http_body_util::BodyExt as _;
use pelton_http_front::text_of;
use tokio::time::Instant;

use super::Job;
use crate::delivery::{Attempted, NoAnswer};
use crate::reply::{Collected, Want, read_answer};
use crate::request::delivery_request;
use crate::service::{AnswerBody, Slot, Unanswered};

/// Makes the attempt. `None` when nothing was sent: the instance went away after the slot was given, which is no attempt,
/// unless it goes on like that.
pub(super) async fn send_in_slot(slot: Box<dyn Slot>, job: &mut Job) -> Option<Attempted> {
    let Some(route) = job.plan.endpoint(job.ticket.asked).and_then(|endpoint| endpoint.route.as_ref().ok()) else {
        return Some(Err(NoAnswer::Impossible("there is no URL any more".to_owned())));
    };
    job.is_sent = true;
    let began = Instant::now();
    let request = delivery_request(&job.plan, job.ticket.asked, route, &job.event);
    let gate = job.target.gate().expect("who gave a slot has a gate");
    let response = match slot.send(request).await {
        Ok(response) => response,
        Err(Unanswered::Unsent(why)) => {
            job.is_sent = false;
            return gate.unsent(began).then_some(Err(NoAnswer::Connect(why)));
        }
        Err(Unanswered::TimeUp) => return Some(Err(NoAnswer::Timeout)),
        Err(Unanswered::Broken(why)) => return Some(Err(NoAnswer::Broken(why))),
    };
    gate.sent();
    let (head, mut body) = response.into_parts();
    let want = Want::of(&head, job.ticket.asked);
    let charge = (want == Want::Event).then(|| job.charge_for_reply());
    let mut collected = Collected::new(want, charge);
    let complete = match collect(&mut body, &mut collected).await {
        Ok(complete) => complete,
        Err(why) => return Some(Err(why)),
    };
    let (answer, charge) = read_answer(&head, collected, complete, job.plan.encoding);
    job.reply = charge;
    Some(Ok(answer))
}

/// Reads a body. `false` when it is longer than `collected` takes.
async fn collect(body: &mut AnswerBody, collected: &mut Collected) -> Result<bool, NoAnswer> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|why| match why.kind() {
            io::ErrorKind::TimedOut => NoAnswer::Timeout,
            _ => NoAnswer::Broken(text_of(&why)),
        })?;
        if let Ok(piece) = frame.into_data()
            && !collected.take(piece)?
        {
            return Ok(false);
        }
    }
    Ok(true)
}
