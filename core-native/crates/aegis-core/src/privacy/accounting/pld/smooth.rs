//! Cells that are short beside everything the loss's density does: their masses from the density at the grid points alone.

use super::loss::{Lattice, Loss, Point};
use crate::privacy::accounting::quadrature::panel;

/// Grid points that one cell is integrated from: three on either side of its middle.
const POINTS: usize = 6;
/// Points before a cell's lower end.
const BEFORE: usize = 2;
/// Such cells are shorter than the longest panel by this factor: at eight deviations from the mean the density then changes by e^{1/64} from one point
/// to the next, and the rule (error 191/60480·h⁶) leaves out 5e-14 of a cell.
const SHORTER: f64 = 256.0;

pub struct Smooth {
    points: Vec<Point>,
    longest: f64,
    /// ∫ of the Lagrange polynomials over the cell, for its mass and for the part of it that goes up.
    mass: [f64; POINTS],
    up: [f64; POINTS],
}

impl Smooth {
    /// For `count` cells from the lattice's point `first` on; nothing where the density is not known as a function of the loss.
    pub fn of(loss: &Loss, first: i64, lattice: Lattice, count: usize) -> Option<Self> {
        let delta = lattice.step;
        if lattice.start != 0.0 {
            return None;
        }
        let points = loss.on_grid(first - BEFORE as i64, delta, count + POINTS - 1)?;
        let (mut mass, mut up) = ([0.0; POINTS], [0.0; POINTS]);
        let unit = 1.0 / (-delta).exp_m1();
        panel(0.0, 1.0, 1.0, |at, weight| {
            for k in 0..POINTS {
                let lagrange: f64 = (0..POINTS)
                    .filter(|&other| other != k)
                    .map(|other| (at + BEFORE as f64 - other as f64) / (k as f64 - other as f64))
                    .product();
                mass[k] += weight * delta * lagrange;
                up[k] += weight * delta * lagrange * unit * (-at * delta).exp_m1();
            }
        });
        Some(Self { points, longest: loss.scale() / SHORTER, mass, up })
    }

    /// Mass of a cell, and the part of it that goes to its upper end; nothing at the ends of the range and where the cell is too long.
    pub fn cell(&self, offset: usize) -> Option<(f64, f64)> {
        let last = self.points.len() - POINTS;
        let points: &[Point; POINTS] = self.points.get(offset..)?.first_chunk()?;
        // lengths rise or fall along the grid
        let fits = points[0].length.max(points[POINTS - 1].length) <= self.longest;
        if offset == 0 || offset == last || !fits {
            return None;
        }
        let sum =
            |weights: &[f64; POINTS]| points.iter().zip(weights).map(|(point, weight)| point.density * weight).sum();
        Some((sum(&self.mass), sum(&self.up)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::loss::Direction;
    use super::*;

    /// What the density at the grid points makes of a cell is what quadrature over the noise makes of it.
    #[test]
    fn short_cells_have_the_masses_of_the_quadrature() {
        let mut seen = 0;
        for direction in [Direction::Remove, Direction::Add] {
            for (rate, sigma) in
                [(1e-6, 0.4), (1e-3, 1.0), (0.05, 0.7), (0.3, 4.0), (0.999, 1.0), (1.0, 0.3), (1.0, 2.0)]
            {
                let loss = Loss::Gaussian { rate, sigma, direction };
                let range = loss.range(1e-13, 1e-13);
                let delta = 1e-4;
                let first = (loss.loss(range.from) / delta).floor() as i64;
                let count = ((loss.loss(range.to) / delta).ceil() as i64 - first) as usize;
                let smooth = Smooth::of(&loss, first, Lattice { start: 0.0, step: delta }, count).unwrap();
                for offset in (0..count).step_by(count / 50 + 1) {
                    let Some((mass, up)) = smooth.cell(offset) else { continue };
                    let low = (first + offset as i64) as f64 * delta;
                    let (mut whole, mut risen) = (0.0, 0.0);
                    loss.integrate(loss.at_loss(low), loss.at_loss(low + delta), |atom| {
                        whole += atom.mass;
                        risen += atom.mass * (low - atom.loss).exp_m1() / (-delta).exp_m1();
                    });
                    let what = format!("{direction:?} rate {rate} sigma {sigma} loss {low}");
                    // between two losses so near one another the noise is known to some 1e-11 of its distance
                    assert!((mass / whole - 1.0).abs() < 1e-9, "{what}: {mass} is not {whole}");
                    assert!((up / risen - 1.0).abs() < 1e-8, "{what}: {up} is not {risen}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 200, "only {seen} cells were short");
    }
}
