//! The first key wrapper: a file of 32 random bytes that only its owner may touch.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use zeroize::Zeroizing;

use super::{DataKey, TAG_BYTES, gcm};
use crate::durable::AtomicFile;
use crate::error::{AtPath, Code, Error, Result};
use crate::random;

const KEY_BYTES: usize = 32;
const VERSION: u8 = 1;
const WRAPPED_BYTES: usize = 1 + NONCE_LEN + KEY_BYTES + TAG_BYTES;
const SYMLINK_REFUSED: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;

/// Wraps data keys: `version (1) ‖ nonce (12) ‖ AES-256-GCM(file key, nonce, data key, AAD = context)`.
pub struct KeyFile(Zeroizing<[u8; KEY_BYTES]>);

impl KeyFile {
    /// Opens the key file, first creating it if asked to and missing. Of several processes creating it at once, all end up
    /// with the same key. [`Code::KeyFile`] if it is missing, of the wrong size, no regular file, or open to others.
    pub fn open(path: &Path, create: bool) -> Result<Self> {
        match Self::load(path)? {
            Some(key) => return Ok(key),
            None if !create => return Err(refused(path, "missing")),
            None => {}
        }
        let key = Zeroizing::new(random::<KEY_BYTES>());
        let mut file = AtomicFile::create(path, 0o600)?;
        file.write_all(&*key).at(path)?;
        file.commit_new()?;
        // Read back rather than trust our own bytes: another process may have been first.
        Self::load(path)?.ok_or_else(|| refused(path, "missing"))
    }

    /// Wraps `key` for `context`; only [`KeyFile::unwrap`] with the same context gets it back.
    pub fn wrap(&self, key: &DataKey, context: &str) -> Vec<u8> {
        let nonce = random::<NONCE_LEN>();
        let mut sealed = Zeroizing::new(*key.bytes());
        let tag = gcm(&self.0)
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                sealed.as_mut_slice(),
            )
            .expect("32 bytes are within what AES-GCM seals");
        [&[VERSION][..], &nonce, &*sealed, tag.as_ref()].concat()
    }

    /// [`Code::SealBroken`] if `wrapped` is damaged, or of another key file or context.
    pub fn unwrap(&self, wrapped: &[u8], context: &str) -> Result<DataKey> {
        let broken = || Error::new(Code::SealBroken, "the wrapped key is damaged, or of another key file or context");
        if wrapped.len() != WRAPPED_BYTES || wrapped[0] != VERSION {
            return Err(broken());
        }
        let (nonce, sealed) = wrapped[1..].split_at(NONCE_LEN);
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
        let plain =
            gcm(&self.0).open_in_place(nonce, Aad::from(context.as_bytes()), &mut sealed).map_err(|_| broken())?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        key.copy_from_slice(plain);
        Ok(DataKey::from_bytes(&key))
    }

    fn load(path: &Path) -> Result<Option<Self>> {
        // A symbolic link could lead to a file whose directory others may write to.
        let opened = OpenOptions::new().read(true).custom_flags(SYMLINK_REFUSED).open(path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(path, &error.to_string())),
        };
        let metadata = file.metadata().at(path)?;
        if !metadata.is_file() {
            return Err(refused(path, "not a regular file"));
        }
        if metadata.mode() & 0o077 != 0 {
            let mode = format!("{:04o}", metadata.mode() & 0o7777);
            return Err(refused(path, "open to group or others").with("mode", mode));
        }
        if metadata.len() != KEY_BYTES as u64 {
            return Err(refused(path, "not 32 bytes").with("length", metadata.len()));
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        file.read_exact(&mut *key).at(path)?;
        Ok(Some(Self(key)))
    }
}

fn refused(path: &Path, reason: &str) -> Error {
    Error::new(Code::KeyFile, "the key file cannot be used").with("path", path.display()).with("reason", reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_wrapped_key_opens_what_the_original_sealed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let file = KeyFile::open(&path, true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let key = DataKey::generate();
        let wrapped = file.wrap(&key, "run 1");
        let again = KeyFile::open(&path, false).unwrap().unwrap(&wrapped, "run 1").unwrap();
        assert_eq!(again.bytes(), key.bytes());
    }

    #[test]
    fn another_context_key_file_or_bit_is_broken() {
        let directory = tempfile::tempdir().unwrap();
        let file = KeyFile::open(&directory.path().join("a"), true).unwrap();
        let other = KeyFile::open(&directory.path().join("b"), true).unwrap();
        let wrapped = file.wrap(&DataKey::generate(), "context");
        let code = |result: Result<DataKey>| result.err().map(|error| error.code);
        assert_eq!(code(file.unwrap(&wrapped, "Context")), Some(Code::SealBroken));
        assert_eq!(code(other.unwrap(&wrapped, "context")), Some(Code::SealBroken));
        assert_eq!(code(file.unwrap(&wrapped[1..], "context")), Some(Code::SealBroken));
        assert_eq!(code(file.unwrap(&[], "context")), Some(Code::SealBroken));
        for position in 0..wrapped.len() {
            let mut flipped = wrapped.clone();
            flipped[position] ^= 1;
            assert_eq!(code(file.unwrap(&flipped, "context")), Some(Code::SealBroken), "byte {position}");
        }
    }

    #[test]
    fn a_missing_short_linked_or_readable_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let reason = |path: &Path| {
            let error = KeyFile::open(path, false).err().expect("refused");
            assert_eq!(error.code, Code::KeyFile);
            error.fact("reason").unwrap().to_string()
        };
        assert_eq!(reason(&path), "missing");
        KeyFile::open(&path, true).unwrap();
        let link = directory.path().join("link");
        symlink(&path, &link).unwrap();
        reason(&link);
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(reason(&path), "open to group or others");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, [0; 31]).unwrap();
        assert_eq!(reason(&path), "not 32 bytes");
    }
}
