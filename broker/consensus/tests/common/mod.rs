//! What the tests of groups share.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod cluster;
pub mod net;
pub mod suite;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use pelton_consensus::{
    Applied, Command, Group, GroupError, GroupOptions, NodeId, Outcome, ProposeError, Space, StateMachine, Watermark,
};
use pelton_env::{ManualClock, SeededChance};
use pelton_log::{Disk, GroupId, Identity, Log, LogIndex, OpenError, Options, SimDisk, Term};
use tokio::sync::oneshot;

pub const GROUP: GroupId = GroupId(1);

/// Remembers the bodies of all commands, and lets the log be purged up to where it is told.
#[derive(Debug, Default)]
pub struct Journal {
    pub inner: Mutex<Inner>,
}

#[derive(Debug, Default, Clone)]
pub struct Inner {
    pub bodies: Vec<u8>,
    pub offsets: Vec<u64>,
    pub keep_from: Option<u64>,
}

impl Journal {
    pub fn bodies(&self) -> Vec<u8> {
        self.inner.lock().bodies.clone()
    }
}

impl StateMachine for Journal {
    fn protocol(&self) -> u32 {
        1
    }

    fn apply(&self, applied: Applied) {
        let mut inner = self.inner.lock();
        inner.bodies.extend_from_slice(&applied.command.body);
        inner.offsets.push(applied.first_offset.0);
    }

    fn checkpoint(&self) -> Bytes {
        self.inner.lock().bodies.clone().into()
    }

    fn restore(&self, checkpoint: &Bytes, _watermark: Option<&Watermark>) -> Result<(), String> {
        self.inner.lock().bodies = checkpoint.to_vec();
        Ok(())
    }

    fn watermark(&self, applied: LogIndex) -> Option<Watermark> {
        let keep_from = self.inner.lock().keep_from?;
        Some(Watermark { index: LogIndex(keep_from.min(applied.0)), state: Bytes::from_static(b"as of then") })
    }

    fn install(&self, _index: LogIndex, state: &Bytes) -> Result<(), String> {
        self.restore(state, None)
    }

    fn adopt(&self, watermark: &Watermark) -> Result<(), String> {
        self.inner.lock().keep_from = Some(watermark.index.0);
        Ok(())
    }
}

pub struct Told(Mutex<Option<oneshot::Sender<Result<LogIndex, ProposeError>>>>);

impl Told {
    fn tell(&self, fate: Result<LogIndex, ProposeError>) {
        let told = self.0.lock().take().expect("a proposal has one fate");
        let _ = told.send(fate);
    }
}

impl Outcome for Told {
    fn committed(&self, index: LogIndex) {
        self.tell(Ok(index));
    }

    fn failed(&self, error: ProposeError) {
        self.tell(Err(error));
    }
}

pub fn options() -> Options {
    Options::small(Identity { cluster: 7, node: 1 })
}

pub fn open_log(disk: &SimDisk) -> Result<Log, OpenError> {
    open_log_with(disk, options())
}

fn open_log_with(disk: &SimDisk, options: Options) -> Result<Log, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let opened = Log::open(disk, Arc::new(ManualClock::default()), Arc::new(SeededChance::new(1)), options);
    opened.map(|(log, _)| log)
}

pub async fn open(disk: &SimDisk) -> Group<Journal> {
    reopen(disk).await.unwrap()
}

pub async fn reopen(disk: &SimDisk) -> Result<Group<Journal>, GroupError> {
    open_with(disk, options()).await
}

pub async fn open_with(disk: &SimDisk, options: Options) -> Result<Group<Journal>, GroupError> {
    let log = open_log_with(disk, options).unwrap();
    Group::open_single(GROUP, log, Arc::new(Journal::default()), &GroupOptions::new(NodeId(1))).await
}

pub async fn propose(group: &Group<Journal>, body: u8, events: u32) -> Result<LogIndex, ProposeError> {
    let body = Bytes::copy_from_slice(&[body]);
    send(group, Command { kind: 16, event_count: events, body, space: Space::Ordinary }).await
}

/// As [`propose`], in this leadership only.
pub async fn propose_in(group: &Group<Journal>, term: Term, body: u8) -> Result<LogIndex, ProposeError> {
    let command = Command { kind: 16, event_count: 1, body: Bytes::copy_from_slice(&[body]), space: Space::Ordinary };
    let (told, fate) = oneshot::channel();
    group.propose_in(term, command, Arc::new(Told(Mutex::new(Some(told))))).await;
    fate.await.expect("every proposal is told its fate")
}

pub async fn offer(group: &Group<Journal>, body: Bytes, space: Space) -> Result<LogIndex, ProposeError> {
    send(group, Command { kind: 16, event_count: 1, body, space }).await
}

async fn send(group: &Group<Journal>, command: Command) -> Result<LogIndex, ProposeError> {
    let (told, fate) = oneshot::channel();
    group.propose(command, Arc::new(Told(Mutex::new(Some(told))))).await;
    fate.await.expect("every proposal is told its fate")
}

pub async fn applied(group: &Group<Journal>, index: LogIndex) {
    group.applied().wait_for(|at| *at >= index).await.unwrap();
}
