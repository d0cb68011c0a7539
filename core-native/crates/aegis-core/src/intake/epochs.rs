//! One owner of a log after another, without trusting that the one before has stopped.
//!
//! Every epoch writes segment files of its own, `epoch-<n>/`. Whoever opens a later epoch fixes how much of each earlier one counts: a *fence*,
//! a record of its own log, durable before the log serves. Then this holds, wherever a process is paused and for however long:
//!
//! - What is answered is counted. An owner looks for the lock file of its epoch after each flush and answers only if it is there. A successor makes
//!   its own directory, takes the lock file of every earlier epoch away, and only then reads what they hold. If the owner still found its
//!   lock file, its flush came before that reading.
//! - What comes late is not counted. A fence is written once and names a number of records; later readers stop there, and an epoch
//!   the fence does not name counts for nothing, also if it begins only now.
//! - A half-finished takeover is none. An epoch that had others before it and has no fence has served nobody; its successor passes over it.
//!
//! Counted in place is only what a commit frame of the earlier epoch vouches for: its owner never cuts that off again. Whole records behind the last
//! commit frame (at most one group) are copied: a paused owner may wake up to a failed flush and take them back.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::index::Entry;
use super::replay::{self, Reading, Replayed};
use super::segment::Faults;
use crate::durable::sync_directory_of;
use crate::error::{AtPath, Code, Error, Result};
use crate::seal::DataKey;

pub const LOCK: &str = "lock";
/// Of the one record that holds a fence; nobody else's.
pub const FENCE: &str = "aegis.fence";

/// How many records of each earlier epoch count, oldest first.
pub type Fence = Vec<(u64, u64)>;

pub fn directory_of(log: &Path, epoch: u64) -> PathBuf {
    log.join(format!("epoch-{epoch}"))
}

/// Makes the directory of an epoch, durably. Its presence tells everybody that later epochs than theirs exist.
pub fn begin(log: &Path, epoch: u64) -> Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let directory = directory_of(log, epoch);
    if !directory.is_dir() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory).at(&directory)?;
        sync_directory_of(&directory)?;
        sync_directory_of(log)?;
    }
    Ok(directory)
}

/// The epochs of a log that have begun, ascending.
pub fn list(log: &Path) -> Result<Vec<u64>> {
    let mut epochs = Vec::new();
    for entry in fs::read_dir(log).at(log)? {
        let name = entry.at(log)?.file_name();
        epochs.extend(name.to_str().and_then(|name| name.strip_prefix("epoch-")).and_then(|n| n.parse::<u64>().ok()));
    }
    epochs.sort_unstable();
    Ok(epochs)
}

/// From here on the owner of that epoch answers nothing as durable any more.
pub fn take_lock_away(log: &Path, epoch: u64) -> Result<()> {
    let lock = directory_of(log, epoch).join(LOCK);
    match fs::remove_file(&lock) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&error, &lock)),
        _ => Ok(()),
    }
}

/// Whether no successor has taken the lock file away, nor the whole directory.
pub fn holds_lock(directory: &Path) -> bool {
    directory.join(LOCK).exists()
}

pub fn fenced(directory: &Path) -> Error {
    Error::new(Code::LogFenced, "a later epoch of the log has begun").with("directory", directory.display())
}

/// What earlier epochs contribute.
#[derive(Default)]
pub struct Earlier {
    pub fence: Fence,
    /// In place, in order.
    pub entries: Vec<Entry>,
    /// To be copied into the epoch that is being opened.
    pub uncommitted: Vec<Entry>,
}

/// Reads again what a fence fixed before.
pub fn behind(log: &Path, fence: &Fence, key: &DataKey, faults: &Faults) -> Result<Earlier> {
    let mut earlier = Earlier { fence: fence.clone(), ..Earlier::default() };
    for &(epoch, records) in fence {
        let found = replay::replay(&directory_of(log, epoch), key, faults, Reading::UpTo(records))?;
        earlier.entries.extend(found.entries);
    }
    Ok(earlier)
}

/// Decides what counts of the epochs before. Nothing is fixed until the fence is written.
pub fn survey(log: &Path, before: &[u64], key: &DataKey, faults: &Faults) -> Result<Earlier> {
    for &epoch in before.iter().rev() {
        let mut found = steady(&directory_of(log, epoch), key, faults)?;
        let Some(older) = found.standing() else { continue };
        let committed = found.committed;
        let mut earlier = behind(log, &older, key, faults)?;
        let place = found.entries.partition_point(|entry| entry.head.sequence < committed);
        earlier.uncommitted = found.entries.split_off(place);
        earlier.entries.append(&mut found.entries);
        earlier.fence.push((epoch, committed));
        return Ok(earlier);
    }
    Ok(Earlier::default())
}

/// An owner that is not stopped, only late, may be writing: a reading that made no sense is repeated before it is believed.
fn steady(directory: &Path, key: &DataKey, faults: &Faults) -> Result<Replayed> {
    const PAUSE: Duration = Duration::from_millis(100);
    for _ in 0..3 {
        match replay::replay(directory, key, faults, Reading::Whole) {
            Err(error) if matches!(error.code, Code::LogCorrupt | Code::Io) => thread::sleep(PAUSE),
            other => return other,
        }
    }
    replay::replay(directory, key, faults, Reading::Whole)
}

pub fn encode(fence: &Fence) -> Vec<u8> {
    fence.iter().flat_map(|(epoch, records)| [epoch.to_le_bytes(), records.to_le_bytes()].concat()).collect()
}

pub fn decode(bytes: &[u8]) -> Option<Fence> {
    let (pairs, rest) = bytes.as_chunks::<16>();
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).ok();
    rest.is_empty().then_some(())?;
    pairs.iter().map(|pair| Some((number(&pair[..8])?, number(&pair[8..])?))).collect()
}

/// The whole payload of a record.
pub fn payload(entry: &Entry, key: &DataKey) -> Result<Vec<u8>> {
    let mut out = vec![0; entry.head.length as usize];
    entry.open(key)?.read_at(0, &mut out)?;
    Ok(out)
}
