//! Signature: whether a version takes what clients send, and answers what they read.
use api::model_promotion::CheckTask;
use serde_json::json;

use crate::model::{Metadata, Model, Tensor};
use crate::report::Found;

/// Compares the version with the one that the stage runs.
pub(crate) async fn measure(task: &CheckTask) -> anyhow::Result<Found> {
    let candidate = Model::at(task.candidate.as_ref()).await?.metadata;
    let production = Model::at(task.production.as_ref()).await?.metadata;
    Ok(Found {
        failures: differences(&production, &candidate),
        facts: json!({"candidate": candidate, "production": production}),
        note: "it takes what clients send, and answers what they read".to_owned(),
        ..Found::default()
    })
}

/// What clients of one version would meet at another.
fn differences(before: &Metadata, now: &Metadata) -> Vec<String> {
    let mut found = Vec::new();
    for old in &before.inputs {
        match named(&now.inputs, old) {
            None => found.push(format!("clients send the input {}, which it does not take", old.name)),
            Some(new) if !fits(old, new) => {
                found.push(format!("clients send the input {}, and it takes {}", told(old), told(new)));
            }
            Some(_) => {}
        }
    }
    for new in now.inputs.iter().filter(|new| named(&before.inputs, new).is_none()) {
        found.push(format!("it needs the input {}, which clients do not send", told(new)));
    }
    for old in &before.outputs {
        match named(&now.outputs, old) {
            None => found.push(format!("clients read the output {}, which it does not answer", old.name)),
            // What a client reads must be no more than it has met.
            Some(new) if !fits(new, old) => {
                found.push(format!("clients read the output {}, and it answers {}", told(old), told(new)));
            }
            Some(_) => {}
        }
    }
    found
}

fn named<'a>(tensors: &'a [Tensor], like: &Tensor) -> Option<&'a Tensor> {
    tensors.iter().find(|it| it.name == like.name)
}

/// Whether what has the one signature can go where the other is taken.
fn fits(sent: &Tensor, taken: &Tensor) -> bool {
    sent.datatype == taken.datatype
        && sent.shape.len() == taken.shape.len()
        && sent.shape.iter().zip(&taken.shape).all(|(sent, taken)| *taken < 0 || sent == taken)
}

fn told(tensor: &Tensor) -> String {
    format!("{} ({} {:?})", tensor.name, tensor.datatype, tensor.shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, datatype: &str, shape: &[i64]) -> Tensor {
        Tensor { name: name.to_owned(), datatype: datatype.to_owned(), shape: shape.to_vec() }
    }

    fn metadata(inputs: &[Tensor], outputs: &[Tensor]) -> Metadata {
        Metadata { inputs: inputs.to_vec(), outputs: outputs.to_vec() }
    }

    #[test]
    fn what_clients_meet_is_told() {
        let before = metadata(&[tensor("x", "FP32", &[-1, 4])], &[tensor("label", "INT64", &[-1])]);
        let wider = metadata(
            &[tensor("x", "FP32", &[-1, -1])],
            &[tensor("label", "INT64", &[-1]), tensor("p", "FP32", &[-1, 2])],
        );
        assert_eq!(differences(&before, &before), Vec::<String>::new());
        assert_eq!(differences(&before, &wider), Vec::<String>::new(), "more is taken, and more is answered");
        let other = metadata(
            &[tensor("x", "FP32", &[-1, 5]), tensor("y", "FP32", &[-1])],
            &[tensor("label", "BYTES", &[-1])],
        );
        let told = differences(&before, &other);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].contains("x (FP32 [-1, 4]), and it takes x (FP32 [-1, 5])"), "{told:?}");
        assert!(told[1].contains("needs the input y"), "{told:?}");
        assert!(told[2].contains("label (BYTES [-1])"), "{told:?}");
        let less = metadata(&[], &[]);
        assert_eq!(differences(&before, &less).len(), 2);
    }
}
