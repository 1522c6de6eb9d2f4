//! Which votes count. None of these gets a version into a stage (row S8).
use api::Reason;
use api::model_promotion::PromotionPhase;
use serde_json::{Value, json};

use crate::support::{Scene, scene};

fn guarded(approval: &Value) -> Scene {
    let mut scene = scene();
    scene.promote("churn-v1", "1", &json!([{"name": "production", "approval": approval}]));
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::AwaitingApproval);
    scene
}

#[track_caller]
fn waits(scene: &mut Scene, missing: &str) {
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::AwaitingApproval);
    assert_eq!(scene.runs("production"), None);
    let message = scene.message("churn-v1");
    assert!(message.contains(missing), "{message}");
}

#[test]
fn so_many_people_as_are_required_must_approve() {
    let mut scene = guarded(&json!({"required": 2}));
    scene.vote("paul", &[], "Approve", "churn-v1", "production");
    waits(&mut scene, "1 of 2 votes");
    scene.vote("paul", &[], "Approve", "churn-v1", "production");
    waits(&mut scene, "1 of 2 votes");
    let void = scene.stage("churn-v1", "production").votes.into_iter().find_map(|it| it.void);
    assert_eq!(void.as_deref(), Some("paul has voted again"));
    scene.vote("olga", &[], "Approve", "churn-v1", "production");
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Succeeded);
}

#[test]
fn who_asks_can_not_vote() {
    let mut scene = guarded(&json!({"required": 1}));
    scene.vote("rita", &[], "Approve", "churn-v1", "production");
    waits(&mut scene, "0 of 1 votes");
    assert_eq!(scene.told(0), (Reason::Void, "who asks for a promotion can't vote on it".to_owned()));
    scene.vote("rita", &[], "Reject", "churn-v1", "production");
    waits(&mut scene, "0 of 1 votes");
}

#[test]
fn a_vote_holds_for_the_evidence_that_was_seen_and_no_other() {
    let mut scene = guarded(&json!({"required": 1}));
    let seen = scene.stage("churn-v1", "production").evidence.unwrap();
    let other = format!("sha256:{}", "0".repeat(64));
    scene.vote_on(&other, "paul", &[], "Approve", "churn-v1", "production");
    waits(&mut scene, "0 of 1 votes");
    assert!(scene.told(0).1.contains("look again, and vote again"), "{:?}", scene.told(0));

    // The stage got another version meanwhile: it would be another plan.
    let model = scene.model.as_mut().unwrap();
    let stage = json!({"name": "production", "version": "3", "promotion": "another", "since": "2026-03-01T08:00:00Z"});
    model.status.get_or_insert_default().stages = vec![serde_json::from_value(stage).unwrap()];
    scene.look("churn-v1");
    let now = scene.stage("churn-v1", "production").evidence.unwrap();
    assert_ne!(now, seen);
    scene.vote_on(&seen, "olga", &[], "Approve", "churn-v1", "production");
    scene.look("churn-v1");
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::AwaitingApproval);
    assert_eq!(scene.runs("production").as_deref(), Some("3"));
    scene.vote_on(&now, "olga", &[], "Approve", "churn-v1", "production");
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Succeeded);
}

#[test]
fn a_vote_holds_for_one_promotion_and_one_stage() {
    let mut scene = guarded(&json!({"required": 1}));
    let seen = scene.stage("churn-v1", "production").evidence.unwrap();
    scene.vote_on(&seen, "paul", &[], "Approve", "churn-v1", "staging");
    scene.vote_on(&seen, "paul", &[], "Approve", "churn-v2", "production");
    waits(&mut scene, "0 of 1 votes");
    assert_eq!(scene.told(0), (Reason::Void, "the promotion has no stage staging".to_owned()));
    assert_eq!(scene.told(1), (Reason::Void, "there is no ModelPromotion churn-v2".to_owned()));
    // A promotion of the same name that is made anew is another one.
    let spec = scene.promotions["churn-v1"].spec.clone();
    scene.promote("churn-v1", "1", &json!(spec.stages));
    scene.promotions.get_mut("churn-v1").unwrap().metadata.uid = Some("another".to_owned());
    scene.vote_on(&seen, "olga", &[], "Approve", "churn-v1", "production");
    waits(&mut scene, "0 of 1 votes");
}

#[test]
fn groups_and_required_voters_are_kept_to() {
    let mut scene = guarded(&json!({"required": 1, "groups": ["owners"], "requiredVoters": ["olga"]}));
    scene.vote("paul", &["staff"], "Approve", "churn-v1", "production");
    waits(&mut scene, "0 of 1 votes, among them must be olga; members of owners who have the verb approve");
    assert!(scene.told(0).1.contains("none of the groups that may vote: owners"));
    scene.vote("paul", &["staff", "owners"], "Approve", "churn-v1", "production");
    waits(&mut scene, "1 of 1 votes, among them must be olga");
    scene.vote("olga", &[], "Approve", "churn-v1", "production");
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Succeeded);
}

#[test]
fn a_vote_that_is_withdrawn_in_time_counts_no_more() {
    let mut scene = guarded(&json!({"required": 2}));
    scene.vote("paul", &[], "Approve", "churn-v1", "production");
    scene.settle();
    scene.approvals.clear();
    scene.vote("olga", &[], "Approve", "churn-v1", "production");
    waits(&mut scene, "1 of 2 votes");
    scene.vote("otto", &[], "Approve", "churn-v1", "production");
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Succeeded);
    // Once the stage has the version, nobody takes a vote back.
    scene.approvals.clear();
    scene.settle();
    assert_eq!(scene.stage("churn-v1", "production").votes.len(), 2);
    assert_eq!(scene.runs("production").as_deref(), Some("1"));
}

#[test]
fn one_vote_against_it_ends_it() {
    let mut scene = guarded(&json!({"required": 3}));
    scene.vote("paul", &[], "Approve", "churn-v1", "production");
    scene.vote("olga", &[], "Reject", "churn-v1", "production");
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Rejected);
    assert_eq!(scene.message("churn-v1"), "olga voted against stage production: I have looked at it");
    scene.approvals.clear();
    for voter in ["paul", "otto", "nina"] {
        scene.vote(voter, &[], "Approve", "churn-v1", "production");
    }
    scene.settle();
    assert_eq!((scene.phase("churn-v1"), scene.runs("production")), (PromotionPhase::Rejected, None));
}

#[test]
fn votes_that_come_too_late_count_no_more() {
    let mut scene = guarded(&json!({"required": 1, "expiresAfter": "72h"}));
    let next = scene.look("churn-v1");
    assert_eq!(next, plan::Next::After(std::time::Duration::from_hours(72)));
    scene.pass(72 * 60);
    scene.settle();
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Expired);
    scene.vote("paul", &[], "Approve", "churn-v1", "production");
    scene.settle();
    assert_eq!((scene.phase("churn-v1"), scene.runs("production")), (PromotionPhase::Expired, None));
}
