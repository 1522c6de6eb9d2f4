//! The report of `status` as a tree of lines.
use std::fmt::Write as _;

use api::endpoint::RevisionState;

use super::report::{
    AzureReport, EndpointReport, PodReport, PodState, Report, RevisionReport, RolloutReport, RuntimeReport,
};
use crate::health::Health;
use crate::output::{Mark, Style, one_line};

/// The whole report.
pub(super) fn render(report: &Report, style: Style) -> String {
    let endpoints = report.endpoints.iter().map(|endpoint| endpoint_tree(endpoint, style));
    let mut blocks: Vec<String> = endpoints.collect();
    if !report.azure.is_empty() {
        blocks.push(report.azure.iter().map(|object| azure_lines(object, style)).collect());
    }
    if !report.serving_runtimes.is_empty() {
        blocks.push(report.serving_runtimes.iter().map(|runtime| runtime_lines(runtime, style)).collect());
    }
    blocks.join("\n")
}

fn endpoint_tree(endpoint: &EndpointReport, style: Style) -> String {
    let mut text =
        title(style, endpoint.health, &format!("Endpoint {}/{}", endpoint.namespace, endpoint.name));
    text.push_str(&state(endpoint.health, endpoint.reason.as_deref()));
    text.push('\n');
    let branches = endpoint.revisions.len() + endpoint.other_pods.len();
    let trunk = style.trunk(branches > 0);
    let mut fact = |name: &str, value: &str| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{trunk}{name:<8} {}", one_line(value));
    };
    if let Some(message) = &endpoint.message {
        fact("why", message);
    }
    fact("serving", serving(endpoint.serving));
    fact("model", &endpoint.model);
    if let Some(url) = &endpoint.url {
        fact("url", url);
    }
    if let Some(rollout) = &endpoint.rollout {
        fact("rollout", &rollout_line(rollout, endpoint));
    }
    for (index, revision) in endpoint.revisions.iter().enumerate() {
        revision_tree(&mut text, revision, style, index + 1 == branches);
    }
    for (index, pod) in endpoint.other_pods.iter().enumerate() {
        let (stroke, _) = style.branch(endpoint.revisions.len() + index + 1 == branches);
        let _ = writeln!(text, "{stroke}{}", pod_line(pod, style));
    }
    text
}

fn title(style: Style, health: Health, object: &str) -> String {
    format!("{} {}", style.mark(health.mark()), style.bold(object))
}

/// `: Stalled, ImagePullFailed`; the reason is left out where it would repeat the state.
fn state(health: Health, reason: Option<&str>) -> String {
    let said = match health {
        Health::Unseen => return ": Unseen, the operator has not looked at this spec yet".to_owned(),
        health => health.name(),
    };
    match reason {
        Some(reason) if reason != said => format!(": {said}, {}", one_line(reason)),
        _ => format!(": {said}"),
    }
}

fn serving(serving: Option<bool>) -> &'static str {
    match serving {
        Some(true) => "yes, requests are answered",
        Some(false) => "no, requests are not answered",
        None => "not known yet",
    }
}

/// `Progressing, step 2 of 4, churn-bbbb2222 gets 10 %: kubectl mlops rollout churn -n team`.
fn rollout_line(rollout: &RolloutReport, endpoint: &EndpointReport) -> String {
    let mut text = format!("{:?}", rollout.phase);
    if let (Some(step), Some(steps)) = (rollout.step, rollout.steps.filter(|steps| *steps > 0)) {
        text += &format!(", step {} of {steps}", step.min(steps));
    }
    if let Some(candidate) = &rollout.candidate {
        text += &match (rollout.traffic, rollout.mirror) {
            (Some(traffic), _) => format!(", {candidate} answers {traffic} % of the requests"),
            (None, Some(mirror)) => format!(", {candidate} gets copies of {mirror} %"),
            (None, None) => format!(", {candidate} gets no requests yet"),
        };
    }
    text + &format!(": see kubectl mlops rollout {} -n {}", endpoint.name, endpoint.namespace)
}

fn revision_tree(text: &mut String, revision: &RevisionReport, style: Style, last: bool) {
    let (stroke, below) = style.branch(last);
    let (mark, state) = match revision.state {
        RevisionState::Stable if revision.ready_replicas == revision.replicas => (Mark::Good, "Stable"),
        RevisionState::Stable => (Mark::Busy, "Stable"),
        RevisionState::Progressing => (Mark::Busy, "Progressing"),
        RevisionState::Failed => (Mark::Bad, "Failed"),
        RevisionState::Retiring => (Mark::Busy, "Retiring"),
        RevisionState::Canary => (Mark::Busy, "Canary"),
        RevisionState::Retired => (Mark::Good, "Retired"),
        RevisionState::RolledBack => (Mark::Bad, "RolledBack"),
    };
    let model = revision.model.as_deref().map(|model| format!(", {}", one_line(model))).unwrap_or_default();
    let _ = writeln!(
        text,
        "{stroke}{} revision {}: {state}, {} of {} pods answer{model}",
        style.mark(mark),
        revision.name,
        revision.ready_replicas,
        revision.replicas
    );
    for (index, pod) in revision.pods.iter().enumerate() {
        let (stroke, _) = style.branch(index + 1 == revision.pods.len());
        let _ = writeln!(text, "{below}{stroke}{}", pod_line(pod, style));
    }
}

fn pod_line(pod: &PodReport, style: Style) -> String {
    let (mark, state) = match pod.state {
        PodState::Ready => (Mark::Good, "Ready"),
        PodState::Starting => (Mark::Busy, "Starting"),
        PodState::Retrying => (Mark::Warning, "Retrying"),
        PodState::Failed => (Mark::Bad, "Failed"),
        PodState::Leaving => (Mark::Busy, "Leaving"),
    };
    let reason = pod.reason.as_deref().map(|reason| format!(", {reason}")).unwrap_or_default();
    let message =
        pod.message.as_deref().map(|message| format!(": {}", one_line(message))).unwrap_or_default();
    format!("{} pod {}: {state}{reason}{message}", style.mark(mark), pod.name)
}

fn azure_lines(object: &AzureReport, style: Style) -> String {
    let place = format!("{} {}/{}", object.kind, object.namespace, object.name);
    let mut text = title(style, object.health, &place);
    text.push_str(&state(object.health, object.reason.as_deref()));
    text.push('\n');
    let trunk = style.trunk(!object.resources.is_empty());
    let mut fact = |name: &str, value: &str| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{trunk}{name:<8} {}", one_line(value));
    };
    if let Some(message) = object.message.as_deref().filter(|_| object.health != Health::Ready) {
        fact("why", message);
    }
    if let Some(url) = object.portal_url.as_deref().or(object.id.as_deref()) {
        fact("portal", url);
    }
    for (index, resource) in object.resources.iter().enumerate() {
        let (stroke, _) = style.branch(index + 1 == object.resources.len());
        let differs = match resource.differences.as_slice() {
            [] => String::new(),
            fields => format!(", {}", one_line(&fields.join(" "))),
        };
        let _ = writeln!(text, "{stroke}{}: {:?}{differs}", one_line(&resource.id), resource.state);
    }
    text
}

fn runtime_lines(runtime: &RuntimeReport, style: Style) -> String {
    let object = format!("ServingRuntime {}/{}", runtime.namespace, runtime.name);
    let mut text = title(style, runtime.health, &object);
    text.push_str(&state(runtime.health, runtime.reason.as_deref().filter(|reason| *reason != "Accepted")));
    let image = runtime.image.as_deref().unwrap_or("each endpoint names its image");
    let _ = writeln!(text, ", {}, {}", runtime.formats.join(" "), one_line(image));
    if let Some(message) = runtime.message.as_deref().filter(|_| runtime.health != Health::Ready) {
        let _ = writeln!(text, "   {:<8} {}", "why", one_line(message));
    }
    text
}
