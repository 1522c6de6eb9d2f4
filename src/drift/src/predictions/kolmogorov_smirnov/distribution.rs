//! The distribution of the statistic of Kolmogorov and Smirnov for one sample.
//!
//! Which formula serves where is as in Simard and L'Ecuyer (2011), "Computing the Two-Sided Kolmogorov-Smirnov
//! Distribution", Journal of Statistical Software 39, with fewer formulas: the answers hold to 1e-6 rather than to the
//! last digit.
use std::f64::consts::{PI, TAU};

/// Up to this size of a sample, formulas with a term for each value are worth their time.
const EXACT_SIZE: usize = 100_000;

/// The chance that the statistic of a sample of this size, at least 1, is this large or larger.
pub(super) fn survival(size: usize, statistic: f64) -> f64 {
    let count = size as f64;
    let (scaled, squared) = (count * statistic, count * statistic * statistic);
    let chance = if statistic >= 1.0 || squared >= 370.0 {
        0.0
    } else if scaled <= 0.5 {
        1.0
    } else if size <= EXACT_SIZE && (statistic >= 0.5 || squared >= if size <= 140 { 4.0 } else { 2.2 }) {
        2.0 * one_sided(size, statistic)
    } else if size <= 140 || size <= EXACT_SIZE && count * statistic.powf(1.5) <= 1.4 {
        1.0 - durbin(size, statistic)
    } else {
        1.0 - pelz_good(count, statistic)
    };
    chance.clamp(0.0, 1.0)
}

/// The chance that a one-sided statistic is this large or larger, by Birnbaum and Tingey (1951). Far from the middle, both
/// sides hardly ever are at once.
fn one_sided(size: usize, statistic: f64) -> f64 {
    let count = size as f64;
    let terms = (count * (1.0 - statistic)).floor() as usize;
    let sum: f64 = (0..=terms)
        .map(|term| {
            let share = term as f64 / count;
            let choices = ln_factorial(size) - ln_factorial(term) - ln_factorial(size - term);
            let low = (term as f64 - 1.0) * (statistic + share).ln();
            let high = (size - term) as f64 * (1.0 - statistic - share).max(0.0).ln();
            (choices + low + high).exp()
        })
        .sum();
    statistic * sum
}

/// The logarithm of a factorial: a product of few factors, else Stirling's series.
fn ln_factorial(number: usize) -> f64 {
    if number < 10 {
        return (2..=number).map(|factor| factor as f64).product::<f64>().ln();
    }
    let number = number as f64;
    let inverse = 1.0 / number;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)));
    number * number.ln() - number + 0.5 * (TAU * number).ln() + series
}

/// The chance that the statistic is smaller, by Durbin's matrix as in Marsaglia, Tsang and Wang (2003), "Evaluating
/// Kolmogorov's Distribution", Journal of Statistical Software 8.
fn durbin(size: usize, statistic: f64) -> f64 {
    let count = size as f64;
    let steps = (count * statistic).ceil();
    let rest = steps - count * statistic;
    let center = steps as usize - 1;
    let mut base = Scaled { matrix: durbin_matrix(rest, 2 * center + 1), exponent: 0 };
    let mut power: Option<Scaled> = None;
    let mut bits = size;
    while bits > 0 {
        if bits % 2 == 1 {
            power = Some(power.map_or_else(|| base.clone(), |power| power.times(&base, center)));
        }
        bits /= 2;
        if bits > 0 {
            base = base.times(&base, center);
        }
    }
    let Some(power) = power else { return 1.0 };
    let (mut chance, mut exponent) = (power.matrix.at(center, center), power.exponent);
    for factor in 1..=size {
        chance *= factor as f64 / count;
        if chance < 2.0_f64.powi(-SCALE) {
            chance *= 2.0_f64.powi(SCALE);
            exponent -= SCALE;
        }
    }
    chance * 2.0_f64.powi(exponent)
}

/// The matrix for a statistic that misses a step by the rest, from 0 to 1.
fn durbin_matrix(rest: f64, width: usize) -> Matrix {
    let mut inverse = vec![1.0];
    inverse.extend((1..=width).scan(1.0, |product, factor| {
        *product /= factor as f64;
        Some(*product)
    }));
    let inverse = |factorial: usize| inverse.get(factorial).copied().unwrap_or_default();
    let edge = |factorial: usize| (1.0 - rest.powf(factorial as f64)) * inverse(factorial);
    let corner = (1.0 - 2.0 * rest.powf(width as f64) + (2.0 * rest - 1.0).max(0.0).powf(width as f64))
        * inverse(width);
    let value = |row: usize, column: usize| match (row, column) {
        (row, 0) if row + 1 == width => corner,
        (row, 0) => edge(row + 1),
        (row, column) if row + 1 == width => edge(width - column),
        (row, column) if row + 1 >= column => inverse(row + 1 - column),
        _ => 0.0,
    };
    let values = (0..width).flat_map(|row| (0..width).map(move |column| value(row, column)));
    Matrix { width, values: values.collect() }
}

/// By how many powers of two a matrix is scaled at once.
const SCALE: i32 = 128;

/// A square matrix, times a power of two.
#[derive(Clone)]
struct Scaled {
    matrix: Matrix,
    exponent: i32,
}

impl Scaled {
    fn times(&self, other: &Self, center: usize) -> Self {
        let mut matrix = self.matrix.times(&other.matrix);
        let mut exponent = self.exponent + other.exponent;
        while matrix.at(center, center) > 2.0_f64.powi(SCALE) {
            matrix.values.iter_mut().for_each(|value| *value *= 2.0_f64.powi(-SCALE));
            exponent += SCALE;
        }
        Self { matrix, exponent }
    }
}

#[derive(Clone)]
struct Matrix {
    width: usize,
    /// Row by row.
    values: Vec<f64>,
}

impl Matrix {
    fn at(&self, row: usize, column: usize) -> f64 {
        self.values.get(row * self.width + column).copied().unwrap_or_default()
    }

    fn times(&self, other: &Self) -> Self {
        let mut values = vec![0.0; self.values.len()];
        for (row, product) in self.values.chunks(self.width).zip(values.chunks_mut(self.width)) {
            for (factor, column) in row.iter().zip(other.values.chunks(self.width)) {
                for (sum, value) in product.iter_mut().zip(column) {
                    *sum += factor * value;
                }
            }
        }
        Self { width: self.width, values }
    }
}

/// The chance that the statistic is smaller, by the expansion of Pelz and Good (1976), "Approximating the Lower Tail-Areas
/// of the Kolmogorov-Smirnov One-Sample Statistic", Journal of the Royal Statistical Society B 38.
fn pelz_good(count: f64, statistic: f64) -> f64 {
    let z = count.sqrt() * statistic;
    let square = z * z;
    let (mut first, mut second, mut third, mut fourth) = (0.0, 0.0, 0.0, 0.0);
    let pi_square = PI * PI;
    for term in 0..=(16.0 * z / PI).ceil() as usize {
        let odd = (term as f64 + 0.5).powi(2) * pi_square;
        let weight = (-odd / (2.0 * square)).exp();
        first += weight;
        second += (odd - square) * weight;
        let cubic = (6.0 * square + 2.0) * square.powi(2)
            + (2.0 * square - 5.0) * square * odd
            + (1.0 - 2.0 * square) * odd.powi(2);
        third += cubic * weight;
        let quintic = -(30.0 * square + 90.0 * square.powi(2)) * square.powi(2)
            + (135.0 - 96.0 * square) * square * square * odd
            + (212.0 * square - 60.0) * square * odd.powi(2)
            + (5.0 - 30.0 * square) * odd.powi(3);
        fourth += quintic * weight;
        let even = (term as f64).powi(2) * pi_square;
        let weight = (-even / (2.0 * square)).exp();
        third -= 2.0 * square.powi(2) * even * weight;
        fourth += 30.0 * square.powi(2) * (3.0 * square - even) * even * weight;
    }
    let root = TAU.sqrt();
    let third = third / (72.0 * z.powi(7));
    let fourth = fourth / (6480.0 * z.powi(10));
    root * (first / z + second / (6.0 * z.powi(4) * count.sqrt()) + third / count + fourth / count.powf(1.5))
}
