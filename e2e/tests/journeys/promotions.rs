//! Promotions with checks: real Jobs, with the version's own server beside the program that checks it.
use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use api::model_promotion::{CheckStatus, PromotionCheckOutcome, PromotionPhase};
use api::{Model, ModelPromotion};
use e2e::until;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use crate::journey::{Journey, NAME, PATIENCE, digest};
use crate::stage::{ROWS, SWAPPED, Stage};

/// The rows of the demo as CSV: the features, what scikit-learn says of the first version, and where a row is from.
pub(crate) fn rows(rows: &xtask::demo::rows::Rows) -> anyhow::Result<String> {
    let mut text = String::new();
    for (number, row) in rows.rows.iter().enumerate() {
        let data = row.request["inputs"][0]["data"].as_array().context("a row without data")?;
        if number == 0 {
            let names = (0..data.len()).map(|it| format!("f{it}"));
            writeln!(text, "{},label,site", names.collect::<Vec<_>>().join(","))?;
        }
        let values: Vec<String> = data.iter().map(ToString::to_string).collect();
        let benign =
            row.expected.get("1").and_then(|it| it.probabilities.get(1)).is_some_and(|it| *it >= 0.5);
        let site = if number % 2 == 0 { "north" } else { "south" };
        writeln!(text, "{},{},{site}", values.join(","), u8::from(benign))?;
    }
    Ok(text)
}

impl Journey<'_> {
    fn promotions(&self) -> Api<ModelPromotion> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The Model with the first version, the second, and one that takes the classes for each other.
    async fn register(&self) -> anyhow::Result<()> {
        let version = |number: &str, file: &str| {
            let digest = digest(self.stage.file(file)?);
            Ok(json!({"version": number, "uri": Stage::uri(file), "digest": digest, "format": "ONNX"}))
        };
        let versions: anyhow::Result<Vec<Value>> =
            [("1", "model-v1.onnx"), ("2", "model-v2.onnx"), ("3", SWAPPED)]
                .into_iter()
                .map(|(number, file)| version(number, file))
                .collect();
        let model = json!({
            "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "Model", "metadata": {"name": NAME}, "spec": {"versions": versions?},
        });
        let models: Api<Model> = Api::namespaced(self.client.clone(), &self.namespace);
        models.create(&PostParams::default(), &serde_json::from_value(model)?).await?;
        Ok(())
    }

    async fn promote(&self, version: &str, checks: &Value) -> anyhow::Result<String> {
        let path = "jsonpath={.status.userInfo.username}";
        let requester = self.stage.kubectl(&self.namespace, &["auth", "whoami", "-o", path])?;
        let name = format!("{NAME}-v{version}");
        let promotion = json!({
            "apiVersion": "mlops-operator.dev/v1alpha1", "kind": "ModelPromotion", "metadata": {"name": name},
            "spec": {"requester": requester, "model": {"name": NAME, "version": version}, "stages": [
                {"name": "production", "endpointRefs": [{"name": NAME}], "checks": checks},
            ]},
        });
        self.promotions().create(&PostParams::default(), &serde_json::from_value(promotion)?).await?;
        Ok(name)
    }

    /// Waits until a promotion stands somewhere; returns its checks.
    async fn stands(&self, name: &str, phase: PromotionPhase) -> anyhow::Result<Vec<CheckStatus>> {
        let promotions = self.promotions();
        until(&format!("{name} being {phase:?}"), PATIENCE, async || {
            let status = promotions.get(name).await?.status.unwrap_or_default();
            let said = serde_json::to_string(&status)?;
            let checks = status.stages.into_iter().next().map(|it| it.checks).unwrap_or_default();
            Ok(if status.phase == phase { Ok(checks) } else { Err(said) })
        })
        .await
    }
}

fn rows_of_the_store() -> Value {
    json!({"uri": Stage::uri(ROWS)})
}

/// A container of the user's own that leaves a report: it fetches one.
fn tests(report: &str) -> Value {
    json!({"name": "unit", "type": "Job", "container": {
        "image": "mlops-operator.dev/model-server:0.1.0",
        "args": ["fetch", "--to", "/results", "--file-name", "report.xml"],
        "env": [
            {"name": "MLOPS_MODEL_URI", "value": Stage::uri(report)}, {"name": "MODEL_ALLOWED_HOSTS", "value": "*.svc"},
        ],
    }})
}

pub(crate) async fn a_version_that_passes_its_checks_is_served_and_one_that_does_not_is_held(
    journey: &Journey<'_>,
) -> anyhow::Result<()> {
    journey.register().await?;
    let mut spec = journey.spec("model-v1.onnx")?;
    spec["model"] = json!({"modelRef": {"name": NAME, "stage": "production"}, "format": "ONNX"});
    journey.apply(&spec).await?;
    let first = journey
        .promote("1", &json!([
            {"name": "data", "type": "DataQuality", "data": rows_of_the_store(),
                "expect": [{"metric": "nullRate", "max": 0}, {"metric": "rows", "min": 10}]},
            {"name": "load", "type": "EndpointPerformance", "data": rows_of_the_store(), "exclude": ["label", "site"],
                "requestsPerSecond": 20, "duration": "2s", "expect": [{"metric": "errorRate", "max": 0}, {"metric": "p99LatencySeconds", "max": 10},
                    {"metric": "memoryBytes", "max": 1e9}]},
            tests("passed.xml"),
        ]))
        .await?;
    let checks = journey.stands(&first, PromotionPhase::Succeeded).await?;
    ensure!(checks.iter().all(|it| it.outcome == Some(PromotionCheckOutcome::Passed)), "{checks:?}");
    let load = checks.iter().find(|it| it.name == "load").context("no check load")?;
    ensure!(load.findings.iter().all(|it| it.sample_size == 40), "{load:?}");
    journey.until_ready().await?;
    journey.compare("1")?;

    // It takes the classes for each other, and its tests fail.
    let accuracy = json!([{"metric": "accuracy", "min": 0.9}]);
    let third = journey
        .promote("3", &json!([
            {"name": "difference", "type": "PredictionDiff", "data": rows_of_the_store(), "exclude": ["label", "site"],
                "expect": [{"metric": "classDisagreement", "max": 0.1}]},
            {"name": "quality", "type": "ResponsibleAI", "data": rows_of_the_store(), "exclude": ["site"], "label": "label",
                "positive": "1", "sensitiveFeatures": ["site"], "minimumGroupSize": 2, "expect": accuracy},
            {"name": "signature", "type": "Signature"},
            tests("failed.xml"),
        ]))
        .await?;
    let checks = journey.stands(&third, PromotionPhase::Held).await?;
    for (name, outcome, word) in [
        ("difference", PromotionCheckOutcome::Failed, "classDisagreement is 1 of"),
        ("quality", PromotionCheckOutcome::Failed, "accuracy is 0 of"),
        ("signature", PromotionCheckOutcome::Passed, "it takes what clients send"),
        (
            "unit",
            PromotionCheckOutcome::Failed,
            "failures is 1 of 2 samples, and must be at most 0: shop.prices",
        ),
    ] {
        let check = checks.iter().find(|it| it.name == name).with_context(|| format!("no check {name}"))?;
        ensure!(check.outcome == Some(outcome) && check.message.contains(word), "{check:?}");
    }
    journey.compare("1")?;
    let told = journey.stage.plugin(&["promotion", &third, "--namespace", &journey.namespace])?;
    ensure!(told.contains("check difference: Failed: classDisagreement is 1 of"), "{told}");

    // A newer one takes its place.
    let second = journey.promote("2", &json!([{"name": "signature", "type": "Signature"}])).await?;
    journey.stands(&second, PromotionPhase::Succeeded).await?;
    journey.stands(&third, PromotionPhase::Superseded).await?;
    journey.until_ready().await?;
    journey.compare("2")
}
