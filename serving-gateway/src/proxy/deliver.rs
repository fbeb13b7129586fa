//! An event on its way to an instance. It comes from within this process, so there is no client's connection to answer on,
//! and what the gateway itself has to say is told apart from what the instance answers.

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response};
use http_body_util::Full;

use super::answer::{Answer, Relay};
use super::connection::SendFailed;
use super::headers::{self, Asked};
use super::hop;
use super::line::Answered;
use super::outgoing::Outgoing;
use super::timers::{TimeUp, Timers};
use crate::revision::Lease;

/// Why an instance did not answer a delivery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Nothing of it was sent.
    #[error("no connection to the instance: {0}")]
    Unsent(String),
    /// Its time is up.
    #[error("the instance did not answer in time")]
    TimeUp(TimeUp),
    /// The instance broke off.
    #[error("the instance broke off before it answered: {0}")]
    Broken(String),
}

/// Makes a delivery at the instance of `lease`, once. `rewritten` is the host that it is to see, if it is another than the
/// request's.
///
/// # Errors
/// [`Unanswered`].
pub async fn deliver(
    mut lease: Lease,
    rewritten: Option<&str>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Answer>, Unanswered> {
    lease.begin_delivery();
    let (mut parts, body) = request.into_parts();
    let host = parts.headers.remove(HOST);
    let host = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default();
    headers::for_instance(&mut parts.headers, Asked { peer: None, host, rewritten });
    hop::show(lease.line().hop(), &mut parts.headers);
    let request = Request::from_parts(parts, Outgoing::Whole(body));
    let mut timers = Timers::begin(lease.timeouts());
    let outcome = tokio::select! {
        biased;
        outcome = lease.line().send(request) => outcome,
        up = timers.up() => {
            lease.timed_out(up);
            return Err(Unanswered::TimeUp(up));
        }
    };
    match outcome {
        Ok(Answered { response, carrier }) => {
            timers.started();
            let (mut parts, body) = response.into_parts();
            if hop::was_not_taken(lease.line().hop(), &parts.headers) {
                let why = format!("the gateway that has the instances did not take it: {}", parts.status);
                lease.unreachable(&why);
                return Err(Unanswered::Unsent(why));
            }
            headers::for_client(&mut parts.headers);
            lease.answered(parts.status);
            let relay = Relay::new(body, carrier, None, lease, timers);
            Ok(Response::from_parts(parts, Answer::Relayed(Box::new(relay))))
        }
        Err(SendFailed::Unsent(_, why)) => {
            lease.unreachable(&why);
            Err(Unanswered::Unsent(why))
        }
        Err(SendFailed::Broken(why)) => {
            lease.unreachable(&why);
            Err(Unanswered::Broken(why))
        }
    }
}
