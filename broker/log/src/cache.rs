//! Sealed segments that readers have open.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::core::Sealed;
use crate::disk::{Disk, DiskFile};
use crate::index::SegmentIndex;
use crate::segment::{BLOCK_BYTES, Trailer, segment_name};

/// A sealed segment with its index.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub number: u64,
    pub use_id: u64,
    pub index: Arc<SegmentIndex>,
    /// `None` of a segment that is lost.
    pub file: Option<Arc<dyn DiskFile>>,
}

/// The last few sealed segments that were read.
#[derive(Debug)]
pub(crate) struct SegmentCache {
    disk: Arc<dyn Disk>,
    capacity: usize,
    /// Most recently used last.
    open: Mutex<VecDeque<Arc<OpenSegment>>>,
}

impl SegmentCache {
    pub(crate) fn new(disk: Arc<dyn Disk>, capacity: usize) -> Self {
        Self { disk, capacity: capacity.max(1), open: Mutex::default() }
    }

    pub(crate) fn insert(&self, number: u64, use_id: u64, index: Arc<SegmentIndex>, file: Arc<dyn DiskFile>) {
        self.keep(Arc::new(OpenSegment { number, use_id, index, file: Some(file) }));
    }

    fn keep(&self, segment: Arc<OpenSegment>) {
        let mut open = self.open.lock();
        open.retain(|other| other.number != segment.number);
        open.push_back(segment);
        while open.len() > self.capacity {
            open.pop_front();
        }
    }

    /// Segments below `keep_from` are no longer part of the log.
    pub(crate) fn forget_below(&self, keep_from: u64) {
        self.open.lock().retain(|segment| segment.number >= keep_from);
    }

    /// The sealed segment `number`; its footer is read when it is not open. `Ok(None)` when the footer is not, or no
    /// longer, the one that was written.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn open(&self, number: u64, sealed: &Sealed) -> io::Result<Option<Arc<OpenSegment>>> {
        {
            let mut open = self.open.lock();
            if let Some(at) = open.iter().position(|s| s.number == number && s.use_id == sealed.use_id) {
                let segment = open.remove(at).expect("just found");
                open.push_back(Arc::clone(&segment));
                return Ok(Some(segment));
            }
        }
        if sealed.is_lost {
            let index = sealed.pinned.clone().unwrap_or_default();
            return Ok(Some(Arc::new(OpenSegment { number, use_id: sealed.use_id, index, file: None })));
        }
        let file = self.disk.open_read_only(&segment_name(number))?;
        let index = match &sealed.pinned {
            Some(index) => Some(Arc::clone(index)),
            None => read_footer(&*file, number, sealed.use_id, sealed.size_bytes)?.map(Arc::new),
        };
        let Some(index) = index else { return Ok(None) };
        let segment = Arc::new(OpenSegment { number, use_id: sealed.use_id, index, file: Some(file) });
        self.keep(Arc::clone(&segment));
        Ok(Some(segment))
    }
}

/// Whether a segment is sealed.
#[derive(Debug)]
pub(crate) enum Footer {
    /// It is, and this is its index.
    Whole(SegmentIndex),
    /// It is, but its index is damaged. The sequence after its last record is known all the same.
    Damaged {
        /// From the trailer.
        next_sequence: u64,
    },
    /// It is not.
    Absent,
}

/// Looks for the footer of a segment's present use.
///
/// # Errors
/// Those of the system.
pub(crate) fn find_footer(file: &dyn DiskFile, number: u64, use_id: u64, size_bytes: u64) -> io::Result<Footer> {
    let mut block = vec![0; BLOCK_BYTES];
    let trailer_at = size_bytes.saturating_sub(BLOCK_BYTES as u64);
    let read = file.read_at(&mut block, trailer_at)?;
    let Some(trailer) = Trailer::decode(&block[..read]).filter(|t| t.number == number && t.use_id == use_id) else {
        return Ok(Footer::Absent);
    };
    let damaged = Footer::Damaged { next_sequence: trailer.next_sequence };
    if trailer.footer_at.checked_add(trailer.footer_len).is_none_or(|end| end > trailer_at) {
        return Ok(damaged);
    }
    let mut bytes = vec![0; usize::try_from(trailer.footer_len).unwrap_or(0)];
    let read = file.read_at(&mut bytes, trailer.footer_at)?;
    if read < bytes.len() || crc32c::crc32c(&bytes) != trailer.footer_crc {
        return Ok(damaged);
    }
    Ok(SegmentIndex::decode(&bytes).map_or(damaged, Footer::Whole))
}

fn read_footer(file: &dyn DiskFile, number: u64, use_id: u64, size_bytes: u64) -> io::Result<Option<SegmentIndex>> {
    Ok(match find_footer(file, number, use_id, size_bytes)? {
        Footer::Whole(index) => Some(index),
        Footer::Damaged { .. } | Footer::Absent => None,
    })
}
