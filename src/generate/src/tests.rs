//! Tests of what is generated from code, without the operator's own table.
use std::path::Path;

use super::*;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn kinds() -> Vec<crds::Kind> {
    crds::all().unwrap()
}

#[test]
fn every_definition_fits_in_an_annotation_and_reads_back() {
    for output in crds::outputs(&kinds()).unwrap().iter().filter(|output| output.path.starts_with("crds")) {
        assert!(output.contents.len() < crds::MAXIMUM_BYTES);
        let value: Value = serde_saphyr::from_str(&output.contents).unwrap();
        let crd =
            kinds().into_iter().find(|kind| value["metadata"]["name"] == kind.definition["metadata"]["name"]);
        assert_eq!(value, crd.unwrap().definition);
    }
}

#[test]
fn a_changed_and_an_orphaned_file_are_stale() {
    let root = std::env::temp_dir().join(format!("mlops-gen-{}", std::process::id()));
    std::fs::create_dir_all(root.join("crds")).unwrap();
    std::fs::write(root.join("crds/kept.yaml"), "same").unwrap();
    std::fs::write(root.join("crds/changed.yaml"), "old").unwrap();
    std::fs::write(root.join("crds/orphan.yaml"), "").unwrap();
    let outputs = [
        Output::new("crds/kept.yaml", "same".to_owned()),
        Output::new("crds/changed.yaml", "new".to_owned()),
        Output::new("crds/missing.yaml", String::new()),
    ];
    let stale = stale(&root, &outputs).unwrap();
    std::fs::remove_dir_all(&root).unwrap();
    let expected = ["crds/changed.yaml", "crds/missing.yaml", "crds/orphan.yaml"];
    assert_eq!(stale, expected.into_iter().map(PathBuf::from).collect());
}

#[test]
fn every_sample_is_what_its_type_reads() {
    for output in samples::outputs(&repository(), &kinds()).unwrap() {
        let value: Value = serde_saphyr::from_str(&output.contents).unwrap();
        let kind = value["kind"].as_str().unwrap();
        let back = match kind {
            "Approval" => read::<api::Approval>(&value),
            "ModelPromotion" => read::<api::ModelPromotion>(&value),
            "Compute" => read::<api::Compute>(&value),
            "DataAsset" => read::<api::DataAsset>(&value),
            "Endpoint" => read::<api::Endpoint>(&value),
            "MLWorkspace" => read::<api::MLWorkspace>(&value),
            "Model" => read::<api::Model>(&value),
            "ModelRegistry" => read::<api::ModelRegistry>(&value),
            "ServingRuntime" => read::<api::ServingRuntime>(&value),
            kind => panic!("{kind} has no type here"),
        };
        assert_contains(&back, &value, &output.path);
    }
}

/// What a type makes of a value that it reads.
fn read<T: serde::de::DeserializeOwned + serde::Serialize>(value: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<T>(value.clone()).unwrap()).unwrap()
}

/// Every field of `part` is in `whole` with the same value.
fn assert_contains(whole: &Value, part: &Value, path: &Path) {
    match (whole, part) {
        (_, Value::Object(part)) => {
            for (key, value) in part {
                assert_contains(&whole[key], value, &path.join(key));
            }
        }
        (Value::Array(whole), Value::Array(part)) if whole.len() == part.len() => {
            for (index, value) in part.iter().enumerate() {
                assert_contains(&whole[index], value, &path.join(index.to_string()));
            }
        }
        // A whole number may stand for one with a fraction.
        (Value::Number(whole), Value::Number(part)) => {
            assert_eq!(whole.as_f64(), part.as_f64(), "{}", path.display());
        }
        _ => assert_eq!(whole, part, "{}", path.display()),
    }
}

#[test]
fn every_kind_has_a_sample_with_comments() {
    let samples = samples::outputs(&repository(), &kinds()).unwrap();
    for kind in kinds().iter().filter(|kind| kind.is_wanted()) {
        let file = format!("{}.yaml", kind.name.to_lowercase());
        let sample = samples.iter().find(|sample| sample.path.ends_with(&file)).unwrap();
        assert!(sample.contents.lines().any(|line| line.starts_with("  # ")), "{}", sample.contents);
    }
}

#[test]
fn a_field_that_the_schema_does_not_know_is_refused_in_a_sample() {
    let manifest = "kind: Endpoint\nspec:\n  model:\n    url: https://example.com\n";
    let error = samples::explained(manifest, &kinds()).unwrap_err();
    assert_eq!(error.to_string(), "Endpoint has no field url");
}

#[test]
fn a_description_stands_above_its_field_in_lists_too() {
    let manifest = "kind: Endpoint\nspec:\n  container:\n    env:\n      - name: A\n        value: b\n";
    let text = samples::explained(manifest, &kinds()).unwrap();
    assert!(text.contains("      # Its name, for example"), "{text}");
    assert!(text.contains("        # Its value;"), "{text}");
}

#[test]
fn the_reference_lists_every_field_rule_and_reason() {
    let text = reference::output(&kinds()).contents;
    for expected in [
        "| `spec.model.uri` | string | 1 to 2048 characters |",
        "| `spec.container.env[].name` | string | required;",
        "| `spec.supportedFormats` | list of string | required; one of `ONNX`, `MLflow`, `Triton`, `Custom`; 1 to 8 items |",
        "| `spec.drainSeconds` | integer | 0 to 600; default `5` |",
        "set either scaling.replicas, or scaling.minReplicas",
        "metadata.name must start with a letter",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    for reason in api::Reason::ALL {
        assert!(text.contains(&format!("| `{}` | {}", reason.name(), reason.meaning())));
    }
}

#[test]
fn wrapping_keeps_every_word_within_the_width() {
    let lines = wrapped("one two  three\nfour", 8);
    assert_eq!(lines, ["one two", "three", "four"]);
}
