//! Accounting with the distribution of the privacy loss: the exact loss of one release on a grid, composed by FFT, with a certified bracket.
//!
//! Read in this order: [`loss`] (one release), [`cells`] (its grid, above and below), [`cumulants`] and [`window`] (where to look), [`convolve`]
//! (composition). Both directions, a unit added and a unit removed, are composed, and the larger ε counts.

mod cells;
mod convolve;
mod cumulants;
mod loss;
mod smooth;
mod window;

use cells::{Cells, Grid};
use convolve::{Towards, compose};
use cumulants::{Steps, ln_mean, saddle, tilt_to};
use loss::{Direction, Loss};
use window::{QUICK, SHARP, Sharpness, Sought, Window};

use super::composition::{Component, Composition};
use super::event::Sampling;

/// `lower` ≤ ε ≤ `upper`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bracket {
    pub lower: f64,
    pub upper: f64,
}

/// The part of δ, over all releases, that may lie above the losses looked at, and the mass that may lie below them.
const ABOVE: f64 = 1e-11;
const BELOW: f64 = 1e-11;

/// An ε that nobody tells from 0.
const SMALLEST: f64 = 1e-9;

/// Windows that are tried below one another.
const MOST_LOOKS: usize = 5;

/// The bracket of ε at δ; nothing if some mechanism's loss distribution is not known, or if the numbers leave what f64 can hold.
pub fn epsilon(composition: &Composition, delta: f64) -> Option<Bracket> {
    let removed = losses(composition, Direction::Remove)?;
    let added = losses(composition, Direction::Add)?;
    let symmetric = removed.iter().all(|(loss, _)| loss.is_symmetric());
    let attained = removed.iter().all(|(loss, _)| loss.is_attained());
    let mut removed = Search::of(&removed, delta)?;
    removed.look(QUICK);
    let lower = if attained { removed.lower() } else { 0.0 };
    removed.sharpen();
    let mut upper = removed.upper;
    if !symmetric {
        // hardly ever more than a look: δ is larger where a unit is removed, for all but nearly equal directions
        let mut added = Search::of(&added, delta)?;
        if added.upper > upper {
            added.look(QUICK);
        }
        if added.upper > upper {
            added.sharpen();
        }
        upper = upper.max(added.upper);
    }
    (upper.is_finite() && lower <= upper).then_some(Bracket { lower, upper })
}

/// Where the upper bound is, to some 1e-4 of ε, if a unit is removed: for a search that ends with [`epsilon`].
pub fn rough_epsilon(composition: &Composition, delta: f64) -> Option<f64> {
    let mut removed = Search::of(&losses(composition, Direction::Remove)?, delta)?;
    removed.look(QUICK);
    Some(removed.upper).filter(|upper| upper.is_finite())
}

fn losses(composition: &Composition, direction: Direction) -> Option<Vec<(Loss, u64)>> {
    let mut losses = Vec::new();
    if composition.gaussian_mu_squared > 0.0 {
        losses
            .push((Loss::Gaussian { rate: 1.0, sigma: composition.gaussian_mu_squared.sqrt().recip(), direction }, 1));
    }
    for part in &composition.parts {
        let loss = match part.component {
            Component::SampledGaussian { rate, sigma } => Loss::Gaussian { rate, sigma, direction },
            Component::Laplace { scale, sampling } => match sampling {
                Sampling::WithoutReplacement { rate } => Loss::FixedSizeLaplace { rate, scale },
                _ => Loss::Laplace { rate: sampling.rate(), scale, direction },
            },
            _ => return None,
        };
        losses.push((loss, part.count as u64));
    }
    Some(losses)
}

/// The ε of one direction, and where it was found.
struct Search {
    all: Vec<Steps>,
    delta: f64,
    /// Of ε; certified by the composed masses alone, wherever they were looked for.
    upper: f64,
    guess: f64,
    /// ε may be lower than the guess by so much.
    uncertain: f64,
    /// How fast ln δ falls there.
    decay: f64,
    window: Window,
    /// What was last looked at.
    cells: Vec<(Cells, u64)>,
}

impl Search {
    /// A first look, to a few percent of ε.
    fn of(losses: &[(Loss, u64)], delta: f64) -> Option<Self> {
        let count: f64 = losses.iter().map(|(_, count)| *count as f64).sum();
        let all: Vec<Steps> = losses
            .iter()
            .map(|(loss, times)| Steps::new(*loss, *times, BELOW / count, ABOVE * delta / count))
            .collect();
        let outside: f64 = all.iter().map(|steps| steps.count as f64 * steps.range.above).sum();
        let (bound, s) = saddle(&all, (delta - outside).ln());
        if !(bound.is_finite() && s.is_finite()) {
            return None;
        }
        let bound = bound.max(SMALLEST);
        let window = Window::coarse(&all, s, bound, delta.ln());
        let cells = cells(&all, &window);
        let first = above(&all, &cells, &window, delta);
        let (guess, decay) = if first.found < bound { (first.found, first.decay) } else { (bound, s) };
        let uncertain = window.coarseness(&all, decay);
        Some(Self { all, delta, upper: first.found, guess, uncertain, decay, window, cells })
    }

    /// To what the certificate allows.
    fn sharpen(&mut self) {
        if self.window.is_sharp(&self.all, self.decay) {
            return;
        }
        self.uncertain = self.window.coarseness(&self.all, self.decay);
        self.look(SHARP);
    }

    /// QUICK: to some 1e-4 of ε.
    fn look(&mut self, sharpness: Sharpness) {
        for _ in 0..MOST_LOOKS {
            if self.upper <= 0.0 || self.guess <= 0.0 {
                self.upper = self.upper.max(0.0);
                return;
            }
            let Self { guess, decay, .. } = *self;
            let uncertain = self.uncertain.min(0.2 * guess);
            let sought = Sought { s: tilt_to(&self.all, guess), epsilon: guess, uncertain, decay };
            self.window = Window::fine(&self.all, sharpness, sought, self.delta.ln());
            self.cells = cells(&self.all, &self.window);
            let look = above(&self.all, &self.cells, &self.window, self.delta);
            self.upper = self.upper.min(look.found);
            if look.found > look.foot {
                if look.found.is_finite() {
                    (self.guess, self.decay) = (look.found, look.decay);
                }
                return;
            }
            // δ is smaller than asked for in the whole window: look further down
            (self.guess, self.uncertain) = (guess.min(look.found), guess);
        }
    }

    fn lower(&self) -> f64 {
        if self.upper <= 0.0 { 0.0 } else { lower(&self.all, &self.cells, &self.window, self.delta, self.decay) }
    }
}

struct Look {
    foot: f64,
    /// The upper bound of ε, or the foot of the window if it is below.
    found: f64,
    decay: f64,
}

fn above(all: &[Steps], cells: &[(Cells, u64)], window: &Window, delta: f64) -> Look {
    let grids = grids(cells, Cells::pessimistic);
    let composed = compose(window, &grids);
    let left = delta - composed.infinite - mass_above(&grids, window);
    let (found, decay) = if left > 0.0 && composed.is_known() {
        composed.crossing((left * (1.0 - rounding(all, window))).ln(), Towards::Above)
    } else {
        (f64::INFINITY, 1.0)
    };
    Look { foot: composed.foot(), found, decay }
}

/// Mass of the composition above the window (Chernoff, on the masses themselves); none if it ends below.
fn mass_above(grids: &[(Grid, u64)], window: &Window) -> f64 {
    let top: i128 = grids.iter().map(|(grid, count)| i128::from(grid.top()) * i128::from(*count)).sum();
    if top < i128::from(window.first) + window.size as i128 {
        return 0.0;
    }
    let moment: f64 = grids.iter().map(|(grid, count)| *count as f64 * grid.ln_mean(window.r)).sum();
    (moment - window.r * window.high).exp() * (1.0 + 1e-9)
}

/// The cells of each mechanism. Losses with next to no tilted mass count as the lowest ones that have some.
fn cells(all: &[Steps], window: &Window) -> Vec<(Cells, u64)> {
    let count = count_of(all);
    let of = |steps: &Steps| {
        let least =
            ((BELOW / count).ln() + ln_mean(std::slice::from_ref(steps), window.s) / steps.count as f64) / window.s;
        let range = steps.loss.raised(steps.range, least);
        (Cells::of(&steps.loss, &range, window.lattice_of(&steps.loss)), steps.count)
    };
    all.iter().map(of).collect()
}

fn grids(cells: &[(Cells, u64)], rounded: impl Fn(&Cells) -> Grid) -> Vec<(Grid, u64)> {
    cells.iter().map(|(cells, count)| (rounded(cells), *count)).collect()
}

fn count_of(all: &[Steps]) -> f64 {
    all.iter().map(|steps| steps.count as f64).sum()
}

/// What quadrature and sums may have taken from δ, as a part of it.
fn rounding(all: &[Steps], window: &Window) -> f64 {
    2e-12 * (1.0 + count_of(all)) + 1e-14 * (1.0 + window.s)
}

/// The crossing of the optimistic composition, less what may have come round the circle from outside the window: bounded by the moments of
/// the optimistic masses themselves.
fn lower(all: &[Steps], cells: &[(Cells, u64)], window: &Window, delta: f64, decay: f64) -> f64 {
    let grids = grids(cells, Cells::optimistic);
    let below = compose(window, &grids);
    let ln_target = (delta * (1.0 + rounding(all, window))).ln();
    let s = window.s;
    let first = below.crossing(ln_target, Towards::Below { slack: 0.0 }).0;
    let (least, width) = (first - 4.0 / decay, window.high - window.low + window.lattice.step);
    let outside = |thetas: [f64; 2], edge: f64| {
        let bound = |theta: f64| {
            let moment: f64 = grids.iter().map(|(grid, count)| *count as f64 * grid.ln_mean(s + theta)).sum();
            moment - below.ln_mean - theta * edge
        };
        bound(thetas[0]).min(bound(thetas[1])).exp()
    };
    let (down, up) = (window.theta, (window.r - s).max(0.25 * window.theta));
    // read at a distance y above ε such mass counts e^{−sy}(1 − e^{−y}), which is below 1/(1+s)
    let slack = (outside([-down, -0.5 * down], window.low) + outside([up, 0.5 * up], least + width)) / (1.0 + s);
    let second = below.crossing(ln_target, Towards::Below { slack }).0;
    if second >= least { second.max(0.0) } else { 0.0 }
}
