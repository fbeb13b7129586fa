//! Looks at every byte of a log that is not open, and changes nothing.

use std::io;

use crate::disk::Disk;
use crate::error::{Damage, OpenError};
use crate::index::SegmentIndex;
use crate::options::OnDamage;
use crate::record::Kind;
use crate::rot::{Rot, Walk};
use crate::scan::Window;
use crate::segment::{DATA_START, segment_name};
use crate::survey::{SegmentFound, Survey, survey};
use crate::types::{GroupId, GroupView, Identity, LogIndex, Offset, Report};

/// One segment, as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// The file.
    pub file: String,
    /// Its place in the log, from 1.
    pub number: u64,
    /// Nothing more will be written to it.
    pub sealed: bool,
    /// Records read and found whole.
    pub records: u64,
    /// Bytes of records, padding included.
    pub record_bytes: u64,
    /// Length of the file.
    pub file_bytes: u64,
}

/// One group, as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupReport {
    /// The group.
    pub group: GroupId,
    /// Its state.
    pub view: GroupView,
}

/// What [`verify`] found.
#[derive(Debug)]
pub struct VerifyReport {
    /// Whose log it is.
    pub identity: Option<Identity>,
    /// What opening the log would report.
    pub report: Report,
    /// Segments in order.
    pub segments: Vec<SegmentReport>,
    /// Groups in order.
    pub groups: Vec<GroupReport>,
    /// Places that are not what was written, and that nothing stands in for.
    pub damaged: Vec<Damage>,
    /// Places that are not what was written and that nobody reads any more: a later record holds the same, or what took
    /// its place.
    pub repaired: Vec<Damage>,
    /// Why the log would not open.
    pub refusal: Option<OpenError>,
}

impl VerifyReport {
    /// Nothing is wrong that was not repaired.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty() && self.refusal.is_none()
    }
}

/// Reads every record of the log in `disk`.
///
/// # Errors
/// [`OpenError::Locked`] when a process has the log open, [`OpenError::Io`] when it cannot be read. What is wrong with
/// the log itself is in the report.
pub fn verify(disk: &dyn Disk) -> Result<VerifyReport, OpenError> {
    let _lock = match disk.lock() {
        Ok(lock) => Some(lock),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(OpenError::Locked),
        // A copy on a read-only medium can be looked at without a lock: nobody else can write it either.
        Err(_) => None,
    };
    let mut report = VerifyReport {
        identity: None,
        report: Report::default(),
        segments: Vec::new(),
        groups: Vec::new(),
        damaged: Vec::new(),
        repaired: Vec::new(),
        refusal: None,
    };
    let (found, refusal) = match survey(disk, None, None, OnDamage::Refuse) {
        Ok(found) => (found, None),
        Err(error @ OpenError::Io { .. }) => return Err(error),
        Err(error) => match survey(disk, None, None, OnDamage::Keep).ok().filter(is_repaired) {
            Some(found) => (found, Some(error)),
            None => {
                report.refusal = Some(error);
                return Ok(report);
            }
        },
    };
    for (number, segment) in &found.segments {
        let (records, rot) = read(disk, *number, segment)?;
        for rot in rot {
            let file = disk.describe(&segment_name(*number));
            let stands_in = is_stood_in_for(&found, *number, &rot);
            let list = if stands_in { &mut report.repaired } else { &mut report.damaged };
            list.push(damage(file, &segment.index, &rot));
        }
        report.segments.push(SegmentReport {
            file: disk.describe(&segment_name(*number)),
            number: *number,
            sealed: segment.sealed,
            records,
            record_bytes: segment.index.end.saturating_sub(DATA_START),
            file_bytes: segment.header.size_bytes,
        });
    }
    // A log that is opened to be repaired forgives more than what was repaired.
    let all_repaired = report.damaged.is_empty() && report.repaired.iter().all(|damage| damage.index.is_some());
    report.refusal = refusal.filter(|refusal| !all_repaired || !is_among(refusal, &report.repaired));
    report.identity = found.identity;
    report.groups =
        found.groups.iter().map(|(group, state)| GroupReport { group: *group, view: state.view() }).collect();
    report.report = found.report;
    Ok(report)
}

/// Whether a log with damage can be read to the end all the same.
fn is_repaired(found: &Survey) -> bool {
    found.report.faulty == 0 && found.report.checkpoints_lost.is_empty()
}

/// Whether what the log does not open for is one of the places that were repaired.
fn is_among(refusal: &OpenError, repaired: &[Damage]) -> bool {
    let file = match refusal {
        OpenError::Damaged(damage) => &damage.file,
        OpenError::MissingSegment { file }
        | OpenError::StaleSegment { file }
        | OpenError::ShortSegment { file, .. }
        | OpenError::BadSegmentHeader { file } => file,
        _ => return false,
    };
    repaired.iter().any(|damage| damage.file == *file)
}

/// Every record of a segment: how many are whole, and what is not.
fn read(disk: &dyn Disk, number: u64, segment: &SegmentFound) -> Result<(u64, Vec<Rot>), OpenError> {
    let (mut records, mut rot) = (0, Vec::new());
    if segment.is_lost {
        rot.push(Rot { starts: DATA_START..segment.index.end.max(DATA_START + 1), header: None });
        return Ok((records, rot));
    }
    if segment.index.is_empty() {
        return Ok((records, rot));
    }
    let io = |source| OpenError::Io { action: "read a segment", source };
    let file = disk.open_read_only(&segment_name(number)).map_err(io)?;
    let mut window = Window::new(&*file, segment.header.size_bytes).map_err(io)?;
    let mut walk = Walk::of(&segment.index);
    while walk.position < segment.index.end {
        match walk.step(&mut window, segment.header.use_id, segment.index.end).map_err(io)? {
            Some(found) => rot.push(found),
            None => records += 1,
        }
    }
    Ok((records, rot))
}

/// Whether what was written there is read from elsewhere, or was replaced. Not of a place of which nothing is known.
fn is_stood_in_for(found: &Survey, number: u64, rot: &Rot) -> bool {
    let Some(segment) = found.segments.get(&number) else { return false };
    let is_read = |group: u32, index: u64, position: u64| {
        let state = found.groups.get(&GroupId(group));
        state.is_some_and(|state| state.placed.is_read_at(index, number, position))
    };
    let mut entries: Vec<_> =
        rot.entries(&segment.index).into_iter().map(|(group, index, slot)| (group, index, slot.position())).collect();
    match &rot.header {
        // Where nothing says which entries lay there, they are among those of which nothing says where they lay.
        None if entries.is_empty() => {
            entries.extend(segment.index.unplaced().map(|(group, index)| (group, index, 0)));
            if entries.is_empty() {
                return false;
            }
        }
        None => {}
        Some(header) => match header.kind {
            // One that was truncated is in no index.
            Kind::Entry | Kind::Repair => {}
            Kind::Checkpoint => {
                let newest =
                    found.groups.get(&GroupId(header.group)).and_then(|state| state.placed.checkpoint.as_ref());
                return newest.is_some_and(|(at, newest)| *at > number || newest.index > header.index);
            }
            // A log whose newest vote cannot be read does not open.
            Kind::Vote => return true,
            Kind::Truncate | Kind::Purge | Kind::Forget | Kind::Mark => return false,
        },
    }
    !entries.iter().any(|(group, index, position)| is_read(*group, *index, *position))
}

/// The first entry that was there, when it is known.
fn damage(file: String, index: &SegmentIndex, rot: &Rot) -> Damage {
    let placed = rot.entries(index).into_iter().min_by_key(|(_, _, slot)| slot.position());
    let (group, at, offsets) = match (&rot.header, placed) {
        (Some(header), _) => (Some(header.group), Some(header.index).filter(|_| rot.is_entry()), header.offsets()),
        (None, Some((group, at, slot))) => {
            let offsets = (Offset(slot.first_offset), Offset(slot.next_offset()));
            (Some(group), Some(at), Some(offsets).filter(|(from, to)| from < to))
        }
        (None, None) => {
            let unplaced = index.unplaced().next();
            (unplaced.map(|(group, _)| group), unplaced.map(|(_, at)| at), None)
        }
    };
    Damage { file, position: rot.starts.start, group: group.map(GroupId), index: at.map(LogIndex), offsets }
}
