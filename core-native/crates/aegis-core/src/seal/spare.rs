//! Segment buffers, used again. A fresh megabyte for each object costs up to 256 page faults.

use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// As many as threads that seal or open at the same time.
const KEPT: usize = 8;
static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A vector that had a use before: it holds leftovers of any length until it is written to.
pub struct SpareBuffer(Vec<u8>);

impl SpareBuffer {
    pub fn take() -> Self {
        Self(SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default())
    }

    pub fn empty() -> Self {
        let mut buffer = Self::take();
        buffer.clear();
        buffer
    }
}

impl Drop for SpareBuffer {
    fn drop(&mut self) {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.capacity() > 0 && spare.len() < KEPT {
            spare.push(mem::take(&mut self.0));
        }
    }
}

impl Deref for SpareBuffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for SpareBuffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}
