//! One person's machine: who it is for, when it runs, and what is set up on it.
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One person's machine.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("has(self.setupScripts) == has(oldSelf.setupScripts) && (!has(self.setupScripts) || self.setupScripts == oldSelf.setupScripts)")
    .message("computeInstance.setupScripts can't be changed: make another Compute"))]
pub struct ComputeInstance {
    /// The size of the machine, for example `Standard_DS3_v2`. It can't be changed later.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_]+$"))]
    pub vm_size: String,
    /// The person that the machine is for. Without it, whoever the operator signs in as. It can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_user: Option<AssignedUser>,
    /// When it starts and stops by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub schedules: Vec<StartStopSchedule>,
    /// How long it stays idle before it stops, as an ISO 8601 duration from `PT15M` to `P3D`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^P([0-9]+D)?(T([0-9]+H)?([0-9]+M)?([0-9]+S)?)?$')")
        .message("idleTimeBeforeShutdown must be an ISO 8601 duration from PT15M to P3D, such as PT30M"))]
    pub idle_time_before_shutdown: Option<String>,
    /// Who may use the applications on it. It can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_sharing_policy: Option<ApplicationSharingPolicy>,
    /// The public key that may sign in by SSH, as in `id_ed25519.pub`. Without it, SSH is closed. It can't be changed
    /// later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), regex(pattern = r"^(ssh|ecdsa|sk)-[^\r\n]+$"))]
    pub ssh_public_key: Option<String>,
    /// The id of the subnet that the machine joins, `/subscriptions/…/virtualNetworks/V/subnets/S`. It can't be changed
    /// later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/subscriptions/[^\s]+/subnets/[^/\s]+$"))]
    pub subnet_id: Option<String>,
    /// Whether the machine gets a public address. It can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_node_public_ip: Option<bool>,
    /// Scripts that set the machine up. They can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup_scripts: Option<SetupScripts>,
    /// Whether the person is signed in to Azure on the machine from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_sso: Option<bool>,
}

/// A person, by the ids of Microsoft Entra.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct AssignedUser {
    /// The object id of the person.
    #[schemars(length(min = 36, max = 36), regex(pattern = r"^[0-9a-fA-F-]{36}$"))]
    pub object_id: String,
    /// The id of the person's tenant.
    #[schemars(length(min = 36, max = 36), regex(pattern = r"^[0-9a-fA-F-]{36}$"))]
    pub tenant_id: String,
}

/// When a machine starts or stops by itself.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("has(self.cron) != has(self.recurrence)")
    .message("each of schedules needs either cron or recurrence, not both"))]
pub struct StartStopSchedule {
    /// What happens.
    pub action: PowerAction,
    /// Whether it happens at all.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// At the times of a cron expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<CronTrigger>,
    /// Again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrence: Option<RecurrenceTrigger>,
}

fn enabled() -> bool {
    true
}

/// What happens to a machine.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum PowerAction {
    /// It starts.
    Start,
    /// It stops.
    Stop,
}

/// The times of a cron expression.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CronTrigger {
    /// Minute, hour, day of the month, month and day of the week, for example `0 18 * * MON-FRI`.
    #[schemars(length(min = 9, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[^ ]+( [^ ]+){4}$')")
        .message("cron.expression must have five fields: minute, hour, day of the month, month and day of the week"))]
    pub expression: String,
    /// From when on, in the time zone, for example `2026-01-31T08:00:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 10, max = 32), regex(pattern = r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?)?$"))]
    pub start_time: Option<String>,
    /// The time zone by its Windows name, for example `W. Europe Standard Time`. Without it: `UTC`.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// A time that comes again and again.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RecurrenceTrigger {
    /// The unit of `interval`.
    pub frequency: Frequency,
    /// Every how many of the unit.
    #[schemars(range(min = 1, max = 1000))]
    pub interval: i32,
    /// From when on, in the time zone, for example `2026-01-31T08:00:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 10, max = 32), regex(pattern = r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?)?$"))]
    pub start_time: Option<String>,
    /// The time zone by its Windows name, for example `W. Europe Standard Time`. Without it: `UTC`.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// At which times within the unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<RecurrenceSchedule>,
}

/// A unit of time.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum Frequency {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// A day of the calendar.
    Day,
    /// Seven days.
    Week,
    /// A month of the calendar.
    Month,
}

/// Times within a day, week or month.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RecurrenceSchedule {
    /// Hours of the day.
    #[schemars(length(min = 1, max = 24), inner(range(min = 0, max = 23)))]
    pub hours: Vec<i32>,
    /// Minutes of the hour.
    #[schemars(length(min = 1, max = 60), inner(range(min = 0, max = 59)))]
    pub minutes: Vec<i32>,
    /// Days of the week, for the frequency `Week`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    pub week_days: Vec<Weekday>,
    /// Days of the month, for the frequency `Month`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 31), inner(range(min = 1, max = 31)))]
    pub month_days: Vec<i32>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[expect(missing_docs, reason = "the names of the days explain themselves")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// Who may use the applications on a machine.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum ApplicationSharingPolicy {
    /// The person that it is for.
    Personal,
    /// Everybody who may use the workspace.
    Shared,
}

/// Scripts that set a machine up.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[x_kube(validation = Rule::new("has(self.creation) || has(self.startup)")
    .message("setupScripts needs creation, startup or both"))]
pub struct SetupScripts {
    /// Runs once, when the machine is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation: Option<SetupScript>,
    /// Runs each time that the machine starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<SetupScript>,
}

/// A script that lies on the file share of the workspace.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct SetupScript {
    /// Its path on the file share of the workspace, for example `Users/anna/setup.sh`.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^[^\r\n]+$"))]
    pub path: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub arguments: Option<String>,
    /// Minutes after which it is ended.
    #[serde(default = "timeout_minutes")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_minutes: i32,
}

fn timeout_minutes() -> i32 {
    15
}
