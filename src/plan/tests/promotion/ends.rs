//! How a promotion ends otherwise, and how several of one model get along.
use api::meta::PROMOTION_ACTION_ANNOTATION;
use api::model_promotion::{PromotionPhase, Supersession};
use serde_json::json;

use crate::support::scene;

#[test]
fn a_newer_one_takes_the_place_of_an_older_one() {
    let mut scene = scene();
    let stages = json!([{"name": "production", "approval": {"required": 1}}]);
    scene.promote("churn-v1", "1", &stages);
    scene.settle();
    scene.vote("paul", &[], "Approve", "churn-v1", "production");
    scene.pass(1);
    scene.promote("churn-v2", "2", &stages);
    scene.look("churn-v2");
    assert_eq!(scene.phase("churn-v2"), PromotionPhase::Pending, "two are never under way");
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Superseded);
    assert_eq!(scene.message("churn-v1"), "ModelPromotion churn-v2 of version 2 takes its place");
    assert_eq!((scene.phase("churn-v2"), scene.runs("production")), (PromotionPhase::AwaitingApproval, None));
}

#[test]
fn one_that_queues_waits_for_those_before_it() {
    let mut scene = scene();
    let stages = json!([{"name": "production", "approval": {"required": 1}}]);
    scene.promote("churn-v1", "1", &stages);
    scene.pass(1);
    scene.promote("churn-v2", "2", &stages);
    scene.promotions.get_mut("churn-v2").unwrap().spec.supersession = Supersession::Queue;
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::AwaitingApproval);
    assert_eq!(scene.message("churn-v2"), "it waits for ModelPromotion churn-v1 of the same model");
    scene.vote("paul", &[], "Reject", "churn-v1", "production");
    scene.settle();
    assert_eq!(scene.phase("churn-v2"), PromotionPhase::AwaitingApproval);
}

#[test]
fn a_part_that_changes_ends_it() {
    let mut scene = scene();
    scene.promote("churn-v1", "1", &json!([{"name": "production", "approval": {"required": 1}}]));
    scene.settle();
    scene.vote("paul", &[], "Approve", "churn-v1", "production");
    scene.model.as_mut().unwrap().spec.versions[0].uri = "https://models.example/other.onnx".to_owned();
    scene.settle();
    assert_eq!((scene.phase("churn-v1"), scene.runs("production")), (PromotionPhase::Failed, None));
    assert!(scene.message("churn-v1").contains("a part of it has changed"), "{}", scene.message("churn-v1"));
}

#[test]
fn descriptions_are_no_parts() {
    let mut scene = scene();
    scene.promote("churn-v1", "1", &json!([{"name": "production", "approval": {"required": 1}}]));
    scene.settle();
    scene.vote("paul", &[], "Approve", "churn-v1", "production");
    scene.model.as_mut().unwrap().spec.versions[0].description = Some("better".to_owned());
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Succeeded);
}

#[test]
fn it_waits_for_what_is_not_there_and_says_so() {
    let mut scene = scene();
    let model = scene.model.take();
    scene.promote("churn-v9", "9", &json!([{"name": "production"}]));
    scene.settle();
    assert_eq!(scene.message("churn-v9"), "there is no Model churn in this namespace");
    scene.model = model;
    scene.settle();
    assert_eq!(scene.message("churn-v9"), "Model churn lists no version 9: add it to its spec.versions");
    scene.model.as_mut().unwrap().spec.versions[0].version = "9".to_owned();
    scene.settle();
    assert_eq!(scene.phase("churn-v9"), PromotionPhase::Succeeded);
}

#[test]
fn a_person_ends_it() {
    let mut scene = scene();
    scene.promote("churn-v1", "1", &json!([{"name": "production", "approval": {"required": 1}}]));
    scene.settle();
    let say = |scene: &mut crate::support::Scene, word: &str| {
        let metadata = &mut scene.promotions.get_mut("churn-v1").unwrap().metadata;
        metadata
            .annotations
            .get_or_insert_default()
            .insert(PROMOTION_ACTION_ANNOTATION.to_owned(), word.to_owned());
    };
    say(&mut scene, "go@1");
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::AwaitingApproval);
    assert!(scene.events.iter().any(|it| it.note == "go@1: the words for a promotion are abort and retry"));
    say(&mut scene, "abort@2");
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Aborted);
}

#[test]
fn endpoints_that_take_too_long_send_the_stage_back() {
    let mut scene = scene();
    scene.follow("churn", "staging");
    scene.promote(
        "churn-v1",
        "1",
        &json!([{"name": "production", "endpointRefs": [{"name": "churn"}], "timeout": "2h"}]),
    );
    scene.settle();
    let message = scene.message("churn-v1");
    assert!(
        message.contains(
            "does not follow the stage: set its model.modelRef to {name: churn, stage: production}"
        ),
        "{message}"
    );
    scene.pass(120);
    scene.settle();
    assert_eq!((scene.phase("churn-v1"), scene.runs("production")), (PromotionPhase::Failed, None));
    assert!(scene.message("churn-v1").starts_with("stage production went back to no version: not within"));
}
