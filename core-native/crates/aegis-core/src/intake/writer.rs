//! The one thread that writes a log. Everything waiting when it is free shares one flush.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, PoisonError, RwLock};

use super::epochs::{self, FENCE, Fence};
use super::frame::{Commit, HEAD_BYTES, Head, LogId, RecordHead};
use super::index::{Entry, Index};
use super::replay::segment_path;
use super::segment::{Faults, SegmentFile};
use super::{Appended, Done, Piece};
use crate::durable::sync_directory_of;
use crate::error::{AtPath, Code, Error, Result};
use crate::hash::{sha256, to_hex};
use crate::seal::{DataKey, Sealer};

/// A flush waits for no more payload than this, however much is queued: it bounds how long the first in line waits.
const GROUP_BYTES: u64 = 64 << 20;
/// Frames below this leave in one write; larger segments of a payload pass through uncopied.
const WRITE_BUFFER: usize = 64 << 10;

pub enum Request {
    Append(Append),
    Close(Done<()>),
}

pub struct Append {
    pub kind: String,
    pub id: String,
    pub pieces: Vec<Piece>,
    pub length: u64,
    pub expected: Option<[u8; 32]>,
    pub done: Done<Appended>,
}

pub struct Writer {
    pub directory: PathBuf,
    pub key: DataKey,
    pub log_id: LogId,
    pub index: Arc<RwLock<Index>>,
    pub segment_bytes: u64,
    pub next_sequence: u64,
    /// Other epochs came before this one.
    pub fenced: bool,
    /// A later epoch has begun: nothing is written or answered as durable any more.
    pub overtaken: bool,
    /// The file being written. `None` until the first append.
    pub tail: Option<Tail>,
    pub faults: Faults,
    /// Held for as long as the thread lives.
    pub _lock: File,
}

pub struct Tail {
    pub file: Arc<SegmentFile>,
    pub number: u32,
    /// End of what is durable, and of what is written.
    pub durable: u64,
    pub end: u64,
    /// End of the newest commit frame, 0 if unknown.
    pub committed: u64,
    /// Why nothing can be written any more, if so: bytes of a failed append that could not be cut off again.
    pub stuck: Option<Error>,
}

/// Records written and not yet flushed, with those who wait for them.
#[derive(Default)]
struct Group {
    entries: Vec<Entry>,
    ids: HashSet<String>,
    waiting: Vec<(Done<Appended>, Appended)>,
}

impl Writer {
    /// Serves requests until a close, or until every sender is gone.
    pub fn run(mut self, requests: &Receiver<Request>) {
        let mut closing = None;
        while closing.is_none() {
            let Ok(mut request) = requests.recv() else { break };
            let mut group = Group::default();
            let mut bytes = 0;
            loop {
                match request {
                    Request::Append(append) => {
                        bytes += append.length;
                        self.append(append, &mut group);
                    }
                    Request::Close(done) => {
                        closing = Some(done);
                        break;
                    }
                }
                if bytes >= GROUP_BYTES {
                    break;
                }
                match requests.try_recv() {
                    Ok(next) => request = next,
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            self.settle(&mut group);
        }
        let closed = self.tail.as_ref().map_or(Ok(()), |tail| tail.file.sync());
        drop(self); // gives the lock back before anybody hears of it
        if let Some(done) = closing {
            done(closed);
        }
    }

    /// Takes earlier epochs over: copies `records` and, with them, writes the fence. Returns when both are durable.
    pub fn begin_behind(&mut self, records: &[Entry], fence: &Fence) -> Result<()> {
        let (sender, answers) = channel();
        let mut group = Group::default();
        let mut take = |writer: &mut Self, kind: &str, id: &str, payload: Vec<u8>| {
            let (sender, length) = (sender.clone(), payload.len() as u64);
            let done = Box::new(move |result| drop(sender.send(result)));
            let (kind, id, pieces) = (kind.into(), id.into(), vec![Box::new(payload) as Piece]);
            writer.append(Append { kind, id, pieces, length, expected: None, done }, &mut group);
        };
        for record in records {
            take(self, &record.head.kind, &record.head.id, epochs::payload(record, &self.key)?);
        }
        take(self, FENCE, FENCE, epochs::encode(fence));
        self.settle(&mut group);
        drop(sender);
        answers.into_iter().try_for_each(|answer| answer.map(drop))
    }

    /// Writes one record into the group, or answers at once.
    fn append(&mut self, append: Append, group: &mut Group) {
        // once a group: whoever was overtaken long ago writes nothing
        if group.waiting.is_empty() && !epochs::holds_lock(&self.directory) {
            self.overtaken = true;
        }
        if self.overtaken {
            return (append.done)(Err(epochs::fenced(&self.directory)));
        }
        if self.is_durable(&append.id) {
            return (append.done)(Ok(Appended { deduplicated: true }));
        }
        if group.ids.contains(&append.id) {
            group.waiting.push((append.done, Appended { deduplicated: true }));
            return;
        }
        match self.write(&append, group) {
            Ok(entry) => {
                group.ids.insert(append.id);
                group.entries.push(entry);
                group.waiting.push((append.done, Appended { deduplicated: false }));
            }
            Err(error) => (append.done)(Err(error)),
        }
    }

    fn write(&mut self, append: &Append, group: &mut Group) -> Result<Entry> {
        if let Some(expected) = append.expected {
            let got = sha256(append.pieces.iter().map(|piece| (**piece).as_ref()));
            if got != expected {
                return Err(Error::new(Code::HashMismatch, "the bytes are not those announced")
                    .with("id", &append.id)
                    .with("expected", to_hex(&expected))
                    .with("got", to_hex(&got)));
            }
        }
        let mut head = RecordHead {
            sequence: self.next_sequence,
            length: append.length,
            kind: append.kind.clone(),
            id: append.id.clone(),
        };
        if self
            .tail
            .as_ref()
            .is_none_or(|tail| tail.end > HEAD_BYTES as u64 && tail.end + head.frame_bytes() > self.segment_bytes)
        {
            self.settle(group);
            if self.overtaken {
                return Err(epochs::fenced(&self.directory));
            }
            self.next_segment()?;
            head.sequence = self.next_sequence; // a failed flush takes sequence numbers back
        }
        let tail = self.tail.as_mut().expect("a segment was just opened");
        tail.recover()?;
        let start = tail.end;
        match write_record(&tail.file, start, &head, append, &self.key, &self.log_id) {
            Ok(()) => {
                tail.end = start + head.frame_bytes();
                self.next_sequence += 1;
                let (payload_at, file) = (start + head.head_bytes(), Arc::clone(&tail.file));
                Ok(Entry { head, log_id: self.log_id, file, payload_at })
            }
            Err(error) => {
                tail.cut_back(start, &error);
                Err(error)
            }
        }
    }

    /// Flushes what the group wrote, publishes it and answers everybody in it.
    fn settle(&mut self, group: &mut Group) {
        let group = std::mem::take(group);
        if group.waiting.is_empty() {
            return;
        }
        let tail = self.tail.as_mut().expect("a group has records, so it has a file");
        match tail.file.sync() {
            Ok(()) if !epochs::holds_lock(&self.directory) => {
                // Whether the group lies before the fence is not ours to know (see epochs.rs): those who wait ask the next owner.
                self.overtaken = true;
                for (done, _) in group.waiting {
                    done(Err(epochs::fenced(&self.directory)));
                }
            }
            Ok(()) => {
                tail.durable = tail.end;
                {
                    let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
                    let records = group.entries.into_iter().filter(|entry| entry.head.kind != FENCE);
                    records.for_each(|entry| index.insert(entry));
                }
                // Rides on the next flush: without it, damage to the newest records would pass for a torn tail.
                let _ = tail.write_commit(self.next_sequence, &self.log_id);
                for (done, appended) in group.waiting {
                    done(Ok(appended));
                }
            }
            Err(error) => {
                // After a failed flush the kernel may have dropped the pages: nothing of the group can be trusted.
                self.next_sequence -= group.entries.len() as u64;
                tail.cut_back(tail.durable, &error);
                for (done, _) in group.waiting {
                    done(Err(error.clone()));
                }
            }
        }
    }

    /// Closes the current segment, durably, and begins the next one.
    fn next_segment(&mut self) -> Result<()> {
        let number = match &mut self.tail {
            None => 0,
            Some(tail) => {
                tail.recover()?;
                if tail.committed != tail.end {
                    tail.write_commit(self.next_sequence, &self.log_id)?;
                }
                tail.file.sync()?;
                tail.number + 1
            }
        };
        let path = segment_path(&self.directory, number);
        let (log_id, first_sequence) = (self.log_id, self.next_sequence);
        let head = Head { segment: number, log_id, first_sequence, fenced: self.fenced };
        let begun = begin_segment(&path, &head, &self.key, &self.faults);
        if begun.is_err() {
            let _ = fs::remove_file(&path); // replay would remove it too
        }
        let end = HEAD_BYTES as u64;
        self.tail = Some(Tail { file: Arc::new(begun?), number, durable: end, end, committed: 0, stuck: None });
        Ok(())
    }

    fn is_durable(&self, id: &str) -> bool {
        self.index.read().unwrap_or_else(PoisonError::into_inner).has(id)
    }
}

impl Tail {
    /// Takes back what a failed write left behind `length`.
    fn cut_back(&mut self, length: u64, cause: &Error) {
        self.end = length;
        self.stuck = self.file.truncate(length).err().map(|_| cause.clone());
    }

    /// Tries once more to cut off what an earlier failure left; the log can go on only after that.
    fn recover(&mut self) -> Result<()> {
        let Some(cause) = self.stuck.take() else { return Ok(()) };
        self.cut_back(self.end, &cause);
        self.stuck.clone().map_or(Ok(()), Err)
    }

    fn write_commit(&mut self, next_sequence: u64, log_id: &LogId) -> Result<()> {
        let commit = Commit { position: self.end, next_sequence }.encode(log_id);
        let written = self.file.writer(self.end).write_all(&commit).at(self.file.path());
        match &written {
            Ok(()) => {
                self.end += commit.len() as u64;
                self.committed = self.end;
                self.durable = self.end; // nothing is lost if it is not: it repeats what the records before it say
            }
            Err(error) => self.cut_back(self.end, error),
        }
        written
    }
}

fn write_record(
    file: &SegmentFile,
    start: u64,
    head: &RecordHead,
    append: &Append,
    key: &DataKey,
    log_id: &LogId,
) -> Result<()> {
    let write = || {
        let mut out = BufWriter::with_capacity(WRITE_BUFFER, file.writer(start));
        out.write_all(&head.encode(log_id))?;
        let mut sealer = Sealer::new(out, key, &head.context(log_id))?;
        for piece in &append.pieces {
            sealer.write_all((**piece).as_ref())?;
        }
        sealer.finish()?.flush()
    };
    write().at(file.path())
}

fn begin_segment(path: &Path, head: &Head, key: &DataKey, faults: &Faults) -> Result<SegmentFile> {
    let file = SegmentFile::create(path, faults)?;
    let mut bytes = head.encode();
    let seal = Sealer::new(Vec::new(), key, &head.context()).and_then(Sealer::finish).at(path)?;
    bytes.extend(seal);
    file.writer(0).write_all(&bytes).at(path)?;
    file.sync()?;
    sync_directory_of(path)?;
    Ok(file)
}
