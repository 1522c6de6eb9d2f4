//! Whether the Endpoints of a stage answer with the version.
use api::Endpoint;
use api::endpoint::RolloutPhase;
use api::meta::ConditionType;
use api::model_promotion::PromotionStage;

use super::World;
use crate::condition::find;

/// What the Endpoints of a stage do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Following {
    /// All of them answer with the version.
    Serving,
    /// One does not yet: which, in words.
    Waiting(String),
    /// One can't: which, and why.
    Failed(String),
}

/// What the Endpoints of a stage do.
pub(super) fn following(world: &World, stage: &PromotionStage) -> Following {
    let mut waiting = None;
    for reference in &stage.endpoint_refs {
        match endpoint(world, stage, &reference.name) {
            Following::Serving => {}
            Following::Waiting(message) => waiting = waiting.or(Some(message)),
            failed @ Following::Failed(_) => return failed,
        }
    }
    waiting.map_or(Following::Serving, Following::Waiting)
}

fn endpoint(world: &World, stage: &PromotionStage, name: &str) -> Following {
    let wanted = &world.promotion.spec.model;
    let Some(endpoint) = world.endpoints.get(name) else {
        return Following::Waiting(format!("there is no Endpoint {name}"));
    };
    let follows = endpoint
        .spec
        .model
        .model_ref
        .as_ref()
        .is_some_and(|it| it.name == wanted.name && it.stage.as_deref() == Some(stage.name.as_str()));
    if !follows {
        return Following::Waiting(format!(
            "Endpoint {name} does not follow the stage: set its model.modelRef to {{name: {}, stage: {}}}",
            wanted.name, stage.name
        ));
    }
    if !has_taken_up(endpoint, &wanted.version) {
        return Following::Waiting(format!("Endpoint {name} has not taken the version up yet"));
    }
    let status = endpoint.status.clone().unwrap_or_default();
    let said = |type_| find(&status.conditions, type_);
    let message = said(ConditionType::Ready).map(|it| it.message.clone()).unwrap_or_default();
    let is_rolled_back =
        status.rollout.as_ref().is_some_and(|rollout| rollout.phase == RolloutPhase::RolledBack);
    if is_rolled_back || said(ConditionType::Stalled).is_some_and(|it| it.status == "True") {
        return Following::Failed(format!("Endpoint {name}: {message}"));
    }
    if said(ConditionType::Ready).is_some_and(|it| it.status == "True") {
        Following::Serving
    } else {
        Following::Waiting(format!("Endpoint {name}: {message}"))
    }
}

/// Whether an Endpoint's status speaks of its present spec and of the version.
fn has_taken_up(endpoint: &Endpoint, version: &str) -> bool {
    let Some(status) = &endpoint.status else { return false };
    let end = format!("/versions/{version}");
    status.observed_generation == endpoint.metadata.generation
        && status.resolved_model.as_ref().is_some_and(|it| it.source.ends_with(&end))
}
