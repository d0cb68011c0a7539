//! Which stretch of losses is computed, how finely, and what is known about the rest.

use super::cumulants::{Steps, cumulants, ln_mean};
use super::loss::{Lattice, Loss};

#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The exponent of the tilt: masses are weighted by e^{s·loss}.
    pub s: f64,
    /// Where the composed losses stand, and the index of the lowest one that is looked at; the lowest and the highest.
    pub lattice: Lattice,
    pub first: i64,
    pub low: f64,
    pub high: f64,
    /// Whether losses are put on lattices that start at one of their atoms, or all on multiples of the step.
    aligned: bool,
    pub size: usize,
    /// The tilt −θ whose moment bounds the mass below `low`.
    pub theta: f64,
    /// An upper bound of the mass above `high` is e^{ln E[e^{rL}] − r·high} at this r.
    pub r: f64,
}

/// What a window may leave out, and how long its steps may be.
#[derive(Clone, Copy, Debug)]
pub struct Sharpness {
    /// Tilted mass that may lie below the window.
    ln_below: f64,
    /// Part of δ that may lie above it.
    ln_above: f64,
    /// By so much higher the window goes on where that is all there is.
    farther: f64,
    /// What lies above the window may be lifted by e^this. The lower bound wants little of it: what may come round the circle is taken off it.
    most_lift: Option<f64>,
    longest_step: f64,
}

/// Where to look, to some 1e-4 of ε; and what `lower` is read from.
pub const QUICK: Sharpness = Sharpness {
    ln_below: -17.0,
    ln_above: -12.0,
    farther: 8.0,
    most_lift: Some(COARSE_LIFT),
    longest_step: f64::INFINITY,
};

/// That dp-accounting takes unless told otherwise. On steps of which it is a multiple, rounded in the same way, no bound is above its own.
const LONGEST_STEP: f64 = 1e-4;

/// The answer. What lies below comes round to the top of the window, where the tilt makes nothing of it.
pub const SHARP: Sharpness =
    Sharpness { ln_below: -14.0, ln_above: -19.0, farther: 2.0, most_lift: None, longest_step: LONGEST_STEP };

/// In a first look, the tilt may not lift what lies above the window by more than e^this.
const COARSE_LIFT: f64 = 6.0;
/// Tilted masses of one window stay within e^this of one another: what f64 can hold.
const MOST_RANGE: f64 = 400.0;
/// Of ε, what the grid may cost.
const PRECISION: f64 = 1e-4;
const SMALLEST_LOSS: f64 = 2e-7;
/// Of more releases, next to none are all at the top.
const MOST_LIFTED: f64 = 32.0;
const LARGEST_SIZE: usize = 1 << 20;
const SMALLEST_SIZE: usize = 1 << 10;

/// What a window is made for.
#[derive(Clone, Copy, Debug)]
pub struct Sought {
    /// The tilt that brings the mean to ε.
    pub s: f64,
    pub epsilon: f64,
    /// By so much ε may be lower.
    pub uncertain: f64,
    /// How fast ln δ falls at ε.
    pub decay: f64,
}

impl Window {
    /// From `low` on, about. The lattice of the sum starts where those of all losses together do.
    fn at(all: &[Steps], (low, step, size): (f64, f64, usize), aligned: bool, (s, theta, r): (f64, f64, f64)) -> Self {
        let start = all.iter().map(|steps| steps.count as f64 * lattice_of(&steps.loss, step, aligned).start).sum();
        let lattice = Lattice { start, step };
        let first = lattice.place(low).floor() as i64;
        let (low, high) = (lattice.at(first), lattice.at(first + size as i64 - 1));
        Self { s, lattice, first, low, high, aligned, size, theta, r }
    }

    /// The lattice on which one mechanism's losses are put.
    pub fn lattice_of(&self, loss: &Loss) -> Lattice {
        lattice_of(loss, self.lattice.step, self.aligned)
    }

    /// A first look: everything from the untilted bulk to where δ ends, in few steps.
    pub fn coarse(all: &[Steps], s: f64, epsilon: f64, ln_delta: f64) -> Self {
        let untilted = cumulants(all, 0.0);
        let (r, high) = top(all, s, epsilon, ln_delta + QUICK.ln_above, QUICK.farther);
        let low = (untilted.mean - 7.0 * untilted.variance.sqrt()).min(0.0);
        let (delta, _) = grid(all, (epsilon, s), high - low, f64::INFINITY, SMALLEST_SIZE);
        let s = s.min(COARSE_LIFT / (high - epsilon)).min(MOST_RANGE / (high - low));
        Self::at(all, (low, delta, SMALLEST_SIZE), true, (s, s, r))
    }

    /// The losses that decide about an ε near the one sought, in steps fine enough for its precision.
    pub fn fine(all: &[Steps], sharpness: Sharpness, sought: Sought, ln_delta: f64) -> Self {
        let Sought { s, epsilon, uncertain, decay } = sought;
        let Sharpness { ln_below, ln_above, farther, most_lift, longest_step } = sharpness;
        let (r, high) = top(all, s, epsilon, ln_delta + ln_above, farther);
        let (s, width) = match most_lift {
            Some(lift) => (s.min(lift / (high - epsilon)), 0.0),
            None => tilt(all, s, epsilon, ln_delta + ln_above, high),
        };
        let at = cumulants(all, s);
        let deviation = at.variance.sqrt();
        let usual = (-2.0 * ln_below).sqrt() / deviation;
        let (theta, low) = (-6..7)
            .map(|k| usual * 2f64.powf(0.5 * f64::from(k)))
            .map(|theta| (theta, (ln_below - (ln_mean(all, s - theta) - at.ln_mean)) / theta))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap_or((usual, at.mean));
        let low = low.min(epsilon - uncertain - 2.0 / decay).min(at.mean - deviation);
        // the grid itself spreads what lies below, by this variance
        let (delta, _) = grid(all, (epsilon, decay.max(s)), high - low, longest_step, LARGEST_SIZE);
        let low = low - 7.0 * spread(all, s, delta).sqrt();
        // where few releases reach the top of what can happen, the grid may lift each of them by a step
        let high = high.max(low + width) + count_of(all).min(MOST_LIFTED) * delta;
        let (delta, size) = grid(all, (epsilon, decay.max(s)), high - low, longest_step, LARGEST_SIZE);
        let s = s.min(MOST_RANGE / (high - low));
        Self::at(all, (low, delta, size), longest_step.is_infinite(), (s, theta, r))
    }

    /// Whether nothing is won by a [`SHARP`] one: dp-accounting's step would cost more than this one's and what it leaves out together. (Of atoms
    /// that is not known: what they cost depends on where in their cells they stand.)
    pub fn is_sharp(&self, all: &[Steps], decay: f64) -> bool {
        let theirs = 0.5 * (1.0 + decay) * spread(all, self.s, LONGEST_STEP);
        let ours = 0.5 * (1.0 + decay) * spread(all, self.s, self.lattice.step) + 4.0 * QUICK.ln_above.exp() / decay;
        theirs > 2.0 * ours && first_atoms(all).is_none()
    }

    /// How much more than the truth an ε read from this window may be, about.
    pub fn coarseness(&self, all: &[Steps], decay: f64) -> f64 {
        0.5 * (1.0 + decay) * spread(all, self.s, self.lattice.step) + self.lattice.step
    }
}

fn lattice_of(loss: &Loss, step: f64, aligned: bool) -> Lattice {
    let start = loss.lattice().filter(|_| aligned).map_or(0.0, |atoms| atoms.start.rem_euclid(step));
    Lattice { start, step }
}

fn count_of(all: &[Steps]) -> f64 {
    all.iter().map(|steps| steps.count as f64).sum()
}

/// The variance that rounding to a grid adds to ΣL: Σ E[x(Δ−x)], where x is the place of the loss in its cell. Δ²/6 for losses spread over many
/// cells, Δ·E|L| for losses within one.
fn spread(all: &[Steps], s: f64, delta: f64) -> f64 {
    let of = |steps: &Steps| {
        let absolute = cumulants(std::slice::from_ref(steps), s).absolute;
        (steps.count as f64 * delta * delta / 6.0).min(delta * absolute)
    };
    all.iter().map(of).sum()
}

/// The grid moves the composed ε by about (1+decay)/2 times that spread: the largest step that stays within the precision.
fn grid(all: &[Steps], (epsilon, decay): (f64, f64), width: f64, longest: f64, most: usize) -> (f64, usize) {
    let absolute = cumulants(all, 0.0).absolute;
    let budget = 2.0 * (PRECISION * epsilon + SMALLEST_LOSS) / (1.0 + decay);
    let wanted = (6.0 * budget / count_of(all)).sqrt().max(budget / absolute).min(longest);
    // a sharp grid stands on all points of dp-accounting's, and others on the atoms of the first mechanism that has some
    let unit = if longest.is_finite() { longest } else { first_atoms(all).map_or(wanted, |lattice| lattice.step) };
    let points = (width / unit * (unit / wanted).ceil()).ceil() + 2.0;
    let size = nice(points.clamp(SMALLEST_SIZE as f64, most as f64) as usize);
    let step = width / (size - 2) as f64;
    (if step <= unit { unit / (unit / step * (1.0 + 1e-12)).floor() } else { step }, size)
}

/// Where δ ends but for a negligible part, and the r whose moment shows it.
fn top(all: &[Steps], s: f64, epsilon: f64, ln_left: f64, farther: f64) -> (f64, f64) {
    let (r, high) = (-8..32)
        .map(|k| s * 2f64.powf(0.25 * f64::from(k)))
        .map(|r| (r, (ln_mean(all, r) - ln_left) / r))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((s, epsilon));
    let high = high.max(epsilon + 2.0 / s);
    // what cannot be exceeded needs no bound
    let most: f64 = all.iter().map(|steps| steps.count as f64 * steps.loss.loss(steps.range.to)).sum();
    (r, if most < farther * high { most.max(epsilon) } else { high })
}

/// How much less than asked for the tilt may be.
const LESS_TILT: [f64; 8] = [1.0, 0.85, 0.7, 0.6, 0.5, 0.35, 0.2, 0.1];
/// A window may be wider by this for a better tilt.
const WIDER: f64 = 2.0;

/// The largest tilt up to `s` that a window of reasonable width bears, and that width. What lies a whole window above ε comes round to it, lifted by
/// e^{s·width}: even so it may be no more than e^`ln_left`.
fn tilt(all: &[Steps], s: f64, epsilon: f64, ln_left: f64, high: f64) -> (f64, f64) {
    let width = |s: f64| {
        (1..32)
            .map(|k| s * 2f64.powf(0.25 * f64::from(k)))
            .map(|r| (ln_mean(all, r) - r * epsilon - ln_left) / (r - s))
            .fold(f64::INFINITY, f64::min)
    };
    let tilts = LESS_TILT.map(|less| (less * s, width(less * s)));
    let fits = tilts.into_iter().find(|(_, width)| *width <= WIDER * (high - epsilon.min(0.0)));
    fits.unwrap_or(tilts[LESS_TILT.len() - 1])
}

fn first_atoms(all: &[Steps]) -> Option<Lattice> {
    all.iter().find_map(|steps| steps.loss.lattice())
}

/// The next length that transforms quickly.
fn nice(size: usize) -> usize {
    let power = size.next_power_of_two();
    [power / 16 * 9, power / 8 * 5, power / 4 * 3, power / 16 * 15]
        .into_iter()
        .find(|&smaller| smaller >= size)
        .unwrap_or(power)
}
