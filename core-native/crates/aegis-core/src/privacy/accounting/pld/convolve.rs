//! Composition of tilted masses by FFT, and δ(ε) read from the result.
//!
//! Masses are weighted by e^{s·loss} first, so that what decides about ε is the bulk of what is transformed: the transform's rounding, which is
//! relative to the largest mass, is then relative to δ itself (Keich 2005; as in the saddle-point accountant, Alghamdi et al.
//! 2208.09595).

use std::cell::RefCell;

use realfft::RealFftPlanner;
use realfft::num_complex::Complex64;

use super::cells::Grid;
use super::window::Window;

thread_local! {
    /// Keeps the twiddle factors of the sizes in use.
    static PLANNER: RefCell<RealFftPlanner<f64>> = RefCell::new(RealFftPlanner::new());
}

/// The composed, tilted masses on the window; index k stands for the losses (first + k + jN)·Δ of all whole j.
pub struct Composed {
    first: i64,
    delta: f64,
    s: f64,
    masses: Vec<f64>,
    /// Bound of the rounding error of each mass.
    pub error: f64,
    /// Of the untilted sum: ln E[e^{sΣL}].
    pub ln_mean: f64,
    /// Mass at +∞.
    pub infinite: f64,
}

/// Composes `count` of each grid.
pub fn compose(window: &Window, grids: &[(Grid, u64)]) -> Composed {
    let size = window.size;
    let first = window.first;
    PLANNER.with_borrow_mut(|planner| {
        let (forward, inverse) = (planner.plan_fft_forward(size), planner.plan_fft_inverse(size));
        let mut product = vec![Complex64::new(1.0, 0.0); size / 2 + 1];
        let mut sensitivity = vec![0.0; size / 2 + 1];
        let (mut spectrum, mut scratch) = (forward.make_output_vec(), forward.make_scratch_vec());
        let (mut ln_mean, mut infinite, mut offset) = (0.0, 0.0, 0i64);
        let levels = (size as f64).log2();
        for (grid, count) in grids {
            let (mut tilted, ln_one, rest) = tilt(grid, window, size);
            let norm = tilted.iter().map(|mass| mass * mass).sum::<f64>().sqrt();
            forward.process_with_scratch(&mut tilted, &mut spectrum, &mut scratch).expect("lengths fit");
            let times = *count as f64;
            ln_mean += times * ln_one.value;
            infinite += times * grid.infinite;
            offset = ((i128::from(offset) + i128::from(*count) * i128::from(ln_one.index)) % size as i128) as i64;
            let rounding = 4.0 * f64::EPSILON * levels * norm;
            for ((value, product), sensitivity) in spectrum.iter().zip(&mut product).zip(&mut sensitivity) {
                if *product == Complex64::ZERO {
                    continue;
                }
                // The heaviest mass stands at 0 and is not in `value`: the transform is 1 + w, and where that mass is nearly everything w is
                // small and known to its own precision.
                let w = Complex64::new(value.re - rest, value.im);
                let ln_size = 0.5 * (2.0 * w.re + w.norm_sqr()).max(-1.0).ln_1p();
                if ln_size * times < NOTHING {
                    *product = Complex64::ZERO;
                    continue;
                }
                let angle = w.im.atan2(1.0 + w.re);
                *product *= Complex64::from_polar((times * ln_size).exp(), times * angle);
                *sensitivity +=
                    times * (rounding + 4.0 * f64::EPSILON * w.norm()) * (-ln_size).exp() + 64.0 * f64::EPSILON;
            }
        }
        let propagated: f64 = product.iter().zip(&sensitivity).map(|(value, s)| value.norm() * s).sum();
        let energy: f64 = product.iter().map(|value| value.norm_sqr()).sum();
        let scale = 1.0 / size as f64;
        let error = 2.0 * propagated * scale + 4.0 * f64::EPSILON * levels * (2.0 * energy).sqrt() * scale + 1e-29;
        let mut masses = vec![0.0; size];
        product[0].im = 0.0;
        product[size / 2].im = 0.0;
        let mut scratch = inverse.make_scratch_vec();
        inverse.process_with_scratch(&mut product, &mut masses, &mut scratch).expect("lengths fit");
        masses.iter_mut().for_each(|mass| *mass *= scale);
        masses.rotate_left((first - offset).rem_euclid(size as i64) as usize);
        Composed { first, delta: window.delta, s: window.s, masses, error, ln_mean, infinite }
    })
}

/// The heaviest tilted mass.
struct Heaviest {
    /// Its loss is this many Δ.
    index: i64,
    /// The logarithm of the sum of all tilted masses.
    value: f64,
}

/// Masses times e^{s·loss}, scaled to sum 1, turned so that the heaviest stands at 0 and left out there, folded onto the circle; and the
/// sum of those that are left.
fn tilt(grid: &Grid, window: &Window, size: usize) -> (Vec<f64>, Heaviest, f64) {
    let exponent = |index: usize| window.s * (grid.first + index as i64) as f64 * window.delta;
    let weighted: Vec<f64> = grid
        .masses
        .iter()
        .enumerate()
        .map(|(index, mass)| if *mass > 0.0 { exponent(index) + mass.ln() } else { f64::NEG_INFINITY })
        .collect();
    let (heaviest, top) = weighted.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0));
    let mut tilted = vec![0.0; size];
    let mut rest = 0.0;
    let place = |index: usize| (index as i64 - heaviest as i64).rem_euclid(size as i64) as usize;
    let mut at = place(0);
    for (index, ln) in weighted.iter().enumerate() {
        if index != heaviest && *ln > top - 700.0 {
            let weight = (ln - top).exp();
            tilted[at] += weight;
            rest += weight;
        }
        at = if at + 1 == size { 0 } else { at + 1 };
    }
    let sum = 1.0 + rest;
    tilted.iter_mut().for_each(|mass| *mass /= sum);
    (tilted, Heaviest { index: grid.first + heaviest as i64, value: top + sum.ln() }, rest / sum)
}

/// Grid points after which the running target is computed afresh.
const RESYNC: usize = 64;

impl Composed {
    pub fn foot(&self) -> f64 {
        self.first as f64 * self.delta
    }

    /// The ε at which δ(ε) crosses e^`ln_target`, and how fast ln δ falls there. Every mass is moved by its error upwards or, with `slack` off
    /// the tilted sum, downwards. The foot of the window if δ is smaller there already.
    pub fn crossing(&self, ln_target: f64, towards: Towards) -> (f64, f64) {
        let (error, slack) = match towards {
            Towards::Above => (self.error, 0.0),
            Towards::Below { slack } => (-self.error, slack),
        };
        let loss = |index: usize| (self.first + index as i64) as f64 * self.delta;
        let target_at = |index: usize| (ln_target - self.ln_mean + self.s * loss(index)).exp();
        let (fade, fade_more) = ((-self.s * self.delta).exp(), (-(self.s + 1.0) * self.delta).exp());
        // Σ c·e^{−s(l−l_k)} and Σ c·e^{−(s+1)(l−l_k)} over losses l above l_k: δ(l_k) is their difference times e^{ln_mean − s·l_k}
        let (mut sum, mut sum_more, mut target) = (0.0, 0.0, f64::INFINITY);
        for (index, &mass) in self.masses.iter().enumerate().rev() {
            target = if index % RESYNC == 0 || target.is_infinite() { target_at(index) } else { target * fade };
            if sum - sum_more - slack > target {
                return (loss(index) + ((sum - slack - target) / sum_more).ln(), (sum - slack - target) / target);
            }
            let mass = (mass.max(0.0) + error).max(0.0);
            sum = (sum + mass) * fade;
            sum_more = (sum_more + mass) * fade_more;
        }
        (loss(0), 1.0)
    }
}

/// Powers below e^this count as nothing.
const NOTHING: f64 = -69.0;

/// Which way the errors of the composed masses count.
#[derive(Clone, Copy, Debug)]
pub enum Towards {
    Above,
    Below { slack: f64 },
}
