//! What a log holds, in append order and by id. Durable records only.

use std::collections::HashMap;
use std::sync::Arc;

use super::frame::{LogId, RecordHead};
use super::segment::SegmentFile;
use crate::error::Result;
use crate::seal::{DataKey, Opener, sealed_length};

pub struct Entry {
    pub head: RecordHead,
    pub log_id: LogId,
    pub file: Arc<SegmentFile>,
    /// Where the sealed payload starts in the file.
    pub payload_at: u64,
}

impl Entry {
    pub fn open(&self, key: &DataKey) -> Result<Opener<Arc<SegmentFile>>> {
        let sealed = sealed_length(self.head.length);
        Opener::new(Arc::clone(&self.file), self.payload_at, sealed, key, &self.head.context(&self.log_id))
    }
}

#[derive(Default)]
pub struct Index {
    entries: Vec<Arc<Entry>>,
    by_id: HashMap<String, usize>,
}

impl Index {
    pub fn has(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    pub fn get(&self, id: &str) -> Option<Arc<Entry>> {
        self.by_id.get(id).map(|&position| Arc::clone(&self.entries[position]))
    }

    pub fn insert(&mut self, entry: Entry) {
        self.by_id.insert(entry.head.id.clone(), self.entries.len());
        self.entries.push(Arc::new(entry));
    }

    pub fn iter(&self) -> impl Iterator<Item = &RecordHead> {
        self.entries.iter().map(|entry| &entry.head)
    }
}
