//! From the loss of one release to masses on a grid, once so that δ can only grow and once so that it can only shrink.

use super::loss::{Lattice, Loss, Range};
use super::smooth::Smooth;

/// Mass of a cell, which is what lies between two points of the lattice, and the part of it that goes to the upper end so that P's and Q's masses are
/// both kept.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    mass: f64,
    up: f64,
}

/// P's masses on consecutive points of a lattice, from its point `first` on.
#[derive(Clone, Debug)]
pub struct Grid {
    pub lattice: Lattice,
    pub first: i64,
    pub masses: Vec<f64>,
    /// Mass at +∞.
    pub infinite: f64,
}

pub struct Cells {
    lattice: Lattice,
    first: i64,
    cells: Vec<Cell>,
    /// Masses that stand on points of the lattice, by index from `first` on.
    atoms: Vec<(usize, f64)>,
    below: f64,
    above: f64,
    /// e^−Δ.
    shrink: f64,
}

impl Grid {
    /// The highest loss, in steps.
    pub fn top(&self) -> i64 {
        self.first + self.masses.len() as i64 - 1
    }

    /// ln E[e^{rL}] of the masses below +∞.
    pub fn ln_mean(&self, r: f64) -> f64 {
        let exponent = |index: usize| r * self.lattice.at(self.first + index as i64);
        let top = exponent(0).max(exponent(self.masses.len() - 1));
        let sum: f64 = self.masses.iter().enumerate().map(|(index, mass)| mass * (exponent(index) - top).exp()).sum();
        top + sum.ln()
    }
}

impl Cells {
    pub fn of(loss: &Loss, range: &Range, lattice: Lattice) -> Self {
        let delta = lattice.step;
        let first = lattice.place(loss.loss(range.from)).floor() as i64;
        let last = lattice.place(loss.loss(range.to)).ceil() as i64;
        let mut cells = vec![Cell::default(); (last - first).max(1) as usize];
        let unit = 1.0 / (-delta).exp_m1();
        let mut atoms = Vec::new();
        for atom in loss.atoms() {
            let place = lattice.place(atom.loss);
            if (place - place.round()).abs() < 1e-10 {
                // rounding may have put the ends of the range on the other side of it
                atoms.push(((place.round() as i64 - first).clamp(0, cells.len() as i64) as usize, atom.mass));
                continue;
            }
            let at = (place.floor() as i64 - first).clamp(0, cells.len() as i64 - 1);
            let up = (unit * (lattice.at(first + at) - atom.loss).exp_m1()).clamp(0.0, 1.0);
            cells[at as usize].mass += atom.mass;
            cells[at as usize].up += atom.mass * up;
        }
        let smooth = Smooth::of(loss, first, lattice, cells.len());
        let mut ended = Some(range.from);
        for (offset, cell) in cells.iter_mut().enumerate() {
            if let Some((mass, up)) = smooth.as_ref().and_then(|smooth| smooth.cell(offset)) {
                cell.mass += mass;
                cell.up += up.clamp(0.0, mass);
                ended = None;
                continue;
            }
            let low = lattice.at(first + offset as i64);
            let from = ended.unwrap_or_else(|| loss.at_loss(low).clamp(range.from, range.to));
            let to = loss.at_loss(low + delta).clamp(from, range.to);
            let to = if offset as i64 == last - first - 1 { range.to } else { to };
            loss.integrate(from, to, |atom| {
                cell.mass += atom.mass;
                cell.up += atom.mass * (unit * small_exp_m1(low - atom.loss)).clamp(0.0, 1.0);
            });
            ended = Some(to);
        }
        Self { lattice, first, cells, atoms, below: range.below, above: range.above, shrink: (-delta).exp() }
    }

    /// Every loss becomes a chance between the ends of its cell that keeps its masses under P and Q ("connect the dots", Doroshenko et
    /// al. 2207.04380): the pair (P, Q) gets easier to tell apart, so δ can only grow. What lies above the grid counts as +∞, what lies below as
    /// its lowest point.
    pub fn pessimistic(&self) -> Grid {
        let mut masses = vec![0.0; self.cells.len() + 1];
        for (index, cell) in self.cells.iter().enumerate() {
            masses[index] += (cell.mass - cell.up).max(0.0);
            masses[index + 1] += cell.up;
        }
        masses[0] += self.below;
        self.atoms.iter().for_each(|&(index, mass)| masses[index] += mass);
        Grid { lattice: self.lattice, first: self.first, masses, infinite: self.above }
    }

    /// Outputs are merged until every loss lies on the grid, which is post-processing of P and Q alike, so δ can only shrink: the upper
    /// part of each cell meets so much of the lower part of the next that their common loss is the grid point between them. What has no partner is
    /// moved down; what lies beyond the range is lost.
    pub fn optimistic(&self) -> Grid {
        let mut masses = vec![0.0; self.cells.len() + 1];
        // mass of the previous cell that waits for a partner at the point between, and its distance to it in units of that cell
        let (mut waiting, mut distance) = (0.0, 0.0);
        for (index, cell) in self.cells.iter().enumerate() {
            if cell.mass <= 0.0 {
                masses[index.saturating_sub(1)] += waiting;
                waiting = 0.0;
                continue;
            }
            let share = (cell.up / cell.mass).clamp(0.0, 1.0); // how far up in the cell its common loss lies
            let wanted = if share > 0.0 { waiting * distance / (share * self.shrink) } else { f64::INFINITY };
            let met = wanted.min(cell.mass);
            let partner = if met < wanted && distance > 0.0 { met * share * self.shrink / distance } else { waiting };
            masses[index] += met + partner;
            masses[index.saturating_sub(1)] += waiting - partner;
            (waiting, distance) = (cell.mass - met, 1.0 - share);
            if distance <= 1e-15 {
                // it stands on the grid point already
                masses[index + 1] += waiting;
                waiting = 0.0;
            }
        }
        masses[self.cells.len() - 1] += waiting;
        self.atoms.iter().for_each(|&(index, mass)| masses[index] += mass);
        Grid { lattice: self.lattice, first: self.first, masses, infinite: 0.0 }
    }
}

/// e^x − 1; most cells are so small that the series ends at once.
fn small_exp_m1(x: f64) -> f64 {
    if x.abs() < 1e-3 { x * (1.0 + 0.5 * x * (1.0 + x / 3.0 * (1.0 + 0.25 * x * (1.0 + 0.2 * x)))) } else { x.exp_m1() }
}

#[cfg(test)]
mod tests {
    use super::super::loss::Direction;
    use super::*;

    /// P's masses are one together, and so are Q's: what is allowed for rounding per release rests on it.
    fn assert_nothing_is_lost(loss: Loss, start: f64, delta: f64) {
        let range = loss.range(1e-16, 1e-16);
        if (loss.loss(range.to) - loss.loss(range.from)) / delta > 1e6 {
            return;
        }
        let cells = Cells::of(&loss, &range, Lattice { start, step: delta });
        let place = |index: usize| cells.lattice.at(cells.first + index as i64);
        let masses = cells.pessimistic().masses;
        let p = masses.iter().sum::<f64>() - range.below;
        let q = masses.iter().enumerate().map(|(at, mass)| mass * (-place(at)).exp()).sum::<f64>()
            - range.below * (-place(0)).exp();
        assert!((p + range.below + range.above - 1.0).abs() < 2e-12, "{loss:?} step {delta}: P {p}");
        // where P has nothing left, a Gaussian Q may have some
        let all_of_q =
            !matches!(loss, Loss::Gaussian { rate: 1.0, .. } | Loss::Gaussian { direction: Direction::Add, .. });
        assert!(!all_of_q || (q - 1.0).abs() < 2e-12, "{loss:?} step {delta}: Q {q}");
    }

    #[test]
    fn nothing_of_either_distribution_is_lost() {
        for noise in [0.3, 0.7, 1.0, 3.0, 20.0] {
            for rate in [1e-6, 1e-3, 0.1, 0.5, 1.0] {
                for delta in [1e-5, 1e-4, 1e-3, 0.05] {
                    for direction in [Direction::Remove, Direction::Add] {
                        assert_nothing_is_lost(Loss::Gaussian { rate, sigma: noise, direction }, 0.0, delta);
                        let laplace = Loss::Laplace { rate, scale: noise, direction };
                        assert_nothing_is_lost(laplace, 0.0, delta);
                        let Lattice { start, step } = laplace.lattice().unwrap();
                        assert_nothing_is_lost(laplace, start % (step / 100.0), step / 100.0);
                    }
                    assert_nothing_is_lost(Loss::FixedSizeLaplace { rate, scale: noise }, 0.0, delta);
                }
            }
        }
    }
}
