//! Metrics of scores rather than of decisions.
use crate::numeric::{defined, mean, same};
use crate::outcome::Scored;

/// The area under the receiver operating characteristic: the chance that a positive row has a higher score than a
/// negative one, where a tie counts as half: `roc_auc_score`. None when one class only is there, or a score is a NaN.
pub fn roc_auc(rows: &[Scored]) -> Option<f64> {
    let mut rows = rows.to_vec();
    if rows.iter().any(|row| row.score.is_nan()) {
        return None;
    }
    rows.sort_unstable_by(|left, right| left.score.total_cmp(&right.score));
    let (mut below, mut wins, mut positives) = (0_usize, 0.0, 0_usize);
    for tied in rows.chunk_by(|left, right| same(left.score, right.score)) {
        let tied_positives = tied.iter().filter(|row| row.actual).count();
        let tied_negatives = tied.len() - tied_positives;
        wins += tied_positives as f64 * (below as f64 + tied_negatives as f64 / 2.0);
        positives += tied_positives;
        below += tied_negatives;
    }
    defined(wins / (positives as f64 * below as f64))
}

/// The mean negative logarithm, to base e, of the probability given to the true class: `log_loss`. A probability is
/// held away from 0 and 1 by the smallest step of a double, as scikit-learn does.
pub fn log_loss(rows: &[Scored]) -> Option<f64> {
    let loss = |row: &Scored| {
        let score = row.score.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        let opposite = (1.0 - row.score).clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        -(if row.actual { score } else { opposite }).ln()
    };
    mean(rows.iter().map(loss))
}
