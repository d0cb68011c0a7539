//! One sealed object as one file.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::{DataKey, Opener, Sealer};
use crate::durable::AtomicFile;
use crate::error::{AtPath, Code, Error, Result};

/// Largest object opened into memory at once. Models are larger and are read by ranges instead.
const MAX_OPENED: u64 = 4 << 30;

/// Seals `bytes` into a file that appears whole or not at all.
pub fn seal_file(path: &Path, bytes: &[u8], key: &DataKey, context: &str) -> Result<()> {
    let file = AtomicFile::create(path, 0o600)?;
    let mut sealer = Sealer::new(file, key, context.as_bytes()).at(path)?;
    sealer.write_all(bytes).at(path)?;
    sealer.finish().at(path)?.commit()
}

/// Like [`seal_file`], but a file that is there already is kept: returns false and changes nothing.
pub fn seal_new_file(path: &Path, bytes: &[u8], key: &DataKey, context: &str) -> Result<bool> {
    let file = AtomicFile::create(path, 0o600)?;
    let mut sealer = Sealer::new(file, key, context.as_bytes()).at(path)?;
    sealer.write_all(bytes).at(path)?;
    sealer.finish().at(path)?.commit_new()
}

/// The bytes given to [`seal_file`], all of them authenticated.
pub fn open_file(path: &Path, key: &DataKey, context: &str) -> Result<Vec<u8>> {
    let file = File::open(path).at(path)?;
    let sealed = file.metadata().at(path)?.len();
    let mut opener =
        Opener::new(file, 0, sealed, key, context.as_bytes()).map_err(|error| error.with("path", path.display()))?;
    if opener.length() > MAX_OPENED {
        return Err(Error::new(Code::TensorTooLarge, "the file is too large to open at once")
            .with("path", path.display())
            .with("length", opener.length())
            .with("limit", MAX_OPENED));
    }
    let mut out = vec![0; opener.length() as usize];
    opener
        .read_at(0, &mut out)
        .and_then(|()| opener.verify()) // an empty object has no byte to read, but a tag to check
        .map_err(|error| error.with("path", path.display()))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_back_under_its_own_context_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("object");
        let key = DataKey::generate();
        for bytes in [vec![], vec![7; 5], vec![9; 3 << 20]] {
            seal_file(&path, &bytes, &key, "run 1").unwrap();
            assert!(open_file(&path, &key, "run 1").unwrap() == bytes);
            assert_eq!(open_file(&path, &key, "run 2").unwrap_err().code, Code::SealBroken);
        }
    }

    #[test]
    fn a_missing_file_is_an_io_error_with_its_path() {
        let error = open_file(Path::new("/nonexistent/object"), &DataKey::generate(), "").unwrap_err();
        assert_eq!((error.code, error.fact("path")), (Code::Io, Some("/nonexistent/object")));
    }
}
