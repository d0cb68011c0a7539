//! Whether samples fit a distribution: Pearson's test on a fixed stream of bits, so that the answer is always the same.

/// Standard deviations by which the statistic exceeds what the fit allows (Wilson & Hilferty 1931). Cells are merged from both ends until each
/// expects 10 or more, so that the tails are tested as tails and not one integer at a time.
pub fn misfit(observed: &[u64], probabilities: &[f64]) -> f64 {
    assert_eq!(observed.len(), probabilities.len());
    let total: u64 = observed.iter().sum();
    let mut cells: Vec<(f64, f64)> = Vec::new();
    let mut open = (0.0, 0.0);
    for (&seen, &probability) in observed.iter().zip(probabilities) {
        open = (open.0 + seen as f64, open.1 + probability * total as f64);
        if open.1 >= 10.0 {
            cells.push(std::mem::take(&mut open));
        }
    }
    let last = cells.last_mut().expect("samples enough for one cell");
    *last = (last.0 + open.0, last.1 + open.1);
    let statistic: f64 = cells.iter().map(|(seen, expected)| (seen - expected).powi(2) / expected).sum();
    let freedom = (cells.len() - 1) as f64;
    assert!(freedom >= 1.0, "one cell fits everything");
    let spread = 2.0 / (9.0 * freedom);
    ((statistic / freedom).cbrt() - (1.0 - spread)) / spread.sqrt()
}

/// Counts samples in cells of `width` integers around `centre`; what lies beyond goes into the outermost cells.
pub fn count(samples: &[i64], centre: i64, width: i64, cells: usize) -> Vec<u64> {
    let first = centre - width * (cells as i64 / 2);
    let mut counts = vec![0; cells];
    for &sample in samples {
        counts[(sample - first).div_euclid(width).clamp(0, cells as i64 - 1) as usize] += 1;
    }
    counts
}

/// The probabilities of the cells of [`count`], from relative probabilities, which are followed 12 cells further out.
pub fn probabilities(relative: impl Fn(i64) -> f64, centre: i64, width: i64, cells: usize) -> Vec<f64> {
    let first = centre - width * (cells as i64 / 2);
    let beyond = 12 * width;
    let mut sums = vec![0.0; cells];
    for value in first - beyond..first + width * cells as i64 + beyond {
        sums[(value - first).div_euclid(width).clamp(0, cells as i64 - 1) as usize] += relative(value);
    }
    let whole: f64 = sums.iter().sum();
    sums.iter().map(|sum| sum / whole).collect()
}
