//! A plan and its status as a page that people can read.
use std::fmt::Write as _;

use api::EndpointStatus;
use plan::{Event, Plan};

use crate::World;

/// The steps, the status and the events of a plan; revisions are numbered in the order in which the world saw them, so
/// that a change of a pod's template does not change every page.
pub fn render(world: &World, plan: &Plan<EndpointStatus>) -> String {
    let mut page = String::from("steps:\n");
    if plan.steps.is_empty() {
        page.push_str("  none\n");
    }
    for step in &plan.steps {
        let _ = writeln!(page, "  {step}");
    }
    status(&mut page, &plan.status);
    for Event { type_, reason, action, note } in &plan.events {
        let _ = writeln!(page, "event: {type_:?} {} ({action}) {note}", reason.name());
    }
    for (index, revision) in world.revisions.iter().enumerate() {
        let name = world.endpoint.metadata.name.as_deref().unwrap_or_default();
        page = page.replace(revision, &format!("{name}-r{}", index + 1));
    }
    page
}

fn status(page: &mut String, status: &EndpointStatus) {
    let number = |number: Option<i32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let _ = writeln!(
        page,
        "status: generation {} replicas {} ready {} selector {}",
        status.observed_generation.map_or_else(|| "-".to_owned(), |number| number.to_string()),
        number(status.replicas),
        number(status.ready_replicas),
        status.selector.as_deref().unwrap_or("-"),
    );
    let _ = writeln!(page, "  url {}", status.url.as_deref().unwrap_or("-"));
    for condition in &status.conditions {
        let since = condition.last_transition_time.0.as_second() - crate::now().as_second();
        let _ = writeln!(
            page,
            "  {}={} {} (since {since} s): {}",
            condition.type_, condition.status, condition.reason, condition.message
        );
    }
    for revision in &status.revisions {
        let _ = writeln!(
            page,
            "  revision {} {:?} {}/{} {}",
            revision.name,
            revision.state,
            revision.ready_replicas,
            revision.replicas,
            revision.model.as_deref().unwrap_or("-")
        );
        if let Some(traffic) = revision.traffic {
            page.truncate(page.trim_end().len());
            let _ = writeln!(page, " ({traffic} %)");
        }
    }
}
