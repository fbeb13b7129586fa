//! What a directory holds when damage is kept ([`crate::OnDamage::Keep`]): the same rules as in `survey`, where those
//! refuse, for a log that has replicas elsewhere.
//!
//! | found | done |
//! | --- | --- |
//! | bad bytes at the end, and no record says that they were durable | cut |
//! | a bad record that was durable | its entry is faulty; nothing behind it is cut |
//! | a segment missing, short, or not the one that was there | the entries that it must have held are faulty |
//! | a bad segment header | its records say what it said |
//! | a bad checkpoint | an older one, or none; said in the report |
//! | a bad vote that no later record repeats, a bad identity, an end that nothing tells | refuse |

use std::collections::BTreeMap;

use crate::cache::{Footer, find_footer};
use crate::disk::{Disk, DiskFile};
use crate::error::OpenError;
use crate::index::{Place, SegmentIndex};
use crate::salvage::{Before, Behind, Found, Salvaged, read_all, rebuild, record_at};
use crate::scan::{Window, scan};
use crate::segment::{BLOCK_BYTES, BlockError, DATA_START, FORMAT_VERSION, SegmentHeader, segment_name};
use crate::standing::Standing;
use crate::survey::{Candidate, OpenHow, ScanEnd, SegmentFound, Survey, damaged, open_segment, reading};
use crate::types::{Cut, GroupId, Identity};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// A segment file, or the lack of one.
#[allow(clippy::large_enum_variant, reason = "one a segment, while the directory is opened")]
enum Piece {
    Here {
        found: SegmentFound,
        /// Its first record, when it is a mark: where it lies, and what it says.
        opening: Option<(Place, Standing)>,
        /// Its first record is the one that was written there.
        starts_well: bool,
        /// The file ends before it should: why it would be refused.
        short: Option<OpenError>,
    },
    /// Nothing of it can be used, and why it would be refused.
    Lost(OpenError),
}

impl Piece {
    fn holds_records(&self) -> bool {
        matches!(self, Self::Here { found, .. } if !found.index.is_empty() || found.scanned.as_ref().is_some_and(|end| end.remains))
    }
}

/// The next segment that holds records.
struct Next {
    number: u64,
    /// Sequence of its first record, and the hash that this one names.
    start: (u64, u64),
    /// No lost segment lies in between.
    is_adjacent: bool,
    opening: Option<(Place, Standing)>,
}

/// What is known of the segments as they are gone through.
struct Keep<'a> {
    disk: &'a dyn Disk,
    pieces: BTreeMap<u64, Piece>,
    /// Segments of which there is a file.
    files: Vec<u64>,
    last: u64,
    before: Before,
    /// Votes that are lost in an earlier segment and stand in the mark that opens a later one.
    votes_told: BTreeMap<u64, BTreeMap<u32, Place>>,
    survey: &'a mut Survey,
}

/// Fills in the segments of `survey`, from `oldest` to `newest`.
pub(crate) fn take_stock(
    disk: &dyn Disk,
    survey: &mut Survey,
    mut candidates: BTreeMap<u64, Candidate>,
    wanted: Option<Identity>,
    how: OpenHow,
) -> Result<(), OpenError> {
    let newest = candidates.keys().next_back().copied().unwrap_or(survey.oldest);
    let files = candidates.keys().copied().collect();
    let mut pieces = BTreeMap::new();
    for number in survey.oldest..=newest {
        let piece = match candidates.remove(&number) {
            Some(candidate) => look(disk, number, candidate, wanted, how)?,
            None => Piece::Lost(OpenError::MissingSegment { file: disk.describe(&segment_name(number)) }),
        };
        pieces.insert(number, piece);
    }
    let with_records = pieces.iter().rev().find(|(_, piece)| piece.holds_records()).map(|(number, _)| *number);
    let last = with_records.unwrap_or(survey.oldest);
    let start = (survey.oldest == 1).then_some((1, 0));
    let before = Before { start, groups: BTreeMap::new() };
    let mut keep = Keep { disk, pieces, files, last, before, votes_told: BTreeMap::new(), survey };
    for number in keep.survey.oldest..=last {
        keep.settle(number)?;
    }
    keep.end()
}

fn look(
    disk: &dyn Disk,
    number: u64,
    candidate: Candidate,
    wanted: Option<Identity>,
    how: OpenHow,
) -> Result<Piece, OpenError> {
    let file = disk.describe(&segment_name(number));
    let opened = open_segment(disk, number, None)?;
    let header = match candidate.header {
        Ok(header) => header,
        Err(BlockError::Version(found)) => return Err(OpenError::Version { file, found, supported: FORMAT_VERSION }),
        Err(BlockError::Damaged) => {
            let size_bytes = candidate.size_bytes - candidate.size_bytes % BLOCK;
            let Some(use_id) = use_in_records(&*opened, number, size_bytes)? else {
                return Ok(Piece::Lost(OpenError::BadSegmentHeader { file }));
            };
            SegmentHeader { identity: wanted.unwrap_or_default(), number, use_id, size_bytes }
        }
    };
    if let Some(wanted) = wanted.filter(|wanted| *wanted != header.identity) {
        return Err(OpenError::Identity { file, found: header.identity, wanted });
    }
    if header.number != number {
        return Ok(Piece::Lost(OpenError::StaleSegment { file }));
    }
    let (use_id, size_bytes) = (header.use_id, header.size_bytes);
    let is_short = candidate.size_bytes < size_bytes;
    let footer =
        if is_short { Footer::Absent } else { find_footer(&*opened, number, use_id, size_bytes).map_err(reading)? };
    let sealed = !matches!(footer, Footer::Absent);
    let (index, scanned) = match footer {
        Footer::Whole(index) => (index, None),
        Footer::Damaged { .. } | Footer::Absent => {
            let next_sequence = match footer {
                Footer::Damaged { next_sequence } => Some(next_sequence),
                _ => None,
            };
            let file = open_segment(disk, number, how)?;
            let scan = scan(&*file, use_id, size_bytes).map_err(reading)?;
            (scan.index.clone(), Some(ScanEnd::of(scan, next_sequence)))
        }
    };
    let starts_well = match &scanned {
        Some(end) if end.remains => {
            let first = read_all(&*opened, use_id, size_bytes).map_err(reading)?.into_iter().next();
            first.is_some_and(|first| first.header.sequence == index.first_sequence)
        }
        _ => true,
    };
    let mut window = Window::new(&*opened, size_bytes).map_err(reading)?;
    let opening = record_at(&mut window, DATA_START, use_id).map_err(reading)?;
    // It may be a record from elsewhere.
    let opening = opening.filter(|first| starts_well && first.header.sequence == index.first_sequence);
    let opening = opening.and_then(|record| {
        let place = record.place();
        Some((place, record.standing?))
    });
    let found = SegmentFound { header, index, sealed, scanned, is_rebuilt: is_short, is_lost: false };
    let (found_bytes, expected_bytes) = (candidate.size_bytes, size_bytes);
    let short = is_short.then_some(OpenError::ShortSegment { file, found_bytes, expected_bytes });
    Ok(Piece::Here { found, opening, starts_well, short })
}

/// The use id that the records of segment `number` name: its upper half is the number.
fn use_in_records(file: &dyn DiskFile, number: u64, size_bytes: u64) -> Result<Option<u64>, OpenError> {
    let mut window = Window::new(file, size_bytes).map_err(reading)?;
    let mut at = DATA_START;
    while at < window.limit() {
        if let Some(use_id) = window.use_at(at).map_err(reading)?.filter(|use_id| use_id >> 32 == number) {
            return Ok(Some(use_id));
        }
        at += BLOCK;
    }
    Ok(None)
}

impl Keep<'_> {
    /// Makes segment `number` go on from those before it.
    fn settle(&mut self, number: u64) -> Result<(), OpenError> {
        let piece = self.pieces.remove(&number).unwrap_or_else(|| {
            Piece::Lost(OpenError::MissingSegment { file: self.disk.describe(&segment_name(number)) })
        });
        if let Piece::Here { opening: Some((_, standing)), .. } = &piece {
            self.survey.told.take_standing(standing);
        }
        let next = self.next(number);
        let opening = next.as_ref().and_then(|next| next.opening.as_ref());
        let told_use = opening
            .and_then(|(_, standing)| standing.before)
            .and_then(|(before, use_id)| (before == number).then_some(use_id));
        let found = match piece {
            // What was cut off may have been the end of the log: nothing tells.
            Piece::Here { short: Some(error), .. } if number == self.last => return Err(error),
            Piece::Here { found, .. } if told_use.is_none_or(|told| told == found.header.use_id) => Ok(found),
            Piece::Here { .. } => Err(OpenError::StaleSegment { file: self.disk.describe(&segment_name(number)) }),
            Piece::Lost(error) => Err(error),
        };
        // Where the one behind it has lost its beginning, only a footer or a trailer says where this one ends.
        let is_end_known = next.is_some() || number == self.last;
        let is_untold = |found: &SegmentFound| found.scanned.as_ref().is_some_and(|end| end.next_sequence.is_none());
        let found = match found {
            Ok(found) if !is_end_known && is_untold(&found) => {
                return Err(damaged(self.disk, number, found.scanned.as_ref(), None));
            }
            Ok(found) if self.is_sound(&found, next.as_ref()) => found,
            Ok(found) => self.salvage(number, found, next.as_ref())?,
            Err(error) => self.replace(number, error, next.as_ref())?,
        };
        let mut found = found;
        // What is told here must be looked at here, not in a footer.
        if let Some(votes) = self.votes_told.remove(&number) {
            for (group, place) in votes {
                let part = found.index.groups.entry(group).or_default();
                if part.forgotten.is_none() {
                    part.vote.get_or_insert(place);
                }
            }
            found.is_rebuilt = true;
        }
        self.pass(&found.index);
        self.survey.segments.insert(number, found);
        Ok(())
    }

    /// The next segment whose records can be read from the first on.
    fn next(&self, before: u64) -> Option<Next> {
        let (number, piece) = self.pieces.iter().find(|(_, piece)| piece.holds_records())?;
        match piece {
            Piece::Here { found, opening, starts_well: true, .. } if !found.index.is_empty() => Some(Next {
                number: *number,
                start: (found.index.first_sequence, found.index.first_previous),
                is_adjacent: *number == before + 1,
                opening: opening.clone(),
            }),
            Piece::Here { .. } | Piece::Lost(_) => None,
        }
    }

    /// Whether a segment goes on from the one before, and the one behind from it, with nothing bad in between.
    fn is_sound(&self, found: &SegmentFound, next: Option<&Next>) -> bool {
        let index = &found.index;
        let goes_on =
            index.is_empty() || self.before.start.is_none_or(|due| due == (index.first_sequence, index.first_previous));
        let is_gone_on_from = match next {
            None => true,
            Some(next) if next.is_adjacent => next.start == (index.next_sequence, index.last_hash),
            // Its footer says where it ends; without one, what is missing at its end cannot be told from the rest.
            Some(_) => found.scanned.is_none(),
        };
        let ends_well = found.scanned.as_ref().is_none_or(|end| !end.is_damaged(index.next_sequence));
        goes_on && is_gone_on_from && ends_well && (next.is_none() || !index.is_empty())
    }

    /// Reads a damaged segment record by record.
    fn salvage(&mut self, number: u64, found: SegmentFound, next: Option<&Next>) -> Result<SegmentFound, OpenError> {
        let header = found.header;
        let file = open_segment(self.disk, number, None)?;
        let records = read_all(&*file, header.use_id, header.size_bytes).map_err(reading)?;
        let behind = next.map(|next| Behind {
            start: Some(next.start).filter(|_| next.is_adjacent),
            standing: next.opening.as_ref().map(|(_, standing)| standing),
        });
        let durable = self.durable(&found, &records, behind.as_ref());
        let salvaged = rebuild(number, &records, &self.before, behind.as_ref(), durable);
        let refusal = || damaged(self.disk, number, found.scanned.as_ref(), None);
        let mut salvaged = salvaged.map_err(|_| refusal())?;
        let due = found.scanned.as_ref().and_then(|end| end.next_sequence);
        let is_end_lost = behind.is_none() && due.is_some_and(|due| salvaged.index.next_sequence < due);
        if salvaged.is_open || is_end_lost {
            return Err(damaged(self.disk, number, found.scanned.as_ref(), salvaged.first_bad));
        }
        if salvaged.index.oldest == 0 {
            salvaged.index.oldest = self.survey.oldest;
        }
        self.repeat_votes(number, &mut salvaged, next)?;
        self.survey.body_crcs.append(&mut salvaged.body_crcs);
        let index = salvaged.index;
        let is_cut = salvaged.is_cut && next.is_none();
        if is_cut {
            let file = self.disk.describe(&segment_name(number));
            self.survey.report.cut.get_or_insert(Cut { file, position: index.end });
        }
        let end = found.scanned.unwrap_or_default();
        let scanned = Some(ScanEnd { remains: false, frontier_beyond: None, next_sequence: None, ..end });
        Ok(SegmentFound { index, scanned, is_rebuilt: true, ..found })
    }

    /// The sequence below which everything was durable.
    fn durable(&self, found: &SegmentFound, records: &[Found], behind: Option<&Behind<'_>>) -> u64 {
        let trailer = found.scanned.as_ref().and_then(|end| end.next_sequence).unwrap_or(0);
        let frontier = records.iter().map(|record| record.header.frontier).max().unwrap_or(0);
        let behind = behind.map_or(0, |behind| behind.start.map_or(u64::MAX, |start| start.0));
        frontier.max(trailer).max(behind)
    }

    /// In the place of a segment that is lost, what the opening of a later one says of it.
    fn replace(&mut self, number: u64, error: OpenError, next: Option<&Next>) -> Result<SegmentFound, OpenError> {
        let Some(next) = next else { return Err(error) };
        let Some((_, standing)) = &next.opening else { return Err(error) };
        let is_told = standing.is_complete && standing.groups.values().all(|group| group.tells_of(number));
        if !is_told {
            return Err(error);
        }
        let start = self.before.start.unwrap_or(next.start);
        let mut index = SegmentIndex::empty(start.0, start.1, self.survey.oldest);
        index.settle(number, standing, None, &self.before.groups);
        if next.is_adjacent {
            (index.next_sequence, index.last_hash) = next.start;
        }
        let mut salvaged = Salvaged { index, ..Salvaged::default() };
        self.repeat_votes(number, &mut salvaged, Some(next))?;
        let name = self.disk.describe(&segment_name(number));
        tracing::warn!(segment = name, %error, "a segment is lost; the entries that it held are to be repaired from other replicas");
        self.survey.report.segments_lost.push(name);
        let identity = self.survey.identity.unwrap_or_default();
        let header = SegmentHeader { identity, number, use_id: 0, size_bytes: 0 };
        let index = salvaged.index;
        Ok(SegmentFound { header, index, sealed: true, scanned: None, is_rebuilt: true, is_lost: true })
    }

    /// A vote that is lost here stands in the mark that opens a later segment, or the log is refused.
    fn repeat_votes(&mut self, number: u64, salvaged: &mut Salvaged, next: Option<&Next>) -> Result<(), OpenError> {
        let opening = next.and_then(|next| Some((next.number, next.opening.as_ref()?)));
        for (group, told) in opening.iter().flat_map(|(_, (_, standing))| &standing.groups) {
            if told.vote.is_some() {
                salvaged.bad_votes.remove(group);
            }
        }
        if let Some((next, (place, standing))) = opening {
            let groups = standing.groups.iter().filter(|(_, told)| told.vote.is_some()).map(|(group, _)| *group);
            self.votes_told.entry(next).or_default().extend(groups.map(|group| (group, *place)));
        }
        match salvaged.bad_votes.first_key_value() {
            None => Ok(()),
            Some((group, position)) => Err(OpenError::BadVote {
                group: GroupId(*group),
                file: self.disk.describe(&segment_name(number)),
                position: u64::from(*position),
            }),
        }
    }

    /// Notes what `index` did, for the segments behind it.
    fn pass(&mut self, index: &SegmentIndex) {
        if !index.is_empty() || self.before.start.is_none() {
            self.before.start = Some((index.next_sequence, index.last_hash)).filter(|_| index.next_sequence > 0);
        }
        for (group, part) in &index.groups {
            self.before.groups.entry(*group).or_default().pass(part);
        }
    }

    /// Finds the segment that is written next; behind it there is nothing but what was prepared.
    fn end(mut self) -> Result<(), OpenError> {
        let (next_sequence, last_hash) = self.before.start.unwrap_or((1, 0));
        let last_is_sealed = self.survey.segments.get(&self.last).is_some_and(|found| found.sealed);
        let active = if last_is_sealed { self.last + 1 } else { self.last };
        for (number, piece) in std::mem::take(&mut self.pieces) {
            match piece {
                Piece::Here { .. } if !self.files.contains(&number) => {}
                Piece::Here { short: Some(error), .. } if number == active => return Err(error),
                Piece::Here { short: Some(_), .. } => self.drop_prepared(number),
                Piece::Here { mut found, .. } => {
                    found.index = SegmentIndex::empty(next_sequence, last_hash, self.survey.oldest);
                    self.survey.segments.insert(number, found);
                }
                // It may have been the end of the log: nothing tells.
                Piece::Lost(error) if number == active => return Err(error),
                Piece::Lost(_) => self.drop_prepared(number),
            }
        }
        if !self.survey.segments.contains_key(&active) {
            return Err(OpenError::MissingSegment { file: self.disk.describe(&segment_name(active)) });
        }
        if let Some(found) = self.survey.segments.get_mut(&active) {
            if found.index.is_empty() {
                found.index = SegmentIndex::empty(next_sequence, last_hash, self.survey.oldest);
            }
            if found.scanned.as_ref().is_some_and(|end| end.remains) {
                let file = self.disk.describe(&segment_name(active));
                let position = if found.index.is_empty() { DATA_START } else { found.index.end };
                self.survey.report.cut.get_or_insert(Cut { file, position });
            }
        }
        self.survey.active = active;
        let is_anything_faulty = self.survey.segments.values().any(|found| found.index.faulty().next().is_some());
        if is_anything_faulty && let Some(found) = self.survey.segments.get(&active) {
            let file = open_segment(self.disk, active, None)?;
            let records = read_all(&*file, found.header.use_id, found.header.size_bytes).map_err(reading)?;
            self.survey.told.take(&records);
        }
        Ok(())
    }

    /// A prepared segment that cannot be used holds nothing. Those behind it go as well: a gap between them would be
    /// taken for a loss. They are prepared again.
    fn drop_prepared(&mut self, number: u64) {
        self.survey.segments.split_off(&number);
        let names = self.files.iter().filter(|file| **file >= number).map(|file| segment_name(*file));
        self.survey.temporary.extend(names);
        self.files.retain(|file| *file < number);
    }
}
