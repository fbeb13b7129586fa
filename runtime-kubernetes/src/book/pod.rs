//! One Pod, as the book knows it.

use pelton_serving_gateway::runtime::Exit;

use crate::facts::PodFact;

/// How far a Pod is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// It is not heard of yet.
    Coming,
    /// It was told as started.
    Running,
    /// It was asked to end.
    Stopping,
    /// It has ended so, which is told once what it printed was read.
    Ending(Exit),
    /// All is told, or there was never anything to tell. What is left of it is to go.
    Over,
}

/// One Pod.
#[derive(Debug)]
pub struct Pod {
    /// What the cluster says.
    pub fact: PodFact,
    /// How far it is.
    pub stage: Stage,
    /// It is no more.
    pub is_gone: bool,
    /// It is known to be the cheapest to delete.
    pub is_marked: bool,
    /// It was asked that it be deleted.
    pub is_deleted: bool,
    /// Kubernetes makes another in its place, though it was to go on.
    is_replaced: bool,
    /// Why its image could not be fetched at the first try.
    pull_error: Option<String>,
}

impl Pod {
    /// One that was not heard of yet.
    pub fn new(fact: PodFact) -> Self {
        let pull_error = fact.pull_error.clone();
        Self {
            fact,
            stage: Stage::Coming,
            is_gone: false,
            is_marked: false,
            is_deleted: false,
            is_replaced: false,
            pull_error,
        }
    }

    /// The cluster says something new. How its container ended first is kept: what came after was not asked for.
    pub fn update(&mut self, fact: PodFact) {
        let end = self.fact.end.take().or_else(|| fact.end.clone());
        if fact.pull_error.is_some() {
            self.pull_error.clone_from(&fact.pull_error);
        }
        self.fact = PodFact { end, ..fact };
    }

    /// Whether Kubernetes counts it as one of the replicas.
    pub const fn is_present(&self) -> bool {
        !self.is_gone && !self.fact.is_leaving && !self.fact.is_over
    }

    /// Whether it may become an instance.
    pub fn is_coming(&self) -> bool {
        self.stage == Stage::Coming && self.is_present()
    }

    /// Whether it counts among the replicas that there should be. One that ended by itself does until that is told.
    pub const fn is_kept(&self) -> bool {
        match &self.stage {
            Stage::Running => !self.is_replaced,
            Stage::Ending(exit) => !self.is_replaced && !matches!(exit, Exit::Stopped),
            Stage::Coming | Stage::Stopping | Stage::Over => false,
        }
    }

    /// Whether it is there and should not be.
    pub const fn is_to_go(&self) -> bool {
        let is_done_with = matches!(&self.stage, Stage::Stopping | Stage::Over | Stage::Ending(Exit::Stopped));
        is_done_with && !self.is_gone && !self.fact.is_leaving
    }

    /// Whether its start was told, and its end was not.
    pub const fn is_told(&self) -> bool {
        matches!(&self.stage, Stage::Running | Stage::Stopping | Stage::Ending(_))
    }

    /// Whether Kubernetes makes another in its place, as was not known before.
    pub fn is_replaced_now(&mut self) -> bool {
        let is_replaced = self.stage == Stage::Running && !self.is_present();
        is_replaced && !std::mem::replace(&mut self.is_replaced, true)
    }

    /// How it ended, if it was taken away.
    pub fn lost(&self) -> Option<Exit> {
        let is_lost = self.is_gone || self.fact.is_over || (self.fact.is_leaving && self.fact.end.is_some());
        is_lost.then(|| Exit::Lost(self.fact.lost.clone()))
    }

    /// Why it does not come.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.fact.trouble.clone()?;
        // The kubelet's own words of the second failure need not tell of the first.
        Some(match &self.pull_error {
            Some(first) if !trouble.contains(first.as_str()) => format!("{trouble}; {first}"),
            Some(_) | None => trouble,
        })
    }
}
