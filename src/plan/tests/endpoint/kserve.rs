//! The cases in which KServe's status said something untrue, by the number of their issue.
use api::Reason;
use testkit::{Trouble, World, endpoint};

use super::{check, ready, rolling, settle};

/// KServe #347: `READY` was `True` while the new revision crashed again and again.
#[test]
fn kserve_347_a_crashing_new_revision_is_never_ready() {
    let mut world = rolling(endpoint("churn"));
    for restarts in 0..4 {
        world.fail_pods(&Trouble::Crash { restarts });
        settle(&mut world);
        assert_eq!(world.condition("Ready"), Some((false, Reason::ContainerCrashed)), "{restarts} restarts");
    }
    check(&mut world, "kserve_347");
}

/// KServe #384: the columns were blank while the object was reconciled.
#[test]
fn kserve_384_no_column_is_blank_while_reconciling() {
    let mut world = World::new(endpoint("churn").build());
    for _ in 0..3 {
        let plan = world.reconcile().unwrap();
        let status = plan.status;
        assert!(status.url.is_some() && status.selector.is_some());
        assert!(status.replicas.is_some() && status.ready_replicas.is_some());
        assert!(world.condition("Ready").is_some() && world.condition("Serving").is_some());
        world.start_pods();
    }
    assert_eq!(world.condition("Reconciling"), Some((true, Reason::Creating)));
}

/// KServe #4454: there was no status at all while the object was not ready.
#[test]
fn kserve_4454_a_model_that_never_starts_has_a_status() {
    let mut world = World::new(endpoint("churn").build());
    settle(&mut world);
    world.start_pods();
    world.fail_pods(&Trouble::LastWord { reason: "ModelLoadFailed", message: "not a model", restarts: 9 });
    settle(&mut world);
    let status = world.endpoint.status.clone().unwrap();
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!((status.replicas, status.ready_replicas), (Some(1), Some(0)));
    assert!(status.conditions[0].message.contains("not a model"));
    assert_eq!(status.revisions.len(), 1);
}

/// KServe #4626: `Ready` stayed `True` while the Deployment progressed.
#[test]
fn kserve_4626_ready_is_false_from_the_first_status_of_a_rollout_to_its_last() {
    let mut world = ready(endpoint("churn").replicas(2));
    world.change(|spec| spec.model.uri = "https://models.example/churn/2/model.onnx".to_owned());
    for _ in 0..2 {
        world.reconcile().unwrap();
        assert_eq!(world.condition("Ready"), Some((false, Reason::RollingOut)), "not seen by the controller");
    }
    for _ in 0..2 {
        world.start_pods();
        settle(&mut world);
        assert_eq!(world.condition("Ready"), Some((false, Reason::RollingOut)), "under way");
        world.ready_pods(1);
        settle(&mut world);
        assert_eq!(world.condition("Ready"), Some((false, Reason::RollingOut)), "an old pod is left");
    }
    world.finish_rollout();
    settle(&mut world);
    assert_eq!(world.condition("Ready"), Some((true, Reason::Ready)));
}

/// KServe #5443: `Ready` went back and forth while the old revision answered every request.
#[test]
fn kserve_5443_serving_stays_true_from_one_revision_to_the_next() {
    let mut world = ready(endpoint("churn").replicas(2));
    let since = serving_since(&world);
    world.change(|spec| spec.model.uri = "https://models.example/churn/2/model.onnx".to_owned());
    let mut readiness = Vec::new();
    for step in 0..6 {
        world.reconcile().unwrap();
        readiness.push(world.condition("Ready").unwrap().0);
        assert_eq!(world.condition("Serving"), Some((true, Reason::Answering)), "step {step}");
        if step % 2 == 0 { world.start_pods() } else { world.ready_pods(1) }
    }
    world.finish_rollout();
    settle(&mut world);
    readiness.push(world.condition("Ready").unwrap().0);
    readiness.dedup();
    assert_eq!(readiness, [false, true], "Ready goes once, and comes once");
    assert_eq!(serving_since(&world), since);
}

fn serving_since(world: &World) -> Option<jiff::Timestamp> {
    let status = world.endpoint.status.as_ref()?;
    let serving = status.conditions.iter().find(|condition| condition.type_ == "Serving")?;
    Some(serving.last_transition_time.0)
}
