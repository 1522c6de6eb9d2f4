//! Endpoints in Azure: each phase of a change, moves from and to this cluster, and the end.

mod bodies;
mod rollouts;
mod versions;

use std::fmt::Write as _;

use api::endpoint::TargetType;
use api::{Endpoint, EndpointSpec, EndpointStatus};
use arm::{ArmError, ResourceId};
use plan::Plan;
use serde_json::{Value, json};
use testkit::azure::{Both, Fault};

/// The workspace of everything.
const WORKSPACE: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ml/providers/Microsoft.MachineLearningServices/workspaces/dev";

fn inside(path: &str) -> ResourceId {
    ResourceId::parse(&format!("{WORKSPACE}/{path}")).unwrap()
}

fn main_id() -> ResourceId {
    inside("onlineEndpoints/churn")
}

/// The address of a version of the model.
fn version(number: u32) -> String {
    format!("azureml://locations/westeurope/workspaces/dev/models/churn/versions/{number}")
}

/// An object that is ready in Azure.
fn ready(kind: &str, name: &str, id: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "mlops-operator.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "team", "generation": 1},
        "spec": spec,
        "status": {"id": id, "resources": [{"id": id, "state": "Ready", "owned": true}]},
    })
}

/// An Endpoint from a spec as it stands in a manifest.
fn endpoint(spec: &Value) -> Endpoint {
    let spec: EndpointSpec = serde_json::from_value(spec.clone()).unwrap();
    let mut endpoint = testkit::endpoint("churn").build();
    endpoint.spec = spec;
    endpoint
}

/// An Endpoint in Azure with the first version.
fn managed() -> Endpoint {
    endpoint(&json!({
        "target": {
            "type": "ManagedOnline",
            "workspaceRef": {"name": "dev"},
            "instanceType": "Standard_DS3_v2",
            "environment": {"image": "registry.example/server:1"},
        },
        "model": {"uri": version(1), "format": "ONNX"},
        "scaling": {"replicas": 2},
    }))
}

/// A cluster, and an Azure with a workspace, its datastore and two versions of a model.
fn both(endpoint: Endpoint) -> Both {
    let mut both = Both::new(endpoint);
    let spec = json!({"resourceGroup": "ml", "location": "westeurope"});
    both.azure.add_object(&ready("MLWorkspace", "dev", WORKSPACE, &spec));
    both.azure
        .put(&ResourceId::parse(WORKSPACE).unwrap(), &json!({"location": "westeurope", "properties": {}}));
    let store = json!({"properties": {
        "datastoreType": "AzureBlob", "accountName": "models", "containerName": "mlops",
        "endpoint": "core.windows.net", "protocol": "https",
    }});
    both.azure.put(&inside("datastores/models"), &store);
    for number in 1..4 {
        let uri = format!("azureml://datastores/models/paths/churn/{number}/model.onnx");
        let body = json!({"properties": {"modelUri": uri, "properties": {}}});
        both.azure.put(&inside(&format!("models/churn/versions/{number}")), &body);
    }
    both.azure.ticks = 2;
    both
}

/// An Endpoint that Azure serves.
fn served() -> Both {
    let mut both = both(managed());
    both.settle(20).unwrap();
    assert_eq!(both.cluster.condition("Ready"), Some((true, api::Reason::Ready)));
    both.azure.calls.clear();
    both
}

/// The plan, and what is in Azure once its steps are taken.
fn page(both: &Both, plan: &Plan<EndpointStatus>) -> String {
    let mut page = testkit::render(&both.cluster, plan);
    for resource in plan.status.azure.iter().flat_map(|status| &status.resources) {
        let operation =
            resource.operation.as_ref().map(|it| format!(" {} runs", it.verb)).unwrap_or_default();
        let _ = writeln!(page, "tracked: {} {:?}{operation}", resource.id, resource.state);
    }
    if let Some(refused) = &both.refused {
        let _ = writeln!(page, "refused: {refused}");
    }
    let is_shown = |id: &&ResourceId| id.type_().contains("ndpoints");
    for id in both.azure.ids().filter(is_shown) {
        let properties = &both.azure.get(id).unwrap()["properties"];
        let state = properties["provisioningState"].as_str().unwrap_or_default();
        let _ =
            writeln!(page, "in Azure: {id} {state} {}{}", properties["traffic"], properties["mirrorTraffic"]);
    }
    let page = page.replace(WORKSPACE, "W");
    let revisions = both.cluster.revisions().iter().enumerate();
    revisions.fold(page, |page, (index, name)| page.replace(name, &format!("churn-r{}", index + 1)))
}

#[track_caller]
fn check(both: &mut Both, name: &str) {
    let plan = both.reconcile().unwrap();
    insta::assert_snapshot!(name, page(both, &plan));
}

/// Reconciles until a plan has a step that begins so, and takes it.
#[track_caller]
fn until(both: &mut Both, step: &str) -> Plan<EndpointStatus> {
    for _ in 0..30 {
        let plan = both.reconcile().unwrap();
        if plan.steps.iter().any(|it| it.to_string().contains(step)) {
            return plan;
        }
    }
    panic!("no plan has the step {step}: {:#?}", both.azure.calls);
}

fn only_deployment(both: &Both) -> String {
    let deployments: Vec<&ResourceId> =
        both.azure.ids().filter(|id| id.type_().ends_with("/deployments")).collect();
    assert_eq!(deployments.len(), 1, "{deployments:?}");
    deployments[0].name().to_owned()
}

fn traffic(both: &Both) -> Value {
    both.azure.get(&main_id()).unwrap()["properties"]["traffic"].clone()
}

#[test]
fn a_new_endpoint_is_made_before_its_deployment_and_gets_requests_last() {
    let mut both = both(managed());
    check(&mut both, "azure_1_created");
    until(&mut both, "/deployments/");
    check(&mut both, "azure_2_deploying");
    until(&mut both, "update (PUT)");
    both.settle(10).unwrap();
    check(&mut both, "azure_3_ready");
    assert_eq!(traffic(&both), json!({only_deployment(&both): 100}));
}

#[test]
fn what_is_ready_gets_no_further_write() {
    let mut both = served();
    for _ in 0..3 {
        assert_eq!(both.reconcile().unwrap().steps, []);
    }
    assert_eq!(both.azure.calls, Vec::<String>::new());
}

#[test]
fn a_new_version_is_made_beside_the_old_one_which_goes_once_requests_have_moved() {
    let mut both = served();
    let old = only_deployment(&both);
    both.cluster.change(|spec| spec.model.uri = version(2));
    check(&mut both, "azure_4_new_version");
    assert_eq!(traffic(&both), json!({&old: 100}));
    until(&mut both, "update (PUT)");
    assert!(both.azure.ids().any(|id| id.name() == old));
    check(&mut both, "azure_5_traffic_moves");
    until(&mut both, "delete (DELETE)");
    check(&mut both, "azure_6_old_goes");
    both.settle(10).unwrap();
    assert_ne!(only_deployment(&both), old);
}

#[test]
fn a_read_from_before_the_move_keeps_the_old_deployment() {
    let mut both = served();
    let old = only_deployment(&both);
    both.cluster.change(|spec| spec.model.uri = version(2));
    let before = both.azure.get(&main_id()).unwrap().clone();
    until(&mut both, "update (PUT)");
    both.azure.ticks = 0;
    both.stale.insert(main_id(), before);
    for _ in 0..4 {
        both.reconcile().unwrap();
        assert!(both.azure.ids().any(|id| id.name() == old), "{:?}", both.azure.calls);
    }
    both.stale.clear();
    both.settle(10).unwrap();
    assert_ne!(only_deployment(&both), old);
}

#[test]
fn a_deployment_that_fails_leaves_the_old_one_serving_and_is_tried_again() {
    let mut both = served();
    let old = only_deployment(&both);
    both.cluster.change(|spec| spec.model.uri = version(2));
    let error = ArmError {
        code: "ResourceNotReady".to_owned(),
        message: "User container has crashed or terminated".to_owned(),
        ..ArmError::default()
    };
    let error = plan::azure::with_log(error, "loading\nKeyError: 'weights'\n");
    both.azure.faults.push_back(Some(Fault::FailOperation(error)));
    until(&mut both, "create (PUT)");
    both.reconcile().unwrap();
    check(&mut both, "azure_7_failed");
    assert_eq!(traffic(&both), json!({old: 100}));
    both.settle(20).unwrap();
    assert_eq!(both.cluster.condition("Ready"), Some((true, api::Reason::Ready)));
}

#[test]
fn another_number_of_instances_is_a_patch_of_the_same_deployment() {
    let mut both = served();
    both.cluster.change(|spec| spec.scaling.replicas = Some(3));
    let name = only_deployment(&both);
    both.settle(10).unwrap();
    assert_eq!(both.azure.calls, [format!("update (PATCH) {}/deployments/{name}: it differs", main_id())]);
    let status = both.cluster.endpoint.status.clone().unwrap();
    assert_eq!((status.replicas, status.ready_replicas), (Some(3), Some(3)));
}

#[test]
fn an_unfinished_version_is_superseded_by_the_next() {
    let mut both = served();
    let old = only_deployment(&both);
    both.cluster.change(|spec| spec.model.uri = version(2));
    until(&mut both, "create (PUT)");
    both.cluster.change(|spec| spec.model.uri = version(3));
    check(&mut both, "azure_8_superseded");
    both.settle(30).unwrap();
    assert_eq!(both.refused, None);
    let last =
        both.azure.get(&inside(&format!("onlineEndpoints/churn/deployments/{}", only_deployment(&both))));
    assert_eq!(last.unwrap()["properties"]["model"], version(3));
    assert_ne!(only_deployment(&both), old);
}

#[test]
fn a_mirrored_version_answers_nobody_until_the_mirror_is_taken_away() {
    let mut both = served();
    let old = only_deployment(&both);
    both.cluster.change(|spec| {
        spec.model.uri = version(2);
        spec.target.mirror_traffic = Some(20);
    });
    both.settle(20).unwrap();
    check(&mut both, "azure_9_mirrored");
    assert_eq!(traffic(&both), json!({old: 100}));
    both.cluster.change(|spec| spec.target.mirror_traffic = None);
    both.settle(20).unwrap();
    assert_eq!(traffic(&both), json!({only_deployment(&both): 100}));
    assert_eq!(both.azure.get(&main_id()).unwrap()["properties"]["mirrorTraffic"], json!({}));
}

#[test]
fn a_batch_endpoint_moves_its_default() {
    let mut both = both(endpoint(&json!({
        "mode": "Batch",
        "target": {
            "type": "ManagedBatch",
            "workspaceRef": {"name": "dev"},
            "computeId": format!("{WORKSPACE}/computes/cpu"),
        },
        "model": {"uri": version(1), "format": "MLflow"},
        "batch": {"miniBatchSize": 10},
    })));
    both.settle(20).unwrap();
    let first = only_deployment(&both);
    both.cluster.change(|spec| spec.batch.as_mut().unwrap().mini_batch_size = Some(20));
    both.settle(20).unwrap();
    assert_eq!(only_deployment(&both), first);
    both.cluster.change(|spec| spec.model.uri = version(2));
    both.settle(20).unwrap();
    let second = only_deployment(&both);
    assert_ne!(first, second);
    let endpoint = both.azure.get(&inside("batchEndpoints/churn")).unwrap();
    assert_eq!(endpoint["properties"]["defaults"]["deploymentName"], second);
    check(&mut both, "azure_batch_ready");
}

/// An Endpoint that pods of this cluster serve.
fn served_here() -> Both {
    let mut both = both(endpoint(&json!({
        "target": {"type": "Kubernetes", "workspaceRef": {"name": "dev"}},
        "model": {"uri": version(1), "format": "ONNX"},
    })));
    both.settle(10).unwrap();
    both.cluster.finish_rollout();
    both.settle(10).unwrap();
    both
}

#[test]
fn the_new_address_is_told_before_the_old_one_goes() {
    let mut both = served_here();
    both.cluster.become_like(&managed());
    let told = |both: &Both| both.cluster.endpoint.status.as_ref().and_then(|status| status.url.clone());
    for _ in 0..30 {
        let before = told(&both).unwrap_or_default();
        let plan = both.reconcile().unwrap();
        if plan.steps.iter().any(|step| matches!(step, plan::Step::Delete(_))) {
            assert!(before.ends_with("/score"), "{before} answers nobody");
            return;
        }
    }
    panic!("nothing of the cluster was ever let go");
}

#[test]
fn a_model_that_moves_to_azure_keeps_its_old_address_until_azure_serves() {
    let mut both = served_here();
    assert_eq!(both.cluster.condition("Ready"), Some((true, api::Reason::Ready)));
    let old = both.cluster.endpoint.status.clone().unwrap().url.unwrap();
    both.cluster.become_like(&managed());
    let mut rounds = 0;
    while traffic_anywhere(&both).is_null() {
        let plan = both.reconcile().unwrap();
        assert_eq!(plan.status.url.as_deref(), Some(old.as_str()));
        assert_eq!(both.cluster.objects().count(), 5, "{:?}", plan.steps);
        assert_eq!(both.cluster.condition("Serving"), Some((true, api::Reason::Answering)));
        rounds += 1;
        assert!(rounds < 20);
    }
    until(&mut both, "delete Deployment");
    check(&mut both, "azure_moved_here_to_there");
    assert_eq!(both.cluster.objects().count(), 0);
}

fn traffic_anywhere(both: &Both) -> Value {
    both.azure.get(&main_id()).map(|body| body["properties"]["traffic"].clone()).unwrap_or_default()
}

#[test]
fn a_model_that_moves_to_this_cluster_stays_in_azure_until_pods_serve() {
    let mut both = served();
    let address = both.cluster.endpoint.status.clone().unwrap().url;
    both.cluster.become_like(&endpoint(&json!({
        "target": {"type": "Kubernetes", "workspaceRef": {"name": "dev"}},
        "model": {"uri": version(1), "format": "ONNX"},
    })));
    check(&mut both, "azure_moving_there_to_here");
    for _ in 0..3 {
        let plan = both.reconcile().unwrap();
        assert_eq!(plan.status.url, address);
        assert_eq!(both.azure.calls, Vec::<String>::new());
    }
    both.cluster.finish_rollout();
    until(&mut both, "delete (DELETE)");
    check(&mut both, "azure_moved_there_to_here");
    both.settle(10).unwrap();
    assert!(!both.azure.ids().any(|id| id.type_().contains("ndpoints")));
    assert_eq!(both.cluster.endpoint.metadata.finalizers, None);
    assert_eq!(both.cluster.endpoint.status.clone().unwrap().azure, None);
    assert_eq!(both.cluster.condition("Ready"), Some((true, api::Reason::Ready)));
    let before = both.cluster.endpoint.status.clone();
    assert_eq!(both.reconcile().unwrap().steps, []);
    assert_eq!(before, both.cluster.endpoint.status);
}

#[test]
fn an_endpoint_that_is_deleted_goes_with_its_deployments_in_one_call() {
    let mut both = served();
    both.cluster.endpoint.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(testkit::now()));
    check(&mut both, "azure_deleted");
    both.settle(10).unwrap();
    assert_eq!(both.azure.calls.iter().filter(|call| call.contains("ndpoints")).count(), 1);
    assert!(!both.azure.ids().any(|id| id.type_().contains("ndpoints")));
    assert_eq!(both.cluster.endpoint.metadata.finalizers, None);
}

#[test]
fn while_azure_is_away_nothing_on_this_cluster_is_touched() {
    let mut both = served();
    let before = both.cluster.endpoint.status.clone();
    both.reachable = false;
    assert_eq!(both.reconcile().unwrap().steps, []);
    assert_eq!(both.cluster.endpoint.status, before);
    both.reachable = true;
    both.cluster.become_like(&endpoint(&json!({
        "target": {"type": "Kubernetes", "workspaceRef": {"name": "dev"}},
        "model": {"uri": version(1), "format": "ONNX"},
    })));
    both.settle(10).unwrap();
    both.reachable = false;
    let azure = both.cluster.endpoint.status.clone().unwrap().azure;
    assert!(azure.is_some());
    assert_eq!(both.reconcile().unwrap().steps, []);
    assert_eq!(both.cluster.endpoint.status.clone().unwrap().azure, azure);
}

#[test]
fn a_mode_that_only_plans_shows_every_write_and_makes_none() {
    let mut both = both(managed());
    both.cluster.endpoint.spec.management.mode = api::azure::ManagementMode::Plan;
    check(&mut both, "azure_plan");
    assert_eq!(both.azure.calls, Vec::<String>::new());
    both.cluster.change(|spec| {
        *spec = endpoint(&json!({
            "management": {"mode": "Plan"},
            "model": {"uri": "https://models.example/churn.onnx", "format": "ONNX"},
        }))
        .spec;
    });
    check(&mut both, "azure_plan_on_this_cluster");
    assert_eq!(both.cluster.objects().count(), 0);
    let status = both.cluster.endpoint.status.clone().unwrap();
    assert_eq!(status.plan.unwrap().steps.len(), 5);
}

#[test]
fn a_name_that_azure_does_not_take_is_refused_in_words() {
    let mut both = both(managed());
    both.cluster.endpoint.metadata.name = Some("a".repeat(40));
    both.reconcile().unwrap();
    let status = both.cluster.endpoint.status.unwrap();
    assert_eq!(status.conditions[0].reason, "Invalid");
    assert!(status.conditions[0].message.contains("set spec.target.endpointName"));
    assert_eq!(managed().spec.target.type_, TargetType::ManagedOnline);
}

#[test]
fn nothing_is_ready_or_drifted_before_requests_go_to_the_deployment() {
    let mut both = both(managed());
    for round in 0..12 {
        let plan = both.reconcile().unwrap();
        let drifted: Vec<_> =
            plan.events.iter().filter(|event| event.reason == api::Reason::Drifted).collect();
        assert!(drifted.is_empty(), "round {round}: {drifted:?}");
        let conditions = plan.status.azure.iter().flat_map(|azure| &azure.conditions);
        let mut ready = conditions.filter(|it| it.type_ == "Ready" && it.status == "True");
        let traffic = both.azure.get(&main_id()).map(|body| body["properties"]["traffic"].to_string());
        if let Some(condition) = ready.next() {
            assert!(
                traffic.as_ref().is_some_and(|it| it.contains("100")),
                "round {round}: {condition:?} {traffic:?}"
            );
        }
    }
    assert_eq!(both.cluster.condition("Ready"), Some((true, api::Reason::Ready)));
}

#[test]
fn a_deployment_of_somebody_else_that_runs_what_is_wanted_is_taken_over_as_it_is() {
    let mut azure = served().azure;
    let own = azure.ids().find(|id| id.type_().ends_with("/deployments")).unwrap().clone();
    let mut body = azure.get(&own).unwrap().clone();
    body["tags"] = json!({"team": "churn"});
    azure.remove(&own);
    azure.put(&inside("onlineEndpoints/churn/deployments/blue"), &body);
    azure.edit(&main_id(), |body| {
        body["tags"] = json!({});
        body["properties"]["traffic"] = json!({"blue": 100});
    });
    let mut endpoint = managed();
    endpoint.spec.management.adoption = api::azure::Adoption::IfUnowned;
    let mut both = both(endpoint);
    both.azure = azure;
    both.settle(20).unwrap();
    let deployments = |both: &Both| -> Vec<String> {
        let all = both.azure.ids().filter(|id| id.type_().ends_with("/deployments"));
        all.map(|id| id.name().to_owned()).collect()
    };
    assert_eq!(both.cluster.condition("Ready"), Some((true, api::Reason::Ready)));
    assert_eq!(deployments(&both), ["blue"]);
    let tags = &both.azure.get(&inside("onlineEndpoints/churn/deployments/blue")).unwrap()["tags"];
    assert_eq!((&tags["team"], &tags["mlops-operator-revision"]), (&json!("churn"), &json!(own.name())));
    // What is changed afterwards makes a deployment of our own.
    both.cluster.endpoint.spec.model.uri = version(2);
    both.cluster.endpoint.metadata.generation = Some(2);
    both.settle(30).unwrap();
    assert_eq!(deployments(&both).len(), 1);
    assert_ne!(deployments(&both), ["blue"]);
}
