//! Whether two resource quantities are equal: the API server rewrites `1000m` as `1`.
//!
//! The crate `kube_quantity` does more, but follows `k8s-openapi` several versions behind.

const SUFFIXES: [(&str, f64); 16] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("", 1.0),
];

/// Whether both are quantities of the same amount.
pub(crate) fn equal(left: &str, right: &str) -> bool {
    match (amount(left), amount(right)) {
        // The API server rounds up to a billionth.
        (Some(left), Some(right)) => (left - right).abs() <= 1e-9 * left.abs().max(right.abs()).max(1.0),
        _ => false,
    }
}

fn amount(text: &str) -> Option<f64> {
    SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some(text.strip_suffix(suffix)?.parse::<f64>().ok()? * factor))
}

#[cfg(test)]
mod tests {
    use super::equal;

    #[test]
    fn the_same_amount_in_other_words_is_equal() {
        for (left, right) in
            [("1000m", "1"), ("1024Mi", "1Gi"), ("0.5", "500m"), ("1e3", "1k"), ("250m", "250m")]
        {
            assert!(equal(left, right), "{left} {right}");
        }
    }

    #[test]
    fn other_amounts_and_other_words_are_not() {
        for (left, right) in [("1", "2"), ("1Mi", "1M"), ("", ""), ("churn", "churn"), ("1x", "1x")] {
            assert!(!equal(left, right), "{left} {right}");
        }
    }
}
