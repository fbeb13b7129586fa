//! The logs of several Revisions as one, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;

use futures_util::future::select_all;
use pelton_env::UnixMillis;
use pelton_resource::serving::Revision;
use pelton_serving_gateway::logs::{Followed, Follower, Logs};

/// Reads the logs of Revisions: what is stored in the order of time, each Revision's lines in their own; then, if it is
/// to, what comes as it comes.
#[derive(Debug)]
pub struct Reading {
    sources: Vec<Source>,
    follows: bool,
    /// Lines from before are left out.
    since: UnixMillis,
}

#[derive(Debug)]
struct Source {
    revision: String,
    follower: Follower,
    /// What comes next.
    head: Option<Followed>,
    /// When what came last came.
    at: UnixMillis,
    has_ended: bool,
}

impl Reading {
    /// Opens the logs of `revisions`: of what is stored now no more than the last `tail` lines.
    ///
    /// # Errors
    /// The files cannot be read.
    pub async fn open(
        logs: &Logs,
        revisions: &[Arc<Revision>],
        follows: bool,
        since: UnixMillis,
        tail: Option<u64>,
    ) -> io::Result<Self> {
        let mut sources = Vec::new();
        for revision in revisions {
            let name = &revision.metadata.name;
            let log = logs.revision(&revision.metadata.namespace, name);
            let mut follower = log.follow(tail.unwrap_or(u64::MAX)).await?;
            follower.end_before(Some(follower.stored()));
            sources.push(Source::new(name, follower));
        }
        if let Some(tail) = tail {
            cut(&mut sources, logs, revisions, since, tail).await?;
        }
        if follows {
            for source in &mut sources {
                source.follower.end_before(None);
            }
        }
        Ok(Self { sources, follows, since })
    }

    /// Whether none of them ever had a line.
    pub fn is_empty(&self) -> bool {
        self.sources.iter().all(|source| source.follower.stored() == 0)
    }

    /// Reads the log of one more Revision, from its beginning.
    ///
    /// # Errors
    /// The files cannot be read.
    pub async fn add(&mut self, logs: &Logs, revision: &Revision) -> io::Result<()> {
        let name = &revision.metadata.name;
        let follower = logs.revision(&revision.metadata.namespace, name).follow(u64::MAX).await?;
        self.sources.push(Source::new(name, follower));
        Ok(())
    }

    /// Of Revisions that are not wanted any more it reads what is stored, and waits for nothing.
    pub fn keep(&mut self, is_wanted: impl Fn(&str) -> bool) {
        for source in self.sources.iter_mut().filter(|source| !is_wanted(&source.revision)) {
            source.follower.end_before(Some(source.follower.stored()));
        }
    }

    /// Reads what is stored, and waits for nothing more.
    pub fn finish(&mut self) {
        self.keep(|_| false);
        self.follows = false;
    }

    /// The next record and whose it is. Waits if it follows; else `None` is the end. Nothing is lost when it is dropped and
    /// called again.
    ///
    /// # Errors
    /// The files cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<(String, Followed)>> {
        loop {
            for source in &mut self.sources {
                source.fill(self.since).await?;
            }
            if let Some(next) = self.take_earliest() {
                return Ok(Some(next));
            }
            self.sources.retain(|source| !source.has_ended);
            if !self.follows {
                return Ok(None);
            }
            if self.sources.is_empty() {
                return std::future::pending().await;
            }
            let any = self.sources.iter_mut().map(|source| Box::pin(source.wait(self.since)));
            select_all(any).await.0?;
        }
    }

    fn take_earliest(&mut self) -> Option<(String, Followed)> {
        let heads = self.sources.iter_mut().filter(|source| source.head.is_some());
        let earliest = heads.min_by_key(|source| source.at)?;
        Some((earliest.revision.clone(), earliest.head.take()?))
    }
}

impl Source {
    fn new(revision: &str, follower: Follower) -> Self {
        Self { revision: revision.to_owned(), follower, head: None, at: UnixMillis(0), has_ended: false }
    }

    /// Takes what comes next, if it is there already.
    async fn fill(&mut self, since: UnixMillis) -> io::Result<()> {
        while self.head.is_none() && !self.has_ended && !self.follower.is_at_end() {
            self.take(since).await?;
        }
        Ok(())
    }

    /// Waits for what comes next.
    async fn wait(&mut self, since: UnixMillis) -> io::Result<()> {
        while self.head.is_none() && !self.has_ended {
            self.take(since).await?;
        }
        Ok(())
    }

    async fn take(&mut self, since: UnixMillis) -> io::Result<()> {
        match self.follower.next().await? {
            Some(Followed::Line(line)) if line.at < since => {}
            Some(Followed::Line(line)) => {
                self.at = line.at;
                self.head = Some(Followed::Line(line));
            }
            // It has no time of its own: it comes where it stands.
            Some(missing) => self.head = Some(missing),
            None => self.has_ended = true,
        }
        Ok(())
    }
}

/// Begins each source so late that all of them together have no more than `tail` lines.
async fn cut(
    sources: &mut [Source],
    logs: &Logs,
    revisions: &[Arc<Revision>],
    since: UnixMillis,
    tail: u64,
) -> io::Result<()> {
    // Of all lines the last ones by their time: the heap gives the first of them away when there is one too many.
    let mut last = BinaryHeap::new();
    for (which, source) in sources.iter_mut().enumerate() {
        loop {
            source.fill(since).await?;
            if source.head.take().is_none() {
                break;
            }
            last.push(Reverse((source.at, which, source.follower.position())));
            if last.len() as u64 > tail {
                last.pop();
            }
        }
    }
    let mut kept = vec![0; sources.len()];
    for Reverse((_, which, _)) in last {
        kept[which] += 1;
    }
    for ((source, revision), kept) in sources.iter_mut().zip(revisions).zip(kept) {
        let log = logs.revision(&revision.metadata.namespace, &revision.metadata.name);
        let end = source.follower.position();
        let mut follower = log.follow_from(end.saturating_sub(kept)).await?;
        follower.end_before(Some(end));
        *source = Source::new(&revision.metadata.name, follower);
    }
    Ok(())
}
