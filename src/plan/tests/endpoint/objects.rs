//! The objects of an Endpoint, whole.
use api::meta::ModelFormat;
use api::serving_runtime::Protocol;
use plan::{ChildKind, Step};
use serde_json::{Value, json};
use testkit::{DIGEST, World, endpoint};

fn objects(endpoint: testkit::EndpointFixture) -> String {
    let world = World::new(endpoint.build());
    let plan = plan::endpoint::plan(&world.observe());
    assert!(plan.steps.iter().all(|step| matches!(step, Step::Apply(_))), "a new Endpoint deletes nothing");
    let bodies = plan.steps.iter().filter_map(|step| match step {
        Step::Apply(apply) => Some(serde_json::to_string_pretty(&apply.body).expect("JSON is JSON")),
        _ => None,
    });
    bodies.collect::<Vec<_>>().join("\n---\n")
}

#[test]
fn an_onnx_model_from_a_url() {
    let fixture =
        endpoint("churn").onnx("https://models.example:8443/churn/1/model.onnx?sig=s").digest(DIGEST);
    insta::assert_snapshot!("objects_onnx_from_url", objects(fixture.range(2, 6)));
}

/// The Secret and the identity reach the one container that fetches, and nothing else does.
#[test]
fn a_model_of_azure_storage_with_a_secret_and_an_identity() {
    let client = "0a1b2c3d-0000-1111-2222-333344445555";
    let server = endpoint("churn").onnx("az://models/churn/1/model.onnx").digest(DIGEST).credentials("store");
    insta::assert_snapshot!("objects_azure_with_secret", objects(server));
    let fetched =
        endpoint("flow").model(ModelFormat::MLflow, "abfss://models@acme.dfs.core.windows.net/flow");
    let fetched = fetched.image("registry.example/mlflow:3").env("MODEL_ALLOWED_HOSTS", "0.0.0.0/0");
    insta::assert_snapshot!(
        "objects_azure_with_identity",
        objects(fetched.credentials("store").identity(client))
    );
}

/// Hosts that are not public are opened by the operator alone, for the container that fetches.
#[test]
fn allowed_hosts_of_the_operator_reach_what_fetches_and_nobody_else_sets_them() {
    let hosts = |endpoint: testkit::EndpointFixture, allowed: &[&str]| {
        let mut world = World::new(endpoint.build());
        world.settings.model_allowed_hosts = allowed.iter().map(|&host| host.to_owned()).collect();
        let plan = plan::endpoint::plan(&world.observe());
        let texts = plan.steps.iter().filter_map(|step| match step {
            Step::Apply(apply) => Some(apply.body["spec"]["template"]["spec"].clone()),
            _ => None,
        });
        let containers = texts.flat_map(|spec| {
            let of = |list: &str| spec[list].as_array().cloned().unwrap_or_default();
            [of("initContainers"), of("containers")].concat()
        });
        let found = containers.filter_map(|container| {
            let variable =
                container["env"].as_array()?.iter().find(|it| it["name"] == "MODEL_ALLOWED_HOSTS")?;
            Some(format!("{}: {}", container["name"].as_str()?, variable["value"].as_str()?))
        });
        found.collect::<Vec<_>>()
    };
    let url = "https://models.example/m";
    let fetched = || endpoint("churn").onnx(url);
    let mounted = |uri: &str| {
        let custom = endpoint("churn").model(ModelFormat::Custom, uri).image("i").digest(DIGEST);
        custom.env("MODEL_ALLOWED_HOSTS", "0.0.0.0/0")
    };
    let allowed = ["models.team.svc", "10.0.0.0/8"];
    assert_eq!(hosts(fetched(), &[]), Vec::<String>::new());
    assert_eq!(hosts(fetched(), &allowed), ["server: models.team.svc,10.0.0.0/8"]);
    assert_eq!(hosts(mounted(url), &allowed), ["fetch-model: models.team.svc,10.0.0.0/8"]);
    assert_eq!(hosts(mounted(url), &[]), Vec::<String>::new());
    assert_eq!(hosts(mounted("pvc://models/m"), &allowed), Vec::<String>::new());
}

#[test]
fn a_verified_model_of_a_claim_in_a_container_of_one_s_own() {
    let fixture =
        endpoint("vision").model(ModelFormat::Custom, "pvc://models/vision/weights.bin").digest(DIGEST);
    let fixture =
        fixture.image("registry.example/vision:7").env("THREADS", "2").request("nvidia.com/gpu", "1");
    insta::assert_snapshot!("objects_claim_mounted", objects(fixture.recreate()));
}

/// The port is there wherever a call passes: the container's, the Service's, the policy's, and the routing document's.
#[test]
fn a_runtime_that_answers_grpc() {
    let mut world = World::new(endpoint("churn").auth(&json!({"mode": "Key"})).build());
    for runtime in &mut world.runtimes {
        runtime.spec.grpc_port = Some(9000);
        runtime.spec.protocol = Protocol::H2c;
    }
    let plan = plan::endpoint::plan(&world.observe());
    let parts = plan.steps.iter().filter_map(|step| {
        let Step::Apply(apply) = step else { return None };
        let (server, spec) = (&apply.body["spec"]["template"]["spec"]["containers"][0], &apply.body["spec"]);
        let part = match apply.kind {
            ChildKind::Deployment => json!({"ports": server["ports"], "env": server["env"]}),
            ChildKind::Service => spec["ports"].clone(),
            ChildKind::NetworkPolicy => spec["ingress"].clone(),
            ChildKind::ConfigMap => {
                let text = apply.body["data"]["route.json"].as_str().expect("the document is a string");
                serde_json::from_str::<Value>(text).expect("the document is JSON")["revisions"].clone()
            }
            _ => return None,
        };
        Some(format!("{}\n{}", apply.kind, serde_json::to_string_pretty(&part).expect("JSON is JSON")))
    });
    insta::assert_snapshot!("objects_with_grpc", parts.collect::<Vec<_>>().join("\n---\n"));
}
