//! The bytes of a log segment file.
//!
//! ```text
//! file    = head ‖ frame*
//! head    = "AEGISLOG" ‖ version u32 ‖ segment u32 ‖ log id (16) ‖ first sequence u64 ‖ fenced u32 ‖ seal of nothing (56)
//! record  = "REC1" ‖ crc u32 ‖ sequence u64 ‖ length u64 ‖ kind length u16 ‖ id length u16 ‖ kind ‖ id ‖ sealed payload
//! commit  = "END1" ‖ crc u32 ‖ position u64 ‖ next sequence u64
//! ```
//!
//! Integers are little-endian. A crc is CRC-32C over the log id and the rest of its frame before the payload. A record's payload is a sealed
//! object of its own whose context is log id ‖ sequence ‖ length ‖ kind ‖ id: it opens in this log, at this place, under
//! this name and nowhere else. A commit says that everything before `position` — its own place in the file — was flushed.

use crate::seal::sealed_length;

pub const MAX_KIND: usize = 64;
pub const MAX_ID: usize = 1024;
/// Longest payload; appended pieces are in memory, so this only catches damage.
pub const MAX_PAYLOAD: u64 = 1 << 40;

pub const HEAD_BYTES: usize = HEAD_CLEAR + HEAD_SEAL;
const HEAD_CLEAR: usize = 8 + 4 + 4 + 16 + 8 + 4;
const HEAD_SEAL: usize = 56;
pub const COMMIT_BYTES: usize = 24;
pub const RECORD_FIXED: usize = 28;
pub const RECORD_MAGIC: &[u8; 4] = b"REC1";
pub const COMMIT_MAGIC: &[u8; 4] = b"END1";
const HEAD_MAGIC: &[u8; 8] = b"AEGISLOG";
const VERSION: u32 = 2;

pub type LogId = [u8; 16];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub segment: u32,
    pub log_id: LogId,
    pub first_sequence: u64,
    /// Other epochs came before: without the fence record nothing here was ever served (see [`super::epochs`]).
    pub fenced: bool,
}

impl Head {
    /// The part in the clear; a seal of nothing under [`Head::context`] follows it.
    pub fn encode(&self) -> Vec<u8> {
        [
            &HEAD_MAGIC[..],
            &VERSION.to_le_bytes(),
            &self.segment.to_le_bytes(),
            &self.log_id,
            &self.first_sequence.to_le_bytes(),
            &u32::from(self.fenced).to_le_bytes(),
        ]
        .concat()
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEAD_CLEAR] = bytes.first_chunk()?;
        let mut fields = Fields(bytes);
        let known = fields.take::<8>() == *HEAD_MAGIC && u32::from_le_bytes(fields.take()) == VERSION;
        known.then(|| Self {
            segment: u32::from_le_bytes(fields.take()),
            log_id: fields.take(),
            first_sequence: u64::from_le_bytes(fields.take()),
            fenced: u32::from_le_bytes(fields.take()) != 0,
        })
    }

    pub const SEAL_OFFSET: u64 = HEAD_CLEAR as u64;
    pub const SEAL_LENGTH: u64 = HEAD_SEAL as u64;

    /// Binds the head to the data key: a wrong key is told apart from a damaged log before anything is touched.
    pub fn context(&self) -> Vec<u8> {
        [b"aegis intake head ".as_slice(), &self.encode()].concat()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHead {
    pub sequence: u64,
    pub length: u64,
    pub kind: String,
    pub id: String,
}

impl RecordHead {
    pub fn encode(&self, log_id: &LogId) -> Vec<u8> {
        let fields = self.fields();
        [&RECORD_MAGIC[..], &crc(log_id, &fields).to_le_bytes(), &fields].concat()
    }

    /// Kind and id lengths, from the first [`RECORD_FIXED`] bytes.
    pub fn names_length(fixed: &[u8; RECORD_FIXED]) -> usize {
        let mut fields = Fields(&fixed[24..]);
        usize::from(u16::from_le_bytes(fields.take())) + usize::from(u16::from_le_bytes(fields.take()))
    }

    /// From the fixed bytes and both names; `None` unless the checksum holds.
    pub fn decode(bytes: &[u8], log_id: &LogId) -> Option<Self> {
        let mut fields = Fields(bytes.get(..RECORD_FIXED)?);
        let (magic, sum) = (fields.take::<4>(), u32::from_le_bytes(fields.take()));
        if magic != *RECORD_MAGIC || sum != crc(log_id, &bytes[8..]) {
            return None;
        }
        let (sequence, length) = (u64::from_le_bytes(fields.take()), u64::from_le_bytes(fields.take()));
        let kind = usize::from(u16::from_le_bytes(fields.take()));
        let names = std::str::from_utf8(&bytes[RECORD_FIXED..]).ok()?;
        let (kind, id) = names.split_at_checked(kind)?;
        (length <= MAX_PAYLOAD).then(|| Self { sequence, length, kind: kind.into(), id: id.into() })
    }

    pub fn context(&self, log_id: &LogId) -> Vec<u8> {
        [b"aegis intake record ".as_slice(), log_id, &self.fields()].concat()
    }

    pub fn head_bytes(&self) -> u64 {
        (RECORD_FIXED + self.kind.len() + self.id.len()) as u64
    }

    pub fn frame_bytes(&self) -> u64 {
        self.head_bytes() + sealed_length(self.length)
    }

    fn fields(&self) -> Vec<u8> {
        [
            &self.sequence.to_le_bytes()[..],
            &self.length.to_le_bytes(),
            &(self.kind.len() as u16).to_le_bytes(),
            &(self.id.len() as u16).to_le_bytes(),
            self.kind.as_bytes(),
            self.id.as_bytes(),
        ]
        .concat()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    pub position: u64,
    pub next_sequence: u64,
}

impl Commit {
    pub fn encode(&self, log_id: &LogId) -> [u8; COMMIT_BYTES] {
        let mut out = [0; COMMIT_BYTES];
        out[..4].copy_from_slice(COMMIT_MAGIC);
        out[8..16].copy_from_slice(&self.position.to_le_bytes());
        out[16..].copy_from_slice(&self.next_sequence.to_le_bytes());
        let sum = crc(log_id, &out[8..]);
        out[4..8].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// `None` unless the checksum holds and the frame stands where it says.
    pub fn decode(bytes: &[u8], log_id: &LogId, at: u64) -> Option<Self> {
        let bytes: &[u8; COMMIT_BYTES] = bytes.first_chunk()?;
        let mut fields = Fields(bytes);
        let (magic, sum) = (fields.take::<4>(), u32::from_le_bytes(fields.take()));
        let commit =
            Self { position: u64::from_le_bytes(fields.take()), next_sequence: u64::from_le_bytes(fields.take()) };
        (magic == *COMMIT_MAGIC && sum == crc(log_id, &bytes[8..]) && commit.position == at).then_some(commit)
    }
}

fn crc(log_id: &LogId, fields: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(log_id), fields)
}

/// Takes fixed-size fields off the front of bytes known to be long enough.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("the caller checked the length of the whole");
        self.0 = rest;
        *field
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_of_another_log_or_place_is_not_accepted() {
        let record = RecordHead { sequence: 1, length: 2, kind: "k".into(), id: "i".into() };
        assert_eq!(RecordHead::decode(&record.encode(&[1; 16]), &[1; 16]), Some(record.clone()));
        assert_eq!(RecordHead::decode(&record.encode(&[1; 16]), &[2; 16]), None);
        let commit = Commit { position: 7, next_sequence: 3 };
        assert_eq!(Commit::decode(&commit.encode(&[1; 16]), &[1; 16], 7), Some(commit));
        assert_eq!(Commit::decode(&commit.encode(&[1; 16]), &[1; 16], 8), None);
    }

    proptest! {
        #[test]
        fn arbitrary_frames_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Head::decode(&bytes);
            let _ = RecordHead::decode(&bytes, &[0; 16]);
            let _ = Commit::decode(&bytes, &[0; 16], 0);
        }
    }
}
