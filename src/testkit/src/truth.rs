//! What must hold of every status, whatever the world is like.
use api::{EndpointStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use plan::{ChildKind, Plan};
use serde_json::{Value, json};

use crate::{World, schema};

/// What is not true, or not well formed, in a plan made from `before`.
pub fn lies(before: &World, plan: &Plan<EndpointStatus>) -> Vec<String> {
    let mut found = conditions(before, plan);
    found.extend(readiness(before, plan));
    let schema =
        api::crds().iter().find(|crd| crd.spec.names.kind == "Endpoint").map(schema::of).unwrap_or_default();
    found.extend(schema::violations(&schema["properties"]["status"], &json!(plan.status)));
    if plan.status.observed_generation != before.endpoint.metadata.generation {
        found.push("observedGeneration is not the generation".to_owned());
    }
    found.extend(plan.events.iter().filter(|event| event.note.len() > 1000).map(|event| event.note.clone()));
    found
}

fn conditions(before: &World, plan: &Plan<EndpointStatus>) -> Vec<String> {
    let mut found = Vec::new();
    let conditions = &plan.status.conditions;
    let count = |type_: &str| conditions.iter().filter(|condition| condition.type_ == type_).count();
    let is_true = |type_: &str| conditions.iter().any(|it| it.type_ == type_ && it.status == "True");
    let old: &[Condition] = before.endpoint.status.as_ref().map_or(&[], |status| &status.conditions);
    if count("Ready") != 1 || count("Serving") != 1 {
        found.push("Ready and Serving must be there once".to_owned());
    }
    if [is_true("Ready"), is_true("Reconciling"), is_true("Stalled")].iter().filter(|it| **it).count() != 1 {
        found.push("exactly one of Ready, Reconciling and Stalled must be true".to_owned());
    }
    for condition in conditions {
        let type_ = &condition.type_;
        if matches!(type_.as_str(), "Reconciling" | "Stalled") && condition.status != "True" {
            found.push(format!("{type_} is there although it is not true"));
        }
        if !Reason::ALL.iter().any(|reason| reason.name() == condition.reason) {
            found.push(format!("{type_} has the unknown reason {}", condition.reason));
        }
        if condition.observed_generation != before.endpoint.metadata.generation {
            found.push(format!("{type_} does not speak of the present generation"));
        }
        let same = old.iter().find(|old| old.type_ == *type_ && old.status == condition.status);
        if same.is_some_and(|old| old.last_transition_time != condition.last_transition_time) {
            found.push(format!("the transition time of {type_} moved without its status"));
        }
        if same.is_none() && condition.last_transition_time.0 != before.now {
            found.push(format!("{type_} changed without a new transition time"));
        }
    }
    found
}

/// `Ready` needs a Deployment of the Endpoint's own, of which only the newest pods are left.
fn readiness(before: &World, plan: &Plan<EndpointStatus>) -> Vec<String> {
    let is = |type_: &str| plan.status.conditions.iter().any(|it| it.type_ == type_ && it.status == "True");
    let mut found = Vec::new();
    let answering = before.observe().pods.iter().filter(|pod| pod.ready && !pod.leaving).count();
    if is("Serving") != (answering > 0) {
        found.push(format!("Serving is {} while {answering} pods answer", is("Serving")));
    }
    if !is("Ready") {
        return found;
    }
    let Some(deployment) = before.object(ChildKind::Deployment) else {
        return vec!["Ready without a Deployment".to_owned()];
    };
    let revision = &deployment["spec"]["template"]["metadata"]["labels"][api::meta::REVISION_LABEL];
    let others = before.observe().pods.iter().any(|pod| *revision != pod.revision.as_str() && !pod.leaving);
    if others || answering == 0 {
        found.push("Ready while pods of another revision are left, or none answers".to_owned());
    }
    let uid = before.endpoint.metadata.uid.as_deref();
    let owners = deployment["metadata"]["ownerReferences"].as_array();
    if !owners.into_iter().flatten().any(|owner| owner["uid"].as_str() == uid) && !has_step(plan) {
        found.push("Ready on somebody else's Deployment".to_owned());
    }
    let scaling = &before.endpoint.spec.scaling;
    let least = scaling.replicas.or(scaling.min_replicas).unwrap_or(1);
    if i64::from(least) > i64::try_from(answering).unwrap_or_default() {
        found.push(format!("Ready with {answering} of {least} pods"));
    }
    found.extend(is_behind(deployment).then(|| "Ready while the Deployment is rolled out".to_owned()));
    found
}

fn has_step(plan: &Plan<EndpointStatus>) -> bool {
    plan.steps
        .iter()
        .any(|step| matches!(step, plan::Step::Apply(apply) if apply.kind == ChildKind::Deployment))
}

/// Whether a status that speaks of the present spec counts pods of an older template.
fn is_behind(deployment: &Value) -> bool {
    let status = &deployment["status"];
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && status["replicas"].as_i64() > status["updatedReplicas"].as_i64()
}
