//! Schedules fire when they are told to: `POST /emulator/schedules/{name}/fire`, with `?workspace=NAME` where several
//! have one of that name. Time alone fires none, so that no test depends on it.
use std::sync::Arc;

use serde_json::{Value, json};

use super::jobs;
use super::local::{JOB, Shared, refused};
use super::{Control, Request};
use crate::answer::Answer;
use crate::state::text;

const SCHEDULE: &str = "Microsoft.MachineLearningServices/workspaces/schedules";

pub(super) fn fire(shared: &Arc<Shared>, control: &Control, name: &str, request: &Request) -> Answer {
    let query = crate::call::pairs(&request.query);
    let workspace = query.iter().find(|(name, _)| name == "workspace").map(|(_, value)| value.as_str());
    let fits = |one: &Value| {
        let segments: Vec<&str> = text(one, "/id").rsplit('/').collect();
        segments.first().is_some_and(|last| last.eq_ignore_ascii_case(name))
            && workspace
                .is_none_or(|wanted| segments.get(2).is_some_and(|name| name.eq_ignore_ascii_case(wanted)))
    };
    let found: Vec<Value> = control.resources(SCHEDULE).into_iter().filter(fits).collect();
    let schedule = match found.as_slice() {
        [] => return refused(404, "NotFound", format!("The schedule '{name}' was not found.")),
        [one] => one,
        _ => {
            let message = "Several workspaces have a schedule of this name. Add ?workspace=NAME.";
            return refused(409, "Conflict", message);
        }
    };
    let action = &schedule["properties"]["action"];
    if !text(action, "/actionType").eq_ignore_ascii_case("CreateJob") {
        let message = format!("Actions of the type '{}' are not run.", text(action, "/actionType"));
        return refused(400, "UserError", message);
    }
    let home = text(schedule, "/id").split("/schedules/").next().unwrap_or_default();
    let job = format!("{name}_{}", uuid::Uuid::new_v4().simple());
    let id = format!("{home}/jobs/{job}");
    let mut properties = action["jobDefinition"].clone();
    properties["properties"]["azureml.schedulename"] = json!(name);
    // A schedule's definition may carry what only a job has.
    if let Some(map) = properties.as_object_mut() {
        map.remove("status");
    }
    if !control.create(&id, JOB, jobs::new(&job, &properties)) {
        return refused(507, "InsufficientStorage", "the emulator holds as many resources as it can");
    }
    jobs::submitted(shared, &id, control);
    Answer::json(201, json!({"id": id, "name": job}))
}
