//! Opens a directory: the survey, and then the few things that change it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use pelton_env::Chance;

use crate::aligned::AlignedBuffer;
use crate::core::{Active, Sealed};
use crate::disk::{Disk, DiskFile};
use crate::error::OpenError;
use crate::group::GroupState;
use crate::index::SegmentIndex;
use crate::options::{DirectIo, Options};
use crate::pool::{Freed, Spare, prepare};
use crate::segment::{BLOCK_BYTES, DATA_START, IDENTITY_NAME, IDENTITY_TEMPORARY, encode_identity};
use crate::survey::{Survey, open_segment, survey};
use crate::types::{GroupId, Identity, Report};

/// A log as it was found, ready to be written.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub groups: BTreeMap<GroupId, GroupState>,
    pub forgotten: BTreeMap<GroupId, u64>,
    pub active: Active,
    pub sealed: BTreeMap<u64, Sealed>,
    pub oldest: u64,
    pub spares: VecDeque<Spare>,
    pub freed: Vec<Freed>,
    pub next_number: u64,
    pub report: Report,
}

/// Finds out what `disk` holds, and makes it ready for writing.
pub(crate) fn recover(disk: &Arc<dyn Disk>, chance: &dyn Chance, options: &Options) -> Result<Recovered, OpenError> {
    let disk = &**disk;
    let mut found = survey(disk, Some(options.identity), Some(options.direct_io), options.on_damage)?;
    let io = |action: &'static str| {
        move |error: io::Error| match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => OpenError::ReadOnly(error),
            _ => OpenError::Io { action, source: error },
        }
    };
    for name in std::mem::take(&mut found.temporary) {
        disk.remove(&name).map_err(io("remove a file that was being prepared"))?;
    }
    let recovered = if found.segments.is_empty() {
        let mut made = fresh(disk, chance, options).map_err(io("make the first segment"))?;
        made.report.unknown_files = std::mem::take(&mut found.report.unknown_files);
        made
    } else {
        take_over(disk, options, &mut found)?
    };
    // What is read here may still be on its way to the disk, if the process that wrote it was killed. From here on it
    // counts as durable.
    recovered.active.file.sync_all().map_err(io("sync the last segment"))?;
    if let Some((number, sealed)) = recovered.sealed.last_key_value()
        && !sealed.is_lost
    {
        // Its trailer, on which it depends that the active one is the one that is written.
        let file = open_segment(disk, *number, Some(options.direct_io))?;
        file.sync_all().map_err(io("sync the segment before"))?;
    }
    disk.sync_dir().map_err(io("sync the data directory"))?;
    if found.identity.is_none() || found.is_older {
        write_identity(disk, options.identity).map_err(io("write the identity file"))?;
    }
    Ok(recovered)
}

fn fresh(disk: &dyn Disk, chance: &dyn Chance, options: &Options) -> io::Result<Recovered> {
    let Spare { number, use_id, size_bytes, file } = prepare(disk, chance, options, 1, None)?;
    let report = Report { fresh: true, segments: 1, direct_io: file.is_direct(), ..Report::default() };
    Ok(Recovered {
        groups: BTreeMap::new(),
        forgotten: BTreeMap::new(),
        active: Active { number, use_id, size_bytes, file, index: SegmentIndex::empty(1, 0, 1), is_worn: false },
        sealed: BTreeMap::new(),
        oldest: 1,
        spares: VecDeque::new(),
        freed: Vec::new(),
        next_number: 2,
        report,
    })
}

fn take_over(disk: &dyn Disk, options: &Options, found: &mut Survey) -> Result<Recovered, OpenError> {
    let active_number = found.active;
    let next_number = found.segments.keys().next_back().map_or(1, |last| last + 1);
    let cutting = |source| OpenError::Io { action: "cut the end", source };
    let mut active = None;
    let mut sealed = BTreeMap::new();
    let mut spares = VecDeque::new();
    for (number, segment) in std::mem::take(&mut found.segments) {
        let (use_id, size_bytes) = (segment.header.use_id, segment.header.size_bytes);
        if number < active_number {
            let end = segment.index.end;
            let is_pinned = segment.scanned.is_some() || segment.is_rebuilt;
            let pinned = is_pinned.then(|| Arc::new(segment.index));
            sealed.insert(number, Sealed { use_id, size_bytes, end, pinned, is_lost: segment.is_lost });
            continue;
        }
        let file = open_segment(disk, number, Some(options.direct_io))?;
        if number == active_number {
            let is_worn = segment.is_rebuilt;
            if !is_worn {
                efface(&*file, segment.index.end).map_err(cutting)?;
            }
            active = Some(Active { number, use_id, size_bytes, file, index: segment.index, is_worn });
        } else {
            if segment.scanned.is_some_and(|end| end.remains) {
                efface(&*file, DATA_START).and_then(|()| file.sync_all()).map_err(cutting)?;
            }
            spares.push_back(Spare { number, use_id, size_bytes, file });
        }
    }
    let active = active.expect("the survey names a segment that it found");
    let mut report = std::mem::take(&mut found.report);
    report.direct_io = active.file.is_direct();
    Ok(Recovered {
        groups: std::mem::take(&mut found.groups),
        forgotten: std::mem::take(&mut found.forgotten),
        active,
        sealed,
        oldest: found.oldest,
        spares,
        freed: found.freed.iter().map(|&(number, size_bytes)| Freed { number, size_bytes }).collect(),
        next_number,
        report,
    })
}

/// Writes zeros over the start of what may be cut at `position`, so that it is never whole again. A loss of power while the
/// next flush is written there may leave the very sectors that are missing now, and of the rest what lies there. The
/// caller syncs. Where files are copied on write and there is no space, it is left: a log that can be read is worth more.
fn efface(file: &dyn DiskFile, position: u64) -> io::Result<()> {
    match file.write_at(AlignedBuffer::new(BLOCK_BYTES).as_slice(), position) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
        done => done,
    }
}

/// The identity file comes last: without it a directory counts as never made. Nothing was written yet that an older
/// version could not read, and from here on it refuses the directory.
fn write_identity(disk: &dyn Disk, identity: Identity) -> io::Result<()> {
    let file = disk.create(IDENTITY_TEMPORARY, DirectIo::Off)?;
    let mut block = AlignedBuffer::new(BLOCK_BYTES);
    encode_identity(identity, block.as_mut_slice());
    file.write_at(block.as_slice(), 0)?;
    file.sync_all()?;
    disk.rename(IDENTITY_TEMPORARY, IDENTITY_NAME)?;
    disk.sync_dir()
}
