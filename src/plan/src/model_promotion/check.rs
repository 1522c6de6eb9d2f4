//! The checks of a stage: which Jobs are wanted, and what they found.
//!
//! A finding counts only when it comes from a pod that runs what the plan asked for, in a Job of this very promotion:
//! whoever may label objects of a namespace can't speak for a check.
mod job;

use api::Reason;
use api::model_promotion::{
    Bundle, CheckReport, CheckStatus, CheckType, PromotionCheck, PromotionCheckOutcome, PromotionStage,
    StageStatus,
};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use self::job::{Subject, compares};
use super::World;
use crate::child::{ChildKind, Observed};
use crate::endpoint::{PodFacts, Refusal};
use crate::step::{Apply, Delete, FieldManager, Step};
use crate::subset;

/// The container that checks, and reports.
const CHECKER: &str = "checker";
/// The container of the user's own.
const TESTS: &str = "tests";
/// The longest message of a check, in bytes.
const MESSAGE_LIMIT: usize = 1024;
/// The most findings that a status lists.
const FINDINGS: usize = 16;

/// Where the checks of a stage stand.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Checked {
    /// All that must pass have passed or are skipped.
    Passed,
    /// Some run: which, in words.
    Running(String),
    /// One has not passed, or can't be run.
    Held(Reason, String),
}

/// Looks at the checks of a stage: brings their statuses up to date and returns the Jobs to create.
pub(super) fn look(
    world: &World,
    wanted: &PromotionStage,
    bundle: Option<&Bundle>,
    stage: &mut StageStatus,
    now: &Time,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let Some(bundle) = bundle else { return steps };
    let versions = || world.model.iter().flat_map(|it| &it.spec.versions);
    let former = stage.former_version.as_ref();
    let former = former.and_then(|former| versions().find(|it| it.version == *former));
    let checks = wanted.checks.iter().map(|check| {
        let mut status = stage.checks.iter().find(|it| it.name == check.name).cloned().unwrap_or_default();
        check.name.clone_into(&mut status.name);
        if status.outcome.is_none() {
            let attempt = status.attempts.max(1);
            let subject = Subject { world, stage: wanted, check, bundle, former, attempt };
            steps.extend(run(&subject, &mut status, now));
        }
        status
    });
    stage.checks = checks.collect();
    steps
}

/// What the checks come to.
pub(super) fn checked(wanted: &PromotionStage, stage: &StageStatus) -> Checked {
    let running: Vec<String> =
        stage
            .checks
            .iter()
            .filter(|it| it.outcome.is_none() && it.skipped.is_none())
            .map(|it| {
                if it.message.is_empty() { it.name.clone() } else { format!("{} ({})", it.name, it.message) }
            })
            .collect();
    if !running.is_empty() {
        return Checked::Running(format!(
            "{} of {} checks are done; running: {}",
            stage.checks.len() - running.len(),
            stage.checks.len(),
            running.join(", ")
        ));
    }
    let is_enforced = |name: &str| {
        let mode = wanted.checks.iter().find(|it| it.name == name).map(|it| it.mode);
        mode == Some(api::endpoint::CheckMode::Enforce)
    };
    let against: Vec<&CheckStatus> = stage
        .checks
        .iter()
        .filter(|it| it.skipped.is_none() && it.outcome != Some(PromotionCheckOutcome::Passed))
        .filter(|it| is_enforced(&it.name))
        .collect();
    let Some(worst) = against
        .iter()
        .find(|it| it.outcome == Some(PromotionCheckOutcome::Failed))
        .or_else(|| against.first())
    else {
        return Checked::Passed;
    };
    let (reason, word) = match worst.outcome {
        Some(PromotionCheckOutcome::Failed) => (Reason::StageCheckFailed, "failed"),
        _ => (Reason::StageCheckInconclusive, "could not tell"),
    };
    let more = match against.len() - 1 {
        0 => String::new(),
        more => format!(" ({more} more have not passed)"),
    };
    Checked::Held(reason, format!("check {} {word}: {}{more}", worst.name, worst.message))
}

/// Forgets what the checks that have not passed found, so that they run again.
pub(super) fn again(stage: &mut StageStatus) -> usize {
    let open = stage.checks.iter_mut().filter(|it| {
        it.skipped.is_none() && it.outcome.is_some_and(|it| it != PromotionCheckOutcome::Passed)
    });
    let mut count = 0;
    for check in open {
        restart(check);
        count += 1;
    }
    count
}

/// Forgets what checks found that compare with the version which the stage ran, when it runs another one now.
pub(super) fn former_changed(wanted: &PromotionStage, stage: &mut StageStatus) {
    for check in &wanted.checks {
        let status = stage.checks.iter_mut().find(|it| it.name == check.name);
        if let Some(status) = status.filter(|_| compares(check.type_)) {
            restart(status);
        }
    }
}

fn restart(status: &mut CheckStatus) {
    let (name, attempts) = (std::mem::take(&mut status.name), status.attempts);
    *status = CheckStatus { name, attempts: attempts + 1, ..CheckStatus::default() };
}

/// The Jobs that nobody waits for any more: those that still run when their promotion is over.
pub(super) fn left_over(world: &World) -> Vec<Step> {
    let uid = world.promotion.metadata.uid.as_deref();
    let is_ours = |job: &&Observed| job.controller.as_ref().map(|it| it.uid.as_str()) == uid;
    let jobs = world.jobs.values().filter(is_ours).filter(|job| !job.deleting && end(job).is_none());
    jobs.map(|job| {
        Step::Delete(Delete {
            kind: ChildKind::Job,
            namespace: world.promotion.metadata.namespace.clone().unwrap_or_default(),
            name: job.body["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            uid: job.uid.clone(),
            why: "its promotion is over",
        })
    })
    .collect()
}

/// Goes on with a check; returns the Job to create, if it has none.
fn run(subject: &Subject<'_>, status: &mut CheckStatus, now: &Time) -> Option<Step> {
    let Subject { world, check, former, .. } = *subject;
    if compares(check.type_) && former.is_none() {
        let message = "the stage runs no version yet, so that there is nothing to compare with";
        finish(status, now, &CheckReport { message: message.to_owned(), ..passed() });
        return None;
    }
    status.attempts = subject.attempt;
    let wanted = match subject.job() {
        Ok(wanted) => wanted,
        Err(refusal) => {
            refused(status, &refusal);
            return None;
        }
    };
    let name = subject.name();
    status.job = Some(name.clone());
    let Some(job) = world.jobs.get(&name) else {
        status.started_at.get_or_insert_with(|| now.clone());
        "its Job is made".clone_into(&mut status.message);
        return Some(create(world, name, wanted));
    };
    let uid = world.promotion.metadata.uid.as_deref();
    if job.controller.as_ref().map(|it| it.uid.as_str()) != uid
        || subset::difference(&wanted["spec"], &job.body["spec"]).is_some()
    {
        let message =
            format!("Job {name} is not what this promotion has made: delete it, and it is made anew");
        refused(status, &Refusal { reason: Reason::Conflict, message });
        return None;
    }
    let pods = pods(world, job, &wanted);
    if let Some(report) = pods.iter().find_map(|pod| report(pod)) {
        finish(status, now, &report);
    } else if let Some(end) = end(job) {
        finish(status, now, &without_report(check, &pods, &end));
    } else if let Some(report) = pods.iter().find_map(|pod| never_starts(check, pod)) {
        finish(status, now, &report);
        return Some(Step::Delete(Delete {
            kind: ChildKind::Job,
            namespace: world.promotion.metadata.namespace.clone().unwrap_or_default(),
            name,
            uid: job.uid.clone(),
            why: "its pod can't start",
        }));
    } else {
        status.message = match pods.iter().find_map(|pod| PodFacts::from_pod(pod).cause) {
            Some(cause) => limited(&cause.message),
            None => String::new(),
        };
    }
    None
}

fn create(world: &World, name: String, body: Value) -> Step {
    Step::Apply(Apply {
        kind: ChildKind::Job,
        namespace: world.promotion.metadata.namespace.clone().unwrap_or_default(),
        name,
        body,
        manager: FieldManager::Operator,
        create: true,
        why: "a stage needs to know",
    })
}

fn passed() -> CheckReport {
    CheckReport { outcome: PromotionCheckOutcome::Passed, ..CheckReport::default() }
}

fn refused(status: &mut CheckStatus, refusal: &Refusal) {
    status.message = limited(&refusal.message);
}

fn finish(status: &mut CheckStatus, now: &Time, report: &CheckReport) {
    status.outcome = Some(report.outcome);
    status.finished_at = Some(now.clone());
    status.findings = report.findings.iter().take(FINDINGS).cloned().collect();
    for finding in &mut status.findings {
        // Any container may write what it likes.
        finding.metric.truncate(finding.metric.floor_char_boundary(63));
        finding.detail.truncate(finding.detail.floor_char_boundary(256));
    }
    status.artifact = report.artifact.clone().filter(|it| it.len() <= 71);
    status.message = limited(&report.message);
}

fn limited(message: &str) -> String {
    message.get(..message.floor_char_boundary(MESSAGE_LIMIT)).unwrap_or_default().to_owned()
}

/// The pods of a Job that run what was asked for.
fn pods<'w>(world: &'w World, job: &Observed, wanted: &Value) -> Vec<&'w Pod> {
    let template = &wanted["spec"]["template"]["spec"];
    let is_its = |pod: &&Pod| {
        let owners = pod.metadata.owner_references.iter().flatten();
        owners.into_iter().any(|it| it.uid == job.uid && it.controller == Some(true))
            && subset::difference(template, &json!(pod.spec)).is_none()
            && same_programs(template, &json!(pod.spec))
    };
    world.pods.iter().filter(is_its).collect()
}

/// Whether a pod runs no container beside those that were asked for that could speak in their place.
fn same_programs(template: &Value, seen: &Value) -> bool {
    let named = |spec: &Value, list: &str| {
        let containers = spec[list].as_array().into_iter().flatten();
        containers.filter(|it| it["name"] == CHECKER).count()
    };
    ["containers", "initContainers"].iter().all(|list| named(template, list) == named(seen, list))
}

/// What the program of a check has reported. What a container of the user's own left when it was ended from outside may
/// be half of it.
fn report(pod: &Pod) -> Option<CheckReport> {
    let status = pod.status.as_ref()?;
    let ended = status.container_statuses.iter().flatten().find(|it| it.name == TESTS);
    let ended = ended.and_then(|it| it.state.as_ref()?.terminated.as_ref());
    let is_killed = |it: &&ContainerStateTerminated| {
        it.exit_code > 128 || matches!(it.reason.as_deref(), Some("OOMKilled" | "DeadlineExceeded"))
    };
    if let Some(ended) = ended.filter(is_killed) {
        let why = ended.reason.as_deref().unwrap_or("Error");
        let message =
            format!("its container was ended with exit code {} ({why}) before it was done", ended.exit_code);
        return Some(CheckReport { message, ..CheckReport::default() });
    }
    let statuses = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let said = statuses.filter(|it| it.name == CHECKER).find_map(last_word)?;
    let report: CheckReport = serde_json::from_str(&said).ok()?;
    match ended.filter(|it| it.exit_code != 0) {
        // A run that broke off may have left a report of what it did before.
        Some(ended) if report.outcome == PromotionCheckOutcome::Passed => {
            let message = format!(
                "its container ended with exit code {}, although its report is good",
                ended.exit_code
            );
            Some(CheckReport { outcome: PromotionCheckOutcome::Inconclusive, message, ..report })
        }
        _ => Some(report),
    }
}

fn last_word(status: &ContainerStatus) -> Option<String> {
    status.state.as_ref()?.terminated.as_ref()?.message.clone()
}

/// How a Job has ended: whether it is complete, and what it says.
fn end(job: &Observed) -> Option<String> {
    let conditions = job.body["status"]["conditions"].as_array()?;
    let ended = conditions
        .iter()
        .find(|it| it["status"] == "True" && (it["type"] == "Complete" || it["type"] == "Failed"))?;
    Some(ended["message"].as_str().unwrap_or_default().to_owned())
}

/// What is said of a check whose Job ended without a report.
fn without_report(check: &PromotionCheck, pods: &[&Pod], end: &str) -> CheckReport {
    let cause = pods.iter().find_map(|pod| PodFacts::from_pod(pod).cause);
    let message = match cause {
        Some(cause) => cause.message,
        None if end.is_empty() => "its Job ended without a report".to_owned(),
        None => format!(
            "its Job ended without a report within {}: {end}",
            check.timeout.as_deref().unwrap_or("1h")
        ),
    };
    CheckReport { message, ..CheckReport::default() }
}

/// A pod that can never start says so at once: a version whose server can't load it has failed.
fn never_starts(check: &PromotionCheck, pod: &Pod) -> Option<CheckReport> {
    let cause = PodFacts::from_pod(pod).cause.filter(|it| it.settled)?;
    let outcome = match cause.reason {
        Reason::ModelLoadFailed | Reason::WarmUpFailed | Reason::DigestMismatch | Reason::OutOfMemory
            if !matches!(check.type_, CheckType::DataQuality | CheckType::Job | CheckType::Retrain) =>
        {
            PromotionCheckOutcome::Failed
        }
        _ => PromotionCheckOutcome::Inconclusive,
    };
    Some(CheckReport { outcome, message: cause.message, ..CheckReport::default() })
}
