//! What two answers to the same request have in common: classes that agree, and how far numbers are apart.
use serde_json::Value;

use crate::tensor::Tensor;

/// What a comparison found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Predictions that are classes: labels, or the largest of several numbers of a row.
    pub predictions: u64,
    /// Those that differ.
    pub disagreements: u64,
    /// The largest distance between two numbers.
    pub distance: Option<f64>,
}

/// Compares two answers in JSON: of the Open Inference Protocol by their outputs' names, others by their shape.
/// Nothing when they can't be compared.
pub fn compare(left: &[u8], right: &[u8]) -> Option<Comparison> {
    let mut found = Comparison::default();
    match (Tensor::outputs(left), Tensor::outputs(right)) {
        (Some(left), Some(right)) => tensors(&left, &right, &mut found)?,
        (None, None) => {
            let left: Value = serde_json::from_slice(left).ok()?;
            plain(&left, &serde_json::from_slice(right).ok()?, &mut found)?;
        }
        _ => return None,
    }
    (found.predictions > 0 || found.distance.is_some()).then_some(found)
}

fn tensors(left: &[Tensor<'_>], right: &[Tensor<'_>], found: &mut Comparison) -> Option<()> {
    let mut rows = Vec::new();
    for output in left {
        let other = right.iter().find(|other| other.name == output.name)?;
        let (of_left, of_right) = (&output.values, &other.values);
        if of_left.len() != of_right.len() || output.shape != other.shape {
            return None;
        }
        if !output.is_float() {
            for (left, right) in of_left.iter().zip(of_right) {
                class(found, is_same(left, right));
            }
            continue;
        }
        for (left, right) in of_left.iter().zip(of_right) {
            apart(found, number(left)?, number(right)?);
        }
        let width = output.shape.last().copied().filter(|width| *width >= 2 && output.shape.len() >= 2);
        rows.extend(width.map(|width| (width as usize, of_left, of_right)));
    }
    // Labels are what the model itself decided; the largest probability stands in for them only without.
    if found.predictions == 0 {
        for (width, left, right) in rows {
            for (left, right) in left.chunks(width).zip(right.chunks(width)) {
                class(found, largest(left) == largest(right));
            }
        }
    }
    Some(())
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// Whether two values in JSON are the same, however they are written.
fn is_same(left: &str, right: &str) -> bool {
    let value = |text| serde_json::from_str::<Value>(text).ok();
    left == right || value(left) == value(right)
}

fn plain(left: &Value, right: &Value, found: &mut Comparison) -> Option<()> {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            left.iter().zip(right).try_for_each(|(left, right)| plain(left, right, found))
        }
        (Value::Object(left), Value::Object(right)) if left.len() == right.len() => {
            left.iter().try_for_each(|(name, left)| plain(left, right.get(name)?, found))
        }
        (Value::Number(of_left), Value::Number(of_right)) if of_left.is_f64() || of_right.is_f64() => {
            apart(found, of_left.as_f64()?, of_right.as_f64()?);
            Some(())
        }
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => None,
        (left, right) => {
            class(found, left == right);
            Some(())
        }
    }
}

fn class(found: &mut Comparison, is_same: bool) {
    found.predictions += 1;
    found.disagreements += u64::from(!is_same);
}

fn apart(found: &mut Comparison, left: f64, right: f64) {
    let distance = (left - right).abs();
    found.distance = Some(found.distance.map_or(distance, |most| most.max(distance)));
}

fn largest(row: &[&str]) -> Option<usize> {
    let numbers = row.iter().map(|text| number(text).unwrap_or(f64::NEG_INFINITY)).enumerate();
    numbers.max_by(|left, right| left.1.total_cmp(&right.1)).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(left: &Value, right: &Value) -> Option<Comparison> {
        compare(left.to_string().as_bytes(), right.to_string().as_bytes())
    }

    fn output(name: &str, kind: &str, shape: &[u64], data: &Value) -> Value {
        json!({"name": name, "datatype": kind, "shape": shape, "data": data})
    }

    #[test]
    fn labels_are_compared_by_element_and_numbers_by_distance_whatever_the_order() {
        let labels = |data: Value| output("label", "INT64", &[3], &data);
        let scores = |data: Value| output("score", "FP32", &[3, 1], &data);
        let left = json!({"outputs": [labels(json!([0, 1, 1])), scores(json!([0.1, 0.5, 0.75]))]});
        let right = json!({"outputs": [scores(json!([[0.1], [0.5], [0.25]])), labels(json!([0, 1, 0]))]});
        let expected = Comparison { predictions: 3, disagreements: 1, distance: Some(0.5) };
        assert_eq!(found(&left, &right), Some(expected));
    }

    #[test]
    fn without_labels_the_largest_probability_is_the_class() {
        let answer = |data: Value| json!({"outputs": [output("p", "FP64", &[2, 2], &data)]});
        let compared =
            found(&answer(json!([0.9, 0.1, 0.4, 0.6])), &answer(json!([0.8, 0.2, 0.7, 0.3]))).unwrap();
        assert_eq!((compared.predictions, compared.disagreements), (2, 1));
    }

    #[test]
    fn plain_json_is_compared_by_its_shape() {
        let left = json!({"predictions": ["yes", "no"], "score": [0.5, 1]});
        let right = json!({"predictions": ["yes", "yes"], "score": [0.25, 1]});
        let expected = Comparison { predictions: 3, disagreements: 1, distance: Some(0.25) };
        assert_eq!(found(&left, &right), Some(expected));
    }

    #[test]
    fn what_is_not_alike_is_not_compared() {
        let tensor = |shape: &[u64], data: Value| json!({"outputs": [output("y", "FP32", shape, &data)]});
        assert_eq!(found(&tensor(&[1], json!([1.0])), &tensor(&[2], json!([1.0, 2.0]))), None);
        assert_eq!(found(&tensor(&[1], json!([1.0])), &json!([1.0])), None);
        assert_eq!(found(&json!([1, 2]), &json!([1])), None);
        assert_eq!(compare(b"no json", b"1"), None);
    }
}
