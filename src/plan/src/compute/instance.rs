//! The body of a ComputeInstance, one person's machine.
use api::compute::{
    ApplicationSharingPolicy, ComputeInstance, CronTrigger, Frequency, PowerAction, RecurrenceTrigger,
    SetupScript, StartStopSchedule,
};
use serde_json::{Value, json};

/// The properties of a ComputeInstance.
pub(super) fn properties(machine: &ComputeInstance) -> Value {
    let schedules: Vec<Value> = machine.schedules.iter().map(schedule).collect();
    json!({
        "vmSize": machine.vm_size,
        "subnet": super::subnet(machine.subnet_id.as_deref()),
        "enableNodePublicIp": machine.enable_node_public_ip,
        "applicationSharingPolicy": machine.application_sharing_policy.map(|policy| match policy {
            ApplicationSharingPolicy::Personal => "Personal",
            ApplicationSharingPolicy::Shared => "Shared",
        }),
        "computeInstanceAuthorizationType": "personal",
        "personalComputeInstanceSettings": machine.assigned_user.as_ref().map(|user| {
            json!({"assignedUser": {"objectId": user.object_id, "tenantId": user.tenant_id}})
        }),
        "sshSettings": {
            "sshPublicAccess": if machine.ssh_public_key.is_some() { "Enabled" } else { "Disabled" },
            "adminPublicKey": machine.ssh_public_key,
        },
        "schedules": {"computeStartStop": schedules},
        "idleTimeBeforeShutdown": machine.idle_time_before_shutdown,
        "enableSSO": machine.enable_sso,
        "setupScripts": machine.setup_scripts.as_ref().map(|scripts| json!({"scripts": {
            "creationScript": scripts.creation.as_ref().map(script),
            "startupScript": scripts.startup.as_ref().map(script),
        }})),
    })
}

fn schedule(schedule: &StartStopSchedule) -> Value {
    json!({
        "action": match schedule.action {
            PowerAction::Start => "Start",
            PowerAction::Stop => "Stop",
        },
        "status": if schedule.enabled { "Enabled" } else { "Disabled" },
        "triggerType": if schedule.cron.is_some() { "Cron" } else { "Recurrence" },
        "cron": schedule.cron.as_ref().map(cron),
        "recurrence": schedule.recurrence.as_ref().map(recurrence),
    })
}

fn cron(cron: &CronTrigger) -> Value {
    json!({"expression": cron.expression, "startTime": cron.start_time, "timeZone": cron.time_zone})
}

fn recurrence(recurrence: &RecurrenceTrigger) -> Value {
    json!({
        "frequency": match recurrence.frequency {
            Frequency::Minute => "Minute",
            Frequency::Hour => "Hour",
            Frequency::Day => "Day",
            Frequency::Week => "Week",
            Frequency::Month => "Month",
        },
        "interval": recurrence.interval,
        "startTime": recurrence.start_time,
        "timeZone": recurrence.time_zone,
        "schedule": recurrence.schedule.as_ref().map(|times| json!({
            "hours": times.hours,
            "minutes": times.minutes,
            // Without any, the field must be absent: an empty list would mean no day at all.
            "weekDays": (!times.week_days.is_empty()).then_some(&times.week_days),
            "monthDays": (!times.month_days.is_empty()).then_some(&times.month_days),
        })),
    })
}

/// Scripts lie on the file share of the workspace.
fn script(script: &SetupScript) -> Value {
    json!({
        "scriptSource": "workspaceStorage",
        "scriptData": script.path,
        "scriptArguments": script.arguments,
        "timeout": format!("{}m", script.timeout_minutes),
    })
}
