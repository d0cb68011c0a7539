//! Files that are either wholly there or not at all, also after a power cut.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{AtPath, Code, Error, Result};
use crate::hash::to_hex;
use crate::random;

/// A file being written beside its final place. [`AtomicFile::commit`] makes it appear; dropping it leaves no trace.
pub struct AtomicFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl AtomicFile {
    /// `mode` is the permission bits of the new file, before the process's umask.
    pub fn create(target: &Path, mode: u32) -> Result<Self> {
        let name = target
            .file_name()
            .ok_or_else(|| Error::new(Code::Argument, "a file path is needed").with("path", target.display()))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.tmp", to_hex(&random::<8>())));
        let temporary = target.with_file_name(hidden);
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&temporary).at(&temporary)?;
        Ok(Self { file, temporary, target: target.to_path_buf(), committed: false })
    }

    pub fn path(&self) -> &Path {
        &self.target
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Flushes to the disk, then replaces whatever was at the target.
    pub fn commit(mut self) -> Result<()> {
        self.file.sync_all().at(&self.target)?;
        fs::rename(&self.temporary, &self.target).at(&self.target)?;
        self.committed = true;
        sync_directory_of(&self.target)
    }

    /// Like [`AtomicFile::commit`], but an existing target is kept: returns false and changes nothing.
    pub fn commit_new(self) -> Result<bool> {
        self.file.sync_all().at(&self.target)?;
        // A hard link, unlike a rename, refuses to replace; the temporary name goes with the drop.
        match fs::hard_link(&self.temporary, &self.target) {
            Ok(()) => sync_directory_of(&self.target).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Error::io(&error, &self.target)),
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_file(&self.temporary); // nothing to tell anybody: the target is untouched
        }
    }
}

/// Makes the names in `path`'s directory durable (created, renamed or removed files).
pub fn sync_directory_of(path: &Path) -> Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory).and_then(|handle| handle.sync_all()).at(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uncommitted_file_leaves_no_trace() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("model");
        fs::write(&target, "old").unwrap();
        let mut file = AtomicFile::create(&target, 0o600).unwrap();
        file.write_all(b"new").unwrap();
        drop(file);
        assert_eq!(fs::read(&target).unwrap(), b"old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn commit_replaces_and_commit_new_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("f");
        let write = |text: &str| {
            let mut file = AtomicFile::create(&target, 0o600).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file
        };
        assert!(write("1").commit_new().unwrap());
        assert!(!write("2").commit_new().unwrap());
        assert_eq!(fs::read(&target).unwrap(), b"1");
        write("3").commit().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"3");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
