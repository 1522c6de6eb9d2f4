//! Jobs and schedules: states, cancellation, and what the clients expect to find.
use serde_json::{Value, json};

use super::default;
use crate::answer::{Failure, Outcome};
use crate::engine::Change;
use crate::state::text;

const ENDED: [&str; 3] = ["Completed", "Failed", "Canceled"];

pub(crate) fn write(change: &mut Change<'_>) -> Outcome<()> {
    let kind = text(&change.body, "/properties/jobType").to_owned();
    let known = ["AutoML", "Command", "Sweep", "Pipeline", "Spark", "FineTuning", "Labeling", "Distillation"];
    if !known.iter().any(|one| one.eq_ignore_ascii_case(&kind)) {
        let message = format!("The job type '{kind}' is not supported.");
        return Err(Failure::new(400, "ValidationError", message).about("properties.jobType"));
    }
    let needed: &[&str] = match kind.to_ascii_lowercase().as_str() {
        "command" => &["command", "environmentId"],
        "sweep" => &["objective", "samplingAlgorithm", "searchSpace", "trial"],
        _ => &[],
    };
    if let Some(field) =
        needed.iter().find(|field| change.body["properties"].get(**field).is_none_or(Value::is_null))
    {
        let message = format!("The request is invalid: the field 'properties.{field}' is required.");
        return Err(Failure::new(400, "ValidationError", message).about(&format!("properties.{field}")));
    }
    let name = change.address.name().to_owned();
    let workspace = change.address.parent().map(|parent| parent.id()).unwrap_or_default();
    let state = change.old.as_ref().map(|old| old.text("/properties/status").to_owned());
    let tenant = change.settings().tenant.clone();
    let properties = &mut change.body["properties"];
    properties["status"] = json!(state.unwrap_or_else(|| "Starting".to_owned()));
    default(properties, "/displayName", json!(name));
    default(properties, "/experimentName", json!("Default"));
    default(properties, "/isArchived", json!(false));
    for map in ["tags", "properties", "inputs", "outputs", "services"] {
        default(properties, &format!("/{map}"), json!({}));
    }
    let service = |endpoint: String| json!({"endpoint": endpoint, "jobServiceType": null, "port": null, "status": null});
    let studio = format!("emulator://runs/{name}?wsid={workspace}&tid={tenant}");
    default(properties, "/services/Tracking", service("azureml://emulator/mlflow/v1.0".to_owned()));
    default(properties, "/services/Studio", service(studio));
    default(properties, "/parameters", json!({}));
    if change.old.is_none() && change.core.data_plane().is_none() {
        run_by_the_clock(change);
    }
    Ok(())
}

/// Without a data plane a job does nothing, and is done when an operation would be.
fn run_by_the_clock(change: &mut Change<'_>) {
    let duration = change.settings().duration(change.row.kind);
    let status = |status: &str| json!({"properties": {"status": status}});
    crate::engine::background(change, duration / 2, status("Running"));
    crate::engine::background(change, duration, status("Completed"));
}

/// A job must have ended before it is deleted.
pub(crate) fn remove(change: &mut Change<'_>) -> Outcome<()> {
    let Some(old) = &change.old else { return Ok(()) };
    let status = old.text("/properties/status");
    if ENDED.contains(&status) {
        return Ok(());
    }
    let message = format!("The job '{}' is {status}. Cancel it before deleting it.", change.address.name());
    Err(Failure::new(409, "Conflict", message))
}

pub(crate) fn cancel(change: &mut Change<'_>) -> Outcome<Value> {
    let status = change.old.as_ref().map_or("", |old| old.text("/properties/status")).to_owned();
    if ENDED.contains(&status.as_str()) {
        let message =
            format!("The job '{}' is already {status} and can't be canceled.", change.address.name());
        return Err(Failure::new(400, "UserError", message));
    }
    let key = change.address.key();
    crate::engine::abandon(change.state, &key);
    if let Some(record) = change.state.get_mut(&key) {
        record.body["properties"]["status"] = json!("CancelRequested");
    }
    change.then(json!({"properties": {"status": "Canceled"}}));
    Ok(Value::Null)
}

/// Schedules: the trigger and the action must be of a known type.
pub(crate) fn schedule(change: &mut Change<'_>) -> Outcome<()> {
    let checks: [(&str, &[&str]); 2] = [
        (
            "/properties/action/actionType",
            &["CreateJob", "InvokeBatchEndpoint", "CreateMonitor", "ImportData"],
        ),
        ("/properties/trigger/triggerType", &["Cron", "Recurrence"]),
    ];
    for (pointer, known) in checks {
        let value = text(&change.body, pointer);
        if !known.iter().any(|one| one.eq_ignore_ascii_case(value)) {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            let message = format!(
                "The value '{value}' of '{field}' is not supported. Use one of {}.",
                known.join(", ")
            );
            return Err(Failure::new(400, "ValidationError", message).about(&field));
        }
    }
    let needed: &[&str] =
        match text(&change.body, "/properties/trigger/triggerType").to_ascii_lowercase().as_str() {
            "cron" => &["expression"],
            _ => &["frequency", "interval"],
        };
    if let Some(field) =
        needed.iter().find(|field| change.body["properties"]["trigger"].get(**field).is_none())
    {
        let message = format!("The request is invalid: the field 'properties.trigger.{field}' is required.");
        return Err(Failure::new(400, "ValidationError", message));
    }
    let name = change.address.name().to_owned();
    let properties = &mut change.body["properties"];
    default(properties, "/displayName", json!(name));
    default(properties, "/isEnabled", json!(true));
    default(properties, "/tags", json!({}));
    default(properties, "/properties", json!({}));
    Ok(())
}
