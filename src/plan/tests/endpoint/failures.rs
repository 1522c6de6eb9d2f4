//! What is said when things go wrong: the reason, the cause in words, what to change, and who still answers.
use api::Reason;
use api::meta::ModelFormat;
use plan::ChildKind;
use serde_json::json;
use testkit::{DIGEST, NAMESPACE, Trouble, World, endpoint};

use super::{check, ready, rolling, settle};

/// Every trouble of a pod: its page, the reason, and whether a person must act.
fn troubles() -> Vec<(&'static str, Trouble, Reason, bool)> {
    let word = |reason, message, restarts| Trouble::LastWord { reason, message, restarts };
    let fetch = |restarts| {
        word(
            "ModelFetchFailed",
            "failed to fetch https://models.example/churn/2/model.onnx: 404 Not Found",
            restarts,
        )
    };
    vec![
        ("image_pull_failed_once", Trouble::ImagePullOnce, Reason::ImagePullFailed, false),
        ("image_pull_failed", Trouble::ImagePull, Reason::ImagePullFailed, true),
        ("image_name_malformed", Trouble::InvalidImage, Reason::ImagePullFailed, true),
        ("fetch_failed_once", fetch(0), Reason::ModelFetchFailed, false),
        ("fetch_failed_for_good", fetch(3), Reason::ModelFetchFailed, true),
        (
            "digest_mismatch",
            word("DigestMismatch", "the file has the digest sha256:ff, not sha256:01", 0),
            Reason::DigestMismatch,
            true,
        ),
        (
            "load_failed",
            word("ModelLoadFailed", "failed to load the model: no opset 99", 0),
            Reason::ModelLoadFailed,
            true,
        ),
        (
            "warm_up_failed",
            word("WarmUpFailed", "the first inference failed: shape mismatch", 1),
            Reason::WarmUpFailed,
            true,
        ),
        (
            "arguments_invalid",
            word("InvalidArguments", "--http must be ADDRESS:PORT", 1),
            Reason::ContainerConfigInvalid,
            true,
        ),
        ("out_of_memory", Trouble::OutOfMemory, Reason::OutOfMemory, true),
        ("unschedulable", Trouble::Unschedulable, Reason::Unschedulable, false),
        ("claim_missing", Trouble::ClaimMissing, Reason::ContainerConfigInvalid, true),
        ("config_error", Trouble::ConfigError, Reason::ContainerConfigInvalid, true),
        ("crashed_once", Trouble::Crash { restarts: 1 }, Reason::ContainerCrashed, false),
        ("crash_loop", Trouble::Crash { restarts: 4 }, Reason::ContainerCrashed, true),
    ]
}

#[test]
fn trouble_of_a_first_revision_is_named() {
    for (page, trouble, reason, stalled) in troubles() {
        let mut world = World::new(endpoint("churn").build());
        settle(&mut world);
        world.start_pods();
        world.fail_pods(&trouble);
        check(&mut world, &format!("first_{page}"));
        assert_eq!(world.condition("Ready"), Some((false, reason)), "{page}");
        assert_eq!(world.condition("Stalled").is_some(), stalled, "{page}");
        assert_eq!(world.condition("Serving"), Some((false, Reason::NoReadyPods)), "{page}");
    }
}

#[test]
fn the_revision_before_keeps_serving_whatever_the_trouble_of_the_next() {
    for (page, trouble, reason, stalled) in troubles() {
        let mut world = rolling(endpoint("churn").replicas(2));
        world.fail_pods(&trouble);
        check(&mut world, &format!("next_{page}"));
        assert_eq!(world.condition("Ready"), Some((false, reason)), "{page}");
        assert_eq!(world.condition("Stalled").is_some(), stalled, "{page}");
        assert_eq!(world.condition("Serving"), Some((true, Reason::Answering)), "{page}");
        world.change(|spec| spec.model.uri = "https://models.example/churn/1/model.onnx".to_owned());
        settle(&mut world);
        world.finish_rollout();
        settle(&mut world);
        assert_eq!(world.condition("Ready"), Some((true, Reason::Ready)), "{page} is left behind");
    }
}

#[test]
fn an_init_container_s_last_word_is_heard() {
    let fixture =
        endpoint("churn").model(ModelFormat::Custom, "https://models.example/churn.bin").image("own:1");
    let mut world = World::new(fixture.digest(DIGEST).build());
    settle(&mut world);
    world.start_pods();
    let message = "the file has the digest sha256:ff";
    world.fail_pods(&Trouble::LastWord { reason: "DigestMismatch", message, restarts: 2 });
    check(&mut world, "init_container_digest_mismatch");
}

#[test]
fn a_word_that_no_server_of_ours_says_does_not_become_a_reason() {
    let mut world = rolling(endpoint("churn"));
    world.fail_pods(&Trouble::LastWord { reason: "Ready", message: "all is well", restarts: 3 });
    settle(&mut world);
    assert_eq!(world.condition("Ready"), Some((false, Reason::ContainerCrashed)));
}

#[test]
fn a_quota_that_refuses_pods_is_named() {
    let refusal = "pods \"churn-1\" is forbidden: exceeded quota: team, requested: pods=1, used: pods=2, limited: pods=2";
    let mut world = World::new(endpoint("churn").build());
    settle(&mut world);
    world.refuse_pods(refusal);
    check(&mut world, "first_pods_refused");
    let mut world = ready(endpoint("churn").replicas(2));
    world.refuse_pods(refusal);
    world.change(|spec| spec.model.uri = "https://models.example/churn/2/model.onnx".to_owned());
    settle(&mut world);
    world.start_pods();
    check(&mut world, "next_pods_refused");
}

#[test]
fn pods_that_run_without_answering_are_named_at_the_deadline() {
    let mut world = rolling(endpoint("churn"));
    world.fail_pods(&Trouble::Silent);
    check(&mut world, "silent_before_the_deadline");
    world.pass_deadline();
    check(&mut world, "silent_after_the_deadline");
}

#[test]
fn a_rollout_without_progress_is_named_at_the_deadline() {
    let mut world = World::new(endpoint("churn").build());
    settle(&mut world);
    world.pass_deadline();
    check(&mut world, "no_progress");
}

#[test]
fn trouble_that_could_pass_counts_as_settled_at_the_deadline() {
    let mut world = rolling(endpoint("churn"));
    world.fail_pods(&Trouble::Unschedulable);
    world.pass_deadline();
    check(&mut world, "unschedulable_after_the_deadline");
}

#[test]
fn a_stranger_s_object_is_not_touched() {
    let mut world = World::new(endpoint("churn").build());
    let owner = json!({"apiVersion": "apps/v1", "kind": "Helm", "name": "other", "uid": "stranger", "controller": true});
    let labels = json!({api::meta::ENDPOINT_LABEL: "churn"});
    let body = json!({
        "metadata": {"name": "churn", "uid": "s", "labels": labels, "generation": 1, "ownerReferences": [owner]},
        "spec": {"replicas": 3}, "status": {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3},
    });
    world.put(ChildKind::Deployment, body);
    check(&mut world, "stranger_s_deployment");
}

#[test]
fn a_predecessor_s_objects_are_waited_for() {
    let mut world = ready(endpoint("churn"));
    world.recreate_endpoint();
    check(&mut world, "predecessor_s_objects");
    world.collect_garbage();
    check(&mut world, "predecessor_s_objects_are_gone");
}

#[test]
fn an_object_on_its_way_out_is_waited_for() {
    let mut world = ready(endpoint("churn"));
    world.edit(ChildKind::Deployment, "kubectl", |body| {
        body["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    check(&mut world, "deployment_on_its_way_out");
    world.collect_garbage();
    check(&mut world, "deployment_gone");
}

#[test]
fn a_runtime_that_is_missing_or_does_not_fit_is_named() {
    let mut world = ready(endpoint("churn"));
    world.runtimes.clear();
    check(&mut world, "no_runtime_while_serving");
    let mut world = World::new(endpoint("churn").runtime("fast").build());
    check(&mut world, "runtime_missing");
    let mut world = World::new(endpoint("churn").runtime("container").build());
    check(&mut world, "runtime_unsuitable");
    let mut world = World::new(endpoint("churn").model(ModelFormat::Triton, "pvc://models/churn").build());
    check(&mut world, "runtime_without_image");
}

#[test]
fn what_admission_can_not_see_is_refused_with_a_sentence() {
    let refused = |fixture: testkit::EndpointFixture, reason: Reason, words: &str| {
        let mut world = World::new(fixture.build());
        let before = world.clone();
        let plan = world.reconcile().unwrap();
        assert_eq!(testkit::lies(&before, &plan), Vec::<String>::new());
        assert!(plan.steps.is_empty(), "{words}");
        assert_eq!(world.condition("Stalled"), Some((true, reason)), "{words}");
        assert!(plan.status.conditions[0].message.contains(words), "{}", plan.status.conditions[0].message);
    };
    refused(endpoint("churn").onnx("https://host:0/m.onnx"), Reason::Invalid, "port '0'");
    refused(endpoint("churn").onnx("https://host:70000/m.onnx"), Reason::Invalid, "port '70000'");
    refused(endpoint("churn").onnx("ftp://host/m.onnx"), Reason::Invalid, "must start with https://");
    refused(endpoint("churn").onnx("pvc://-x-/m.onnx"), Reason::Invalid, "claim '-x-'");
    refused(endpoint("churn").onnx(&format!("pvc://{}/m", "a".repeat(254))), Reason::Invalid, "claim 'aaa");
    let uneven = endpoint("churn").request("nvidia.com/gpu", "1").limit("nvidia.com/gpu", "2");
    refused(uneven, Reason::Invalid, "request as much of nvidia.com/gpu");
}

#[test]
fn an_address_that_no_status_can_hold_is_refused() {
    let mut world = World::new(endpoint("churn-of-customers-in-the-northern-region-2026").build());
    let spec = json!({"supportedFormats": ["ONNX"], "image": "own:1", "inferencePath": format!("/{}", "{name}".repeat(80))});
    world.runtimes.extend(testkit::runtime(NAMESPACE, "long", spec));
    let before = world.clone();
    let plan = world.reconcile().unwrap();
    assert_eq!(testkit::lies(&before, &plan), Vec::<String>::new());
    assert_eq!(world.condition("Stalled"), Some((true, Reason::RuntimeUnsuitable)));
}
