//! The intake log: updates at rest between their arrival and their fold.
//!
//! Append-only segment files in one directory, one writer at a time, any number of readers in its process. An append is acknowledged after a flush
//! covers it; a log opened after a crash holds every acknowledged record, whole, and nothing that was not appended. Payloads
//! are sealed, and readable only in this log at their place (see [`frame`]). A writer whose process was paused and replaced acknowledges
//! nothing any more, and what it still appends is not part of the log (see [`epochs`]).
//!
//! Dropping a log without [`IntakeLog::close`] is safe: appends under way are still flushed.

mod epochs;
mod frame;
mod index;
mod replay;
mod segment;
mod writer;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;

use epochs::{FENCE, LOCK};
use frame::{MAX_ID, MAX_KIND, MAX_PAYLOAD};
use index::{Entry, Index};
use replay::Reading;
use segment::{Faults, SegmentFile};
use writer::{Append, Request, Tail, Writer};

use crate::error::{AtPath, Code, Error, Result};
use crate::seal::{DataKey, Opener};
use crate::update::{PartRead, Parts};

/// A segment file is closed once it would exceed this.
pub const DEFAULT_SEGMENT_BYTES: u64 = 256 << 20;
const MIN_SEGMENT_BYTES: u64 = 4096;

/// Bytes handed over for appending. They must not change until the append is answered.
pub type Piece = Box<dyn AsRef<[u8]> + Send>;
/// Called once, on the writer's thread or the caller's.
pub type Done<T> = Box<dyn FnOnce(Result<T>) + Send>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The id was there already; nothing was written.
    pub deduplicated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    pub id: String,
    pub kind: String,
    pub length: u64,
}

pub struct IntakeLog {
    key: DataKey,
    index: Arc<RwLock<Index>>,
    /// `None` once closing.
    requests: Mutex<Option<Sender<Request>>>,
    closed: AtomicBool,
    torn_bytes: u64,
    identity: u64,
}

impl IntakeLog {
    /// Opens or begins the log in `directory` (created if missing) as the owner of `epoch`: replays it, cuts off a torn tail, fences earlier
    /// epochs, starts the writer.
    ///
    /// [`Code::LogLocked`] if the same epoch is open elsewhere, [`Code::LogFenced`] if a later one has begun, [`Code::LogCorrupt`] with file and
    /// offset if flushed bytes are damaged, [`Code::SealBroken`] if `key` is not the one it was written with.
    pub fn open(directory: &Path, key: &DataKey, epoch: u64, segment_bytes: Option<u64>) -> Result<Self> {
        Self::open_with(directory, key, epoch, segment_bytes.unwrap_or(DEFAULT_SEGMENT_BYTES), Faults::default())
    }

    fn open_with(log: &Path, key: &DataKey, epoch: u64, segment_bytes: u64, faults: Faults) -> Result<Self> {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        if segment_bytes < MIN_SEGMENT_BYTES {
            return Err(Error::new(Code::Argument, "a segment file has at least 4096 bytes").with("got", segment_bytes));
        }
        // The order matters (see epochs): first seen by others, then looking at them.
        let directory = epochs::begin(log, epoch)?;
        let lock = acquire_lock(&directory)?;
        let (before, after): (Vec<u64>, Vec<u64>) =
            epochs::list(log)?.into_iter().filter(|&other| other != epoch).partition(|&other| other < epoch);
        if !after.is_empty() {
            return Err(epochs::fenced(&directory));
        }
        for &other in &before {
            epochs::take_lock_away(log, other)?;
        }
        let found = replay::replay(&directory, key, &faults, Reading::Ours)?;
        let (standing, torn_bytes) = (found.standing(), found.torn_bytes);
        let earlier = match &standing {
            Some(fence) => epochs::behind(log, fence, key, &faults)?,
            None => epochs::survey(log, &before, key, &faults)?,
        };
        let index = Arc::new(RwLock::new(Index::default()));
        fill(&index, earlier.entries.into_iter().chain(found.entries))?;
        let mut writer = Writer {
            directory: directory.clone(),
            key: key.clone(),
            log_id: found.log_id,
            index: Arc::clone(&index),
            segment_bytes,
            next_sequence: found.next_sequence,
            fenced: found.fenced.unwrap_or(!earlier.fence.is_empty()),
            overtaken: false,
            tail: found.tail.map(|(file, number, end)| Tail {
                file,
                number,
                durable: end,
                end,
                committed: 0,
                stuck: None,
            }),
            faults,
            _lock: lock,
        };
        if standing.is_none() && writer.fenced {
            writer.begin_behind(&earlier.uncommitted, &earlier.fence)?;
        }
        let (sender, receiver) = channel();
        thread::Builder::new().name("intake-log".into()).spawn(move || writer.run(&receiver)).at(&directory)?;
        Ok(Self {
            key: key.clone(),
            index,
            requests: Mutex::new(Some(sender)),
            closed: AtomicBool::new(false),
            torn_bytes,
            identity: OPENED.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Bytes cut off the end when the log was opened; none of them was ever acknowledged.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Queues one record; `done` is called once it is durable, or has failed and left no trace. Returns at once.
    ///
    /// [`Code::HashMismatch`] if `expected` is given and the pieces hash to something else; [`Code::DiskFull`]: later appends work again when
    /// space returns.
    pub fn append(&self, kind: &str, id: &str, pieces: Vec<Piece>, expected: Option<[u8; 32]>, done: Done<Appended>) {
        match self.checked(kind, id, &pieces) {
            Err(error) => done(Err(error)),
            Ok(_) if self.has(id) => done(Ok(Appended { deduplicated: true })),
            Ok(length) => {
                let append = Append { kind: kind.into(), id: id.into(), pieces, length, expected, done };
                self.send(Request::Append(append));
            }
        }
    }

    /// Whether a durable record has this id.
    pub fn has(&self, id: &str) -> bool {
        self.index.read().unwrap_or_else(PoisonError::into_inner).has(id)
    }

    /// Durable records in append order, of one kind or all.
    pub fn entries(&self, kind: Option<&str>) -> Vec<LogEntry> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index
            .iter()
            .filter(|head| kind.is_none_or(|kind| head.kind == kind))
            .map(|head| LogEntry { id: head.id.clone(), kind: head.kind.clone(), length: head.length })
            .collect()
    }

    /// At most `length` bytes of a record's payload from `offset`, to its end if no length is given. Opens only the
    /// sealed segments it touches. An offset beyond the end is `SLICE_OUT_OF_RANGE`.
    pub fn read(&self, id: &str, offset: u64, length: Option<u64>) -> Result<Vec<u8>> {
        let mut part = self.part(id)?;
        let available = part.length();
        let Some(rest) = available.checked_sub(offset) else {
            return Err(Error::new(Code::SliceOutOfRange, "the slice begins beyond its part")
                .with("part", id)
                .with("offset", offset)
                .with("available", available));
        };
        let length = length.map_or(rest, |most| most.min(rest));
        let mut out = vec![0; length as usize];
        part.read_at(offset, &mut out).map_err(|error| error.with("part", id))?;
        Ok(out)
    }

    /// Refuses new requests, finishes those queued, gives the lock back, then calls `done`. Closing twice is no error.
    pub fn close(&self, done: Done<()>) {
        self.closed.store(true, Ordering::Release);
        let sender = self.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
        match sender {
            None => done(Ok(())),
            Some(sender) => {
                if let Err(unsent) = sender.send(Request::Close(done)) {
                    answer_closed(unsent.0);
                }
            }
        }
    }

    fn checked(&self, kind: &str, id: &str, pieces: &[Piece]) -> Result<u64> {
        self.refuse_if_closed()?;
        for (what, text, limit) in [("kind", kind, MAX_KIND), ("id", id, MAX_ID)] {
            if text.is_empty() || text.len() > limit {
                return Err(Error::new(Code::Argument, "kind and id are not empty and not too long")
                    .with("argument", what)
                    .with("length", text.len())
                    .with("limit", limit));
            }
        }
        if kind == FENCE {
            return Err(Error::new(Code::Argument, "records of this kind are the log's own").with("argument", "kind"));
        }
        let length: u64 = pieces.iter().map(|piece| (**piece).as_ref().len() as u64).sum();
        if length > MAX_PAYLOAD {
            return Err(Error::new(Code::Argument, "the record is too long").with("length", length));
        }
        Ok(length)
    }

    fn send(&self, request: Request) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let unsent = match requests.as_ref() {
            Some(sender) => sender.send(request).err().map(|error| error.0),
            None => Some(request),
        };
        drop(requests);
        if let Some(request) = unsent {
            answer_closed(request);
        }
    }

    fn refuse_if_closed(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(()) }
    }
}

impl Parts for IntakeLog {
    type Reader = Opener<Arc<SegmentFile>>;

    fn part(&self, id: &str) -> Result<Self::Reader> {
        self.refuse_if_closed()?;
        let entry = self.index.read().unwrap_or_else(PoisonError::into_inner).get(id);
        let entry = entry.ok_or_else(|| Error::new(Code::PartUnknown, "the log has no such part").with("part", id))?;
        entry.open(&self.key).map_err(|error| error.with("part", id))
    }

    fn identity(&self) -> Option<u64> {
        Some(self.identity)
    }
}

impl PartRead for Opener<Arc<SegmentFile>> {
    fn length(&self) -> u64 {
        self.length()
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.read_at(offset, out)
    }
}

/// The writer is gone without having been closed: it panicked. Nobody may be left waiting.
fn answer_closed(request: Request) {
    match request {
        Request::Append(append) => (append.done)(Err(closed())),
        Request::Close(done) => done(Ok(())),
    }
}

fn closed() -> Error {
    Error::new(Code::LogClosed, "the log is closed")
}

/// Ids are unique across the epochs that count.
fn fill(index: &RwLock<Index>, entries: impl Iterator<Item = Entry>) -> Result<()> {
    let mut index = index.write().unwrap_or_else(PoisonError::into_inner);
    for entry in entries {
        if index.has(&entry.head.id) {
            return Err(Error::new(Code::LogCorrupt, "an id comes twice")
                .with("file", entry.file.name())
                .with("offset", entry.payload_at));
        }
        index.insert(entry);
    }
    Ok(())
}

fn acquire_lock(directory: &Path) -> Result<fs::File> {
    let path = directory.join(LOCK);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).at(&path)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Err(Error::new(Code::LogLocked, "the log is open elsewhere").with("directory", directory.display()))
        }
        Err(error) => Err(Error::io(&error.into(), &path)),
    }
}

#[cfg(test)]
mod tests;
