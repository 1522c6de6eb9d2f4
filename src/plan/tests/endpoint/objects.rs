//! The objects of an Endpoint, whole.
use api::meta::ModelFormat;
use plan::Step;
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

#[test]
fn a_verified_model_of_a_claim_in_a_container_of_one_s_own() {
    let fixture =
        endpoint("vision").model(ModelFormat::Custom, "pvc://models/vision/weights.bin").digest(DIGEST);
    let fixture =
        fixture.image("registry.example/vision:7").env("THREADS", "2").request("nvidia.com/gpu", "1");
    insta::assert_snapshot!("objects_claim_mounted", objects(fixture.recreate()));
}
