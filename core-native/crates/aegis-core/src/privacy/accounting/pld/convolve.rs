//! Composition of tilted masses by FFT, and δ(ε) read from the result.
//!
//! Masses are weighted by e^{s·loss} first, so that what decides about ε is the bulk of what is transformed: the transform's rounding, which is
//! relative to the largest mass, is then relative to δ itself (Keich 2005; as in the saddle-point accountant, Alghamdi et al.
//! 2208.09595).

use std::cell::RefCell;

use realfft::RealFftPlanner;
use realfft::num_complex::Complex64;

use super::cells::Grid;
use super::loss::Lattice;
use super::window::Window;

thread_local! {
    /// Keeps the twiddle factors of the sizes in use.
    static PLANNER: RefCell<RealFftPlanner<f64>> = RefCell::new(RealFftPlanner::new());
}

/// The composed, tilted masses on the window; index k stands for the points first + k + jN of the lattice, of all whole j.
pub struct Composed {
    lattice: Lattice,
    first: i64,
    s: f64,
    masses: Vec<f64>,
    /// Bound of the rounding errors of all masses together, as the root of the sum of their squares.
    error: f64,
    /// Of the untilted sum: ln E[e^{sΣL}].
    pub ln_mean: f64,
    /// Mass at +∞.
    pub infinite: f64,
}

/// Composes `count` of each grid.
///
/// Each is turned so that its heaviest mass h stands at 0. Where all releases together are likely to be that one (a small rate), the transform of the
/// rest v is small and known to its own precision: what is transformed back is ∏(h + v)ⁿ − ∏hⁿ, and ∏hⁿ is put in its place afterwards. Elsewhere it is
/// ∏(1 + w)ⁿ with w = v less its value at 0.
pub fn compose(window: &Window, grids: &[(Grid, u64)]) -> Composed {
    let size = window.size;
    let first = window.first;
    let tilted: Vec<(Tilted, u64)> = grids.iter().map(|(grid, count)| (tilt(grid, window, size), *count)).collect();
    let ln_heaviest: f64 = tilted.iter().map(|(one, count)| *count as f64 * one.heaviest.ln()).sum();
    let apart = ln_heaviest > LIKELY;
    let levels = (size as f64).log2();
    PLANNER.with_borrow_mut(|planner| {
        let (forward, inverse) = (planner.plan_fft_forward(size), planner.plan_fft_inverse(size));
        // of each frequency: the logarithm of the product, and what it may be off by
        let mut logarithms = vec![(Complex64::ZERO, 0.0); size / 2 + 1];
        let (mut spectrum, mut scratch) = (forward.make_output_vec(), forward.make_scratch_vec());
        let (mut ln_mean, mut infinite, mut offset) = (0.0, 0.0, 0i64);
        for ((mut one, count), (grid, _)) in tilted.into_iter().zip(grids) {
            let norm = one.rest.iter().map(|mass| mass * mass).sum::<f64>().sqrt();
            forward.process_with_scratch(&mut one.rest, &mut spectrum, &mut scratch).expect("lengths fit");
            let times = count as f64;
            ln_mean += times * one.ln_mean;
            infinite += times * grid.infinite;
            offset = ((i128::from(offset) + i128::from(count) * i128::from(one.index)) % size as i128) as i64;
            let (scale, shift) = if apart { (one.heaviest.recip(), 0.0) } else { (1.0, 1.0 - one.heaviest) };
            let rounding = 4.0 * f64::EPSILON * levels * norm * scale;
            for (value, (logarithm, off)) in spectrum.iter().zip(&mut logarithms) {
                if logarithm.re < NOTHING {
                    continue;
                }
                let w = Complex64::new(value.re * scale - shift, value.im * scale);
                let square = 2.0 * w.re + w.norm_sqr();
                // ln(1 + x) ≤ x spares the logarithm of most
                if !apart && 0.5 * square * times < NOTHING {
                    logarithm.re = f64::NEG_INFINITY;
                    continue;
                }
                let error = rounding + 4.0 * f64::EPSILON * w.norm_sqr().sqrt();
                let ln_size = if square > -0.75 {
                    0.5 * square.ln_1p()
                } else {
                    // near −1: a power that may be nothing, which is not known to be less than its error
                    0.5 * ((1.0 + w.re).powi(2) + w.im * w.im).max(error * error).ln()
                };
                let angle = w.im.atan2(1.0 + w.re);
                *logarithm += Complex64::new(times * ln_size, times * angle);
                *off += times * error * (-ln_size).exp();
            }
        }
        let (mut squares, mut energy) = (0.0, 0.0);
        let heaviest = ln_heaviest.exp();
        let power = |(logarithm, off): (Complex64, f64)| {
            if logarithm.re < NOTHING && !apart {
                return Complex64::ZERO;
            }
            let off = off + f64::EPSILON * (logarithm.re.abs() + logarithm.im.abs());
            let (value, whole) = if apart {
                (exp_m1(logarithm) * heaviest, heaviest * logarithm.re.exp())
            } else {
                let whole = logarithm.re.exp();
                (Complex64::from_polar(whole, logarithm.im), whole)
            };
            let square = value.norm_sqr();
            squares += (whole * off + 8.0 * f64::EPSILON * square.sqrt()).powi(2);
            energy += square;
            value
        };
        let mut product: Vec<Complex64> = logarithms.into_iter().map(power).collect();
        let scale = 1.0 / size as f64;
        let error = (2.0 * squares * scale).sqrt() + 4.0 * f64::EPSILON * levels * (2.0 * energy * scale).sqrt();
        let mut masses = vec![0.0; size];
        product[0].im = 0.0;
        product[size / 2].im = 0.0;
        let mut scratch = inverse.make_scratch_vec();
        inverse.process_with_scratch(&mut product, &mut masses, &mut scratch).expect("lengths fit");
        masses.iter_mut().for_each(|mass| *mass *= scale);
        if apart {
            masses[0] += heaviest;
        }
        masses.rotate_left((first - offset).rem_euclid(size as i64) as usize);
        Composed { lattice: window.lattice, first, s: window.s, masses, error, ln_mean, infinite }
    })
}

/// e^z − 1 to its own precision.
fn exp_m1(z: Complex64) -> Complex64 {
    let half = (0.5 * z.im).sin();
    Complex64::new(z.re.exp_m1() * z.im.cos() - 2.0 * half * half, z.re.exp() * z.im.sin())
}

/// Masses times e^{s·loss}, scaled to sum 1.
struct Tilted {
    /// The heaviest mass, and its loss in steps.
    heaviest: f64,
    index: i64,
    /// The others, folded onto a circle on which the heaviest stands at 0.
    rest: Vec<f64>,
    /// The logarithm of the sum before scaling.
    ln_mean: f64,
}

/// Masses that share one power of the tilt.
const BLOCK: usize = 64;

fn tilt(grid: &Grid, window: &Window, size: usize) -> Tilted {
    let exponent = |block: usize| window.s * grid.lattice.at(grid.first + (block * BLOCK) as i64);
    let within: Vec<f64> = (0..BLOCK).map(|place| (window.s * place as f64 * grid.lattice.step).exp()).collect();
    let blocks = || grid.masses.chunks(BLOCK).enumerate();
    // about the logarithm of the heaviest: all that is needed is that nothing overflows
    let top = blocks()
        .map(|(block, masses)| (block, masses.iter().copied().fold(0.0, f64::max)))
        .filter(|(_, most)| *most > 0.0)
        .map(|(block, most)| exponent(block) + most.ln())
        .fold(f64::NEG_INFINITY, f64::max);
    let mut weights = vec![0.0; grid.masses.len()];
    for ((block, masses), weights) in blocks().zip(weights.chunks_mut(BLOCK)) {
        // in two halves, so that a mass that hardly exists still meets the power it needs
        let half = (0.5 * (exponent(block) - top)).min(709.0).exp();
        for ((weight, mass), power) in weights.iter_mut().zip(masses).zip(&within) {
            *weight = mass * half * power * half;
        }
    }
    let (heaviest, most) = weights.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 1.0));
    weights[heaviest] = 0.0;
    let sum = weights.iter().sum::<f64>() / most;
    let scale = 1.0 / (1.0 + sum);
    let mut rest = vec![0.0; size];
    let start = (-(heaviest as i64)).rem_euclid(size as i64) as usize;
    let (before, after) = weights.split_at((size - start).min(weights.len()));
    let places = std::iter::once((start, before)).chain(after.chunks(size).map(|turn| (0, turn)));
    for (from, turn) in places {
        for (mass, weight) in rest[from..].iter_mut().zip(turn) {
            *mass += weight * (scale / most);
        }
    }
    Tilted { heaviest: scale, index: grid.first + heaviest as i64, rest, ln_mean: top + most.ln() + sum.ln_1p() }
}

/// Grid points after which the running target is computed afresh.
const RESYNC: usize = 64;

impl Composed {
    /// Whether the masses and what they may be off by are numbers: if not, nothing is known of δ.
    pub fn is_known(&self) -> bool {
        self.error.is_finite() && self.ln_mean.is_finite()
    }

    pub fn foot(&self) -> f64 {
        self.lattice.at(self.first)
    }

    /// What the errors of the masses may add up to in δ: by Cauchy and Schwarz, with Σ (e^{−sy} − e^{−(s+1)y})² over the grid points y above ε.
    fn error_of_delta(&self) -> f64 {
        let s = self.s;
        let sum = 1.0 / (2.0 * s * (2.0 * s + 1.0) * (s + 1.0) * self.lattice.step) + 1.0;
        self.error * sum.min(self.masses.len() as f64).sqrt()
    }

    /// The ε at which δ(ε) crosses e^`ln_target`, and how fast ln δ falls there. The masses' error is added to δ or, with `slack`, taken off it. The
    /// foot of the window if δ is smaller there already.
    pub fn crossing(&self, ln_target: f64, towards: Towards) -> (f64, f64) {
        let slack = match towards {
            Towards::Above => -self.error_of_delta(),
            Towards::Below { slack } => slack + self.error_of_delta(),
        };
        let loss = |index: usize| self.lattice.at(self.first + index as i64);
        let target_at = |index: usize| (ln_target - self.ln_mean + self.s * loss(index)).exp();
        let step = self.lattice.step;
        let (fade, fade_more) = ((-self.s * step).exp(), (-(self.s + 1.0) * step).exp());
        // Σ c·e^{−s(l−l_k)} and Σ c·e^{−(s+1)(l−l_k)} over losses l above l_k: δ(l_k) is their difference times e^{ln_mean − s·l_k}
        let (mut sum, mut sum_more, mut target) = (0.0, 0.0, f64::INFINITY);
        for (index, &mass) in self.masses.iter().enumerate().rev() {
            target = if index % RESYNC == 0 || target.is_infinite() { target_at(index) } else { target * fade };
            if sum - sum_more - slack > target {
                return (loss(index) + ((sum - slack - target) / sum_more).ln(), (sum - slack - target) / target);
            }
            let mass = mass.max(0.0);
            sum = (sum + mass) * fade;
            sum_more = (sum_more + mass) * fade_more;
        }
        (loss(0), 1.0)
    }
}

/// Powers below e^this count as nothing.
const NOTHING: f64 = -69.0;

/// The heaviest outcome is taken apart from e^this on.
const LIKELY: f64 = -3.0;

/// Which way the errors of the composed masses count.
#[derive(Clone, Copy, Debug)]
pub enum Towards {
    Above,
    Below { slack: f64 },
}
