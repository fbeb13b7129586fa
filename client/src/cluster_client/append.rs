//! Appending: at once where this node leads, else by as many tries as it takes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures_util::future::join_all;
use pelton_event::Event;
use tokio::time::{Instant, Sleep, sleep};

use super::lost::Lost;
use super::nodes::info_of;
use super::{Connect, Failed, Inner, Place, answer, retries};
use crate::retry::{Refused as _, Tries, Verdict};
use crate::routing::Target;
use crate::{AppendError, Appended, BrokerName, GroupId, Hops, NodeClient, NodeId, ProducerKey};

type Boxed = Pin<Box<dyn Future<Output = Result<Appended, AppendError>> + Send>>;

/// The answer to come of an append to a cluster.
pub struct ClusterAppend<L: NodeClient, C: Connect>(State<L, C>);

enum State<L: NodeClient, C: Connect> {
    /// The node in this process has it, and there is no other.
    Alone(L::Append),
    /// The node in this process has it, and when it turns out not to lead, another will.
    Here {
        append: L::Append,
        otherwise: Option<Asked<L, C>>,
        patience: Pin<Box<Sleep>>,
    },
    /// It takes several tries, or may.
    Tried(Boxed),
    Done,
}

/// What an append was asked for.
struct Asked<L: NodeClient, C: Connect> {
    inner: Arc<Inner<L, C>>,
    target: Target,
    broker: BrokerName,
    events: Events,
    hops: Hops,
}

/// A call's events. Most calls have one.
enum Events {
    One(Event),
    Many(Vec<Event>),
}

impl Events {
    fn of(events: &[Event]) -> Self {
        match events {
            [one] => Self::One(one.clone()),
            many => Self::Many(many.to_vec()),
        }
    }

    fn as_slice(&self) -> &[Event] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl<L: NodeClient, C: Connect> std::fmt::Debug for ClusterAppend<L, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterAppend")
    }
}

impl<L: NodeClient, C: Connect> Future for ClusterAppend<L, C>
where
    L::Append: Unpin,
{
    type Output = Result<Appended, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let answer = match &mut self.0 {
                State::Alone(append) => Pin::new(append).poll(context),
                State::Tried(append) => append.as_mut().poll(context),
                State::Here { append, otherwise, patience } => match Pin::new(append).poll(context) {
                    // Nothing was written here, so another may have it.
                    Poll::Ready(Err(error))
                        if matches!(error.verdict(), Verdict::Elsewhere(_) | Verdict::Later | Verdict::NoQuorum) =>
                    {
                        retries::count(&error);
                        let otherwise = otherwise.take().expect("it is taken once, and then this state is left");
                        self.0 = State::Tried(Box::pin(otherwise.tried()));
                        continue;
                    }
                    // A leader that others have left behind never gets an answer, and may not even notice.
                    Poll::Pending => patience.as_mut().poll(context).map(|()| Err(AppendError::OutcomeUnknown)),
                    ready => ready,
                },
                State::Done => panic!("an append is not polled after it was answered"),
            };
            if answer.is_ready() {
                self.0 = State::Done;
            }
            return answer;
        }
    }
}

impl<L: NodeClient, C: Connect> Inner<L, C> {
    pub(super) fn append(self: &Arc<Self>, broker: &BrokerName, events: &[Event], hops: Hops) -> ClusterAppend<L, C> {
        let routes = self.routes.load();
        let asked = |target, events| Asked { inner: self.clone(), target, broker: broker.clone(), events, hops };
        let target = match routes.targets(broker, events) {
            Ok(target) => target,
            Err(targets) => {
                let parts = parts(&targets, events).into_iter();
                let parts: Vec<_> = parts.map(|(target, part)| asked(target, Events::Many(part))).collect();
                let all = async { together(join_all(parts.into_iter().map(Asked::tried)).await) };
                return ClusterAppend(State::Tried(Box::pin(all)));
            }
        };
        let group = match target {
            Target::Group(group) => Some(group),
            Target::Any => routes.any(0, 0),
        };
        let here = self.nodes.local.as_ref().zip(group.filter(|group| routes.is_led_here(*group)));
        let Some((local, group)) = here else {
            return ClusterAppend(State::Tried(Box::pin(asked(target, Events::of(events)).tried())));
        };
        let append = local.append(group, broker, events, hops, None);
        if routes.is_alone() {
            return ClusterAppend(State::Alone(append));
        }
        let patience = Box::pin(sleep(self.options.patience));
        ClusterAppend(State::Here { append, otherwise: Some(asked(target, Events::of(events))), patience })
    }
}

impl<L: NodeClient, C: Connect> Asked<L, C> {
    /// Tries until it is done, refused for good, in vain to go on, or time is up. All tries have one key.
    async fn tried(self) -> Result<Appended, AppendError> {
        let Self { inner, target, broker, events, hops } = self;
        let deadline = Instant::now() + inner.options.patience;
        let key = ProducerKey { producer: inner.producer, sequence: inner.sequence.fetch_add(1, Ordering::Relaxed) };
        let turn = inner.turn.fetch_add(1, Ordering::Relaxed);
        let mut tries = Tries::new(true);
        let mut fixed = match target {
            Target::Group(group) => Some(group),
            Target::Any => None,
        };
        // Who was named as leader, and of which group.
        let mut named: Option<(NodeId, GroupId)> = None;
        let mut lost = Lost::default();
        loop {
            let view = inner.nodes.view();
            let follow = named.take();
            let group = follow.map(|(_, group)| group).or(fixed);
            let group =
                group.or_else(|| inner.routes.load().any_but(turn, tries.failed(), |group| lost.is_lost(group)));
            let Some(group) = group else {
                if let Some(why) = lost.why() {
                    return Err(tries.verdict(why.clone()));
                }
                // The cluster is being formed, or nothing is known of it yet.
                let place = Place::Registry;
                let error = AppendError::Unavailable;
                match inner.after(&mut tries, &error, place, &view, None, deadline).await {
                    Some(_) => continue,
                    None => return Err(error),
                }
            };
            let place = Place::Group(group);
            let asked = follow.map(|(leader, _)| leader).or_else(|| inner.nodes.leader(&view, place, tries.failed()));
            let reached = asked.and_then(|id| Some((id, inner.nodes.node(&view, id)?)));
            let answer = match reached {
                Some((id, node)) => {
                    let append = node.append(group, &broker, events.as_slice(), hops, Some(key));
                    answer(append, inner.nodes.succeeded(&view, place, id), inner.end_of_try(deadline)).await
                }
                None => Err(Failed::from(AppendError::Unavailable)),
            };
            let Failed { error, successor } = match answer {
                Ok(appended) => {
                    if let Some(leader) = asked {
                        inner.nodes.leads(&view, place, leader);
                    }
                    return Ok(appended);
                }
                Err(failed) => failed,
            };
            let mut unasked = None;
            if let (Some(info), Some(node)) = (info_of(&view, place), asked) {
                lost.failed(group, info, view.this, node, &error);
                let cannot = matches!(error, AppendError::NoQuorum { .. } | AppendError::Unavailable);
                unasked = lost.unasked(group, info).filter(|_| cannot);
            }
            if lost.is_lost(group) {
                if fixed.is_some() || error.verdict() == Verdict::Unknown {
                    let why = lost.why().cloned().unwrap_or(error);
                    return Err(tries.verdict(why));
                }
                tries.after(&error);
                retries::count(&error);
                continue;
            }
            if let Some(replica) = unasked.filter(|_| Instant::now() < deadline) {
                tries.after(&error);
                retries::count(&error);
                named = Some((replica, group));
                continue;
            }
            let next = inner.after(&mut tries, &error, place, &view, asked, deadline).await;
            if tries.may_be_done() {
                fixed = Some(group);
            }
            match next {
                Some(leader) => named = leader.or(successor).map(|leader| (leader, group)),
                None => return Err(tries.verdict(error)),
            }
        }
    }
}

/// The events by their targets, in order within each. The first event's part comes first.
fn parts(targets: &[Target], events: &[Event]) -> Vec<(Target, Vec<Event>)> {
    let mut parts: Vec<(Target, Vec<Event>)> = Vec::new();
    for (target, event) in targets.iter().zip(events) {
        match parts.iter_mut().find(|(known, _)| known == target) {
            Some((_, part)) => part.push(event.clone()),
            None => parts.push((*target, vec![event.clone()])),
        }
    }
    parts
}

/// One answer for a call whose events went to several groups. "Nothing was written" is said only when that is so of all.
fn together(answers: Vec<Result<Appended, AppendError>>) -> Result<Appended, AppendError> {
    let may_be_written = answers.iter().any(|answer| matches!(answer, Ok(_) | Err(AppendError::OutcomeUnknown)));
    let duplicates = answers.iter().flatten().map(|appended| appended.duplicates).sum();
    let first = answers.first().cloned();
    match answers.into_iter().find_map(Result::err) {
        // The producer is not to send it again, whatever became of the other parts.
        Some(error @ AppendError::TooLarge { .. }) => Err(error),
        Some(_) if may_be_written => Err(AppendError::OutcomeUnknown),
        Some(error) => Err(error),
        None => first.unwrap_or(Err(AppendError::Unavailable)).map(|appended| Appended { duplicates, ..appended }),
    }
}

#[cfg(test)]
mod tests;
