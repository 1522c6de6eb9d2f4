//! What is promoted, and what people vote on, as digests.
use api::model::ModelVersion;
use api::model_promotion::{Bundle, PromotionStage, StageStatus};
use api::{ModelPromotion, ModelPromotionStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::stage;
use crate::digest;

/// The parts of a version and their fingerprint. Descriptions and tags are no parts.
pub fn bundle(version: &ModelVersion) -> Bundle {
    let parts = json!({
        "version": version.version,
        "uri": version.uri,
        "digest": version.digest,
        "format": version.format,
        "flavors": version.flavors,
        "job": version.job_name,
        "environment": version.environment.as_ref().map(|it| json!({
            "name": it.name, "version": it.version, "image": it.image,
            "condaFile": it.conda_file, "inferenceConfig": it.inference_config,
        })),
        "code": version.code,
    });
    let environment = version.environment.as_ref().map(|it| match &it.image {
        Some(image) => format!("{}:{} ({image})", it.name, it.version),
        None => format!("{}:{}", it.name, it.version),
    });
    Bundle {
        fingerprint: sha256(&parts),
        uri: version.uri.clone(),
        digest: version.digest.clone(),
        format: Some(version.format),
        environment,
        code: version.code.as_ref().map(|it| it.uri.clone()),
    }
}

/// The digest of what people vote on: the parts, what the stage runs now and would run, its rules, what its checks found,
/// and what the stages before it have shown. The promotion's identity is part of it, so that no vote counts for another one of its name.
pub(super) fn evidence(
    promotion: &ModelPromotion,
    status: &ModelPromotionStatus,
    wanted: &PromotionStage,
    now: &StageStatus,
) -> String {
    let spec = &promotion.spec;
    let found = |stage: &StageStatus| -> Vec<_> {
        let checks = stage.checks.iter();
        checks
            .map(|it| json!({"name": it.name, "outcome": it.outcome, "findings": it.findings, "artifact": it.artifact}))
            .collect()
    };
    let earlier = spec.stages.iter().take_while(|it| it.name != wanted.name);
    let second = |time: &Option<Time>| time.as_ref().map(|it| it.0.as_second());
    let earlier: Vec<_> = earlier
        .filter_map(|it| stage(status, &it.name))
        .map(|it| {
            json!({
                "name": it.name, "releasedAt": second(&it.released_at), "doneAt": second(&it.done_at),
                "checks": found(it), "overridden": it.overridden,
            })
        })
        .collect();
    sha256(&json!({
        "promotion": promotion.metadata.uid,
        "bundle": status.bundle.as_ref().map(|it| &it.fingerprint),
        "stage": wanted,
        "from": now.former_version,
        "checks": found(now),
        "to": spec.model.version,
        "earlier": earlier,
    }))
}

fn sha256(value: &serde_json::Value) -> String {
    format!("sha256:{}", digest::sha256(value.to_string().as_bytes()))
}
