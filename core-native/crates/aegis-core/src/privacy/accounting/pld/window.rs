//! Which stretch of losses is computed, how finely, and what is known about the rest.

use super::cumulants::{Steps, cumulants, ln_mean};

#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The exponent of the tilt: masses are weighted by e^{s·loss}.
    pub s: f64,
    /// The lowest loss, in steps; the lowest and the highest.
    pub first: i64,
    pub low: f64,
    pub high: f64,
    pub delta: f64,
    pub size: usize,
    /// The tilt −θ whose moment bounds the mass below `low`.
    pub theta: f64,
    /// An upper bound of the mass above `high` is e^{ln E[e^{rL}] − r·high} at this r.
    pub r: f64,
}

/// Tilted mass that may lie below the window.
const LN_BELOW: f64 = -17.0;
/// Part of δ that may lie above it.
const LN_ABOVE: f64 = -12.0;
/// The tilt may not lift what lies above the window to more than e^(this + LN_ABOVE) of δ.
const MOST_TILT: f64 = 6.0;
/// Tilted masses of one window stay within e^this of one another: what f64 can hold.
const MOST_RANGE: f64 = 400.0;
/// Of ε, what the grid may cost.
const PRECISION: f64 = 1e-4;
const SMALLEST_LOSS: f64 = 2e-7;
const LARGEST_SIZE: usize = 1 << 20;
const SMALLEST_SIZE: usize = 1 << 10;

impl Window {
    fn at(s: f64, low: f64, delta: f64, size: usize, theta: f64, r: f64) -> Self {
        let first = (low / delta).floor() as i64;
        let at = |index: i64| index as f64 * delta;
        Self { s, first, low: at(first), high: at(first + size as i64 - 1), delta, size, theta, r }
    }

    /// A first look: everything from the untilted bulk to where δ ends, in few steps.
    pub fn coarse(all: &[Steps], s: f64, epsilon: f64, ln_delta: f64) -> Self {
        let untilted = cumulants(all, 0.0);
        let (r, high) = top(all, s, epsilon, ln_delta);
        let low = (untilted.mean - 7.0 * untilted.variance.sqrt()).min(0.0);
        let delta = aligned(all, (high - low) / (SMALLEST_SIZE - 2) as f64);
        let s = s.min(MOST_TILT / (high - epsilon)).min(MOST_RANGE / (high - low));
        Self::at(s, low, delta, SMALLEST_SIZE, s, r)
    }

    /// The losses that decide about an ε near `epsilon`, at most by `uncertain` below it, in steps fine enough for its precision where ln δ falls
    /// at the rate `decay`.
    pub fn fine(all: &[Steps], s: f64, (epsilon, uncertain): (f64, f64), decay: f64, ln_delta: f64) -> Self {
        let (r, high) = top(all, s, epsilon, ln_delta);
        let s = s.min(MOST_TILT / (high - epsilon));
        let at = cumulants(all, s);
        let deviation = at.variance.sqrt();
        let usual = (-2.0 * LN_BELOW).sqrt() / deviation;
        let (theta, low) = (-6..7)
            .map(|k| usual * 2f64.powf(0.5 * f64::from(k)))
            .map(|theta| (theta, (LN_BELOW - (ln_mean(all, s - theta) - at.ln_mean)) / theta))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap_or((usual, at.mean));
        let low = low.min(epsilon - uncertain - 2.0 / decay).min(at.mean - deviation);
        // the grid itself spreads what lies below, by this variance
        let (delta, _) = grid(all, decay.max(s), epsilon, high - low);
        let low = low - 7.0 * spread(all, s, delta).sqrt();
        let (delta, size) = grid(all, decay.max(s), epsilon, high - low);
        Self::at(s.min(MOST_RANGE / (high - low)), low, delta, size, theta, r)
    }

    /// How much more than the truth an ε read from this window may be, about.
    pub fn coarseness(&self, all: &[Steps], decay: f64) -> f64 {
        0.5 * (1.0 + decay) * spread(all, self.s, self.delta) + self.delta
    }
}

fn count_of(all: &[Steps]) -> f64 {
    all.iter().map(|steps| steps.count as f64).sum()
}

/// The variance that rounding to a grid adds to ΣL: Σ E[x(Δ−x)], where x is the place of the loss in its cell. Δ²/6 for losses spread over many
/// cells, Δ·E|L| for losses within one.
fn spread(all: &[Steps], s: f64, delta: f64) -> f64 {
    (count_of(all) * delta * delta / 6.0).min(delta * cumulants(all, s).absolute)
}

/// The grid moves the composed ε by about (1+decay)/2 times that spread: the largest step that stays within the precision.
fn grid(all: &[Steps], decay: f64, epsilon: f64, width: f64) -> (f64, usize) {
    let absolute = cumulants(all, 0.0).absolute;
    let budget = 2.0 * (PRECISION * epsilon + SMALLEST_LOSS) / (1.0 + decay);
    let wanted = (6.0 * budget / count_of(all)).sqrt().max(budget / absolute);
    let size = nice((width / wanted).ceil().clamp(SMALLEST_SIZE as f64, LARGEST_SIZE as f64) as usize);
    (aligned(all, width / (size - 2) as f64), size)
}

/// Where δ ends but for a negligible part, and the r whose moment shows it.
fn top(all: &[Steps], s: f64, epsilon: f64, ln_delta: f64) -> (f64, f64) {
    let (r, high) = (-8..32)
        .map(|k| s * 2f64.powf(0.25 * f64::from(k)))
        .map(|r| (r, (ln_mean(all, r) - ln_delta - LN_ABOVE) / r))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((s, epsilon));
    let high = high.max(epsilon + 2.0 / s);
    // what cannot be exceeded needs no bound
    let most: f64 = all.iter().map(|steps| steps.count as f64 * steps.loss.loss(steps.range.to)).sum();
    (r, if most < 8.0 * high { most.max(epsilon) } else { high })
}

/// A step not smaller that the first atom is a multiple of, if there is one; the window then is wider than asked for.
fn aligned(all: &[Steps], delta: f64) -> f64 {
    let atom = all.iter().flat_map(|steps| steps.loss.atoms()).map(|atom| atom.loss.abs()).next();
    match atom {
        Some(loss) if loss >= delta => loss / (loss / delta).floor(),
        _ => delta,
    }
}

/// The next length that transforms quickly.
fn nice(size: usize) -> usize {
    let power = size.next_power_of_two();
    [power / 8 * 5, power / 4 * 3].into_iter().find(|&smaller| smaller >= size).unwrap_or(power)
}
