//! Exact sampling from any [`Shape`] by a table that decides almost every draw with one random word.
//!
//! **Proposal.** The integers around the mode are cut into blocks of w = 2^b. Block j is proposed with probability q_j · 2^-32, where the whole
//! number q_j ≥ c · w · (greatest relative probability in the block), then one of its integers uniformly. Beyond both ends a tail of
//! width W is proposed with q · 2^-32, in stretches of W integers: the i-th with probability 2^-(i+1). What is left of 2^32 proposes nothing:
//! draw again. The choice is Walker's alias method on whole numbers, so the proposal has exactly these probabilities.
//!
//! **Acceptance.** The integer k is accepted with probability A · f(k), f the relative probability and A = c · w / q_j, or in a tail
//! c · W · 2^(i+1) / q; by the choice of q these are at most 1, in the tails because f(k + W) ≤ f(k) / 2 there, which holds everywhere
//! as soon as it holds at the border of a log-concave f. Then every integer comes with probability c · 2^-32 · f(k), in every attempt: the
//! result has **exactly** the distribution f, whatever the rounding of c and q_j. (Tails end after [`STRETCHES`] stretches, which changes
//! a draw with a probability below 2^-400.)
//!
//! **Decisions.** U < A · f(k) for a uniform U of endless bits. The first 16 to 32 bits decide when they lie below a lower bound of the
//! block. Else 64 bits decide against f64's value of f(k), unless they fall into the band of its error. What falls into the
//! band — less than 2^-40 of all draws — is decided by whole numbers of ever more bits, until the interval around A · f(k) and that around
//! U are apart. No draw is ever decided by a rounded value.

use num_bigint::BigUint;

use super::drbg::Drbg;
use super::shape::{Shape, dyadic};

const COLUMNS: usize = 1 << COLUMN_BITS;
const COLUMN_BITS: u32 = 10;
/// Each column holds 2^22 of the 2^32 parts of the whole.
const COLUMN: u64 = 1 << (32 - COLUMN_BITS);
/// Blocks wider than this take their place from a second random word, so that 16 bits or more of the first one decide.
const NARROW: u32 = 16;
const STRETCHES: u32 = 400;
/// More than every f64 error in what is rounded up or down on purpose.
const MARGIN: f64 = 1.0 / (1u64 << 32) as f64;

/// A column is shared by its own block and an alias.
#[derive(Clone, Copy, Default)]
struct Column {
    /// Below it the column's own block, from it on the alias.
    own_below: u32,
    /// The first random bits decide "accepted" below these: for the column's own block, for the alias.
    sure: [u32; 2],
    alias: u32,
}

pub struct Table<S> {
    shape: S,
    columns: Box<[Column; COLUMNS]>,
    /// Parts out of 2^32 of every block, then of the left and the right tail.
    weights: Vec<u64>,
    /// c, the same for all.
    scale: f64,
    width_bits: u32,
    tail_bits: u32,
    /// The first integer of block 0, and the number of blocks.
    start: i64,
    blocks: usize,
}

impl<S: Shape> Table<S> {
    pub fn new(shape: S) -> Self {
        let spread = shape.spread();
        let width_bits = ((spread / S::GRAIN).log2().floor().max(0.0)) as u32;
        let width = 1i64 << width_bits;
        let each_side = (S::REACH * spread / width as f64).ceil() as i64 + 1;
        let (start, blocks) = (shape.mode() - each_side * width, 2 * each_side as usize);
        let end = start + blocks as i64 * width;
        let tail_bits = tail_bits(&shape, start - 1, end);
        let block = |number: usize| (start + number as i64 * width, start + (number as i64 + 1) * width - 1);
        let greatest = |(first, last): (i64, i64)| {
            if (first..=last).contains(&shape.mode()) { 1.0 } else { shape.relative(first).max(shape.relative(last)) }
        };
        let tails = [start - 1, end].map(|border| 2.0 * (1i64 << tail_bits) as f64 * shape.relative(border));
        let needs: Vec<f64> = (0..blocks).map(|number| width as f64 * greatest(block(number))).chain(tails).collect();
        // Every weight is rounded up by at most one part.
        let parts = ((1u64 << 32) - needs.len() as u64 - 1) as f64;
        let scale = parts / needs.iter().sum::<f64>() * (1.0 - 4.0 * MARGIN);
        let weights: Vec<u64> = needs.iter().map(|need| (scale * need * (1.0 + MARGIN)) as u64 + 1).collect();
        let decisive = 2f64.powi(32 - if width_bits <= NARROW { width_bits as i32 } else { 0 });
        let sure = |number: usize| {
            if number >= blocks {
                return 0;
            }
            let (first, last) = block(number);
            let least = shape.relative(first).min(shape.relative(last));
            (scale * width as f64 * least / weights[number] as f64 * (1.0 - MARGIN) * decisive) as u32
        };
        let columns = columns(&weights, sure);
        Self { shape, columns, weights, scale, width_bits, tail_bits, start, blocks }
    }

    /// One sample for every slot.
    pub fn fill(&self, drbg: &mut Drbg, out: &mut [i64]) {
        for slot in out {
            *slot = self.sample(drbg);
        }
    }

    #[inline(always)]
    pub fn sample(&self, drbg: &mut Drbg) -> i64 {
        loop {
            let word = drbg.word();
            let (choice, rest) = ((word >> 32) as u32, word as u32);
            let number = choice >> (32 - COLUMN_BITS);
            let column = &self.columns[number as usize];
            let own = (choice as u64 & (COLUMN - 1)) < u64::from(column.own_below);
            let (block, sure) = if own { (number, column.sure[0]) } else { (column.alias, column.sure[1]) };
            let (offset, first_bits) = if self.width_bits <= NARROW {
                (u64::from(rest) & ((1 << self.width_bits) - 1), rest >> self.width_bits)
            } else {
                (drbg.word() & ((1 << self.width_bits) - 1), rest)
            };
            let value = self.start + ((i64::from(block) << self.width_bits) | offset as i64);
            if first_bits < sure {
                return value;
            }
            if let Some(value) = self.decide(block as usize, value, first_bits, drbg) {
                return value;
            }
        }
    }

    /// What the table did not decide. `None` is a rejection.
    #[cold]
    #[inline(never)]
    fn decide(&self, block: usize, value: i64, first_bits: u32, drbg: &mut Drbg) -> Option<i64> {
        if block >= self.weights.len() {
            return None;
        }
        let known_bits = 32 - if self.width_bits <= NARROW { self.width_bits } else { 0 };
        let known = u64::from(first_bits) << (64 - known_bits);
        let uniform = known | (drbg.word() >> known_bits);
        if block < self.blocks {
            return self.accepts(block, value, self.width_bits, uniform, drbg).then_some(value);
        }
        let stretch = self.stretch(drbg)?;
        let offset = (stretch << self.tail_bits) | (drbg.word() & ((1 << self.tail_bits) - 1)) as i64;
        let value = match block - self.blocks {
            0 => self.start - 1 - offset,
            _ => self.start + ((self.blocks as i64) << self.width_bits) + offset,
        };
        // The stretch was proposed with 2^-(stretch + 1), as if it were so much wider.
        let width_bits = self.tail_bits + stretch as u32 + 1;
        self.accepts(block, value, width_bits, uniform, drbg).then_some(value)
    }

    /// Number of heads before the first tail of a coin.
    fn stretch(&self, drbg: &mut Drbg) -> Option<i64> {
        let mut heads = 0;
        loop {
            let more = drbg.word().trailing_ones();
            heads += more;
            if more < 64 {
                break;
            }
        }
        (heads < STRETCHES).then_some(i64::from(heads))
    }

    /// Whether U < c · 2^width_bits · f(value) / q for the U whose first 64 bits are given.
    fn accepts(&self, block: usize, value: i64, width_bits: u32, uniform: u64, drbg: &mut Drbg) -> bool {
        const UNIT: f64 = 1.0 / 18_446_744_073_709_551_616.0;
        let weight = self.weights[block];
        let limit = self.scale * 2f64.powi(width_bits as i32) / weight as f64 * self.shape.relative(value);
        let band = limit * 2.0 * S::SLACK + 2f64.powi(-52);
        let drawn = uniform as f64 * UNIT;
        if (drawn - limit).abs() > band {
            return drawn < limit;
        }
        let (scale, exponent) = dyadic(self.scale);
        let exponent = exponent + i64::from(width_bits);
        let mut drawn = BigUint::from(uniform);
        let mut bits = 64u64;
        loop {
            // U is in [drawn, drawn + 1) · 2^-bits, the relative probability in [lower, upper] · 2^-bits.
            let (lower, upper) = self.shape.bounds(value, bits);
            let (up, down) = (exponent.max(0) as u64, (-exponent).max(0) as u64);
            if ((&drawn + 1u8) * weight) << down <= (lower * scale) << up {
                return true;
            }
            if (&drawn * weight) << down >= (upper * scale) << up {
                return false;
            }
            for _ in 0..bits / 64 {
                drawn = (drawn << 64u32) | BigUint::from(drbg.word());
            }
            bits *= 2;
        }
    }
}

/// Width of the stretches of both tails: the least power of two over which the probability falls to less than half at both borders.
fn tail_bits(shape: &impl Shape, left: i64, right: i64) -> u32 {
    let halves = |from: i64, to: i64| shape.relative(to) <= 0.49 * shape.relative(from);
    (0..56)
        .find(|&bits| halves(left, left - (1i64 << bits)) && halves(right, right + (1i64 << bits)))
        .unwrap_or_else(|| unreachable!("a log-concave tail halves within its spread"))
}

/// Walker's table in Vose's way, on whole numbers that add up to 2^32.
fn columns(weights: &[u64], sure: impl Fn(usize) -> u32) -> Box<[Column; COLUMNS]> {
    assert!(weights.len() < COLUMNS, "one column at least proposes nothing");
    let nothing = (1u64 << 32) - weights.iter().sum::<u64>();
    let mut parts = [0; COLUMNS];
    parts[..weights.len()].copy_from_slice(weights);
    parts[weights.len()] = nothing;
    let mut columns = Box::new([Column::default(); COLUMNS]);
    let (mut light, mut heavy): (Vec<usize>, Vec<usize>) = (0..COLUMNS).partition(|&at| parts[at] < COLUMN);
    let sure = |at: usize| if at < weights.len() { sure(at) } else { 0 };
    while let Some(at) = light.pop() {
        let alias = *heavy.last().unwrap_or_else(|| unreachable!("what is light here is heavy elsewhere"));
        columns[at] = Column { own_below: parts[at] as u32, sure: [sure(at), sure(alias)], alias: alias as u32 };
        parts[alias] -= COLUMN - parts[at];
        if parts[alias] < COLUMN {
            heavy.pop();
            light.push(alias);
        }
    }
    for at in heavy {
        columns[at] = Column { own_below: COLUMN as u32, sure: [sure(at), 0], alias: at as u32 };
    }
    columns
}
