//! From stage to stage.
use api::Reason;
use api::meta::ConditionType;
use api::model_promotion::PromotionPhase;
use serde_json::json;

use crate::support::scene;

#[test]
fn a_version_goes_from_stage_to_stage_and_endpoints_follow() {
    let mut scene = scene();
    scene.follow("churn-staging", "staging");
    scene.follow("churn", "production");
    scene.promote(
        "churn-v1",
        "1",
        &json!([
            {"name": "staging", "endpointRefs": [{"name": "churn-staging"}], "soak": "30m"},
            {"name": "production", "endpointRefs": [{"name": "churn"}], "approval": {"required": 1}},
        ]),
    );
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Releasing);
    assert_eq!((scene.runs("staging").as_deref(), scene.runs("production")), (Some("1"), None));
    assert!(scene.message("churn-v1").contains("Endpoint churn-staging has not taken the version up yet"));
    scene.says("churn-staging", "1", "False", &json!({}));
    scene.settle();
    assert!(scene.message("churn-v1").contains("Endpoint churn-staging: as the Endpoint says"));
    scene.says("churn-staging", "1", "True", &json!({}));
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Soaking);
    scene.pass(29);
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Soaking);
    // The time counts while the version answers without a break.
    scene.says("churn-staging", "1", "False", &json!({}));
    scene.settle();
    scene.says("churn-staging", "1", "True", &json!({}));
    scene.settle();
    scene.pass(29);
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Soaking);
    scene.pass(1);
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::AwaitingApproval);
    assert_eq!(scene.condition("churn-v1", ConditionType::Stalled), None, "waiting is no failure");
    let (holds, reason, message) = scene.condition("churn-v1", ConditionType::ApprovalRequired).unwrap();
    assert!(holds && reason == "ApprovalRequired", "{reason}");
    assert_eq!(
        message,
        "stage production waits to go from no version to version 1: 0 of 1 votes; whoever has the verb approve on modelpromotions can vote: kubectl mlops approve"
    );
    scene.vote("paul", &[], "Approve", "churn-v1", "production");
    scene.settle();
    assert_eq!(scene.runs("production").as_deref(), Some("1"));
    scene.says("churn", "1", "True", &json!({}));
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Succeeded);
    assert!(scene.condition("churn-v1", ConditionType::Ready).unwrap().0);
    assert_eq!(scene.told(0).0, Reason::Counted);
    let reasons: Vec<Reason> = scene.events.iter().map(|event| event.reason).collect();
    let expected = [Reason::Releasing, Reason::Soaking, Reason::ApprovalRequired, Reason::Succeeded];
    assert!(expected.iter().all(|it| reasons.contains(it)), "{reasons:?}");
}

#[test]
fn a_stage_whose_endpoint_goes_back_goes_back_too_and_says_why() {
    for trouble in [
        json!({"rollout": {"stable": "churn-1a2b", "phase": "RolledBack"}}),
        json!({"conditions": [
            {"type": "Ready", "status": "False", "reason": "ModelLoadFailed", "message": "as the Endpoint says", "lastTransitionTime": "2026-03-01T08:00:00Z"},
            {"type": "Stalled", "status": "True", "reason": "ModelLoadFailed", "message": "as the Endpoint says", "lastTransitionTime": "2026-03-01T08:00:00Z"},
        ]}),
    ] {
        let mut scene = scene();
        scene.follow("churn", "production");
        let stages = json!([{"name": "production", "endpointRefs": [{"name": "churn"}]}]);
        scene.promote("churn-v1", "1", &stages);
        scene.settle();
        scene.says("churn", "1", "True", &json!({}));
        scene.settle();
        scene.pass(5);
        scene.promote("churn-v2", "2", &stages);
        scene.settle();
        assert_eq!(scene.runs("production").as_deref(), Some("2"));
        scene.says("churn", "2", "False", &trouble);
        scene.settle();
        assert_eq!(scene.phase("churn-v2"), PromotionPhase::Failed);
        assert_eq!(scene.runs("production").as_deref(), Some("1"));
        assert_eq!(
            scene.message("churn-v2"),
            "stage production went back to version 1: Endpoint churn: as the Endpoint says"
        );
        assert!(scene.condition("churn-v2", ConditionType::Stalled).unwrap().0);
        scene.pass(60);
        scene.settle();
        assert_eq!(scene.runs("production").as_deref(), Some("1"), "what is over stays over");
    }
}

#[test]
fn what_a_promotion_brought_stays_when_the_promotion_is_gone() {
    let mut scene = scene();
    scene.promote("churn-v1", "1", &json!([{"name": "production"}]));
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Succeeded);
    scene.promotions.clear();
    scene.look_at_model();
    assert_eq!(scene.runs("production").as_deref(), Some("1"));
    scene.pass(1);
    scene.promote("churn-v3", "3", &json!([{"name": "production"}]));
    scene.settle();
    assert_eq!(scene.runs("production").as_deref(), Some("3"));
}

/// The operator may stop between any two writes of a status: what it does afterwards is the same.
#[test]
fn a_stop_at_any_point_changes_nothing() {
    let stages =
        json!([{"name": "staging", "soak": "1m"}, {"name": "production", "approval": {"required": 2}}]);
    let run = |pattern: u32| {
        let mut scene = scene();
        scene.promote("churn-v2", "2", &stages);
        let mut voted = false;
        for step in 0..40 {
            // A bit says whether the promotion or the Model is looked at; a lost write is a look without its status.
            let before = scene.promotions.clone();
            if pattern >> (step % 16) & 1 == 0 {
                scene.look("churn-v2");
                if pattern >> ((step + 5) % 16) & 1 == 1 && step % 3 == 0 {
                    scene.promotions = before;
                }
            } else {
                scene.look_at_model();
            }
            if step % 4 == 0 {
                scene.now = scene.now.checked_add(jiff::SignedDuration::from_secs(20)).unwrap();
            }
            if scene.phase("churn-v2") == PromotionPhase::AwaitingApproval && !voted {
                scene.vote("paul", &[], "Approve", "churn-v2", "production");
                scene.vote("olga", &[], "Approve", "churn-v2", "production");
                voted = true;
            }
        }
        scene.settle();
        scene.pass(2);
        scene.settle();
        if !voted {
            scene.vote("paul", &[], "Approve", "churn-v2", "production");
            scene.vote("olga", &[], "Approve", "churn-v2", "production");
            scene.settle();
        }
        scene
    };
    for pattern in (0..u32::from(u16::MAX)).step_by(97) {
        let scene = run(pattern);
        assert_eq!(scene.phase("churn-v2"), PromotionPhase::Succeeded, "{pattern:b}");
        for stage in ["staging", "production"] {
            assert_eq!(scene.runs(stage).as_deref(), Some("2"), "{pattern:b}");
        }
    }
}
