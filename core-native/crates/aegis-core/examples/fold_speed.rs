//! How fast updates fold, on this machine: `cargo run --release -p aegis-core --example fold_speed [MiB per update] [updates]`.
//!
//! Prints gigabytes of input per second for the sums alone, and for the whole way through a sealed intake log.

use std::hint::black_box;
use std::sync::mpsc;
use std::time::Instant;

use aegis_core::fold::Fold;
use aegis_core::fold::digits::Sums;
use aegis_core::hash::sha256;
use aegis_core::intake::{IntakeLog, Piece};
use aegis_core::seal::DataKey;
use aegis_core::tensor::cast::{self, BLOCK};
use aegis_core::tensor::{DType, TensorSpec, npy};
use aegis_core::update::{Limits, PartSlice, TensorSource};

fn main() {
    let argument =
        |position, default| std::env::args().nth(position).map_or(default, |text| text.parse().expect("a number"));
    let (mebibytes, updates): (u64, u32) = (argument(1, 100), argument(2, 5) as u32);
    let elements = (mebibytes << 20) / 4;
    let payload: Vec<u8> = (0..elements as u32).flat_map(|i| ((i as f32).sin() * 0.05).to_le_bytes()).collect();
    sums_alone(&payload, updates);
    through_the_log(&payload, elements, updates);
}

fn sums_alone(payload: &[u8], updates: u32) {
    let mut sums = Sums::new(payload.len() / 4).expect("memory");
    let mut values = [0.0; BLOCK];
    let mut pass = |weight: f64| {
        for (block, bytes) in payload.chunks(BLOCK * 4).enumerate() {
            let values = &mut values[..bytes.len() / 4];
            cast::decode(DType::F32, bytes, values);
            values.iter_mut().for_each(|value| *value *= weight);
            sums.add_block(block, values);
        }
    };
    pass(1.0); // touches the memory
    timed("sums alone", payload.len(), updates, |update| pass(f64::from(update + 1)));
    black_box(&sums);
}

fn through_the_log(payload: &[u8], elements: u64, updates: u32) {
    let directory = std::env::temp_dir().join(format!("aegis-fold-speed-{}", std::process::id()));
    let key = DataKey::generate();
    let log = IntakeLog::open(&directory, &key, 0, None).expect("log");
    let header = npy::write_header(DType::F32, &[elements]);
    let spec = TensorSpec::new("w", DType::F32, vec![elements]).expect("spec");
    let fold = Fold::new(vec![spec]).expect("fold");
    let source = |update: u32| {
        let length = (header.len() + payload.len()) as u64;
        let slices = vec![PartSlice { part: update.to_string(), offset: 0, length }];
        [TensorSource { name: "w".into(), slices, dtype: None }]
    };
    let expected = sha256([&header[..], payload]);
    let mut copies: Vec<Vec<Piece>> = Vec::new();
    copies.resize_with(updates as usize, || vec![Box::new(header.clone()), Box::new(payload.to_vec())]);
    timed("hash, seal, append, flush", payload.len(), updates, |update| {
        let (sender, receiver) = mpsc::channel();
        let done = Box::new(move |result| sender.send(result).expect("receiver"));
        log.append("part", &update.to_string(), copies.pop().expect("a copy each"), Some(expected), done);
        receiver.recv().expect("answer").expect("append");
    });
    timed("check", payload.len(), updates, |update| {
        fold.check(&log, &source(update), Limits::default()).expect("check");
    });
    fold.add(&log, &source(0), 1.0).expect("add"); // touches the memory of the sums
    timed("add, checked before", payload.len(), updates, |update| {
        fold.add(&log, &source(update), f64::from(update + 1)).expect("add");
    });
    let path = directory.join("model");
    timed("write the mean", payload.len(), 1, |_| {
        fold.write_model(&path, &key).expect("model");
    });
    drop(log);
    std::fs::remove_dir_all(&directory).expect("clean up");
}

/// Wall-clock and processor time: on a shared machine only the second says what the code costs.
fn timed(what: &str, bytes: usize, rounds: u32, mut work: impl FnMut(u32)) {
    let (start, used) = (Instant::now(), processor_seconds());
    (0..rounds).for_each(&mut work);
    let gigabytes = bytes as f64 * f64::from(rounds) / 1e9;
    let (wall, processor) = (start.elapsed().as_secs_f64(), processor_seconds() - used);
    println!("{what:<28} {:6.2} GB/s {:6.2} GB per CPU second", gigabytes / wall, gigabytes / processor);
}

fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
