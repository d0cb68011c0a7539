//! The privacy loss of one release: L = ln(P/Q) under P, for the pair (P, Q) of neighbouring outputs, in both directions.

use crate::privacy::accounting::quadrature::panel;
use crate::privacy::accounting::special::{LN_SQRT_2PI, ln_mixture, normal_cdf};

/// Which of the two data sets has the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// P has it: P is the mixture.
    Remove,
    /// Q has it.
    Add,
}

/// A mechanism whose loss distribution is known exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// (1−q)·N(0,σ²) + q·N(1,σ²) against N(0,σ²); q = 1 is the plain Gaussian.
    Gaussian { rate: f64, sigma: f64, direction: Direction },
    /// (1−q)·Laplace(0,b) + q·Laplace(1,b) against Laplace(0,b); q = 1 is the plain one, the same in both directions.
    Laplace { rate: f64, scale: f64, direction: Direction },
    /// The symmetric pair that has the losses of [`Loss::Laplace`] above 0, their mirror images below, and the rest of its mass at 0: it dominates
    /// Laplace noise on a sample of fixed size (docs/privacy-events.md, "Samples").
    FixedSizeLaplace { rate: f64, scale: f64 },
}

/// A loss with its mass under P, or part of one.
#[derive(Clone, Copy, Debug)]
pub struct Atom {
    pub loss: f64,
    pub mass: f64,
}

/// A loss on the grid: P's density there, and about how much of the noise variable the cell beside it spans.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    pub density: f64,
    pub length: f64,
}

/// The losses start + i·step, for whole i.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lattice {
    pub start: f64,
    pub step: f64,
}

impl Lattice {
    pub fn at(&self, index: i64) -> f64 {
        index as f64 * self.step + self.start
    }

    /// The place of a loss, as a real index.
    pub fn place(&self, loss: f64) -> f64 {
        (loss - self.start) / self.step
    }
}

/// The range of the noise variable that is looked at; beyond it P has `below` and `above`.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub from: f64,
    pub to: f64,
    pub below: f64,
    pub above: f64,
}

impl Loss {
    /// Everything but at most `above` on top and about `below` at the bottom.
    pub fn range(&self, below: f64, above: f64) -> Range {
        let Loss::Gaussian { sigma, .. } = *self else {
            return Range { from: -1.0, to: 1.0, below: 0.0, above: 0.0 };
        };
        let reach = (-2.0 * below.ln()).sqrt();
        let from = match *self {
            Loss::Gaussian { rate: 1.0, direction: Direction::Remove, .. } => 1.0 - reach * sigma,
            _ => -reach * sigma,
        };
        // the first point above which P has no more than `above`
        let (mut low, mut high) = (from, 1.0 + sigma * ((-2.0 * above.ln()).sqrt() + 1.0));
        for _ in 0..50 {
            let middle = 0.5 * (low + high);
            if self.above(middle) <= above { high = middle } else { low = middle }
        }
        Range { from, to: high, below: self.below(from), above: self.above(high) }
    }

    /// The same range without losses below `least`.
    pub fn raised(&self, range: Range, least: f64) -> Range {
        let from = self.at_loss(least);
        if from <= range.from || from >= range.to || !self.atoms().is_empty() {
            return range;
        }
        Range { from, below: self.below(from), ..range }
    }

    fn above(&self, z: f64) -> f64 {
        match *self {
            Loss::Gaussian { rate, sigma, direction: Direction::Remove } => {
                (1.0 - rate) * normal_cdf(-z / sigma) + rate * normal_cdf((1.0 - z) / sigma)
            }
            Loss::Gaussian { sigma, .. } => normal_cdf(-z / sigma),
            Loss::Laplace { .. } | Loss::FixedSizeLaplace { .. } => 0.0,
        }
    }

    fn below(&self, z: f64) -> f64 {
        match *self {
            Loss::Gaussian { rate, sigma, direction: Direction::Remove } => {
                (1.0 - rate) * normal_cdf(z / sigma) + rate * normal_cdf((z - 1.0) / sigma)
            }
            Loss::Gaussian { sigma, .. } => normal_cdf(z / sigma),
            Loss::Laplace { .. } | Loss::FixedSizeLaplace { .. } => 0.0,
        }
    }

    /// The loss at a value of the noise variable; it rises with it. (For `Add` the variable is −z.)
    pub fn loss(&self, z: f64) -> f64 {
        match *self {
            Loss::Gaussian { rate, sigma, direction: Direction::Remove } => {
                ln_mixture(rate, (z - 0.5) / (sigma * sigma))
            }
            Loss::Gaussian { rate, sigma, direction: Direction::Add } => {
                -ln_mixture(rate, (-z - 0.5) / (sigma * sigma))
            }
            Loss::Laplace { rate, scale, direction: Direction::Remove } => ln_mixture(rate, z / scale),
            Loss::Laplace { rate, scale, direction: Direction::Add } => -ln_mixture(rate, -z / scale),
            Loss::FixedSizeLaplace { rate, scale } => ln_mixture(rate, z.abs() / scale).copysign(z),
        }
    }

    /// The noise variable at a loss; ±∞ outside what can happen.
    pub fn at_loss(&self, loss: f64) -> f64 {
        match *self {
            Loss::Gaussian { rate, sigma, direction: Direction::Remove } => sigma * sigma * unmixed(rate, loss) + 0.5,
            Loss::Gaussian { rate, sigma, direction: Direction::Add } => -(sigma * sigma * unmixed(rate, -loss) + 0.5),
            Loss::Laplace { rate, scale, direction: Direction::Remove } => scale * unmixed(rate, loss),
            Loss::Laplace { rate, scale, direction: Direction::Add } => -scale * unmixed(rate, -loss),
            Loss::FixedSizeLaplace { rate, scale } => (scale * unmixed(rate, loss.abs())).copysign(loss),
        }
    }

    /// The loss at a value of the noise variable, with P's density there.
    fn at(&self, z: f64) -> Atom {
        let loss = self.loss(z);
        let mass = match *self {
            Loss::Gaussian { sigma, direction, .. } => {
                let scaled = z / sigma;
                let lift = if direction == Direction::Remove { loss } else { 0.0 };
                (lift - 0.5 * scaled * scaled - LN_SQRT_2PI).exp() / sigma
            }
            // Laplace(0,b) has ¼e^{−(z+1)/2b}/b at the loss z/b of Laplace(1,b) against it
            Loss::Laplace { scale, direction: Direction::Remove, .. } => {
                0.25 / scale * (loss - 0.5 * (z + 1.0) / scale).exp()
            }
            Loss::Laplace { scale, direction: Direction::Add, .. } => 0.25 / scale * (0.5 * (z - 1.0) / scale).exp(),
            Loss::FixedSizeLaplace { scale, .. } => {
                0.25 / scale * (loss.max(0.0) - 0.5 * (z.abs() + 1.0) / scale).exp()
            }
        };
        Atom { loss, mass }
    }

    /// Masses that sit on one loss.
    pub fn atoms(&self) -> Vec<Atom> {
        match *self {
            Loss::Gaussian { .. } => Vec::new(),
            Loss::Laplace { scale, direction, .. } => {
                let (low, high) = (self.loss(-1.0), self.loss(1.0));
                let masses = match direction {
                    Direction::Remove => [low.exp(), (high - 1.0 / scale).exp()],
                    Direction::Add => [(-1.0 / scale).exp(), 1.0],
                };
                vec![Atom { loss: low, mass: 0.5 * masses[0] }, Atom { loss: high, mass: 0.5 * masses[1] }]
            }
            Loss::FixedSizeLaplace { rate, scale } => {
                let (loss, precision) = (self.loss(1.0), 1.0 / scale);
                vec![
                    Atom { loss: -loss, mass: 0.5 * (-precision).exp() },
                    Atom { loss: 0.0, mass: -(1.0 - rate) * (-0.5 * precision).exp_m1() },
                    Atom { loss, mass: 0.5 * (loss - precision).exp() },
                ]
            }
        }
    }

    /// P's density at consecutive multiples of Δ, as one of the loss; nothing where it is not smooth or f64 does not hold it.
    pub fn on_grid(&self, first: i64, delta: f64, count: usize) -> Option<Vec<Point>> {
        let Loss::Gaussian { rate, sigma, direction } = *self else { return None };
        let far = first.abs().max((first + count as i64).abs()) as f64 * delta;
        if far > LARGEST_EXPONENT {
            return None;
        }
        let sign = if direction == Direction::Remove { 1 } else { -1 };
        let square = sigma * sigma;
        let (precision, unit) = (0.5 / square, (-LN_SQRT_2PI).exp() / sigma);
        let ends = [sign * first, sign * (first + count as i64)];
        let powers = Powers::of(delta, ends);
        let at = |index: usize| {
            let step = sign * (first + index as i64);
            // of the mixture's loss l: z = σ²x + ½ with x = ln(1 + (e^l − 1)/q), dz/dl = σ²e^l/(q + e^l − 1), and P(z) = e^l·Q(z)
            let (power, less_one) = powers.at(step);
            let odds = rate + less_one;
            if rate < 1.0 && odds < 1e-3 * rate {
                // next to the lowest loss, what is left of the odds is rounding
                return Point { density: 0.0, length: f64::INFINITY };
            }
            let (x, slope) = match rate {
                1.0 => (step as f64 * delta, square),
                _ => ((less_one / rate).ln_1p(), square * power / odds),
            };
            let z = square * x + 0.5;
            let lift = if direction == Direction::Remove { power } else { 1.0 };
            Point { density: lift * slope * unit * (-z * z * precision).exp(), length: slope * delta }
        };
        Some((0..count).map(at).collect())
    }

    /// Longest panel on which density and loss are smooth to full precision.
    pub fn scale(&self) -> f64 {
        match *self {
            Loss::Gaussian { sigma, .. } => (0.5 * sigma).min(0.5 * sigma * sigma),
            Loss::Laplace { scale, .. } | Loss::FixedSizeLaplace { scale, .. } => scale.min(0.5),
        }
    }

    /// Whether a unit added is a unit removed.
    pub fn is_symmetric(&self) -> bool {
        matches!(
            self,
            Loss::Gaussian { rate: 1.0, .. } | Loss::Laplace { rate: 1.0, .. } | Loss::FixedSizeLaplace { .. }
        )
    }

    /// Whether some pair of data sets has this loss, or only none has more.
    pub fn is_attained(&self) -> bool {
        !matches!(self, Loss::FixedSizeLaplace { .. })
    }

    /// Points that all atoms stand on, if there are atoms.
    pub fn lattice(&self) -> Option<Lattice> {
        match *self {
            Loss::Gaussian { .. } => None,
            Loss::Laplace { rate: 1.0, .. } | Loss::FixedSizeLaplace { .. } => {
                Some(Lattice { start: 0.0, step: self.loss(1.0) })
            }
            Loss::Laplace { .. } => Some(Lattice { start: self.loss(1.0), step: self.loss(1.0) - self.loss(-1.0) }),
        }
    }

    /// Quadrature over [from, to] cut at the panels of `range`.
    pub fn integrate(&self, from: f64, to: f64, mut each: impl FnMut(Atom)) {
        let scale = self.scale();
        let mut z = from;
        while z < to {
            let end = (z + scale).min(to);
            panel(z, end, scale, |node, weight| {
                let atom = self.at(node);
                each(Atom { mass: weight * atom.mass, ..atom });
            });
            if end <= z {
                break;
            }
            z = end;
        }
    }
}

/// Beyond it e^l is not looked at as such.
const LARGEST_EXPONENT: f64 = 300.0;

/// e^{iΔ} and e^{iΔ} − 1, each to its own precision: from those of a block and of a place in it, away from 0, where nothing cancels.
struct Powers {
    up: Vec<(f64, f64)>,
    down: Vec<(f64, f64)>,
    first_block: i64,
    blocks: Vec<(f64, f64)>,
}

impl Powers {
    const BLOCK: i64 = 64;

    fn of(delta: f64, ends: [i64; 2]) -> Self {
        let table = |sign: f64| (0..Self::BLOCK).map(|step| both(sign * step as f64 * delta)).collect();
        let [first, last] = [ends[0].min(ends[1]) / Self::BLOCK, ends[0].max(ends[1]) / Self::BLOCK];
        let blocks = (first..=last).map(|block| both((block * Self::BLOCK) as f64 * delta)).collect();
        Self { up: table(1.0), down: table(-1.0), first_block: first, blocks }
    }

    fn at(&self, step: i64) -> (f64, f64) {
        let (block, place) = (step / Self::BLOCK, (step % Self::BLOCK).unsigned_abs() as usize);
        let (power, less_one) = if step < 0 { self.down[place] } else { self.up[place] };
        let (far, far_less_one) = self.blocks[(block - self.first_block) as usize];
        (power * far, far_less_one * power + less_one)
    }
}

fn both(exponent: f64) -> (f64, f64) {
    (exponent.exp(), exponent.exp_m1())
}

/// The x of [`ln_mixture`]; −∞ below its range.
fn unmixed(rate: f64, loss: f64) -> f64 {
    if rate == 1.0 {
        return loss;
    }
    if loss > 300.0 {
        return loss - rate.ln();
    }
    let x = loss.exp_m1() / rate;
    if x <= -1.0 { f64::NEG_INFINITY } else { x.ln_1p() }
}
