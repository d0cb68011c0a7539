//! The orders α among which the best is looked for: a ladder so fine that its best rung stands for the best real order.
//!
//! Real orders up to 65 in steps of 0.1 % of α−1, whole ones to 1024, then whole ones 0.1 % apart. Rungs rather than real numbers, so that
//! what was computed at one is found again. Below rung 0 the whole orders from 2 on stand once more: where a formula knows whole orders
//! only, the lines between them have their lowest points there.

use std::ops::Range;

/// Of α − 1, per doubling.
const PER_DOUBLING: f64 = 700.0;
/// α − 1 of the lowest rung is 2^−LOWEST.
const LOWEST: f64 = 10.0;
const REAL_RUNGS: i64 = ((LOWEST + 6.0) * PER_DOUBLING) as i64;
const WHOLE_RUNGS: i64 = 1024 - 65;
/// Up to α − 1 = 2^30.
const SPARSE_RUNGS: i64 = (20.0 * PER_DOUBLING) as i64;

pub const RUNGS: i64 = REAL_RUNGS + WHOLE_RUNGS + SPARSE_RUNGS;
/// About where most questions end (α ≈ 8).
pub const START: i64 = ((LOWEST + 2.8) * PER_DOUBLING) as i64;

/// The rungs of the whole orders 2, 3, … 65, downwards from −1.
pub const WHOLE: i64 = 64;

/// The order at a rung, strictly increasing from 0 on.
pub fn order(rung: i64) -> f64 {
    if rung < 0 {
        return (1 - rung) as f64;
    }
    if rung <= REAL_RUNGS {
        return 1.0 + (rung as f64 / PER_DOUBLING - LOWEST).exp2();
    }
    let whole = rung - REAL_RUNGS;
    if whole <= WHOLE_RUNGS {
        return 65.0 + whole as f64;
    }
    (1024.0 * ((whole - WHOLE_RUNGS) as f64 / PER_DOUBLING).exp2()).ceil()
}

/// The lowest value of a function with one valley, looked for from `from` on: strides that grow while it goes downhill and halve where it does
/// not. (A function with several valleys gets the valley below `from`: still a valid bound.)
pub fn lowest(from: i64, value: impl FnMut(i64) -> f64) -> (i64, f64) {
    lowest_within(0..RUNGS, from, value)
}

/// The same among the whole orders below 66, beside `from`.
pub fn lowest_whole(from: i64, value: impl FnMut(i64) -> f64) -> (i64, f64) {
    lowest_within(-WHOLE..0, 1 - (order(from).round() as i64), value)
}

fn lowest_within(rungs: Range<i64>, from: i64, mut value: impl FnMut(i64) -> f64) -> (i64, f64) {
    let mut at = from.clamp(rungs.start, rungs.end - 1);
    let mut best = value(at);
    let mut stride = 1;
    // Near the last answer the neighbours decide; only where they are lower the stride grows.
    let mut growing = true;
    loop {
        let mut moved = false;
        for candidate in [at + stride, at - stride] {
            if rungs.contains(&candidate) {
                let there = value(candidate);
                if there < best || (best.is_infinite() && there.is_finite()) {
                    (at, best, moved) = (candidate, there, true);
                    break;
                }
            }
        }
        match (moved, growing) {
            (true, true) => stride = (stride * 4).min(2048),
            (true, false) => {}
            (false, _) if stride == 1 => return (at, best),
            (false, _) => {
                growing = false;
                stride = (stride / 4).max(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_rises_strictly() {
        let mut last = 1.0;
        for at in 0..RUNGS {
            let here = order(at);
            assert!(here > last, "rung {at}");
            assert!(at <= REAL_RUNGS || here.fract() == 0.0);
            last = here;
        }
        assert_eq!((order(-1), order(-WHOLE)), (2.0, 65.0));
    }

    #[test]
    fn the_search_finds_the_bottom_of_a_valley_from_anywhere() {
        for bottom in [3, 5_000, 11_300, RUNGS - 2] {
            for from in [0, START, RUNGS - 1] {
                assert_eq!(lowest(from, |rung| ((rung - bottom) as f64).abs()).0, bottom);
            }
        }
        assert_eq!(lowest_whole(START, |rung| (order(rung) - 40.0).abs()).0, -39);
    }
}
