//! A Compute for a compute that exists.
use arm::ResourceId;
use serde_json::{Value, json};

use super::{Imported, Spec, identity, own_name, tags, text};

/// The manifest of a compute; `None` for the types that no manifest has.
pub fn compute(id: &ResourceId, body: &Value, workspace: &str, namespace: &str) -> Option<Imported> {
    let type_ = text(body, "/properties/computeType");
    let mut spec = Spec::default();
    spec.set("workspaceRef", json!({"name": workspace})).set("name", own_name(id.name())).set("type", type_);
    match type_ {
        "AmlCompute" => spec.set("amlCompute", cluster(body)),
        "ComputeInstance" => spec.set("computeInstance", instance(body)),
        "Kubernetes" => spec.set("kubernetes", kubernetes(body)),
        _ => return None,
    };
    spec.copy(
        body,
        &[("description", "/properties/description"), ("disableLocalAuth", "/properties/disableLocalAuth")],
    );
    if type_ != "Kubernetes" {
        spec.copy(body, &[("location", "/properties/computeLocation")]);
    }
    spec.set("identity", identity(body)).set("tags", tags(body, "/tags"));
    Some(Imported::new("Compute", id.name(), namespace, spec))
}

fn cluster(body: &Value) -> Value {
    let properties = &body["properties"]["properties"];
    let mut scale = Spec::default();
    scale.copy(
        properties,
        &[
            ("minNodeCount", "/scaleSettings/minNodeCount"),
            ("maxNodeCount", "/scaleSettings/maxNodeCount"),
            ("nodeIdleTimeBeforeScaleDown", "/scaleSettings/nodeIdleTimeBeforeScaleDown"),
        ],
    );
    let mut cluster = Spec::default();
    cluster
        .copy(
            properties,
            &[
                ("vmSize", "/vmSize"),
                ("vmPriority", "/vmPriority"),
                ("subnetId", "/subnet/id"),
                ("enableNodePublicIp", "/enableNodePublicIp"),
                ("remoteLoginPortPublicAccess", "/remoteLoginPortPublicAccess"),
                ("isolatedNetwork", "/isolatedNetwork"),
            ],
        )
        .set("scaleSettings", scale.value());
    cluster.value()
}

fn instance(body: &Value) -> Value {
    let properties = &body["properties"]["properties"];
    let mut user = Spec::default();
    user.copy(
        properties,
        &[
            ("objectId", "/personalComputeInstanceSettings/assignedUser/objectId"),
            ("tenantId", "/personalComputeInstanceSettings/assignedUser/tenantId"),
        ],
    );
    let schedules = properties.pointer("/schedules/computeStartStop").and_then(Value::as_array);
    let schedules: Vec<Value> = schedules.into_iter().flatten().map(schedule).collect();
    let mut machine = Spec::default();
    machine
        .copy(
            properties,
            &[
                ("vmSize", "/vmSize"),
                ("idleTimeBeforeShutdown", "/idleTimeBeforeShutdown"),
                ("applicationSharingPolicy", "/applicationSharingPolicy"),
                ("subnetId", "/subnet/id"),
                ("enableNodePublicIp", "/enableNodePublicIp"),
                ("enableSso", "/enableSSO"),
            ],
        )
        .set("assignedUser", user.value())
        .set("schedules", schedules);
    if text(properties, "/sshSettings/sshPublicAccess") == "Enabled" {
        machine.copy(properties, &[("sshPublicKey", "/sshSettings/adminPublicKey")]);
    }
    machine.value()
}

fn schedule(from: &Value) -> Value {
    let mut schedule = Spec::default();
    let fields = [("startTime", "/startTime"), ("timeZone", "/timeZone")];
    schedule.copy(from, &[("action", "/action")]).set("enabled", from["status"] != "Disabled");
    if from["triggerType"] == "Cron" {
        let mut cron = Spec::default();
        cron.copy(&from["cron"], &fields).copy(&from["cron"], &[("expression", "/expression")]);
        schedule.set("cron", cron.value());
    } else {
        let mut recurrence = Spec::default();
        let mut times = Spec::default();
        times.copy(
            &from["recurrence"]["schedule"],
            &[
                ("hours", "/hours"),
                ("minutes", "/minutes"),
                ("weekDays", "/weekDays"),
                ("monthDays", "/monthDays"),
            ],
        );
        recurrence
            .copy(&from["recurrence"], &fields)
            .copy(&from["recurrence"], &[("frequency", "/frequency"), ("interval", "/interval")])
            .set("schedule", times.value());
        schedule.set("recurrence", recurrence.value());
    }
    schedule.value()
}

/// The extension is left out: other computes and other teams may work by it.
fn kubernetes(body: &Value) -> Value {
    let properties = &body["properties"]["properties"];
    let mut cluster = Spec::default();
    cluster.copy(body, &[("clusterId", "/properties/resourceId")]).copy(
        properties,
        &[
            ("namespace", "/namespace"),
            ("defaultInstanceType", "/defaultInstanceType"),
            ("instanceTypes", "/instanceTypes"),
        ],
    );
    cluster.value()
}
