//! What a crash, a full disk and a flipped bit may and may not do to a log.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc;

use proptest::prelude::*;

use super::*;
use crate::hash::sha256;

const EPOCH: u64 = 3;

struct Bench {
    directory: tempfile::TempDir,
    key: DataKey,
    faults: Faults,
    segment_bytes: u64,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory, key: DataKey::generate(), faults: Faults::default(), segment_bytes: DEFAULT_SEGMENT_BYTES }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn open(&self) -> Result<IntakeLog> {
        self.open_epoch(EPOCH)
    }

    fn open_epoch(&self, epoch: u64) -> Result<IntakeLog> {
        IntakeLog::open_with(&self.path(), &self.key, epoch, self.segment_bytes, self.faults.clone())
    }

    fn segment(&self, number: u32) -> PathBuf {
        self.segment_of(EPOCH, number)
    }

    fn segment_of(&self, epoch: u64, number: u32) -> PathBuf {
        replay::segment_path(&epochs::directory_of(&self.path(), epoch), number)
    }
}

fn append_async(log: &IntakeLog, id: &str, payload: &[u8]) -> mpsc::Receiver<Result<Appended>> {
    let (sender, receiver) = mpsc::channel();
    let pieces = payload.chunks(7).map(|piece| Box::new(piece.to_vec()) as Piece).collect();
    log.append("part", id, pieces, None, Box::new(move |result| sender.send(result).unwrap()));
    receiver
}

fn append(log: &IntakeLog, id: &str, payload: &[u8]) -> Result<Appended> {
    append_async(log, id, payload).recv().unwrap()
}

fn close(log: &IntakeLog) {
    let (sender, receiver) = mpsc::channel();
    log.close(Box::new(move |result| sender.send(result).unwrap()));
    receiver.recv().unwrap().unwrap();
}

fn code<T>(result: Result<T>) -> Code {
    result.err().expect("refused").code
}

fn ids(log: &IntakeLog) -> Vec<String> {
    log.entries(None).into_iter().map(|entry| entry.id).collect()
}

#[test]
fn records_come_back_after_reopening_and_by_range() {
    let bench = Bench::new();
    let large: Vec<u8> = (0..3_000_000u32).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let log = bench.open().unwrap();
    assert_eq!(append(&log, "a", b"alpha").unwrap(), Appended { deduplicated: false });
    assert_eq!(append(&log, "empty", b"").unwrap(), Appended { deduplicated: false });
    assert_eq!(append(&log, "large", &large).unwrap(), Appended { deduplicated: false });
    assert_eq!(append(&log, "a", b"ignored").unwrap(), Appended { deduplicated: true });
    close(&log);
    let log = bench.open().unwrap();
    assert_eq!(log.torn_bytes(), 0);
    assert_eq!(ids(&log), ["a", "empty", "large"]);
    assert_eq!(log.read("a", 0, None).unwrap(), b"alpha");
    assert_eq!(log.read("a", 1, Some(2)).unwrap(), b"lp");
    assert_eq!(log.read("empty", 0, None).unwrap(), b"");
    for (offset, length) in [(0, 3_000_000), (1_048_000, 2000), (2_999_999, 1), (3_000_000, 0)] {
        assert!(log.read("large", offset as u64, Some(length as u64)).unwrap() == large[offset..offset + length]);
    }
    assert_eq!(log.read("large", 1, Some(3_000_000)).unwrap().len(), 2_999_999, "at most so many bytes");
    assert_eq!(code(log.read("large", u64::MAX, Some(1))), Code::SliceOutOfRange);
    assert_eq!(code(log.read("large", 3_000_001, None)), Code::SliceOutOfRange);
    assert_eq!(code(log.read("other", 0, None)), Code::PartUnknown);
    assert_eq!(log.entries(Some("other kind")), []);
}

#[test]
fn a_wrong_hash_appends_nothing() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    let (sender, receiver) = mpsc::channel();
    for expected in [sha256(["other"]), sha256(["alpha"])] {
        let sender = sender.clone();
        let done = Box::new(move |result| sender.send(result).unwrap());
        log.append("part", "a", vec![Box::new(b"al".to_vec()), Box::new(b"pha".to_vec())], Some(expected), done);
    }
    assert_eq!(code(receiver.recv().unwrap()), Code::HashMismatch);
    assert_eq!(receiver.recv().unwrap().unwrap(), Appended { deduplicated: false });
    assert_eq!(ids(&log), ["a"]);
}

#[test]
fn one_writer_at_a_time() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    assert_eq!(code(bench.open()), Code::LogLocked);
    close(&log);
    close(&log);
    assert_eq!(code(append(&log, "a", b"x")), Code::LogClosed);
    assert_eq!(code(log.read("a", 0, None)), Code::LogClosed);
    bench.open().unwrap();
}

#[test]
fn a_wrong_key_changes_nothing() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    append(&log, "a", b"alpha").unwrap();
    close(&log);
    let before = fs::read(bench.segment(0)).unwrap();
    assert_eq!(code(IntakeLog::open(&bench.path(), &DataKey::generate(), EPOCH, None)), Code::SealBroken);
    assert_eq!(fs::read(bench.segment(0)).unwrap(), before);
    assert_eq!(ids(&bench.open().unwrap()), ["a"]);
}

#[test]
fn appends_waiting_together_share_a_flush() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    // A long record keeps the writer busy while the others queue up.
    let mut waiting = vec![append_async(&log, "long", &vec![1; 30 << 20])];
    for number in 0..200 {
        waiting.push(append_async(&log, &format!("{number}"), b"short"));
    }
    waiting.into_iter().for_each(|receiver| {
        receiver.recv().unwrap().unwrap();
    });
    let syncs = bench.faults.plan.syncs.load(SeqCst);
    assert!(syncs < 50, "{syncs} flushes for 201 records");
}

#[test]
fn the_same_id_twice_in_one_group_is_written_once() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    let busy = append_async(&log, "long", &vec![1; 10 << 20]);
    let twins = [append_async(&log, "twin", b"x"), append_async(&log, "twin", b"x")];
    busy.recv().unwrap().unwrap();
    assert_eq!(twins.map(|twin| twin.recv().unwrap().unwrap().deduplicated), [false, true]);
    assert_eq!(ids(&log), ["long", "twin"]);
}

#[test]
fn segments_rotate_and_replay_in_order() {
    let bench = Bench { segment_bytes: 4096, ..Bench::new() };
    let log = bench.open().unwrap();
    let names: Vec<String> = (0..60).map(|number| format!("{number}")).collect();
    for name in &names {
        append(&log, name, &[7; 500]).unwrap();
    }
    append(&log, "longer than a segment", &[8; 9000]).unwrap();
    close(&log);
    assert!(bench.segment(5).exists());
    let log = bench.open().unwrap();
    assert_eq!(ids(&log)[..60], names);
    assert_eq!(log.read("longer than a segment", 8999, None).unwrap(), [8]);
    append(&log, "after", b"x").unwrap();
    close(&log);
    assert_eq!(bench.open().unwrap().entries(None).len(), 62);
}

#[test]
fn a_missing_swapped_or_cut_segment_is_corrupt() {
    let bench = Bench { segment_bytes: 4096, ..Bench::new() };
    let log = bench.open().unwrap();
    for number in 0..30 {
        append(&log, &format!("{number}"), &[7; 500]).unwrap();
    }
    close(&log);
    let (one, two) = (fs::read(bench.segment(1)).unwrap(), fs::read(bench.segment(2)).unwrap());
    let corrupt_with = |change: &dyn Fn()| {
        change();
        let error = bench.open().err().expect("corrupt");
        fs::write(bench.segment(1), &one).unwrap();
        fs::write(bench.segment(2), &two).unwrap();
        assert_eq!(error.code, Code::LogCorrupt);
        assert!(error.fact("file").is_some() && error.fact("offset").is_some());
    };
    corrupt_with(&|| fs::remove_file(bench.segment(1)).unwrap());
    corrupt_with(&|| fs::write(bench.segment(1), &two).unwrap());
    corrupt_with(&|| fs::write(bench.segment(1), &one[..one.len() - 1]).unwrap());
    corrupt_with(&|| fs::write(bench.segment(1), &one[..one.len() - frame::COMMIT_BYTES]).unwrap());
    corrupt_with(&|| fs::write(bench.segment(1), []).unwrap());
    bench.open().unwrap();
}

#[test]
fn a_record_of_another_log_or_place_does_not_replay() {
    let (bench, other) = (Bench::new(), Bench::new());
    let other = Bench { key: bench.key.clone(), ..other };
    for bench in [&bench, &other] {
        let log = bench.open().unwrap();
        append(&log, "a", b"first").unwrap();
        append(&log, "b", b"again").unwrap();
        close(&log);
    }
    let (mine, theirs) = (fs::read(bench.segment(0)).unwrap(), fs::read(other.segment(0)).unwrap());
    let record = |bytes: &[u8], place: usize| {
        let length = (frame::RECORD_FIXED + 5) + crate::seal::sealed_length(5) as usize;
        let start = HEAD + place * (length + frame::COMMIT_BYTES);
        (start..start + length, bytes[start..start + length].to_vec())
    };
    const HEAD: usize = frame::HEAD_BYTES;
    for (at, from) in [(record(&mine, 0).0, record(&theirs, 0).1), (record(&mine, 0).0, record(&mine, 1).1)] {
        let mut changed = mine.clone();
        changed.splice(at, from);
        fs::write(bench.segment(0), &changed).unwrap();
        assert_eq!(code(bench.open()), Code::LogCorrupt);
    }
}

/// A log of six records as a killed process leaves it, with the length of the file after each acknowledgement.
fn killed(bench: &Bench) -> (Vec<u8>, Vec<usize>) {
    let log = bench.open().unwrap();
    let mut ends = Vec::new();
    for number in 0..6u8 {
        append(&log, &format!("{number}"), &[number; 20]).unwrap();
        ends.push(fs::metadata(bench.segment(0)).unwrap().len() as usize);
    }
    // Killed, not closed: what is in the file now is all there is.
    let bytes = fs::read(bench.segment(0)).unwrap();
    close(&log);
    (bytes, ends)
}

#[test]
fn truncated_anywhere_a_log_keeps_every_record_before_the_cut() {
    let bench = Bench::new();
    let (bytes, ends) = killed(&bench);
    for cut in 0..=bytes.len() {
        fs::write(bench.segment(0), &bytes[..cut]).unwrap();
        let log = bench.open().unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        // A record is whole without the commit frame behind it.
        let whole = ends.iter().filter(|&&end| end - frame::COMMIT_BYTES <= cut).count();
        assert_eq!(ids(&log), (0..whole).map(|number| number.to_string()).collect::<Vec<_>>(), "cut at {cut}");
        for number in 0..whole {
            assert_eq!(log.read(&number.to_string(), 0, None).unwrap(), [number as u8; 20]);
        }
        // And it goes on: the next record is durable, and survives.
        append(&log, "next", b"next").unwrap();
        close(&log);
        let log = bench.open().unwrap();
        assert_eq!((log.torn_bytes(), log.has("next"), log.entries(None).len()), (0, true, whole + 1));
        close(&log);
        if cut == 0 {
            fs::remove_file(bench.segment(0)).unwrap();
        }
    }
}

#[test]
fn a_flipped_bit_is_corruption_or_costs_nothing() {
    let bench = Bench::new();
    let (bytes, ends) = killed(&bench);
    let last_commit = ends[5] - frame::COMMIT_BYTES;
    for position in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[position] ^= 1 << (position % 8);
        fs::write(bench.segment(0), &flipped).unwrap();
        match bench.open() {
            Ok(log) => {
                assert!(position >= last_commit, "byte {position} went unnoticed");
                assert_eq!(log.entries(None).len(), 6);
                close(&log);
            }
            Err(error) if position < frame::HEAD_BYTES => {
                assert!(matches!(error.code, Code::LogCorrupt | Code::SealBroken), "byte {position}: {error}");
            }
            Err(error) => {
                assert_eq!(error.code, Code::LogCorrupt, "byte {position}");
                let offset: usize = error.fact("offset").unwrap().parse().unwrap();
                assert!(offset <= position && error.fact("file") == Some("segment-00000000.log"));
            }
        }
        let left = fs::read(bench.segment(0)).unwrap();
        assert!(position >= last_commit || left == flipped, "a corrupt log is not changed");
    }
}

#[test]
fn zeros_after_a_crash_are_a_torn_tail() {
    let bench = Bench::new();
    let (bytes, ends) = killed(&bench);
    // The file was extended, but the last group's data never reached the disk, or only its second half did.
    for lost in [ends[4]..bytes.len() - frame::COMMIT_BYTES, ends[4]..ends[4] + 20] {
        let mut torn = bytes[..bytes.len() - frame::COMMIT_BYTES].to_vec();
        torn[lost].fill(0);
        fs::write(bench.segment(0), &torn).unwrap();
        let log = bench.open().unwrap();
        assert_eq!(log.entries(None).len(), 5);
        assert_eq!(log.torn_bytes() as usize, torn.len() - ends[4]);
        close(&log);
    }
}

#[test]
fn a_full_disk_fails_the_append_and_nothing_else() {
    // Space runs out after every possible number of bytes of the record and its surroundings.
    for space in (0..200).chain([70_000, 1 << 20]) {
        let bench = Bench::new();
        let log = bench.open().unwrap();
        append(&log, "before", b"before").unwrap();
        *bench.faults.plan.space.lock().unwrap() = Some(space);
        let full = append(&log, "too much", &vec![5; 2 << 20]);
        assert_eq!(code(full), Code::DiskFull, "space {space}");
        assert_eq!(log.read("before", 0, None).unwrap(), b"before");
        *bench.faults.plan.space.lock().unwrap() = None;
        append(&log, "after", b"after").unwrap();
        append(&log, "too much", b"now it fits").unwrap();
        close(&log);
        let log = bench.open().unwrap();
        assert_eq!((log.torn_bytes(), ids(&log)), (0, vec!["before".into(), "after".into(), "too much".into()]));
    }
}

#[test]
fn a_full_disk_while_a_segment_begins_is_survived() {
    for space in 0..frame::HEAD_BYTES + 60 {
        let bench = Bench { segment_bytes: 4096, ..Bench::new() };
        let log = bench.open().unwrap();
        append(&log, "0", &[1; 3900]).unwrap();
        *bench.faults.plan.space.lock().unwrap() = Some(space);
        assert_eq!(code(append(&log, "1", &[1; 3900])), Code::DiskFull, "space {space}");
        *bench.faults.plan.space.lock().unwrap() = None;
        append(&log, "2", &[1; 3900]).unwrap();
        close(&log);
        assert_eq!(ids(&bench.open().unwrap()), ["0", "2"]);
    }
}

#[test]
fn a_failed_flush_acknowledges_nobody() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    append(&log, "a", b"alpha").unwrap();
    bench.faults.plan.fail_sync.store(true, SeqCst);
    assert_eq!(code(append(&log, "b", b"beta")), Code::Io);
    assert!(!log.has("b"));
    append(&log, "c", b"gamma").unwrap();
    close(&log);
    assert_eq!(ids(&bench.open().unwrap()), ["a", "c"]);
}

#[test]
fn a_log_dropped_without_closing_keeps_what_was_queued() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    let waiting: Vec<_> = (0..20).map(|number| append_async(&log, &format!("{number}"), b"x")).collect();
    drop(log);
    waiting.into_iter().for_each(|receiver| {
        receiver.recv().unwrap().unwrap();
    });
    let log = loop {
        match bench.open() {
            Err(error) if error.code == Code::LogLocked => std::thread::yield_now(),
            other => break other.unwrap(),
        }
    };
    assert_eq!(log.entries(None).len(), 20);
}

#[test]
fn names_out_of_bounds_are_arguments() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    assert_eq!(code(append(&log, "", b"x")), Code::Argument);
    assert_eq!(code(append(&log, &"i".repeat(MAX_ID + 1), b"x")), Code::Argument);
    append(&log, &"i".repeat(MAX_ID), b"x").unwrap();
    assert_eq!(code(IntakeLog::open(&bench.path().join("other"), &bench.key, EPOCH, Some(10))), Code::Argument);
}

// --- one owner after another ----------------------------------------------------------------------------------------------

/// The bytes of an epoch's segment after each of three acknowledged records.
fn stages(bench: &Bench, epoch: u64, names: [&str; 3]) -> [Vec<u8>; 3] {
    let log = bench.open_epoch(epoch).unwrap();
    let stages = names.map(|name| {
        append(&log, name, name.as_bytes()).unwrap();
        fs::read(bench.segment_of(epoch, 0)).unwrap()
    });
    close(&log);
    stages
}

#[test]
fn a_later_epoch_has_all_that_was_acknowledged_and_adds_its_own() {
    let bench = Bench::new();
    for (epoch, name) in [(1, "a"), (2, "b"), (5, "c")] {
        let log = bench.open_epoch(epoch).unwrap();
        append(&log, name, name.as_bytes()).unwrap();
        assert!(append(&log, "a", b"a").unwrap().deduplicated || epoch == 1);
        close(&log);
    }
    let log = bench.open_epoch(5).unwrap();
    assert_eq!(ids(&log), ["a", "b", "c"]);
    assert_eq!(log.read("a", 0, None).unwrap(), b"a");
}

#[test]
fn an_overtaken_owner_appends_nothing_and_answers_nobody() {
    let bench = Bench::new();
    let old = bench.open_epoch(1).unwrap();
    append(&old, "a", b"a").unwrap();
    let new = bench.open_epoch(2).unwrap();
    let before = fs::read(bench.segment_of(1, 0)).unwrap();
    assert_eq!(code(append(&old, "late", b"late")), Code::LogFenced);
    assert_eq!(fs::read(bench.segment_of(1, 0)).unwrap(), before);
    append(&new, "b", b"b").unwrap();
    close(&old);
    assert_eq!(code(bench.open_epoch(1)), Code::LogFenced);
    close(&new);
    assert_eq!(ids(&bench.open_epoch(3).unwrap()), ["a", "b"]);
}

#[test]
fn an_owner_overtaken_between_its_write_and_its_flush_answers_nobody() {
    let bench = Bench::new();
    let log = bench.open_epoch(1).unwrap();
    append(&log, "a", b"a").unwrap();
    let path = bench.path();
    *bench.faults.plan.during_sync.lock().unwrap() = Some(Box::new(move || epochs::take_lock_away(&path, 1).unwrap()));
    assert_eq!(code(append(&log, "b", b"b")), Code::LogFenced);
    assert!(!log.has("b"));
    assert_eq!(code(append(&log, "c", b"c")), Code::LogFenced);
}

#[test]
fn what_an_overtaken_owner_writes_late_is_counted_by_nobody() {
    let bench = Bench::new();
    let [_, two, three] = stages(&bench, 1, ["a", "b", "late"]);
    fs::write(bench.segment_of(1, 0), two).unwrap();
    close(&bench.open_epoch(2).unwrap());
    // it wakes up: flushed, with a commit frame, but behind the fence
    fs::write(bench.segment_of(1, 0), &three).unwrap();
    for epoch in [2, 3, 4] {
        let log = bench.open_epoch(epoch).unwrap();
        assert_eq!(ids(&log), ["a", "b"], "epoch {epoch}");
        close(&log);
    }
    // an epoch that begins only now is no part of the log either
    let stray = Bench { key: bench.key.clone(), ..Bench::new() };
    stages(&stray, 1, ["x", "y", "z"]);
    fs::create_dir(epochs::directory_of(&bench.path(), 0)).unwrap();
    fs::copy(stray.segment_of(1, 0), bench.segment_of(0, 0)).unwrap();
    assert_eq!(ids(&bench.open_epoch(5).unwrap()), ["a", "b"]);
}

#[test]
fn whole_records_without_a_commit_frame_survive_an_owner_that_takes_them_back() {
    let bench = Bench::new();
    let [one, two, _] = stages(&bench, 1, ["a", "b", "c"]);
    fs::write(bench.segment_of(1, 0), &two[..two.len() - frame::COMMIT_BYTES]).unwrap();
    close(&bench.open_epoch(2).unwrap());
    // it wakes up in a failed flush, and cuts off what it had not acknowledged
    fs::write(bench.segment_of(1, 0), &one).unwrap();
    let log = bench.open_epoch(3).unwrap();
    assert_eq!(ids(&log), ["a", "b"]);
    assert_eq!(log.read("b", 0, None).unwrap(), b"b");
}

#[test]
fn a_takeover_cut_short_anywhere_is_done_again_by_the_next() {
    let bench = Bench::new();
    let [_, two, three] = stages(&bench, 1, ["a", "b", "c"]);
    let uncommitted = &three[..three.len() - frame::COMMIT_BYTES];
    assert!(uncommitted.len() > two.len());
    fs::write(bench.segment_of(1, 0), uncommitted).unwrap();
    close(&bench.open_epoch(2).unwrap());
    let takeover = fs::read(bench.segment_of(2, 0)).unwrap();
    for cut in 0..=takeover.len() {
        fs::write(bench.segment_of(2, 0), &takeover[..cut]).unwrap();
        let log = bench.open_epoch(3).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        assert_eq!(ids(&log), ["a", "b", "c"], "cut at {cut}");
        close(&log);
        fs::remove_dir_all(epochs::directory_of(&bench.path(), 3)).unwrap();
    }
}

#[test]
fn a_takeover_on_a_full_disk_fails_and_is_repeated() {
    let bench = Bench::new();
    let [.., three] = stages(&bench, 1, ["a", "b", "c"]);
    fs::write(bench.segment_of(1, 0), &three[..three.len() - frame::COMMIT_BYTES]).unwrap();
    for space in [0, 50, 150, 100, 100] {
        *bench.faults.plan.space.lock().unwrap() = Some(space);
        assert_eq!(code(bench.open_epoch(2)), Code::DiskFull, "space {space}");
    }
    *bench.faults.plan.space.lock().unwrap() = None;
    let log = bench.open_epoch(2).unwrap();
    assert_eq!(ids(&log), ["a", "b", "c"]);
    close(&log);
    assert_eq!(ids(&bench.open_epoch(3).unwrap()), ["a", "b", "c"]);
}

#[test]
fn damage_before_a_fence_is_corruption_for_every_later_epoch() {
    let bench = Bench::new();
    let [.., three] = stages(&bench, 1, ["a", "b", "c"]);
    let damaged = |at: usize| {
        let mut bytes = three.clone();
        bytes[at] ^= 1;
        fs::write(bench.segment_of(1, 0), bytes).unwrap();
    };
    damaged(frame::HEAD_BYTES + 40);
    assert_eq!(code(bench.open_epoch(2)), Code::LogCorrupt);
    fs::write(bench.segment_of(1, 0), &three).unwrap();
    close(&bench.open_epoch(2).unwrap());
    damaged(three.len() - frame::COMMIT_BYTES - 2);
    assert_eq!(code(bench.open_epoch(3)), Code::LogCorrupt);
    fs::remove_file(bench.segment_of(1, 0)).unwrap();
    assert_eq!(code(bench.open_epoch(3)), Code::LogCorrupt);
}

#[test]
fn a_fence_is_not_forged_from_outside() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    let (sender, receiver) = mpsc::channel();
    log.append(FENCE, "x", vec![], None, Box::new(move |result| sender.send(result).unwrap()));
    assert_eq!(code(receiver.recv().unwrap()), Code::Argument);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_anywhere_never_invents_or_silently_loses(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        tail in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let bench = Bench::new();
        let (mut bytes, ends) = killed(&bench);
        let undamaged = bytes.clone();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.extend(tail);
        fs::write(bench.segment(0), &bytes).unwrap();
        match bench.open() {
            // Only what lies behind the last but one commit frame, if even that frame's claim is gone, may be taken for torn.
            Ok(log) => {
                let whole = log.entries(None).len();
                let reach = if whole == 0 { frame::HEAD_BYTES } else { ends[whole - 1] - frame::COMMIT_BYTES };
                prop_assert!(whole <= 6 && bytes[..reach] == undamaged[..reach]);
                let claims = ends[whole..].iter().filter(|&&end| bytes[end - frame::COMMIT_BYTES..end] == undamaged[end - frame::COMMIT_BYTES..end]);
                prop_assert_eq!(claims.count(), 0, "a record was lost that a commit frame vouched for");
                for number in 0..whole {
                    prop_assert_eq!(log.read(&number.to_string(), 0, None).unwrap(), [number as u8; 20]);
                }
            }
            Err(error) => prop_assert!(matches!(error.code, Code::LogCorrupt | Code::SealBroken)),
        }
    }
}
