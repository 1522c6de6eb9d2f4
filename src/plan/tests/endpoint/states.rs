//! What is done and said while things go as they should.
use api::meta::ModelFormat;
use plan::ChildKind;
use serde_json::json;
use testkit::{DIGEST, NAMESPACE, World, endpoint};

use super::{check, ready, rolling, settle};

#[test]
fn a_new_endpoint_gets_its_objects_and_becomes_ready() {
    let mut world = World::new(endpoint("churn").build());
    check(&mut world, "new");
    check(&mut world, "applied");
    world.start_pods();
    check(&mut world, "starting");
    world.ready_pods(1);
    check(&mut world, "ready");
    check(&mut world, "ready_and_nothing_else_happens");
}

#[test]
fn a_new_model_rolls_over_while_the_old_one_answers() {
    let mut world = ready(endpoint("churn").replicas(2));
    world.change(|spec| spec.model.uri = "https://models.example/churn/2/model.onnx".to_owned());
    check(&mut world, "rollout_applied");
    check(&mut world, "rollout_not_seen_by_the_controller");
    world.start_pods();
    check(&mut world, "rollout_begun");
    world.ready_pods(1);
    world.start_pods();
    check(&mut world, "rollout_half_way");
    world.finish_rollout();
    check(&mut world, "rollout_done");
}

#[test]
fn recreate_says_that_nothing_answers_in_between() {
    let mut world = rolling(endpoint("churn").recreate());
    check(&mut world, "recreate_in_between");
    world.finish_rollout();
    check(&mut world, "recreate_done");
}

#[test]
fn a_fixed_number_is_raised() {
    let mut world = ready(endpoint("churn"));
    world.change(|spec| spec.scaling.replicas = Some(3));
    settle(&mut world);
    world.start_pods();
    check(&mut world, "scaling_up");
}

#[test]
fn the_autoscaler_changes_the_number_and_the_endpoint_stays_ready() {
    let mut world = ready(endpoint("churn").range(1, 5));
    world.autoscale(4);
    check(&mut world, "autoscaler_set_the_number");
    world.start_pods();
    check(&mut world, "autoscaler_s_pods_start");
    world.finish_rollout();
    check(&mut world, "autoscaled");
    assert_eq!(world.object(ChildKind::Deployment).unwrap()["spec"]["replicas"], 4);
}

#[test]
fn a_fixed_number_becomes_a_range_and_fixed_again_without_losing_pods() {
    let mut world = ready(endpoint("churn").replicas(4));
    world.become_like(&endpoint("churn").range(1, 8).build());
    check(&mut world, "hand_over_to_the_autoscaler");
    assert_eq!(world.object(ChildKind::Deployment).unwrap()["spec"]["replicas"], 4);
    check(&mut world, "handed_over");
    world.autoscale(6);
    settle(&mut world);
    assert_eq!(world.object(ChildKind::Deployment).unwrap()["spec"]["replicas"], 6);
    world.become_like(&endpoint("churn").replicas(2).build());
    check(&mut world, "taken_back_from_the_autoscaler");
    assert_eq!(world.object(ChildKind::Deployment).unwrap()["spec"]["replicas"], 2);
    assert!(world.object(ChildKind::HorizontalPodAutoscaler).is_none());
}

#[test]
fn a_lost_pod_is_said() {
    let mut world = ready(endpoint("churn").replicas(2));
    world.lose_pod();
    check(&mut world, "degraded");
    world.finish_rollout();
    check(&mut world, "recovered");
}

#[test]
fn a_deleted_child_comes_back() {
    let mut world = ready(endpoint("churn"));
    world.remove(ChildKind::Service);
    check(&mut world, "service_deleted");
    world.remove(ChildKind::Deployment);
    check(&mut world, "deployment_deleted");
}

#[test]
fn a_child_changed_by_hand_is_put_right() {
    let mut world = ready(endpoint("churn"));
    world.edit(ChildKind::Deployment, "kubectl", |body| body["spec"]["replicas"] = json!(0));
    world.edit(ChildKind::Service, "kubectl", |body| body["spec"]["selector"] = json!({"app": "other"}));
    check(&mut world, "changed_by_hand");
    check(&mut world, "put_right");
}

#[test]
fn a_field_of_a_list_added_beside_ours_does_not_make_the_operator_write_for_ever() {
    let mut world = ready(endpoint("churn"));
    world.edit(ChildKind::Deployment, "kubectl", |body| {
        let constraints = &mut body["spec"]["template"]["spec"]["topologySpreadConstraints"];
        constraints[0]["whenUnsatisfiable"] = json!("DoNotSchedule");
    });
    settle(&mut world);
}

#[test]
fn fields_of_others_stay_and_nothing_is_written() {
    let mut world = ready(endpoint("churn"));
    world.edit(ChildKind::Deployment, "other", |body| {
        body["metadata"]["labels"]["team"] = json!("blue");
        body["spec"]["template"]["spec"]["containers"][0]["env"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "TRACE", "value": "1"}));
    });
    world.finish_rollout();
    check(&mut world, "foreign_fields");
    world.change(|spec| spec.rollout.progress_deadline_seconds = 60);
    settle(&mut world);
    let deployment = world.object(ChildKind::Deployment).unwrap();
    assert_eq!(deployment["metadata"]["labels"]["team"], "blue");
    assert!(deployment["spec"]["template"].to_string().contains("TRACE"));
}

#[test]
fn labels_of_the_operator_come_back_without_a_word_about_the_pods() {
    let mut world = ready(endpoint("churn"));
    world.edit(ChildKind::Deployment, "kubectl", |body| {
        body["metadata"]["labels"]["app.kubernetes.io/name"] = json!("other");
    });
    check(&mut world, "label_changed_by_hand");
}

#[test]
fn the_runtime_of_the_namespace_wins_over_the_default() {
    let mut world = World::new(endpoint("churn").build());
    let own = json!({"supportedFormats": ["ONNX"], "image": "own-server:1", "port": 9000, "inferencePath": "/score/{name}"});
    world.runtimes.extend(testkit::runtime(NAMESPACE, "zzz", own));
    check(&mut world, "runtime_of_the_namespace");
    let deployment = world.object(ChildKind::Deployment).unwrap();
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "own-server:1");
}

#[test]
fn a_claim_without_a_digest_is_mounted_and_with_one_it_is_verified_first() {
    let fixture = endpoint("churn").model(ModelFormat::MLflow, "pvc://models/churn/model").image("mlflow:1");
    let mut world = World::new(fixture.clone().build());
    settle(&mut world);
    let pod = &world.object(ChildKind::Deployment).unwrap()["spec"]["template"]["spec"];
    assert!(pod.get("initContainers").is_none());
    assert_eq!(pod["volumes"][1]["persistentVolumeClaim"], json!({"claimName": "models", "readOnly": true}));
    world.become_like(&fixture.digest(DIGEST).build());
    settle(&mut world);
    let pod = &world.object(ChildKind::Deployment).unwrap()["spec"]["template"]["spec"];
    let fetch = &pod["initContainers"][0];
    assert_eq!(fetch["args"], json!(["fetch", "--to", "/mnt/model", "--file-name", "model"]));
    assert_eq!(pod["containers"][0]["env"][1]["value"], "file:///mnt/model/model");
    assert_eq!(fetch["env"][0]["value"], "file:///mnt/claim/churn/model");
    assert_eq!(fetch["env"][1], json!({"name": "MLOPS_MODEL_DIGEST", "value": DIGEST}));
    check(&mut world, "claim_with_digest");
}

#[test]
fn the_query_of_a_uri_is_never_shown() {
    let uri = "https://store.example/churn/model.onnx?sig=s3cr3t#part";
    for (format, image) in [(ModelFormat::Onnx, None), (ModelFormat::Custom, Some("own:1"))] {
        let fixture = endpoint("churn").model(format, uri);
        let mut world = ready(match image {
            Some(image) => fixture.image(image),
            None => fixture,
        });
        let status = json!(world.endpoint.status).to_string();
        assert!(status.contains("https://store.example/churn/model.onnx") && !status.contains("s3cr3t"));
        let plan = world.reconcile().unwrap();
        assert!(!format!("{:?}", plan.events).contains("s3cr3t"));
        let annotations = world.pods[0].metadata.annotations.clone().unwrap();
        assert!(!format!("{annotations:?}").contains("s3cr3t"));
    }
}

#[test]
fn an_endpoint_on_its_way_out_is_left_alone() {
    let mut world = ready(endpoint("churn"));
    let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(testkit::now());
    world.endpoint.metadata.deletion_timestamp = Some(time);
    world.remove(ChildKind::Service);
    check(&mut world, "deleting");
}
