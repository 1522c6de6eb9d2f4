//! Checks: their Jobs, what they find, and whom they hold up.
use api::meta::ConditionType;
use api::model_promotion::{PromotionCheckOutcome, PromotionPhase};
use serde_json::{Value, json};

use crate::support::{Scene, scene};

fn checked(checks: &Value) -> Scene {
    let mut scene = scene();
    scene.promote("churn-v2", "2", &json!([{"name": "production", "checks": checks}]));
    scene.settle();
    scene
}

fn data() -> Value {
    json!({"name": "data", "type": "DataQuality", "data": {"uri": "https://data.example/rows.csv"},
        "expect": [{"metric": "nullRate", "max": 0.05}]})
}

fn bias() -> Value {
    json!({"name": "bias", "type": "ResponsibleAI", "data": {"uri": "pvc://rows/eval.csv"}, "label": "income",
        "positive": "1", "sensitiveFeatures": ["sex"], "expect": [{"metric": "demographicParityDifference", "max": 0.1}]})
}

fn report(outcome: &str, message: &str) -> Value {
    json!({"outcome": outcome, "message": message, "artifact": format!("sha256:{}", "a".repeat(64)), "findings": [
        {"metric": "nullRate", "outcome": outcome, "value": 0.01, "max": 0.05, "sampleSize": 400},
    ]})
}

fn outcome(scene: &Scene, check: &str) -> Option<PromotionCheckOutcome> {
    let stage = scene.stage("churn-v2", "production");
    stage.checks.into_iter().find(|it| it.name == check)?.outcome
}

#[test]
fn a_stage_gets_the_version_once_its_checks_have_passed() {
    let mut scene = checked(&json!([data(), bias()]));
    assert_eq!(scene.phase("churn-v2"), PromotionPhase::Checking);
    assert_eq!((scene.jobs_of("data").len(), scene.jobs_of("bias").len()), (1, 1));
    scene.reports("data", &report("Passed", ""));
    scene.settle();
    assert!(
        scene.message("churn-v2").contains("1 of 2 checks are done; running: bias"),
        "{}",
        scene.message("churn-v2")
    );
    assert_eq!(scene.runs("production"), None);
    scene.reports("bias", &report("Passed", ""));
    scene.settle();
    assert_eq!(scene.phase("churn-v2"), PromotionPhase::Succeeded);
    assert_eq!(scene.runs("production").as_deref(), Some("2"));
}

#[test]
fn what_a_check_found_is_kept_when_its_job_is_gone_and_it_is_not_run_twice() {
    let mut scene = checked(&json!([data(), bias()]));
    scene.reports("data", &report("Passed", "all is well"));
    scene.look("churn-v2");
    scene.jobs.retain(|name, _| !name.contains("-data-"));
    scene.pods.clear();
    scene.settle();
    assert_eq!(scene.jobs_of("data"), Vec::<String>::new());
    let check = scene.stage("churn-v2", "production").checks.into_iter().next().unwrap();
    assert_eq!((check.attempts, check.findings.len()), (1, 1));
    assert_eq!(check.artifact, Some(format!("sha256:{}", "a".repeat(64))));
}

#[test]
fn a_failed_check_holds_the_stage_until_it_is_retried_or_skipped() {
    let mut scene = checked(&json!([data()]));
    scene.reports("data", &report("Failed", "nullRate is 0.2 of 400 rows, and may be 0.05 at most"));
    scene.settle();
    assert_eq!(scene.phase("churn-v2"), PromotionPhase::Held);
    let (holds, reason, message) = scene.condition("churn-v2", ConditionType::Stalled).unwrap();
    assert_eq!((holds, reason.as_str()), (true, "StageCheckFailed"));
    assert!(
        message.contains("check data failed: nullRate is 0.2 of 400 rows, and may be 0.05 at most"),
        "{message}"
    );
    assert_eq!(scene.runs("production"), None);

    let promotion = scene.promotions.get_mut("churn-v2").unwrap();
    promotion.metadata.annotations =
        Some([("mlops-operator.dev/promotion-action".to_owned(), "retry@1".to_owned())].into());
    scene.settle();
    assert_eq!(scene.phase("churn-v2"), PromotionPhase::Checking);
    assert_eq!(scene.jobs_of("data").len(), 2, "the second run has a Job of its own");
    scene.reports("data", &report("Failed", "nullRate is 0.2 of 400 rows, and may be 0.05 at most"));
    scene.settle();
    assert_eq!(scene.phase("churn-v2"), PromotionPhase::Held);

    scene.vote_for_check("rita", "Skip", Some("data"), "churn-v2", "production");
    scene.settle();
    assert_eq!(scene.phase("churn-v2"), PromotionPhase::Held, "who asks may not skip");
    scene.vote_for_check("olga", "Skip", Some("data"), "churn-v2", "production");
    scene.settle();
    assert_eq!(scene.phase("churn-v2"), PromotionPhase::Succeeded);
    assert_eq!(scene.told(1).0, api::Reason::Counted);
    let check = scene.stage("churn-v2", "production").checks.into_iter().next().unwrap();
    assert_eq!(check.skipped.as_deref(), Some("olga: I have looked at it"));
    assert_eq!(check.outcome, Some(PromotionCheckOutcome::Failed), "what it found stays");
}

#[test]
fn a_check_that_only_warns_holds_up_nothing() {
    for (mode, events) in [("Warn", 1), ("DryRun", 0)] {
        let mut check = data();
        check["mode"] = json!(mode);
        let mut scene = checked(&json!([check]));
        scene.reports("data", &report("Failed", "nullRate is 0.2"));
        scene.settle();
        assert_eq!(scene.phase("churn-v2"), PromotionPhase::Succeeded, "{mode}");
        let told = scene.events.iter().filter(|it| it.reason == api::Reason::StageCheckFailed).count();
        assert_eq!(told, events, "{mode}");
    }
}

#[test]
fn nobody_else_speaks_for_a_check() {
    let mut scene = checked(&json!([bias()]));
    let job = scene.jobs_of("bias").pop().unwrap();
    let state = json!({"terminated": {"exitCode": 0, "message": report("Passed", "").to_string()}});
    // A pod of somebody else's, though it bears the labels and names the Job as its owner.
    scene.pod(&job, "checker", &state);
    let pod = scene.pods.last_mut().unwrap();
    pod.spec.as_mut().unwrap().containers[0].image = Some("evil.example/checker".to_owned());
    scene.settle();
    assert_eq!(outcome(&scene, "bias"), None);
    // A pod of another Job.
    scene.pod(&job, "checker", &state);
    scene.pods.last_mut().unwrap().metadata.owner_references.as_mut().unwrap()[0].uid = "another".to_owned();
    scene.settle();
    assert_eq!(outcome(&scene, "bias"), None);
    // Another container of the pod.
    scene.pod(&job, "candidate", &state);
    scene.settle();
    assert_eq!(outcome(&scene, "bias"), None);
    // A Job that was there before.
    scene.jobs.get_mut(&job).unwrap().controller.as_mut().unwrap().uid = "another".to_owned();
    scene.pod(&job, "checker", &state);
    scene.settle();
    assert_eq!(outcome(&scene, "bias"), None);
    assert!(
        scene.message("churn-v2").contains("is not what this promotion has made"),
        "{}",
        scene.message("churn-v2")
    );
}

#[test]
fn a_version_that_can_not_be_loaded_fails_the_checks_that_ask_it() {
    let mut scene = checked(&json!([bias()]));
    let job = scene.jobs_of("bias").pop().unwrap();
    let word = json!({"reason": "ModelLoadFailed", "message": "the file is no ONNX model"}).to_string();
    scene.pod(&job, "candidate", &json!({"terminated": {"exitCode": 12, "message": word}}));
    scene.settle();
    assert_eq!(outcome(&scene, "bias"), Some(PromotionCheckOutcome::Failed));
    assert!(scene.message("churn-v2").contains("the file is no ONNX model"), "{}", scene.message("churn-v2"));
    assert_eq!(scene.jobs_of("bias"), Vec::<String>::new(), "nothing waits for what can't start");
}

#[test]
fn a_container_that_breaks_off_passes_nothing() {
    let unit = json!({"name": "unit", "type": "Job", "container": {"image": "team.example/tests:1"}});
    for (exit, reason, said, outcome) in [
        (0, "Completed", "Passed", PromotionCheckOutcome::Passed),
        (1, "Error", "Failed", PromotionCheckOutcome::Failed),
        (2, "Error", "Passed", PromotionCheckOutcome::Inconclusive),
        (137, "OOMKilled", "Passed", PromotionCheckOutcome::Inconclusive),
    ] {
        let mut scene = checked(&json!([unit]));
        scene.reports("unit", &report(said, ""));
        let tests = json!([{"name": "tests", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": exit, "reason": reason}}}]);
        let status = scene.pods.last_mut().unwrap().status.as_mut().unwrap();
        status.container_statuses = serde_json::from_value(tests).unwrap();
        scene.settle();
        let check = scene.stage("churn-v2", "production").checks.into_iter().next().unwrap();
        assert_eq!(check.outcome, Some(outcome), "{exit} {said}");
        assert!(
            outcome != PromotionCheckOutcome::Inconclusive
                || check.message.contains(&format!("exit code {exit}")),
            "{check:?}"
        );
    }
}

#[test]
fn a_job_without_a_report_tells_nothing() {
    let mut scene = checked(&json!([data()]));
    let job = scene.jobs_of("data").pop().unwrap();
    let status = json!({"conditions": [{"type": "Failed", "status": "True", "message": "Job was active longer than specified deadline"}]});
    scene.jobs.get_mut(&job).unwrap().body["status"] = status;
    scene.settle();
    assert_eq!(outcome(&scene, "data"), Some(PromotionCheckOutcome::Inconclusive));
    let (_, reason, message) = scene.condition("churn-v2", ConditionType::Stalled).unwrap();
    assert_eq!(reason, "StageCheckInconclusive");
    assert!(message.contains("longer than specified deadline"), "{message}");
}

#[test]
fn comparisons_are_made_with_what_the_stage_runs() {
    let difference = json!({"name": "difference", "type": "PredictionDiff", "data": {"uri": "https://data.example/rows.csv"},
        "expect": [{"metric": "classDisagreement", "max": 0.1}]});
    let mut scene = checked(&json!([difference]));
    assert_eq!(
        scene.phase("churn-v2"),
        PromotionPhase::Succeeded,
        "a stage without a version has nothing to compare with"
    );
    scene.promote("churn-v3", "3", &json!([{"name": "production", "checks": [difference]}]));
    scene.settle();
    assert_eq!(scene.phase("churn-v3"), PromotionPhase::Checking);
    let job = scene.jobs.values().next().unwrap().body.to_string();
    assert!(
        job.contains("https://models.example/3.onnx") && job.contains("https://models.example/2.onnx"),
        "{job}"
    );
    assert!(job.contains(r#""production":{"model":"production","url":"http://127.0.0.1:8081"}"#.replace('"', "\\\"").as_str()), "{job}");
}

#[test]
fn people_vote_on_what_the_checks_found() {
    let mut scene = scene();
    let stages = json!([{"name": "production", "checks": [data()], "approval": {"required": 1}}]);
    scene.promote("churn-v2", "2", &stages);
    scene.settle();
    let before = scene.stage("churn-v2", "production").evidence.unwrap();
    scene.vote_on(&before, "olga", &[], "Approve", "churn-v2", "production");
    scene.reports("data", &report("Passed", ""));
    scene.settle();
    assert_eq!(
        scene.phase("churn-v2"),
        PromotionPhase::AwaitingApproval,
        "she had not seen what the check found"
    );
    assert_ne!(scene.stage("churn-v2", "production").evidence.unwrap(), before);
    scene.vote("olga", &[], "Approve", "churn-v2", "production");
    scene.settle();
    assert_eq!(scene.phase("churn-v2"), PromotionPhase::Succeeded);
}

#[test]
fn the_time_for_votes_begins_when_the_checks_have_ended() {
    let mut scene = scene();
    let approval = json!({"required": 1, "expiresAfter": "30m"});
    scene.promote(
        "churn-v2",
        "2",
        &json!([{"name": "production", "checks": [data()], "approval": approval}]),
    );
    scene.settle();
    scene.pass(60);
    scene.reports("data", &report("Passed", ""));
    scene.settle();
    assert_eq!(scene.phase("churn-v2"), PromotionPhase::AwaitingApproval);
    scene.pass(30);
    scene.settle();
    assert_eq!(scene.phase("churn-v2"), PromotionPhase::Expired);
}

#[test]
fn who_may_override_lets_the_version_pass_and_everyone_reads_it() {
    let mut scene = scene();
    let stages = json!([{"name": "production", "checks": [data()], "approval": {"required": 2}}]);
    scene.promote("churn-v2", "2", &stages);
    scene.settle();
    scene.reports("data", &report("Failed", "nullRate is 0.2"));
    scene.settle();
    scene.vote_for_check("olga", "Override", None, "churn-v2", "production");
    scene.settle();
    assert_eq!(scene.phase("churn-v2"), PromotionPhase::Succeeded);
    let stage = scene.stage("churn-v2", "production");
    assert_eq!(stage.overridden.as_deref(), Some("olga: I have looked at it"));
    let loud = scene.events.iter().find(|it| it.reason == api::Reason::Overridden).unwrap();
    assert_eq!(loud.type_, plan::EventType::Warning);
}

#[test]
fn the_jobs_of_a_promotion_that_is_over_go() {
    let mut scene = checked(&json!([data(), bias()]));
    let promotion = scene.promotions.get_mut("churn-v2").unwrap();
    promotion.metadata.annotations =
        Some([("mlops-operator.dev/promotion-action".to_owned(), "abort".to_owned())].into());
    scene.settle();
    assert_eq!((scene.phase("churn-v2"), scene.jobs.len()), (PromotionPhase::Aborted, 0));
}
