//! One segment file: positional reads and writes, and in tests a disk that fills up or fails on demand.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{AtPath, Result};
use crate::seal::ReadAt;

pub struct SegmentFile {
    file: File,
    path: PathBuf,
    faults: Faults,
}

impl SegmentFile {
    pub fn create(path: &Path, faults: &Faults) -> Result<Self> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path);
        Ok(Self { file: options.at(path)?, path: path.into(), faults: faults.clone() })
    }

    pub fn open(path: &Path, faults: &Faults) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path).at(path)?;
        Ok(Self { file, path: path.into(), faults: faults.clone() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    pub fn length(&self) -> Result<u64> {
        self.file.metadata().map(|metadata| metadata.len()).at(&self.path)
    }

    pub fn truncate(&self, length: u64) -> Result<()> {
        self.file.set_len(length).at(&self.path)
    }

    /// Makes data and length durable; times and permissions may lag behind.
    pub fn sync(&self) -> Result<()> {
        self.faults.before_sync().and_then(|()| self.file.sync_data()).at(&self.path)
    }

    /// A writer starting at `position`; what it does not write stays as it was.
    pub fn writer(&self, position: u64) -> SegmentWriter<'_> {
        SegmentWriter { segment: self, position }
    }
}

impl ReadAt for SegmentFile {
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(&self.file, out, offset)
    }
}

pub struct SegmentWriter<'a> {
    segment: &'a SegmentFile,
    position: u64,
}

impl Write for SegmentWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let allowed = self.segment.faults.before_write(bytes.len())?;
        let written = self.segment.file.write_at(&bytes[..allowed], self.position)?;
        self.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Nothing in production. In tests: bytes left on the disk, syncs done, the next sync to fail, what happens
/// during it.
#[derive(Clone, Default)]
pub struct Faults {
    #[cfg(test)]
    pub plan: std::sync::Arc<FaultPlan>,
}

#[cfg(test)]
pub struct FaultPlan {
    pub space: std::sync::Mutex<Option<usize>>,
    pub syncs: std::sync::atomic::AtomicUsize,
    pub fail_sync: std::sync::atomic::AtomicBool,
    pub during_sync: std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

#[cfg(test)]
impl Default for FaultPlan {
    fn default() -> Self {
        Self { space: None.into(), syncs: 0.into(), fail_sync: false.into(), during_sync: None.into() }
    }
}

#[cfg(not(test))]
impl Faults {
    fn before_write(&self, bytes: usize) -> io::Result<usize> {
        Ok(bytes)
    }

    fn before_sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
impl Faults {
    fn before_write(&self, bytes: usize) -> io::Result<usize> {
        let mut space = self.plan.space.lock().unwrap();
        match space.as_mut() {
            None => Ok(bytes),
            Some(0) if bytes > 0 => Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                let allowed = bytes.min(*left);
                *left -= allowed;
                Ok(allowed)
            }
        }
    }

    fn before_sync(&self) -> io::Result<()> {
        use std::sync::atomic::Ordering::SeqCst;
        self.plan.syncs.fetch_add(1, SeqCst);
        if let Some(event) = self.plan.during_sync.lock().unwrap().take() {
            event();
        }
        if self.plan.fail_sync.swap(false, SeqCst) { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}
