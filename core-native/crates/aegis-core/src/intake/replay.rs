//! Reading a log back after a stop of any kind.
//!
//! The question replay answers for every byte that does not fit: was it ever acknowledged? Bytes after the last flush may
//! be torn by a crash and are cut off. Bytes before a later commit frame were flushed: if they do not fit, the log is corrupt, and
//! says so rather than lose them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::epochs::{self, FENCE, Fence};
use super::frame::{
    COMMIT_BYTES, COMMIT_MAGIC, Commit, HEAD_BYTES, Head, LogId, MAX_ID, MAX_KIND, RECORD_FIXED, RECORD_MAGIC,
    RecordHead,
};
use super::index::Entry;
use super::segment::{Faults, SegmentFile};
use crate::error::{AtPath, Code, Error, Result};
use crate::seal::{DataKey, Opener, ReadAt};

/// What may be done to the files while they are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// They are ours: a torn tail is cut off.
    Ours,
    /// Another may be writing them: nothing is touched.
    Whole,
    /// So many records, which somebody fixed before; what lies behind is not looked at.
    UpTo(u64),
}

/// One epoch's files as found: everything durable, and where to go on.
pub struct Replayed {
    pub log_id: LogId,
    /// In order, without the fence.
    pub entries: Vec<Entry>,
    pub next_sequence: u64,
    /// Records that a commit frame vouches for.
    pub committed: u64,
    /// Whether the files say that other epochs came before. `None` if there are none yet.
    pub fenced: Option<bool>,
    pub fence: Option<Fence>,
    /// The file to go on in, its segment number and its end. `None` for a log that has not begun.
    pub tail: Option<(Arc<SegmentFile>, u32, u64)>,
    pub torn_bytes: u64,
}

impl Replayed {
    /// What counts of the epochs before this one; `None` if this one has served nobody yet.
    pub fn standing(&self) -> Option<Fence> {
        match (self.fenced, &self.fence) {
            (_, Some(fence)) => Some(fence.clone()),
            (Some(false), None) => Some(Fence::new()),
            _ => None,
        }
    }
}

pub fn replay(directory: &Path, key: &DataKey, faults: &Faults, reading: Reading) -> Result<Replayed> {
    let paths = segment_paths(directory)?;
    let mut log = Replayed {
        log_id: crate::random(),
        entries: Vec::new(),
        next_sequence: 0,
        committed: 0,
        fenced: None,
        fence: None,
        tail: None,
        torn_bytes: 0,
    };
    for (number, path) in paths.iter().enumerate() {
        let last = number + 1 == paths.len();
        let file = Arc::new(SegmentFile::open(path, faults)?);
        let length = file.length()?;
        if last
            && length <= HEAD_BYTES as u64
            && read_head(&file, length, key).is_err_and(|e| e.code == Code::LogCorrupt)
        {
            // Its creation was cut short: the head is flushed before the first record, so none was ever acknowledged here.
            log.torn_bytes += length;
            if reading == Reading::Ours {
                fs::remove_file(path).at(path)?;
            }
            break;
        }
        let head = read_head(&file, length, key)?;
        let fits = head.segment as usize == number
            && head.first_sequence == log.next_sequence
            && (number == 0 || (head.log_id == log.log_id && log.fenced == Some(head.fenced)));
        if !fits {
            return Err(corrupt(&file, 0, "a segment of another log or place"));
        }
        log.log_id = head.log_id;
        log.fenced = Some(head.fenced);
        let mut scan = Scan { file: &file, length, key, log: &mut log, reading, closed: false };
        let end = scan.frames(HEAD_BYTES as u64)?;
        let closed = scan.closed;
        if reading == Reading::UpTo(log.next_sequence) {
            break;
        }
        if end < length {
            if !last || commit_beyond(&file, &head.log_id, end, length)? {
                return Err(corrupt(&file, end, "flushed bytes do not fit"));
            }
            log.torn_bytes += length - end;
            if reading == Reading::Ours {
                file.truncate(end)?;
            }
        } else if !last && !closed {
            return Err(corrupt(&file, end, "the segment breaks off"));
        }
        log.tail = Some((file, head.segment, end));
    }
    match (reading, &log.tail) {
        (Reading::UpTo(records), _) if log.next_sequence < records => {
            Err(Error::new(Code::LogCorrupt, "acknowledged records of an earlier epoch are missing")
                .with("file", directory.display())
                .with("offset", 0)
                .with("expected", records)
                .with("got", log.next_sequence))
        }
        (Reading::Ours, Some((file, ..))) => {
            file.sync()?; // found is not yet flushed: the last process may have died between write and sync
            Ok(log)
        }
        _ => Ok(log),
    }
}

pub fn segment_path(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("segment-{number:08}.log"))
}

/// The segment files in order; a gap is corruption.
fn segment_paths(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).at(directory)? {
        let name = entry.at(directory)?.file_name();
        if let Some(name) = name.to_str().filter(|name| name.starts_with("segment-") && name.ends_with(".log")) {
            names.push(name.to_string());
        }
    }
    names.sort_unstable();
    for (number, name) in names.iter().enumerate() {
        let expected = segment_path(directory, number as u32);
        if expected.file_name().and_then(|expected| expected.to_str()) != Some(name) {
            return Err(Error::new(Code::LogCorrupt, "a segment file is missing")
                .with("file", expected.file_name().unwrap_or_default().display())
                .with("offset", 0));
        }
    }
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}

/// LOG_CORRUPT if it is no head; SEAL_BROKEN if it is one, but not under this key.
fn read_head(file: &Arc<SegmentFile>, length: u64, key: &DataKey) -> Result<Head> {
    let mut bytes = vec![0; length.min(HEAD_BYTES as u64) as usize];
    file.read_exact_at(&mut bytes, 0).at(file.path())?;
    let head = Head::decode(&bytes)
        .filter(|_| bytes.len() == HEAD_BYTES)
        .ok_or_else(|| corrupt(file, 0, "no segment head"))?;
    Opener::new(Arc::clone(file), Head::SEAL_OFFSET, Head::SEAL_LENGTH, key, &head.context())
        .and_then(|mut seal| seal.verify())
        .map_err(|error| error.with("file", file.name()))?;
    Ok(head)
}

struct Scan<'a> {
    file: &'a Arc<SegmentFile>,
    length: u64,
    key: &'a DataKey,
    log: &'a mut Replayed,
    reading: Reading,
    /// Whether the last frame read was a commit.
    closed: bool,
}

impl Scan<'_> {
    /// Reads frames from `at` to the end, or to the first that does not fit: returns where.
    fn frames(&mut self, mut at: u64) -> Result<u64> {
        while at < self.length && self.reading != Reading::UpTo(self.log.next_sequence) {
            match self.frame(at)? {
                Some(next) => at = next,
                None => break,
            }
        }
        Ok(at)
    }

    fn frame(&mut self, at: u64) -> Result<Option<u64>> {
        let mut fixed = [0; RECORD_FIXED];
        let available = (self.length - at).min(RECORD_FIXED as u64) as usize;
        self.file.read_exact_at(&mut fixed[..available], at).at(self.file.path())?;
        if available >= COMMIT_BYTES && fixed.starts_with(COMMIT_MAGIC) {
            let commit = Commit::decode(&fixed, &self.log.log_id, at);
            self.closed = commit.is_some_and(|commit| commit.next_sequence == self.log.next_sequence);
            if self.closed {
                self.log.committed = self.log.next_sequence;
            }
            return Ok(self.closed.then_some(at + COMMIT_BYTES as u64));
        }
        if available < RECORD_FIXED || !fixed.starts_with(RECORD_MAGIC) {
            return Ok(None);
        }
        self.record(at, &fixed)
    }

    fn record(&mut self, at: u64, fixed: &[u8; RECORD_FIXED]) -> Result<Option<u64>> {
        let names = RecordHead::names_length(fixed);
        let names_at = at + RECORD_FIXED as u64;
        if names > MAX_KIND + MAX_ID || names_at + names as u64 > self.length {
            return Ok(None);
        }
        let mut bytes = fixed.to_vec();
        bytes.resize(RECORD_FIXED + names, 0);
        self.file.read_exact_at(&mut bytes[RECORD_FIXED..], names_at).at(self.file.path())?;
        let Some(head) = RecordHead::decode(&bytes, &self.log.log_id) else { return Ok(None) };
        let end = at + head.frame_bytes();
        if head.sequence != self.log.next_sequence || end > self.length {
            return Ok(None);
        }
        let payload_at = at + head.head_bytes();
        let entry = Entry { head, log_id: self.log.log_id, file: Arc::clone(self.file), payload_at };
        match entry.open(self.key).and_then(|mut payload| payload.verify()) {
            Ok(()) => {}
            Err(error) if error.code == Code::SealBroken => return Ok(None),
            Err(error) => return Err(error),
        }
        if entry.head.kind == FENCE {
            let fence = epochs::decode(&epochs::payload(&entry, self.key)?);
            self.log.fence = Some(fence.ok_or_else(|| corrupt(self.file, at, "the fence is damaged"))?);
        } else {
            self.log.entries.push(entry);
        }
        self.log.next_sequence += 1;
        self.closed = false;
        Ok(Some(end))
    }
}

/// Whether anything after `from` was flushed: looks for a commit frame at every position.
fn commit_beyond(file: &SegmentFile, log_id: &LogId, from: u64, length: u64) -> Result<bool> {
    const WINDOW: u64 = 1 << 20;
    let mut window = Vec::new();
    let mut start = from + 1;
    while start + COMMIT_BYTES as u64 <= length {
        // Windows overlap by all but one byte of a frame, so that none falls between two.
        let end = length.min(start + WINDOW + COMMIT_BYTES as u64 - 1);
        window.resize((end - start) as usize, 0);
        file.read_exact_at(&mut window, start).at(file.path())?;
        let found = window.windows(COMMIT_BYTES).enumerate().any(|(offset, bytes)| {
            bytes.starts_with(COMMIT_MAGIC) && Commit::decode(bytes, log_id, start + offset as u64).is_some()
        });
        if found {
            return Ok(true);
        }
        start += WINDOW;
    }
    Ok(false)
}

fn corrupt(file: &SegmentFile, offset: u64, reason: &str) -> Error {
    Error::new(Code::LogCorrupt, "acknowledged bytes of the log are damaged")
        .with("file", file.name())
        .with("offset", offset)
        .with("reason", reason)
}
