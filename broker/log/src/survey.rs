//! What a directory holds, found out without changing anything: the rules of recovery. Where damage is kept, `keep` takes
//! the place of the rows that refuse.
//!
//! | found | done |
//! | --- | --- |
//! | bad bytes at the end, and no record says that they were durable | cut |
//! | bad bytes below the frontier of a later record, or in a sealed segment | refuse |
//! | a segment missing, short, with a bad header, or not continuing the one before it | refuse |
//! | a bad footer | read the segment's records instead |
//! | a bad checkpoint | an older one, or the whole log; else refuse |
//! | a bad vote or identity | refuse |
//! | a file that is none of ours | keep, count |

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::cache::{Footer, find_footer};
use crate::disk::{Disk, DiskFile, FileInfo};
use crate::error::{Damage, OpenError};
use crate::group::{Checkpoint, GroupState};
use crate::index::{CheckpointPlace, Place, SegmentIndex};
use crate::keep;
use crate::options::{DirectIo, OnDamage};
use crate::record::{HEADER_BYTES, Header, Kind, stored_bytes};
use crate::repair::Fault;
use crate::salvage::Told;
use crate::scan::{Scan, scan};
use crate::segment::{
    BLOCK_BYTES, BlockError, DATA_START, FORMAT_VERSION, IDENTITY_NAME, SegmentHeader, decode_identity, is_temporary,
    segment_name, segment_number,
};
use crate::standing::Standing;
use crate::types::{Cut, GroupId, Identity, LogId, Report};

/// A segment that is part of the log.
#[derive(Debug)]
pub(crate) struct SegmentFound {
    pub header: SegmentHeader,
    pub index: SegmentIndex,
    /// A trailer says that it is complete.
    pub sealed: bool,
    /// Its index is not what its footer says, or it has none.
    pub scanned: Option<ScanEnd>,
    /// Its index says more than what is on disk in this segment.
    pub is_rebuilt: bool,
    /// There is no file, or that of something else.
    pub is_lost: bool,
}

/// Where the records of a scanned segment end.
#[derive(Debug, Default)]
pub(crate) struct ScanEnd {
    pub stop: u64,
    pub stop_header: Option<Header>,
    pub frontier_beyond: Option<u64>,
    pub remains: bool,
    /// The trailer's word on where they end, in a sealed segment.
    pub next_sequence: Option<u64>,
}

impl ScanEnd {
    pub(crate) fn of(scan: Scan, next_sequence: Option<u64>) -> Self {
        let Scan { stop, stop_header, frontier_beyond, remains, .. } = scan;
        Self { stop, stop_header, frontier_beyond, remains, next_sequence }
    }

    /// Whether what was durable goes on behind the records that could be read, which end before `sequence`. A trailer
    /// is written when everything before it is durable.
    pub(crate) fn is_damaged(&self, sequence: u64) -> bool {
        self.next_sequence.is_some_and(|due| due != sequence)
            || self.frontier_beyond.is_some_and(|frontier| frontier > sequence)
    }
}

/// What a directory holds.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// The identity file; `None` in a directory that is new, or whose making was cut short.
    pub identity: Option<Identity>,
    /// The identity file was written by an older version.
    pub is_older: bool,
    pub segments: BTreeMap<u64, SegmentFound>,
    /// Number of the segment that will be written next; 0 when there is none.
    pub active: u64,
    pub oldest: u64,
    /// Files of segments that are no longer part of the log.
    pub freed: Vec<(u64, u64)>,
    pub temporary: Vec<String>,
    pub groups: BTreeMap<GroupId, GroupState>,
    /// Checksums of the bodies of faulty entries, where they are known.
    pub body_crcs: BTreeMap<(GroupId, LogId), u32>,
    pub told: Told,
    /// Groups that were forgotten, and the sequences of the records that say so.
    pub forgotten: BTreeMap<GroupId, u64>,
    pub report: Report,
}

/// A segment file before it is known whether it still is part of the log.
pub(crate) struct Candidate {
    pub size_bytes: u64,
    pub header: Result<SegmentHeader, BlockError>,
    footer: Footer,
    scan: Option<Scan>,
}

/// How segment files are opened: read-only, or as they will be written.
pub(crate) type OpenHow = Option<DirectIo>;

pub(crate) fn open_segment(disk: &dyn Disk, number: u64, how: OpenHow) -> Result<Arc<dyn DiskFile>, OpenError> {
    let name = segment_name(number);
    let opened = match how {
        None => disk.open_read_only(&name),
        Some(direct) => disk.open(&name, direct),
    };
    opened.map_err(|error| match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => OpenError::ReadOnly(error),
        _ => OpenError::Io { action: "open a segment", source: error },
    })
}

pub(crate) fn reading(source: io::Error) -> OpenError {
    OpenError::Io { action: "read a segment", source }
}

impl Candidate {
    fn look(disk: &dyn Disk, number: u64, size_bytes: u64, how: OpenHow) -> Result<Self, OpenError> {
        let file = open_segment(disk, number, None)?;
        let mut block = vec![0; BLOCK_BYTES];
        let read = file.read_at(&mut block, 0).map_err(reading)?;
        let header = SegmentHeader::decode(&block[..read]);
        let mut candidate = Self { size_bytes, header, footer: Footer::Absent, scan: None };
        let Ok(header) = header else { return Ok(candidate) };
        if header.number != number || size_bytes < header.size_bytes {
            return Ok(candidate);
        }
        candidate.footer = find_footer(&*file, number, header.use_id, header.size_bytes).map_err(reading)?;
        if !matches!(candidate.footer, Footer::Whole(_)) {
            let file = open_segment(disk, number, how)?;
            candidate.scan = Some(scan(&*file, header.use_id, header.size_bytes).map_err(reading)?);
        }
        Ok(candidate)
    }

    /// The oldest segment that this one names.
    fn oldest(&self) -> u64 {
        match (&self.footer, &self.scan) {
            (Footer::Whole(index), _) => index.oldest,
            (_, Some(scan)) => scan.index.oldest.max(scan.oldest_beyond),
            _ => 0,
        }
    }

    fn accept(self, disk: &dyn Disk, number: u64, wanted: Option<Identity>) -> Result<SegmentFound, OpenError> {
        let file = disk.describe(&segment_name(number));
        let header = match self.header {
            Ok(header) => header,
            Err(BlockError::Version(found)) => {
                return Err(OpenError::Version { file, found, supported: FORMAT_VERSION });
            }
            Err(BlockError::Damaged) => return Err(OpenError::BadSegmentHeader { file }),
        };
        if let Some(wanted) = wanted.filter(|wanted| *wanted != header.identity) {
            return Err(OpenError::Identity { file, found: header.identity, wanted });
        }
        if header.number != number {
            return Err(OpenError::StaleSegment { file });
        }
        if self.size_bytes < header.size_bytes {
            let (found_bytes, expected_bytes) = (self.size_bytes, header.size_bytes);
            return Err(OpenError::ShortSegment { file, found_bytes, expected_bytes });
        }
        let sealed = !matches!(self.footer, Footer::Absent);
        let next_sequence = match self.footer {
            Footer::Damaged { next_sequence } => Some(next_sequence),
            Footer::Whole(_) | Footer::Absent => None,
        };
        Ok(match (self.footer, self.scan) {
            (Footer::Whole(index), _) => {
                SegmentFound { header, index, sealed, scanned: None, is_rebuilt: false, is_lost: false }
            }
            (_, Some(scan)) => {
                let index = scan.index.clone();
                let scanned = Some(ScanEnd::of(scan, next_sequence));
                SegmentFound { header, index, sealed, scanned, is_rebuilt: false, is_lost: false }
            }
            (_, None) => return Err(OpenError::BadSegmentHeader { file }),
        })
    }
}

/// Finds out what `disk` holds. `wanted` is the identity it must have, `how` the way to open what must be scanned.
pub(crate) fn survey(
    disk: &dyn Disk,
    wanted: Option<Identity>,
    how: OpenHow,
    on_damage: OnDamage,
) -> Result<Survey, OpenError> {
    let files = disk.list().map_err(|source| OpenError::Io { action: "list the data directory", source })?;
    let identity = read_identity(disk, &files, wanted)?;
    let is_older = identity.is_some_and(|(_, version)| version < FORMAT_VERSION);
    let mut survey = Survey { identity: identity.map(|(identity, _)| identity), is_older, ..Survey::default() };
    let mut candidates = BTreeMap::new();
    for file in files {
        if let Some(number) = segment_number(&file.name) {
            candidates.insert(number, Candidate::look(disk, number, file.size_bytes, how)?);
        } else if is_temporary(&file.name) {
            survey.temporary.push(file.name);
        } else if file.name != IDENTITY_NAME {
            survey.report.unknown_files.push(file.name);
        }
    }
    if candidates.is_empty() {
        if survey.identity.is_some() {
            return Err(OpenError::MissingSegment { file: disk.describe(&segment_name(1)) });
        }
        survey.report.fresh = true;
        return Ok(survey);
    }
    survey.oldest = candidates.values().map(Candidate::oldest).max().unwrap_or(0).max(1);
    let newest = candidates.keys().next_back().copied().unwrap_or(0);
    let in_use = candidates.split_off(&survey.oldest);
    survey.freed = candidates.into_iter().map(|(number, candidate)| (number, candidate.size_bytes)).collect();
    match on_damage {
        OnDamage::Refuse => take_stock(disk, &mut survey, in_use, newest, wanted)?,
        OnDamage::Keep => keep::take_stock(disk, &mut survey, in_use, wanted, how)?,
    }
    if survey.identity.is_none() && survey.segments.values().any(|segment| !segment.index.is_empty()) {
        return Err(OpenError::BadIdentity("missing"));
    }
    collect_groups(disk, &mut survey, on_damage)?;
    survey.report.segments = survey.segments.range(..=survey.active).count() as u64;
    survey.report.segments_scanned =
        survey.segments.values().filter(|segment| segment.scanned.is_some()).count() as u64;
    survey.report.footers_rebuilt =
        survey.segments.values().filter(|segment| segment.sealed && segment.scanned.is_some()).count() as u64;
    survey.report.groups = survey.groups.len();
    Ok(survey)
}

/// Takes the segments as they are, or refuses.
fn take_stock(
    disk: &dyn Disk,
    survey: &mut Survey,
    in_use: BTreeMap<u64, Candidate>,
    newest: u64,
    wanted: Option<Identity>,
) -> Result<(), OpenError> {
    let mut due = survey.oldest;
    for (number, candidate) in in_use {
        if number != due {
            return Err(OpenError::MissingSegment { file: disk.describe(&segment_name(due)) });
        }
        survey.segments.insert(number, candidate.accept(disk, number, wanted.or(survey.identity))?);
        due += 1;
    }
    if due == survey.oldest || due <= newest {
        return Err(OpenError::MissingSegment { file: disk.describe(&segment_name(due)) });
    }
    check_chain(disk, survey)
}

fn read_identity(
    disk: &dyn Disk,
    files: &[FileInfo],
    wanted: Option<Identity>,
) -> Result<Option<(Identity, u32)>, OpenError> {
    if !files.iter().any(|file| file.name == IDENTITY_NAME) {
        return Ok(None);
    }
    let io = |source| OpenError::Io { action: "read the identity file", source };
    let mut block = vec![0; BLOCK_BYTES];
    let read = disk.open_read_only(IDENTITY_NAME).and_then(|file| file.read_at(&mut block, 0)).map_err(io)?;
    let file = disk.describe(IDENTITY_NAME);
    let found = match decode_identity(&block[..read]) {
        Ok(found) => found,
        Err(BlockError::Version(found)) => return Err(OpenError::Version { file, found, supported: FORMAT_VERSION }),
        Err(BlockError::Damaged) => return Err(OpenError::BadIdentity("damaged")),
    };
    match wanted {
        Some(wanted) if wanted != found.0 => Err(OpenError::Identity { file, found: found.0, wanted }),
        _ => Ok(Some(found)),
    }
}

/// The refusal of a segment whose records end at `end`, or go bad at `first_bad`.
pub(crate) fn damaged(disk: &dyn Disk, number: u64, end: Option<&ScanEnd>, first_bad: Option<u64>) -> OpenError {
    let header = end.and_then(|end| end.stop_header.as_ref());
    OpenError::Damaged(Damage {
        file: disk.describe(&segment_name(number)),
        position: end.map(|end| end.stop).filter(|stop| *stop > 0).or(first_bad).unwrap_or(0),
        group: header.filter(|header| header.kind != Kind::Mark).map(|header| GroupId(header.group)),
        index: header.filter(|header| header.kind == Kind::Entry).map(|header| crate::types::LogIndex(header.index)),
        offsets: header.and_then(crate::record::Header::offsets),
    })
}

/// Every segment must go on where the one before it ended, and what looks like an end must be one.
fn check_chain(disk: &dyn Disk, survey: &mut Survey) -> Result<(), OpenError> {
    let mut expected = (survey.oldest == 1).then_some((1, 0));
    let mut last: Option<u64> = None;
    for (number, segment) in &survey.segments {
        let index = &segment.index;
        if index.is_empty() {
            continue;
        }
        if expected.is_some_and(|due| due != (index.first_sequence, index.first_previous)) {
            // Something between this segment and the one before is gone. If that one ends in something bad, that is it.
            let before = last.and_then(|last| survey.segments.get(&last).map(|segment| (last, segment)));
            return Err(match before.and_then(|(last, segment)| Some((last, segment.scanned.as_ref()?))) {
                Some((last, end)) if end.remains => damaged(disk, last, Some(end), None),
                _ => OpenError::StaleSegment { file: disk.describe(&segment_name(*number)) },
            });
        }
        expected = Some((index.next_sequence, index.last_hash));
        last = Some(*number);
    }
    let (next_sequence, last_hash) = expected.unwrap_or((1, 0));
    let sealed = |number: &u64| survey.segments.get(number).is_some_and(|segment| segment.sealed);
    let active = match last {
        Some(last) if sealed(&last) => last + 1,
        Some(last) => last,
        None => survey.oldest,
    };
    if !survey.segments.contains_key(&active) {
        return Err(OpenError::MissingSegment { file: disk.describe(&segment_name(active)) });
    }
    for (number, segment) in survey.segments.range_mut(last.unwrap_or(survey.oldest)..) {
        let Some(end) = &segment.scanned else { continue };
        let own = if segment.index.is_empty() { next_sequence } else { segment.index.next_sequence };
        if end.is_damaged(own) {
            return Err(damaged(disk, *number, Some(end), None));
        }
        if end.remains {
            let file = disk.describe(&segment_name(*number));
            let position = if segment.index.is_empty() { DATA_START } else { segment.index.end };
            survey.report.cut.get_or_insert(Cut { file, position });
        }
        if segment.index.is_empty() {
            segment.index = SegmentIndex::empty(next_sequence, last_hash, survey.oldest);
        }
    }
    survey.active = active;
    Ok(())
}

/// Where the newest records of a group lie.
#[derive(Default)]
struct Newest {
    vote: Option<(u64, Place)>,
    /// The last two, oldest first.
    checkpoints: Vec<(u64, CheckpointPlace)>,
}

fn collect_groups(disk: &dyn Disk, survey: &mut Survey, on_damage: OnDamage) -> Result<(), OpenError> {
    let mut newest: BTreeMap<u32, Newest> = BTreeMap::new();
    for (number, segment) in &survey.segments {
        for (group, part) in &segment.index.groups {
            let state = survey.groups.entry(GroupId(*group)).or_default();
            if let Some(sequence) = part.forgotten {
                *state = GroupState::default();
                newest.remove(group);
                survey.forgotten.insert(GroupId(*group), sequence);
            }
            state.placed.merge(*number, *group, &segment.index);
            state.committed = state.committed.max(part.committed);
            let newest = newest.entry(*group).or_default();
            newest.vote = part.vote.map(|place| (*number, place)).or(newest.vote);
            newest.checkpoints.extend(part.checkpoints.iter().map(|checkpoint| (*number, *checkpoint)));
            let surplus = newest.checkpoints.len().saturating_sub(2);
            newest.checkpoints.drain(..surplus);
        }
    }
    for (group, newest) in newest {
        let id = GroupId(group);
        let Some(state) = survey.groups.get_mut(&id) else { continue };
        if let Some((number, place)) = newest.vote {
            let (number, vote) = read_vote(disk, number, place, group)?.ok_or_else(|| OpenError::BadVote {
                group: id,
                file: disk.describe(&segment_name(number)),
                position: u64::from(place.position),
            })?;
            state.placed.vote = Some((number, vote.clone()));
            state.vote = Some(vote);
        }
        state.purge = state.placed.purge.map(|(_, purge)| purge);
        let (checkpoint, damaged) = match newest_checkpoint(disk, group, state, &newest.checkpoints) {
            Err(OpenError::BadCheckpoint { .. }) if on_damage == OnDamage::Keep => {
                (None, newest.checkpoints.len() as u64)
            }
            found => found?,
        };
        if on_damage == OnDamage::Keep && state.purge.is_some() && checkpoint.is_none() {
            survey.report.checkpoints_lost.push(id);
        }
        survey.report.checkpoints_replaced += damaged;
        state.placed.checkpoint = checkpoint;
        state.checkpoint = state.placed.checkpoint.as_ref().map(|(_, checkpoint)| checkpoint.clone());
        if !find_ends(&survey.segments, &survey.told, id, state) {
            // Where the log of a group ends is not guessed.
            let file = disk.describe(&segment_name(survey.active));
            let damage = Damage { file, position: 0, group: Some(id), index: None, offsets: None };
            return Err(OpenError::Damaged(damage));
        }
        find_faulty(&survey.segments, &survey.body_crcs, id, state);
        survey.report.faulty += state.faulty.len() as u64;
        let first = state.faulty.first_key_value().filter(|_| on_damage == OnDamage::Refuse);
        if let Some((index, fault)) = first {
            return Err(OpenError::Damaged(fault.damage(disk, id, *index)));
        }
    }
    survey.groups.retain(|_, state| !state.is_nothing());
    Ok(())
}

/// The newest checkpoint that is whole and from which the log can go on, and how many newer ones are not.
fn newest_checkpoint(
    disk: &dyn Disk,
    group: u32,
    state: &GroupState,
    places: &[(u64, CheckpointPlace)],
) -> Result<(Option<(u64, Checkpoint)>, u64), OpenError> {
    let mut damaged = 0;
    let purged = state.purge.map(|purge| purge.upto.2.0);
    for (number, checkpoint) in places.iter().rev() {
        let covers = damaged == 0 || purged.is_none_or(|purged| checkpoint.index >= purged);
        let body = read_body(disk, *number, checkpoint.place, Kind::Checkpoint, group)?;
        if let Some(body) = body.filter(|_| covers) {
            let found = Checkpoint { index: checkpoint.index, term: checkpoint.term, state: body };
            return Ok((Some((*number, found)), damaged));
        }
        damaged += 1;
    }
    match places.last() {
        Some((number, checkpoint)) if purged.is_some() => Err(OpenError::BadCheckpoint {
            group: GroupId(group),
            file: disk.describe(&segment_name(*number)),
            position: u64::from(checkpoint.place.position),
        }),
        _ => Ok((None, damaged)),
    }
}

/// The vote at `place`, a record of its own or told by a mark, and the segment that it is to be carried forward from.
/// A mark is looked at only beside the damage that it makes up for, so what it tells belongs below every segment: the
/// next time that any goes, the vote is written again.
fn read_vote(disk: &dyn Disk, number: u64, place: Place, group: u32) -> Result<Option<(u64, bytes::Bytes)>, OpenError> {
    if let Some(vote) = read_body(disk, number, place, Kind::Vote, group)? {
        return Ok(Some((number, vote)));
    }
    // A mark is of no group.
    let mark = read_body(disk, number, place, Kind::Mark, 0)?;
    let standing = mark.and_then(|mark| Standing::decode(&mark));
    Ok(standing.and_then(|mut standing| Some((0, standing.groups.remove(&group)?.vote?))))
}

/// The body of the record at `place`; `None` when it is not what was written.
fn read_body(
    disk: &dyn Disk,
    number: u64,
    place: Place,
    kind: Kind,
    group: u32,
) -> Result<Option<bytes::Bytes>, OpenError> {
    let file = open_segment(disk, number, None)?;
    let mut buffer = vec![0; usize::try_from(stored_bytes(u64::from(place.body_len))).unwrap_or(0)];
    let read = file.read_at(&mut buffer, u64::from(place.position)).map_err(reading)?;
    buffer.truncate(read);
    let is_it = |header: &Header| {
        header.kind == kind
            && header.group == group
            && place.sequence.is_none_or(|sequence| sequence == header.sequence)
    };
    let Some(header) = Header::decode(&buffer).filter(is_it) else { return Ok(None) };
    let body_end = HEADER_BYTES + header.body_len as usize;
    if header.body_len != place.body_len
        || body_end > buffer.len()
        || !header.body_is_whole(&buffer[HEADER_BYTES..body_end])
    {
        return Ok(None);
    }
    Ok(Some(bytes::Bytes::from(buffer).slice(HEADER_BYTES..body_end)))
}

/// Fills in the first and the last entry of a group from its runs; `false` when the last is not known.
fn find_ends(segments: &BTreeMap<u64, SegmentFound>, told: &Told, group: GroupId, state: &mut GroupState) -> bool {
    let part = |segment: u64| segments.get(&segment).and_then(|found| found.index.groups.get(&group.0));
    state.next_offset = state.purge.map_or(0, |purge| purge.next_offset);
    let (Some(first), Some(last)) = (state.placed.runs.front(), state.placed.runs.back()) else { return true };
    state.first = first.first;
    if let Some(slot) = part(first.segment).and_then(|part| part.slot(first.first)) {
        state.first_offset = slot.first_offset;
    }
    let index = last.end - 1;
    let Some(part) = part(last.segment) else { return false };
    let (Some(meta), Some(slot)) = (part.meta(index), part.slot(index)) else { return false };
    let repaired = state.placed.repairs.get(&index).map(|(_, repair)| repair.slot.next_offset());
    let is_lost = slot.is_faulty() && slot.position() == 0;
    let own = (!is_lost).then(|| slot.next_offset());
    let Some(next_offset) = repaired.or(own).or(told.next_offset(group, meta.log_id())) else { return false };
    (state.last, state.next_offset) = (Some(meta.log_id()), next_offset);
    (state.placed.last, state.placed.next_offset) = (state.last, next_offset);
    true
}

/// Fills in the entries of a group that are part of the log and cannot be read.
fn find_faulty(
    segments: &BTreeMap<u64, SegmentFound>,
    body_crcs: &BTreeMap<(GroupId, LogId), u32>,
    group: GroupId,
    state: &mut GroupState,
) {
    for run in &state.placed.runs {
        let Some(part) = segments.get(&run.segment).and_then(|found| found.index.groups.get(&group.0)) else {
            continue;
        };
        for index in run.first..run.end {
            let Some(slot) = part.slot(index).filter(|slot| slot.is_faulty()) else { continue };
            if state.placed.repairs.contains_key(&index) {
                continue;
            }
            let meta = part.meta(index);
            let body_crc = meta.and_then(|meta| body_crcs.get(&(group, meta.log_id())).copied());
            state.faulty.insert(index, Fault::of(run.segment, slot, meta, body_crc));
        }
    }
}
