//! Looks at every byte of a log that is not open, and changes nothing.

use std::io;

use crate::disk::Disk;
use crate::error::{Damage, OpenError};
use crate::options::OnDamage;
use crate::scan::scan;
use crate::segment::{DATA_START, segment_name};
use crate::survey::survey;
use crate::types::{GroupId, GroupView, Identity, Report};

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
    /// Records of sealed segments that are not what was written. Opening does not read these; reading them fails.
    pub damaged: Vec<Damage>,
    /// Why the log would not open.
    pub refusal: Option<OpenError>,
}

impl VerifyReport {
    /// Nothing is wrong.
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
        refusal: None,
    };
    let found = match survey(disk, None, None, OnDamage::Refuse) {
        Ok(found) => found,
        Err(error @ OpenError::Io { .. }) => return Err(error),
        Err(error) => {
            report.refusal = Some(error);
            return Ok(report);
        }
    };
    report.identity = found.identity;
    report.report = found.report;
    report.groups =
        found.groups.iter().map(|(group, state)| GroupReport { group: *group, view: state.view() }).collect();
    for (number, segment) in &found.segments {
        let name = segment_name(*number);
        let io = |source| OpenError::Io { action: "read a segment", source };
        let file = disk.open_read_only(&name).map_err(io)?;
        let (use_id, size_bytes) = (segment.header.use_id, segment.header.size_bytes);
        let read = scan(&*file, use_id, size_bytes).map_err(io)?;
        let same_start = read.index.is_empty()
            || (read.index.first_sequence, read.index.first_previous)
                == (segment.index.first_sequence, segment.index.first_previous);
        let whole = read.index.is_empty() && segment.index.is_empty()
            || same_start && read.index.next_sequence == segment.index.next_sequence;
        if !whole {
            let header = read.stop_header;
            report.damaged.push(Damage {
                file: disk.describe(&name),
                position: read.stop,
                group: header.map(|header| GroupId(header.group)),
                index: header.map(|header| crate::types::LogIndex(header.index)),
                offsets: header.as_ref().and_then(crate::record::Header::offsets),
            });
        }
        report.segments.push(SegmentReport {
            file: disk.describe(&name),
            number: *number,
            sealed: segment.sealed,
            records: read.records,
            record_bytes: segment.index.end.saturating_sub(DATA_START),
            file_bytes: size_bytes,
        });
    }
    Ok(report)
}
